"""The pipeline with fakes: order, drops, every way to end. Each test also checks that no thread is left."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from itertools import count

import cv2
import numpy as np
import pytest

from edgedepth.depth.base import FrameEstimator
from edgedepth.errors import (
    BackendError,
    EdgeDepthError,
    FrameInvalid,
    FrameTimeout,
    InputError,
    OutputError,
    SinkError,
    SourceLost,
)
from edgedepth.geometry.measurement import Measurement
from edgedepth.people.track import HeightTracker, TrackedHeight
from edgedepth.sources.fake import FakeSource
from edgedepth.stream import Pipeline, Result, stop_on_signals, stream_options
from edgedepth.types import DepthKind, DepthMap, Frame

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    opencv_threads = cv2.getNumThreads()
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("edgedepth")] == []
    assert cv2.getNumThreads() == opencv_threads
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def image(value: int) -> np.ndarray:
    return np.full((6, 8, 3), value, np.uint8)


class Estimator:
    """Depth = the frame's first pixel, everywhere. Shared by replicas: what is open, at once, and where to fail."""

    kind = DepthKind.METRIC
    name = "first pixel"

    def __init__(self, *, delay_s: float = 0.0, jitter_s: float = 0.0, fail_at: int | None = None) -> None:
        self.delay_s, self.jitter_s, self.fail_at = delay_s, jitter_s, fail_at
        self.shared: dict[str, int] = {"open": 0, "running": 0, "most_running": 0, "warm": 0}
        self.lock = threading.Lock()
        self.last_stage_ns: dict[str, int] = {}
        self.closed = True
        self.warm_up_error: Exception | None = None

    def grid_wh(self, frame_wh: tuple[int, int]) -> tuple[int, int]:
        return frame_wh

    def estimate(self, frame: Frame, out: np.ndarray | None = None) -> DepthMap:
        assert not self.closed
        with self.lock:
            self.shared["running"] += 1
            self.shared["most_running"] = max(self.shared["running"], self.shared["most_running"])
        try:
            time.sleep(self.delay_s + random.random() * self.jitter_s)
            if frame.sequence == self.fail_at:
                raise BackendError(f"no depth for frame {frame.sequence}")
            out = np.empty(frame.image.shape[:2], np.float32) if out is None else out
            out.fill(frame.image[0, 0, 0])
        finally:
            with self.lock:
                self.shared["running"] -= 1
        self.last_stage_ns = {"preprocess": 1, "infer": 2, "postprocess": 3}
        return DepthMap(out, DepthKind.METRIC)

    def replica(self) -> Estimator:
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, closed=False)
        self.shared["open"] += 1
        return copy

    def warm_up(self) -> None:
        with self.lock:
            self.shared["warm"] += 1
        if self.warm_up_error:
            raise self.warm_up_error

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with self.lock:
                self.shared["open"] -= 1

    def __enter__(self) -> Estimator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Sink:
    def __init__(self, *, fail_at: int | None = None, error: BaseException | None = None, delay_s: float = 0) -> None:
        self.fail_at, self.error, self.delay_s = fail_at, error or SinkError("sink failed"), delay_s
        self.close_error: Exception | None = None
        self.sequences: list[int] = []
        self.closes = 0

    def write(self, result: Result) -> None:
        assert not self.closes
        time.sleep(self.delay_s)
        if len(self.sequences) == self.fail_at:
            raise self.error
        self.sequences.append(result.frame.sequence)

    def close(self) -> None:
        self.closes += 1
        if self.close_error:
            raise self.close_error


class BlockedSource(FakeSource):
    """Gives its script and then nothing: a read ends only when the source is closed."""

    def __init__(self, script, **options) -> None:
        super().__init__(script, **options)
        self.event = threading.Event()

    def read(self, timeout_s: float) -> Frame:
        try:
            return super().read(timeout_s)
        except EdgeDepthError:
            self.event.wait()
            raise

    def close(self) -> None:
        super().close()
        self.event.set()


class EndlessSource(FakeSource):
    """A camera: a frame every ``period_s``, for ever."""

    def __init__(self, period_s: float) -> None:
        def frames() -> Iterator[np.ndarray]:
            for n in count():
                time.sleep(period_s)
                yield image(n % 256)

        super().__init__(frames(), is_live=True)


def test_the_fake_is_an_estimator() -> None:
    assert isinstance(Estimator(), FrameEstimator)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_file_gives_every_frame_once_in_order(workers: int) -> None:
    source, estimator, sinks = FakeSource(map(image, range(60))), Estimator(jitter_s=2e-3), [Sink(), Sink()]
    pipeline = Pipeline(source, estimator, sinks=sinks, workers=workers)
    summary = pipeline.run()
    for sink in sinks:
        assert sink.sequences == list(range(60))
        assert sink.closes == 1
    assert source.closed
    assert estimator.shared["open"] == 0
    assert estimator.shared["warm"] == workers
    assert estimator.shared["most_running"] <= workers
    assert (summary.frames, summary.dropped, summary.invalid, summary.workers) == (60, 0, 0, workers)
    assert (summary.errors, summary.stopped) == ((), False)


def test_several_frames_are_estimated_at_once() -> None:
    estimator = Estimator(delay_s=0.02)
    Pipeline(FakeSource(map(image, range(12))), estimator, workers=3).run()
    assert estimator.shared["most_running"] == 3


def test_kept_results_are_never_overwritten() -> None:
    kept = [result.depth.values[1:, 1:] for result in Pipeline(FakeSource(map(image, range(200))), Estimator())]
    assert [float(values.min()) for values in kept] == list(range(200))
    assert [float(values.max()) for values in kept] == list(range(200))


def test_results_that_are_let_go_share_a_few_arrays() -> None:
    places = set()
    for result in Pipeline(FakeSource(map(image, range(100))), Estimator(), workers=2):
        places.add(result.depth.values.__array_interface__["data"][0])
    assert len(places) < 20


def test_stages_and_age_of_a_result() -> None:
    class Meter:
        closed = 0

        def measure(self, frame: Frame, depth: DepthMap) -> Measurement:
            time.sleep(0.002)
            return Measurement(None, floor_refused=f"frame {frame.sequence}: {depth.values[0, 0]:g}")

        def replica(self) -> Meter:
            return self

        def close(self) -> None:
            Meter.closed += 1

    pipeline = Pipeline(FakeSource(map(image, range(5))), Estimator(delay_s=0.005), meter=Meter(), workers=2)
    for n, result in enumerate(pipeline):
        assert list(result.stage_ns) == [
            "capture", "wait", "preprocess", "infer", "postprocess", "measure", "publish_wait",
        ]  # fmt: skip
        assert result.stage_ns["measure"] >= 2e6
        assert result.stage_ns["infer"] == 2
        assert all(value >= 0 for value in result.stage_ns.values())
        assert result.measurement.floor_refused == f"frame {n}: {n}"
        assert result.age_ms >= 7
    summary = pipeline.summary
    assert Meter.closed == 2
    assert list(summary.stages_ms) == [*result.stage_ns, "publish"]
    assert summary.stages_ms["measure"].count == 5
    assert summary.age_ms.p99_ms >= summary.age_ms.p50_ms >= 7
    assert summary.fps == pytest.approx(5 / summary.wall_s)


class LagEstimator(Estimator):
    """Notes how many newer frames there were when it was given one."""

    def __init__(self, source: EndlessSource, **options: float) -> None:
        super().__init__(**options)
        self.source, self.lags = source, []

    def estimate(self, frame: Frame, out: np.ndarray | None = None) -> DepthMap:
        self.lags.append(self.source._sequence - 1 - frame.sequence)
        return super().estimate(frame, out)


def test_live_takes_the_newest_frame_and_counts_what_it_drops() -> None:
    source = EndlessSource(0.003)
    estimator, sink = LagEstimator(source, delay_s=0.03), Sink()
    pipeline = Pipeline(source, estimator, sinks=[sink], max_frames=8)
    dropped = [result.dropped for result in pipeline]
    assert pipeline.summary.workers == 1
    assert sink.sequences == sorted(set(sink.sequences))
    assert len(sink.sequences) == pipeline.summary.frames == 8
    assert dropped == sorted(dropped)
    assert dropped[-1] >= sink.sequences[-1] + 1 - 8 > 8
    assert sorted(estimator.lags)[len(estimator.lags) // 2] <= 1  # a queue would let it grow


def test_live_with_a_slow_sink_takes_the_newest_frame() -> None:
    source = EndlessSource(0.002)
    estimator = LagEstimator(source)
    pipeline = Pipeline(source, estimator, sinks=[Sink(delay_s=0.03)], max_frames=10)
    assert pipeline.run().dropped > 0
    assert sorted(estimator.lags)[len(estimator.lags) // 2] <= 1  # waiting with a frame in hand would make it 15


def test_dropped_includes_what_the_source_dropped() -> None:
    assert Pipeline(FakeSource([image(0)], dropped=7), Estimator()).run().dropped == 7


def test_max_frames_of_a_file_are_exact() -> None:
    read = []
    source = FakeSource(read.append(n) or image(n) for n in range(100))
    sink = Sink()
    summary = Pipeline(source, Estimator(jitter_s=1e-3), sinks=[sink], workers=3, max_frames=10).run()
    assert sink.sequences == list(range(10))
    assert (summary.frames, len(read), summary.stopped) == (10, 10, False)


def test_empty_source() -> None:
    sink = Sink()
    summary = Pipeline(FakeSource([]), Estimator(), sinks=[sink]).run()
    assert (summary.frames, summary.age_ms, summary.fps, sink.closes) == (0, None, 0.0, 1)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("workers", [1, 4])
def test_failing_sink_stops_everything(live: bool, workers: int) -> None:
    source = EndlessSource(0.001) if live else FakeSource(map(image, range(200)))
    estimator, sinks = Estimator(jitter_s=1e-3), [Sink(), Sink(fail_at=5, error=OutputError("disk full")), Sink()]
    pipeline = Pipeline(source, estimator, sinks=sinks, workers=workers)
    with pytest.raises(OutputError, match="disk full"):
        pipeline.run()
    assert [len(s.sequences) for s in sinks] == [6, 5, 5]
    assert [s.closes for s in sinks] == [1, 1, 1]
    assert source.closed
    assert estimator.shared["open"] == 0
    assert pipeline.summary.errors == ("OutputError: disk full",)
    assert pipeline.summary.frames == 5


def test_first_error_is_raised_and_later_ones_are_noted() -> None:
    sinks = [Sink(fail_at=0, error=SinkError("first")), Sink(), Sink()]
    sinks[1].close_error = OutputError("second")
    pipeline = Pipeline(FakeSource([image(0)]), Estimator(), sinks=sinks)
    with pytest.raises(SinkError, match="first"):
        pipeline.run()
    assert [s.closes for s in sinks] == [1, 1, 1]
    assert pipeline.summary.errors == ("SinkError: first", "OutputError: second")


@pytest.mark.parametrize("leave_early", [False, True])
def test_sink_that_fails_to_close_is_an_error(leave_early: bool) -> None:
    sinks = [Sink(), Sink()]
    sinks[0].close_error = OutputError("disk full at the end")
    results = iter(Pipeline(FakeSource(map(image, range(5))), Estimator(), sinks=sinks))
    if leave_early:
        next(results)
    with pytest.raises(OutputError, match="at the end"):
        results.close() if leave_early else list(results)
    assert [s.closes for s in sinks] == [1, 1]


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("fail_at", [0, 1, 17])
def test_what_is_published_before_a_failing_frame_does_not_depend_on_timing(workers: int, fail_at: int) -> None:
    estimator, sink = Estimator(jitter_s=3e-3, fail_at=fail_at), Sink()
    with pytest.raises(BackendError, match=f"frame {fail_at}"):
        Pipeline(FakeSource(map(image, range(50))), estimator, sinks=[sink], workers=workers).run()
    assert sink.sequences == list(range(fail_at))
    assert sink.closes == 1
    assert estimator.shared["open"] == 0


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("position", [0, 9])
def test_source_error_comes_after_the_frames_before_it(workers: int, position: int) -> None:
    script = [*map(image, range(position)), SourceLost("unplugged"), image(0)]
    estimator, sink = Estimator(jitter_s=1e-3), Sink()
    with pytest.raises(SourceLost, match="unplugged"):
        Pipeline(FakeSource(script), estimator, sinks=[sink], workers=workers).run()
    assert sink.sequences == list(range(position))
    assert sink.closes == 1


def test_failure_while_starting_closes_everything() -> None:
    source, sink, estimator = FakeSource([image(0)]), Sink(), Estimator()
    estimator.warm_up_error = BackendError("out of memory")
    with pytest.raises(BackendError, match="out of memory"):
        Pipeline(source, estimator, sinks=[sink], workers=3).run()
    assert source.closed
    assert (sink.closes, estimator.shared["open"]) == (1, 0)


def test_failing_meter() -> None:
    class Meter:
        def measure(self, frame: Frame, depth: DepthMap) -> Measurement:
            raise ZeroDivisionError

        def replica(self) -> Meter:
            return self

        def close(self) -> None: ...

    with pytest.raises(ZeroDivisionError):
        Pipeline(FakeSource([image(0)]), Estimator(), meter=Meter()).run()


def test_a_tracker_that_fails_at_the_end_leaves_nothing_open() -> None:
    class Meter:
        def measure(self, frame: Frame, depth: DepthMap) -> Measurement:
            return Measurement(None)

        def replica(self) -> Meter:
            return self

        def close(self) -> None: ...

    class Tracker(HeightTracker):
        def people(self) -> tuple[TrackedHeight, ...]:
            raise np.linalg.LinAlgError("singular")

    source, sink, estimator = FakeSource([image(0)]), Sink(), Estimator()
    with pytest.raises(np.linalg.LinAlgError):
        Pipeline(source, estimator, meter=Meter(), tracker=Tracker(), sinks=[sink]).run()
    assert source.closed
    assert (sink.closes, estimator.shared["open"]) == (1, 0)


def test_timeouts_are_waited_out() -> None:
    script = [FrameTimeout("later"), image(0), FrameTimeout("later"), FrameTimeout("later"), image(1)]
    sink = Sink()
    assert Pipeline(FakeSource(script, is_live=True), Estimator(), sinks=[sink]).run().frames >= 1
    assert sink.sequences[-1] == 1


def test_patience_has_an_end() -> None:
    def silent() -> Iterator[np.ndarray | EdgeDepthError]:
        yield image(0)
        while True:
            time.sleep(0.01)
            yield FrameTimeout("nothing within 0.01 s")

    with pytest.raises(SourceLost, match=r"fake://: no frame for 0\.05 s.*nothing within"):
        Pipeline(FakeSource(silent(), is_live=True), Estimator(), patience_s=0.05).run()


def test_invalid_frames_are_skipped_and_counted_or_fatal() -> None:
    def script() -> list:
        return [image(0), FrameInvalid("frame 1 is torn"), image(2), FrameInvalid("frame 3 is torn")]

    sink = Sink()
    summary = Pipeline(FakeSource(script()), Estimator(), sinks=[sink], workers=2, max_frames=2).run()
    assert (summary.frames, summary.invalid) == (2, 1)
    with pytest.raises(FrameInvalid, match="frame 1"):
        Pipeline(FakeSource(script()), Estimator(), on_invalid="raise").run()


def test_leaving_the_loop_stops_everything() -> None:
    source, estimator, sink = FakeSource(map(image, range(250))), Estimator(), Sink()
    for result in Pipeline(source, estimator, sinks=[sink], workers=3):
        if result.frame.sequence == 4:
            break
    assert source.closed
    assert (sink.sequences, sink.closes, estimator.shared["open"]) == (list(range(5)), 1, 0)


@pytest.mark.parametrize("where", ["thread", "sink"])
@pytest.mark.parametrize("workers", [1, 3])
def test_stop_publishes_what_is_in_work_and_no_more(where: str, workers: int) -> None:
    class StoppingSink(Sink):
        def write(self, result: Result) -> None:
            super().write(result)
            if len(self.sequences) == 3:
                if where == "sink":
                    pipeline.stop()
                else:
                    thread = threading.Thread(target=pipeline.stop)
                    thread.start()
                    thread.join()

    sink = StoppingSink()
    pipeline = Pipeline(FakeSource(map(image, range(250))), Estimator(), sinks=[sink], workers=workers)
    summary = pipeline.run()
    assert summary.stopped
    assert sink.sequences == list(range(summary.frames))
    assert 3 <= summary.frames <= 3 + 2 * workers
    assert sink.closes == 1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("end", ["stop", "sink", "break"])
def test_a_read_that_blocks_is_ended_by_closing_the_source(workers: int, end: str) -> None:
    source = BlockedSource(map(image, range(3)), is_live=workers == 1)
    sink = Sink(fail_at=0 if end == "sink" else None)
    pipeline = Pipeline(source, Estimator(), sinks=[sink], workers=workers)
    if end == "stop":
        threading.Timer(0.2, pipeline.stop).start()
        assert pipeline.run().stopped
    elif end == "sink":
        with pytest.raises(SinkError):
            pipeline.run()
    else:
        for _ in pipeline:
            break
    assert sink.closes == 1


def test_stop_before_the_start() -> None:
    pipeline = Pipeline(FakeSource(map(image, range(5))), Estimator())
    pipeline.stop()
    assert pipeline.run().frames == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("blocked", [False, True])
def test_signals_end_the_run_cleanly(number: signal.Signals, blocked: bool) -> None:
    source = BlockedSource(map(image, range(3))) if blocked else EndlessSource(0.001)
    sink = Sink()
    pipeline = Pipeline(source, Estimator(), sinks=[sink])
    with stop_on_signals(pipeline.stop) as received:
        threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
        summary = pipeline.run()
    assert received == [number]
    assert summary.stopped
    assert summary.frames == len(sink.sequences) >= 3
    assert sink.closes == 1


def test_without_the_handler_ctrl_c_is_raised_after_everything_is_closed() -> None:
    sink, source = Sink(), BlockedSource(map(image, range(3)))
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        Pipeline(source, Estimator(), sinks=[sink]).run()
    assert (sink.sequences, sink.closes, source.closed) == ([0, 1, 2], 1, True)


def test_second_signal_is_not_swallowed() -> None:
    calls = []
    with stop_on_signals(lambda: calls.append(1)), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert calls == [1]
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


def test_handlers_are_installed_in_the_main_thread_only() -> None:
    seen = []

    def work() -> None:
        with stop_on_signals(lambda: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_runs_once() -> None:
    pipeline = Pipeline(FakeSource([image(0)]), Estimator())
    pipeline.run()
    with pytest.raises(InputError, match="runs once"):
        pipeline.run()


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"max_frames": 0}, {"read_timeout_s": 0}, {"patience_s": -1}, {"on_invalid": "ignore"}]
)
def test_options_that_mean_nothing(wrong: dict) -> None:
    with pytest.raises(InputError):
        Pipeline(FakeSource([]), Estimator(), **wrong)


def test_live_is_for_latency_and_files_for_throughput(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgedepth.stream.plan.usable_cpus", lambda: 6)
    live, file = FakeSource([], is_live=True), FakeSource([])
    assert (stream_options(live).mode, stream_options(live).replicas) == ("latency", 1)
    assert (stream_options(file).mode, stream_options(file).replicas) == ("throughput", 6)
    assert (stream_options(live, workers=2).mode, stream_options(live, workers=2).replicas) == ("throughput", 2)
    assert Pipeline(file, Estimator()).summary.workers == 6


def test_a_thread_that_does_not_stop_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgedepth.stream.pipeline.JOIN_TIMEOUT_S", 0.05)
    release = threading.Event()

    class Stuck(FakeSource):
        def read(self, timeout_s: float) -> Frame:
            if self._sequence == 1:
                release.wait()
            return super().read(timeout_s)

    sink = Sink()
    results = iter(Pipeline(Stuck(map(image, range(9))), Estimator(), sinks=[sink], workers=1))
    try:
        next(results)
        with pytest.raises(EdgeDepthError, match="capture did not stop"):
            results.close()
    finally:
        release.set()
        for thread in threading.enumerate():
            if thread.name.startswith("edgedepth"):
                thread.join(5)
    assert sink.closes == 1
