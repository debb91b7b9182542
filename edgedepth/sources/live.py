"""Live sources: a thread that drains the device, hands out the newest frame only, and reconnects."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from edgedepth.errors import (
    EdgeDepthError,
    EndOfStream,
    FrameInvalid,
    FrameTimeout,
    SourceAuthError,
    SourceError,
    SourceLost,
)
from edgedepth.sources.base import SourceOptions
from edgedepth.sources.freshness import LagMeter, has_content
from edgedepth.sources.grabber import SLICE_S, Grabber, GrabberSource, Shot
from edgedepth.types import Frame

__all__ = ["LiveSource"]

_log = logging.getLogger("edgedepth.sources")


class LiveSource(GrabberSource):
    """The newest frame of a Grabber, always.

    A thread takes every shot as soon as it is there, so nothing queues up in the device or the network. It keeps one;
    a newer one replaces it and is counted in ``dropped``. Flat (black) and stale shots are dropped and counted too.
    When the device fails or falls silent it is opened again, after waits that double up to a cap, until
    ``give_up_s`` has passed without a shot. Refused credentials end it at once: repeating them locks accounts.

    Args:
        grabber: already open; this source closes it.
        uri: without credentials.
        options: times of stalling, ageing and reconnecting.
        wait: sleeps for some seconds unless the event is set; replaced in tests.
        clock_s: monotonic clock of the give-up time, replaced in tests.

    Raises:
        IntrinsicsError: the intrinsics given are for another aspect ratio.
    """

    is_live = True

    def __init__(
        self,
        grabber: Grabber,
        uri: str,
        options: SourceOptions,
        *,
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            super().__init__(grabber, uri, options)
        except BaseException:
            grabber.close()
            raise
        self._wait, self._clock_s = wait, clock_s
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._slot: Frame | None = None
        self._end: EdgeDepthError | None = None
        self._trouble = ""
        self._sequence = 0
        self._last_ns = 0
        self._reconnects = 0
        self._lag = LagMeter()
        self._alive_s = self._good_s = clock_s()  # last shot of any kind; last one fit to hand out
        self._attempts = 0
        self._thread = threading.Thread(target=self._capture, name=f"capture {uri}", daemon=True)
        self._thread.start()

    @property
    def frame_count(self) -> int | None:
        """None: a live source has no end."""
        return None

    @property
    def reconnects(self) -> int:
        """How often the device was opened again."""
        return self._reconnects

    def read(self, timeout_s: float) -> Frame:
        """See Source.read."""
        deadline_s = time.monotonic() + timeout_s
        with self._news:
            while True:
                if self._stop.is_set():  # first: the capture thread may fill the slot once more while it is closed
                    raise EndOfStream(f"{self._uri} was closed")
                frame, self._slot = self._slot, None
                if frame is not None:
                    if time.monotonic_ns() - frame.timestamp_ns <= self._options.max_age_s * 1e9:
                        return frame
                    self._dropped += 1
                if self._end is not None:
                    raise self._end
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    trouble = f" ({self._trouble})" if self._trouble else ""
                    raise FrameTimeout(
                        f"{self._uri}: no frame within {timeout_s:g} s{trouble}; read again or wait longer"
                    )
                self._news.wait(left_s)

    def close(self) -> None:
        """See Source.close. A device that hangs inside its driver is left to its thread."""
        self._stop.set()
        with self._news:
            self._slot = None
            self._news.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=1.0)

    def _capture(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._take(self._next_shot())
                except (SourceAuthError, EndOfStream):
                    raise
                except SourceError as reason:
                    self._reconnect(reason)
        except EdgeDepthError as error:
            self._finish(error)
        except Exception as error:
            # Foreign code of any kind runs below (drivers, bindings); a reader must never wait for a dead thread.
            _log.exception("capture thread of %s failed", self._uri)
            self._finish(SourceLost(f"{self._uri}: capture failed unexpectedly: {type(error).__name__}: {error}"))
        finally:
            self._grabber.close()

    def _next_shot(self) -> Shot | None:
        silent_since_s = self._clock_s()
        while not self._stop.is_set():
            try:
                return self._grabber.grab(SLICE_S)
            except FrameInvalid as error:
                self._drop(str(error))
            except FrameTimeout:
                pass
            silent_s = self._clock_s() - silent_since_s
            if silent_s >= self._options.stall_s:
                raise SourceLost(f"silent for {silent_s:.1f} s")
        return None

    def _take(self, shot: Shot | None) -> None:
        if shot is None:
            return
        self._alive_s, self._attempts = self._clock_s(), 0
        lag_s = 0.0
        if shot.stream_s is not None:
            lag_s = self._lag.lag_s(shot.stream_s, shot.timestamp_ns / 1e9)
        if lag_s > self._options.max_age_s:
            self._drop(f"frames come {lag_s:.1f} s late: the network or the decoder is slower than the stream")
            if self._clock_s() - self._good_s > self._options.stall_s:
                raise SourceLost(self._trouble)
            return
        if not has_content(shot.image):
            self._drop("the camera gives only black or uniform frames")
            return
        shot.timestamp_ns = max(shot.timestamp_ns - int(lag_s * 1e9), self._last_ns + 1)
        self._last_ns = shot.timestamp_ns
        frame = self._frame(shot, self._sequence)
        self._sequence += 1
        self._good_s, self._trouble = self._alive_s, ""
        with self._news:
            self._dropped += self._slot is not None
            self._slot = frame
            self._news.notify_all()

    def _drop(self, why: str) -> None:
        self._trouble = why
        self._sequence += 1
        with self._news:
            self._dropped += 1

    def _reconnect(self, reason: SourceError) -> None:
        self._grabber.close()
        if not self._attempts:
            _log.warning("lost and reconnecting: %s", reason)
        while not self._stop.is_set():
            why = str(reason).removeprefix(f"{self._uri}: ")
            self._trouble = f"reconnecting, attempt {self._attempts + 1}: {why}"
            gone_s = self._clock_s() - self._alive_s
            if self._options.give_up_s is not None and gone_s >= self._options.give_up_s:
                raise SourceLost(
                    f"{self._uri}: lost, and not back after {self._attempts} attempts in {gone_s:.0f} s ({why}); "
                    "check the camera, its power and the network"
                )
            # Full doubling would overflow after a long night; jitter keeps many readers from returning at once.
            delay_s = min(self._options.backoff_s * 2 ** min(self._attempts, 16), self._options.backoff_cap_s)
            self._wait(self._stop, delay_s * random.uniform(0.8, 1.0))
            self._attempts += 1
            if self._stop.is_set():
                return
            try:
                self._grabber.open()
            except SourceAuthError:
                raise
            except SourceError as error:
                reason = error
            else:
                self._lag = LagMeter()
                self._reconnects += 1
                return

    def _finish(self, error: EdgeDepthError) -> None:
        with self._news:
            self._end = error
            self._news.notify_all()
