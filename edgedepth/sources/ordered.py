"""Sources where each frame counts: files, image sequences, recordings, pipelines that are not live."""

from __future__ import annotations

import threading
import time

from edgedepth.errors import EdgeDepthError, EndOfStream, FrameTimeout
from edgedepth.sources.base import SourceOptions
from edgedepth.sources.grabber import SLICE_S, Grabber, GrabberSource, Shot
from edgedepth.types import Frame

__all__ = ["OrderedSource"]


class OrderedSource(GrabberSource):
    """Every frame of a Grabber once, in order, as fast as it is read.

    Args:
        grabber: already open; this source closes it.
        uri: without credentials.
        options: ``intrinsics`` and ``loop`` are used here.

    Raises:
        IntrinsicsError: the intrinsics given are for another aspect ratio.
    """

    def __init__(self, grabber: Grabber, uri: str, options: SourceOptions) -> None:
        try:
            super().__init__(grabber, uri, options)
        except BaseException:
            grabber.close()
            raise
        self._lock = threading.Lock()
        self._closed = False
        self._sequence = 0
        self._given_this_lap = False

    def read(self, timeout_s: float) -> Frame:
        """See Source.read. An invalid frame keeps its place: its sequence number is skipped."""
        with self._lock:
            if self._closed:
                raise EndOfStream(f"{self._uri} was closed")
            try:
                shot = self._next(timeout_s)
            except (EndOfStream, FrameTimeout):
                raise
            except EdgeDepthError:
                self._sequence += 1
                raise
            self._sequence += 1
            self._given_this_lap = True
            return self._frame(shot, self._sequence - 1)

    def _next(self, timeout_s: float) -> Shot:
        try:
            return self._grab(timeout_s)
        except EndOfStream:
            # A lap without one good frame would be followed by another, for ever.
            if not self._options.loop or not self._given_this_lap or self._closed:
                raise
        self._given_this_lap = False
        self._grabber.close()
        self._grabber.open()
        return self._grab(timeout_s)

    def _grab(self, timeout_s: float) -> Shot:
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = deadline_s - time.monotonic()
            try:
                return self._grabber.grab(min(max(left_s, 0.0), SLICE_S))
            except FrameTimeout:
                if self._closed:
                    raise EndOfStream(f"{self._uri} was closed") from None
                if left_s <= SLICE_S:
                    raise FrameTimeout(
                        f"{self._uri}: no frame within {timeout_s:g} s; read again or wait longer"
                    ) from None

    def close(self) -> None:
        """See Source.close. Waits for a frame that is being decoded."""
        self._closed = True
        with self._lock:
            self._grabber.close()
