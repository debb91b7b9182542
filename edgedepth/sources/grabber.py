"""The Grabber seam inside this package: one device or file that gives shots. What makes Sources of it is
``OrderedSource`` (every shot once) and ``LiveSource`` (the newest shot, reconnecting)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from edgedepth.closing import Closing
from edgedepth.intrinsics_io import load_intrinsics
from edgedepth.sources.base import SourceOptions
from edgedepth.types import Frame, Intrinsics, Pose

if TYPE_CHECKING:
    pass

__all__ = ["SLICE_S", "Grabber", "GrabberSource", "Shot", "now"]

SLICE_S = 0.2
"""Longest wait inside one ``grab``, so that a source can be closed while it waits, seconds."""


@dataclass(slots=True)
class Shot:
    """What a device gave: a frame before it has a number and intrinsics. Fields as in Frame.

    ``stream_s`` is the position on the stream's own clock where that clock is the sender's (RTSP); LiveSource uses it
    to see a stream fall behind.
    """

    image: NDArray[np.uint8]
    timestamp_ns: int
    wall_time_ns: int
    media_time_s: float | None = None
    stream_s: float | None = None
    depth_m: NDArray[np.float32] | None = None
    intrinsics: Intrinsics | None = None
    up: tuple[float, float, float] | None = None
    pose: Pose | None = None
    source: str | None = None


class Grabber(Protocol):
    """A device, stream or file that can be opened again after it was closed. One thread at a time uses it."""

    @property
    def size_wh(self) -> tuple[int, int] | None:
        """Width and height of the images, pixels, when known before the first."""
        ...

    @property
    def fps(self) -> float | None: ...

    @property
    def frame_count(self) -> int | None: ...

    # A grabber whose shots all bring depth says so with ``gives_depth = True``; most have none.

    def open(self) -> None:
        """Open, or start again from the beginning. Raises SourceError or InputError, and then holds nothing open."""
        ...

    def grab(self, timeout_s: float) -> Shot:
        """The next shot. Raises FrameTimeout, FrameInvalid, EndOfStream, SourceLost or InputError."""
        ...

    def close(self) -> None:
        """Release the device. Safe to call twice."""
        ...


class GrabberSource(Closing):
    """What the two kinds of source over a Grabber share: names, the camera of each image, context management."""

    is_live = False

    def __init__(self, grabber: Grabber, uri: str, options: SourceOptions) -> None:
        self._grabber = grabber
        self._uri = uri
        self._options = options
        self._dropped = 0
        given = options.intrinsics
        self._camera = given if isinstance(given, Intrinsics) else None
        # A wrong aspect ratio is told before the first frame, and before anything is written.
        if given is not None and grabber.size_wh is not None:
            self._camera = _camera_for(given, grabber.size_wh)

    @property
    def uri(self) -> str:
        """What was opened, without credentials."""
        return self._uri

    @property
    def intrinsics(self) -> Intrinsics | None:
        """The camera as given, for the size of the images where that is known."""
        return self._camera

    @property
    def fps(self) -> float | None:
        """Nominal frame rate, when known."""
        return self._grabber.fps

    @property
    def frame_count(self) -> int | None:
        """How many frames there will be, when known."""
        return self._grabber.frame_count

    @property
    def gives_depth(self) -> bool:
        """Whether every frame brings sensor depth."""
        return bool(getattr(self._grabber, "gives_depth", False))

    @property
    def dropped(self) -> int:
        """Frames dropped so far: superseded before they were read, stale, or invalid."""
        return self._dropped

    def _frame(self, shot: Shot, sequence: int) -> Frame:
        camera, given = self._camera, self._options.intrinsics
        size_wh = shot.image.shape[1], shot.image.shape[0]
        if given is not None and (camera is None or camera.size_wh != size_wh):
            camera = self._camera = _camera_for(given, size_wh)
        return Frame(
            image=shot.image,
            intrinsics=camera or shot.intrinsics,
            sequence=sequence,
            timestamp_ns=shot.timestamp_ns,
            wall_time_ns=shot.wall_time_ns,
            media_time_s=shot.media_time_s,
            depth_m=shot.depth_m,
            up=shot.up,
            pose=shot.pose,
            source=shot.source or self._uri,
        )

    def read(self, timeout_s: float) -> Frame:
        """See Source.read."""
        raise NotImplementedError


def _camera_for(given: Intrinsics | str, size_wh: tuple[int, int]) -> Intrinsics:
    return load_intrinsics(given, size_wh=size_wh) if isinstance(given, str) else given.for_size(*size_wh)


def now() -> tuple[int, int]:
    """Monotonic and wall clock, nanoseconds."""
    return time.monotonic_ns(), time.time_ns()
