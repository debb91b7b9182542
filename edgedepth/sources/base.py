"""The Source seam: where frames come from."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, runtime_checkable

from edgedepth.types import Frame, Intrinsics

__all__ = ["Source"]


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
