"""A file played as a camera would: every frame at its own time, late ones dropped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from edgedepth.errors import EndOfStream, FrameTimeout, InputError
from edgedepth.sources.base import SourceOptions
from edgedepth.sources.grabber import SLICE_S, Grabber
from edgedepth.sources.ordered import OrderedSource
from edgedepth.types import Frame

__all__ = ["PacedSource"]


class PacedSource(OrderedSource):
    """Frames of a Grabber at its frame rate; ``sequence`` is the frame's place in the file.

    The clock starts with the first ``read``. A frame's timestamp is the time at which it was due, so that what
    decoding takes counts in a result's age. When the reader comes late, frames that are no longer the newest are
    decoded, dropped and counted.

    Args:
        grabber: already open, its frame rate known; this source closes it.
        uri: without credentials.
        options: ``intrinsics`` and ``loop`` are used here.
        clock_ns, sleep: monotonic clock and waiting in seconds, replaced in tests.

    Raises:
        InputError: the frame rate is not known. IntrinsicsError: the intrinsics are for another aspect ratio.
    """

    is_live = True

    def __init__(
        self,
        grabber: Grabber,
        uri: str,
        options: SourceOptions,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(grabber, uri, options)
        if not grabber.fps:
            grabber.close()
            raise InputError(f"{uri} does not state a frame rate, so it cannot be played at its own")
        self._period_ns = round(1e9 / grabber.fps)
        self._clock_ns, self._sleep = clock_ns, sleep
        self._start_ns: int | None = None

    def read(self, timeout_s: float) -> Frame:
        """See Source.read."""
        deadline_ns = self._clock_ns() + round(timeout_s * 1e9)
        if self._start_ns is None:
            self._start_ns = self._clock_ns()
        while self._clock_ns() >= self._due_ns(1):
            super().read(timeout_s)
            self._dropped += 1
        due_ns = self._due_ns(0)
        while (wait_ns := due_ns - self._clock_ns()) > 0:
            left_ns = deadline_ns - self._clock_ns()
            if self._closed:
                raise EndOfStream(f"{self._uri} was closed")
            if left_ns <= 0:
                raise FrameTimeout(f"{self._uri}: the next frame is due later than {timeout_s:g} s; read again")
            self._sleep(min(wait_ns / 1e9, left_ns / 1e9, SLICE_S))
        frame = super().read(timeout_s)
        # Of a camera nobody knows a position in a file.
        late_ns = frame.timestamp_ns - due_ns
        return replace(frame, timestamp_ns=due_ns, wall_time_ns=frame.wall_time_ns - late_ns, media_time_s=None)

    @property
    def frame_count(self) -> int | None:
        """None, as of any live source."""
        return None

    def _due_ns(self, ahead: int) -> int:
        """When the frame after the next ``ahead`` is due."""
        assert self._start_ns is not None
        return self._start_ns + (self._sequence + ahead) * self._period_ns
