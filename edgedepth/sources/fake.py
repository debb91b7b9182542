"""A source made of what it is given, for tests of code that takes a Source."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgedepth.closing import Closing
from edgedepth.errors import EdgeDepthError, EndOfStream
from edgedepth.types import Frame, Intrinsics

if TYPE_CHECKING:
    pass

__all__ = ["FakeSource"]


class FakeSource(Closing):
    """Frames and errors in the order of a script.

    >>> source = FakeSource([image, FrameTimeout("nothing yet"), image])  # then EndOfStream

    Args:
        script: frames, uint8 RGB images (H x W x 3) that become frames, and errors to raise at that point. A
            generator may sleep or never end. After the script: EndOfStream.
        intrinsics: the camera of the images.
        is_live: what the source says of itself.
        fps: spaces ``media_time_s`` of the images when not live.
        frame_count, gives_depth: what the source says of itself.
        dropped: what the source says of itself.
    """

    def __init__(
        self,
        script: Iterable[Frame | NDArray[np.uint8] | EdgeDepthError],
        *,
        intrinsics: Intrinsics | None = None,
        is_live: bool = False,
        fps: float | None = 30.0,
        frame_count: int | None = None,
        gives_depth: bool = False,
        dropped: int = 0,
        uri: str = "fake://",
    ) -> None:
        self._script: Iterator[Frame | NDArray[np.uint8] | EdgeDepthError] = iter(script)
        self._sequence = 0
        self.intrinsics = intrinsics
        self.is_live = is_live
        self.fps = fps
        self.frame_count = frame_count
        self.gives_depth = gives_depth
        self.dropped = dropped
        self.uri = uri
        self.closed = False

    def read(self, timeout_s: float) -> Frame:
        """The next item of the script, at once. Images get times and numbers; frames that have none get a number."""
        if self.closed:
            raise EndOfStream(f"{self.uri} was closed")
        item = next(self._script, None)
        if item is None:
            raise EndOfStream(f"{self.uri}: end of the script")
        if isinstance(item, EdgeDepthError):
            raise item
        number, self._sequence = self._sequence, self._sequence + 1
        if isinstance(item, Frame):
            return replace(item, sequence=item.sequence or number)
        return Frame(
            item,
            intrinsics=self.intrinsics,
            sequence=number,
            timestamp_ns=time.monotonic_ns(),
            wall_time_ns=time.time_ns(),
            media_time_s=number / self.fps if self.fps and not self.is_live else None,
            source=self.uri,
        )

    def close(self) -> None:
        """End it: every later ``read`` raises EndOfStream."""
        self.closed = True
