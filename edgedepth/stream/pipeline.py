"""The pipeline: capture, inference and publishing at the same time, results in frame order, one way out.

::

    capture thread ──> slot (live) or queue (file) ──> N workers ──> ordered outbox ──> the calling thread: sinks, user

Everything that goes wrong travels the same way as the frames: an error of the source ends the stream after the frames
before it, an error in a worker takes its frame's place in the order. So what was published before an error does not
depend on timing. The publishing side, in the thread that iterates, is the only one that stops the others.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from edgedepth.depth.base import FrameEstimator
from edgedepth.errors import EdgeDepthError, InputError
from edgedepth.geometry.measurement import Measurement
from edgedepth.people.track import HeightTracker, TrackedHeight
from edgedepth.pool import ArrayPool
from edgedepth.sources.base import Source
from edgedepth.stream.capture import Capture, Captured
from edgedepth.stream.mailbox import LatestSlot, Mailbox, OrderedOutbox, WaitingQueue
from edgedepth.stream.meter import Meter
from edgedepth.stream.plan import worker_count
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.base import Sink
from edgedepth.stream.timing import RunRecord, RunSummary
from edgedepth.types import DepthMap, Frame

__all__ = ["Pipeline"]

JOIN_TIMEOUT_S = 10.0


@dataclass(eq=False)
class _Done:
    frame: Frame
    depth: DepthMap
    measurement: Measurement | None
    stage_ns: dict[str, int]
    done_ns: int


class Pipeline:
    """Runs a source through an estimator into sinks. Use once: ``run()``, or iterate over the results.

    Live sources drop what cannot be kept up with (the newest frame wins, drops are counted); of files every frame is
    published, once and in order. Publishing happens in the thread that calls ``run`` or iterates.

    The pipeline closes the source and the sinks, and the replicas it makes; estimator and meter stay the caller's.
    While several workers run, OpenCV's own threads are off in the whole process: they would fight the workers.

    Args:
        source: opened. See Source.
        estimator: gives depth; workers use replicas of it. Open its backend with ``stream_options(source)``.
        meter: measures people, in the workers; None: no measuring.
        tracker: follows them and fuses their heights, in the order of publishing; needs a meter.
        sinks: get every result, in the order given.
        workers: frames estimated at once; None: 1 for live sources, one per core for files.
        max_frames: stop after so many results.
        read_timeout_s: how long one read of the source waits; a stop is noticed at least this often.
        patience_s: how long a source may give no frame (FrameTimeout, again and again) before SourceLost is raised;
            None leaves giving up to the source.
        on_invalid: what a frame of a file that cannot be decoded does: ``"skip"`` counts it, ``"raise"`` ends the run.
    """

    def __init__(
        self,
        source: Source,
        estimator: FrameEstimator,
        *,
        meter: Meter | None = None,
        tracker: HeightTracker | None = None,
        sinks: Sequence[Sink] = (),
        workers: int | None = None,
        max_frames: int | None = None,
        read_timeout_s: float = 1.0,
        patience_s: float | None = None,
        on_invalid: Literal["skip", "raise"] = "skip",
    ) -> None:
        if max_frames is not None and max_frames < 1:
            raise InputError(f"max_frames must be 1 or more, found {max_frames}")
        if not 0 < read_timeout_s < math.inf or (patience_s is not None and not patience_s >= 0):
            raise InputError(f"timeouts must be positive, found read {read_timeout_s} s and patience {patience_s} s")
        if tracker is not None and meter is None:
            raise InputError("a tracker follows what a meter measures; give both, or no tracker")
        if on_invalid not in ("skip", "raise"):
            raise InputError(f"on_invalid is skip or raise, found {on_invalid!r}")
        self._source, self._estimator, self._sinks = source, estimator, tuple(sinks)
        self._meter, self._tracker, self._max_frames = meter, tracker, max_frames
        self._people: tuple[TrackedHeight, ...] = ()
        self._workers = worker_count(source, workers)
        self._inbox: Mailbox[Captured]
        if source.is_live:
            self._inbox = LatestSlot()
            self._outbox = OrderedOutbox[_Done | BaseException](self._workers)
        else:
            # One ahead for every worker: none of them idles, and no frame waits until it has left the cache.
            self._inbox = WaitingQueue(self._workers)
            self._outbox = OrderedOutbox[_Done | BaseException](2 * self._workers)
        self._capture = Capture(
            source,
            self._inbox,
            limit=None if source.is_live else max_frames,
            read_timeout_s=read_timeout_s,
            patience_s=patience_s,
            skip_invalid=on_invalid == "skip",
        )
        self._pool = ArrayPool(keep=4 * self._workers + 4)
        self._lock, self._running_workers = threading.Lock(), self._workers
        self._used, self._record = False, RunRecord()

    def run(self) -> RunSummary:
        """Run to the end of the source, ``max_frames`` or ``stop``.

        Raises:
            EdgeDepthError: the first thing that went wrong in source, estimator, meter or sinks. Everything is closed,
                what was written is complete, ``summary`` tells how far it got. KeyboardInterrupt likewise.
        """
        for _ in self:
            pass
        return self.summary

    def stop(self) -> None:
        """Ask for a clean end: no more frames are taken, those being worked on are published. From any thread."""
        self._capture.stop()

    @property
    def summary(self) -> RunSummary:
        """What was done so far. From any thread."""
        return self._record.summary(
            source=self._source.uri,
            estimator=self._estimator.name,
            workers=self._workers,
            dropped=self._dropped,
            invalid=self._capture.invalid,
            stopped=self._capture.stopped,
            people=self._people,
        )

    @property
    def _dropped(self) -> int:
        return self._source.dropped + self._inbox.dropped

    def __iter__(self) -> Iterator[Result]:
        """The results, after the sinks have had them. Leaving the loop stops everything. See ``run`` for errors."""
        if self._used:
            raise InputError("a pipeline runs once; make a new one (and open the source again)")
        self._used = True
        return self._results()

    def _results(self) -> Iterator[Result]:
        replicas: list[FrameEstimator] = []
        meters: list[Meter] = []
        threads: list[threading.Thread] = []
        try:
            with _opencv_threads(1) if self._workers > 1 else nullcontext():
                for _ in range(self._workers):
                    replicas.append(self._estimator.replica())
                    if self._meter is not None:
                        meters.append(self._meter.replica())
                with ThreadPoolExecutor(self._workers) as executor:
                    list(executor.map(lambda estimator: estimator.warm_up(), replicas))
                threads.append(threading.Thread(target=self._capture.run, name="edgedepth capture", daemon=True))
                for index, replica in enumerate(replicas):
                    arguments = (replica, meters[index] if meters else None)
                    name = f"edgedepth worker {index}"
                    threads.append(threading.Thread(target=self._work, args=arguments, name=name, daemon=True))
                self._record.start()
                for thread in threads:
                    thread.start()
                yield from self._publish()
        except GeneratorExit:  # the loop was left early: nothing went wrong so far
            if failure := self._shut_down(threads, [*replicas, *meters]):
                raise failure from None
            raise
        except BaseException as error:
            self._record.failed(error)
            self._shut_down(threads, [*replicas, *meters])
            raise
        if failure := self._shut_down(threads, [*replicas, *meters]):
            raise failure

    def _publish(self) -> Iterator[Result]:
        while (done := self._outbox.take()) is not None:
            if isinstance(done, BaseException):
                raise done
            now_ns = time.monotonic_ns()
            done.stage_ns["publish_wait"] = now_ns - done.done_ns
            people: tuple[TrackedHeight, ...] = ()
            if self._tracker is not None and done.measurement is not None:
                people = self._tracker.update(done.measurement, _moment_s(done.frame))
                now_ns, turn_ns = time.monotonic_ns(), now_ns
                done.stage_ns["track"] = now_ns - turn_ns
            result = Result(done.frame, done.depth, done.measurement, done.stage_ns, now_ns, self._dropped, people)
            del done
            for sink in self._sinks:
                sink.write(result)
            self._record.published(result)
            yield result
            del result  # before waiting for the next one, so that its arrays can be used again
            if self._max_frames is not None and self._record.frames >= self._max_frames:
                return
        if self._capture.error is not None and not self._capture.stopped:
            raise self._capture.error

    def _work(self, estimator: FrameEstimator, meter: Meter | None) -> None:
        """A worker thread: frame to depth to measurement, until the inbox is closed and empty."""
        try:
            while self._outbox.reserve() and (taken := self._inbox.take()) is not None:
                order, item = taken
                self._outbox.put(order, self._estimate(estimator, meter, item))
                del taken, item
        finally:
            with self._lock:
                self._running_workers -= 1
                last = self._running_workers == 0
            if last:
                self._outbox.close()

    def _estimate(self, estimator: FrameEstimator, meter: Meter | None, captured: Captured) -> _Done | BaseException:
        try:
            frame = captured.frame
            wait_ns = time.monotonic_ns() - captured.at_ns
            width, height = estimator.grid_wh(frame.size_wh)
            depth = estimator.estimate(frame, self._pool.take((height, width), np.float32))
            stage_ns = {"capture": captured.took_ns, "wait": wait_ns, **estimator.last_stage_ns}
            done_ns = time.monotonic_ns()
            measurement = None
            if meter is not None:
                start_ns = done_ns
                measurement = meter.measure(frame, depth)
                done_ns = time.monotonic_ns()
                stage_ns["measure"] = done_ns - start_ns
            return _Done(frame, depth, measurement, stage_ns, done_ns)
        except BaseException as error:  # takes the frame's place in the order; the publishing side raises it
            return error

    def _shut_down(
        self, threads: list[threading.Thread], replicas: list[FrameEstimator | Meter]
    ) -> BaseException | None:
        """Stop and join every thread, close everything once. Returns the first failure of that; notes all of them."""
        failures: list[BaseException] = []

        def attempt(close: Callable[[], object]) -> None:
            try:
                close()
            except BaseException as error:
                failures.append(error)
                self._record.failed(error)

        def note_people() -> None:
            if self._tracker is not None:
                self._people = self._tracker.people()

        self._inbox.close(discard=True)
        self._outbox.close()
        attempt(self._source.close)
        attempt(note_people)
        deadline_s = time.monotonic() + JOIN_TIMEOUT_S
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline_s - time.monotonic()))
        stuck = [thread.name for thread in threads if thread.is_alive()]
        if stuck:
            failures.append(EdgeDepthError(f"{', '.join(stuck)} did not stop within {JOIN_TIMEOUT_S:g} s; left behind"))
            self._record.failed(failures[-1])
        else:
            for replica in replicas:
                attempt(replica.close)
        for sink in self._sinks:
            attempt(sink.close)
        return failures[0] if failures else None


def _moment_s(frame: Frame) -> float:
    """When a frame was taken: on the clock of its file, else on the machine's."""
    return frame.timestamp_ns / 1e9 if frame.media_time_s is None else frame.media_time_s


@contextmanager
def _opencv_threads(count: int) -> Iterator[None]:
    """OpenCV's thread count for a while."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
