"""The Source seam: where frames come from."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, runtime_checkable

from edgedepth.errors import InputError
from edgedepth.types import Frame, Intrinsics

__all__ = ["Source", "SourceOpener", "SourceOptions"]


@dataclass(frozen=True)
class SourceOptions:
    """How to open a source. Every opener gets all of them and uses the ones that mean something to it.

    Attributes:
        intrinsics: the camera, for any size of the same aspect ratio (``Intrinsics.for_size``), or what
            ``load_intrinsics`` reads (a file, ``fx,fy,cx,cy``, ``hfov=69``), for the size the images turn out to have;
            None = what the source itself knows. Given ones win over those of a recording.
        loop: start a file again at its end (live sources ignore it).
        depth_scale_m: metres per unit of a 16-bit depth image; None = what the recording says, else 0.001.
        open_timeout_s: how long a stream may take to open.
        stall_s: a live source silent for this long is reconnected.
        max_age_s: a live frame older than this is stale: dropped, never handed out.
        backoff_s: wait before the first attempt to reconnect; doubles with each one.
        backoff_cap_s: longest wait between attempts.
        give_up_s: a live source gone for this long is lost; None = never give up.

    Raises:
        InputError: a time or the scale is not positive.
    """

    intrinsics: Intrinsics | str | None = None
    loop: bool = False
    depth_scale_m: float | None = None
    open_timeout_s: float = 10.0
    stall_s: float = 5.0
    max_age_s: float = 1.0
    backoff_s: float = 0.5
    backoff_cap_s: float = 10.0
    give_up_s: float | None = 300.0

    def __post_init__(self) -> None:
        names = ("depth_scale_m", "open_timeout_s", "stall_s", "max_age_s", "backoff_s", "backoff_cap_s", "give_up_s")
        for name in names:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"source option {name} must be positive, found {value}")


@runtime_checkable
class Source(Protocol):
    """An opened origin of frames. One thread reads."""

    @property
    def uri(self) -> str:
        """What was opened, without credentials."""
        ...

    @property
    def intrinsics(self) -> Intrinsics | None:
        """The camera, when the source knows it."""
        ...

    @property
    def is_live(self) -> bool:
        """True when frames come at their own pace and late ones may be dropped; False when each one counts."""
        ...

    @property
    def fps(self) -> float | None:
        """Nominal frame rate, when known."""
        ...

    @property
    def frame_count(self) -> int | None:
        """How many frames there will be, when known (progress bars; a container may be wrong by a few)."""
        ...

    @property
    def gives_depth(self) -> bool:
        """True when every frame brings sensor depth."""
        ...

    @property
    def dropped(self) -> int:
        """Frames the source itself had to drop (superseded before they were read, or invalid)."""
        ...

    def read(self, timeout_s: float) -> Frame:
        """The next frame. A live source gives the newest one and never one older than the last call's.

        Raises:
            FrameTimeout: nothing within ``timeout_s``; the source may be reconnecting, read again.
            EndOfStream: there will be no more.
            SourceLost: gone, and reconnecting was given up.
            SourceAuthError: the credentials were refused.
            FrameInvalid: only where each frame counts: this one cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Release the device. Safe to call twice, and from another thread: a blocked ``read`` returns."""
        ...

    def __enter__(self) -> Source: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...


class SourceOpener(Protocol):
    """What opens the sources of one URI scheme; the callable behind an ``edgedepth.sources`` entry point.

    The entry point's name is the scheme: ``lidar = "my_package:open_lidar"`` answers ``lidar://...``.
    """

    def __call__(self, uri: str, options: SourceOptions, /) -> Source:
        """Open ``uri`` (as the user wrote it, scheme and query included).

        Raises:
            InputError: the URI is malformed. SourceNotFound, SourceAuthError: as their names say.
        """
        ...
