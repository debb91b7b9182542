"""Streams a clip through estimator and meter, and keeps what is needed to judge it afterwards."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from edgedepth.backends import Backend, BackendOptions, open_backend
from edgedepth.bundle import Model
from edgedepth.depth import FrameEstimator
from edgedepth.depth.preprocess import preprocess
from edgedepth.depth.resize import ResizePlan
from edgedepth.errors import InputError
from edgedepth.geometry.measurement import Measurement
from edgedepth.people.track import HeightTracker, TrackedHeight
from edgedepth.sources import Source
from edgedepth.sources.clip import Clip
from edgedepth.stream import Pipeline, Result, RunSummary, stop_on_signals
from edgedepth.stream.meter import Meter
from edgedepth.stream.sinks import Sink

__all__ = ["Played", "Seen", "Speed", "measure_speed", "play"]

_WARM_UP_RUNS = 10


@dataclass(frozen=True)
class Seen:
    """What is kept of every frame: its number in the clip, the age of its result, what was measured in it, and the
    people with their numbers."""

    frame: int
    age_ms: float
    measurement: Measurement
    people: tuple[TrackedHeight, ...]


@dataclass
class Played:
    """A clip that was streamed.

    Attributes:
        summary: of the run.
        seen: every frame that was published, in order.
        judged: the results of the frames that carry a truth; empty only when it was stopped before the first.
        stopped_by: the signal that ended it early, or None.
    """

    summary: RunSummary
    seen: list[Seen] = field(default_factory=list)
    judged: list[Result] = field(default_factory=list)
    stopped_by: signal.Signals | None = None


def play(
    clip: Clip, source: Source, estimator: FrameEstimator, meter: Meter, sinks: Sequence[Sink],
    workers: int | None = None,
) -> Played:  # fmt: skip
    """Run ``source``, which plays ``clip``, to its end or to Ctrl-C; closes the source and the sinks.

    ``workers`` as in Pipeline.

    Raises:
        InputError: of a live clip so much was dropped that no frame is left to judge.
        EdgeDepthError: what went wrong in source, network or sinks.
    """
    pipeline = Pipeline(source, estimator, meter=meter, tracker=HeightTracker(), sinks=sinks, workers=workers)
    played = Played(pipeline.summary)
    with stop_on_signals(pipeline.stop) as signals:
        for result in pipeline:
            assert result.measurement is not None  # a meter was given
            played.seen.append(Seen(result.frame.sequence, result.age_ms, result.measurement, result.people))
            if result.frame.sequence in clip.truth_frames:
                played.judged.append(result)  # its arrays are kept with it and not used again
    played.summary = pipeline.summary
    played.stopped_by = signals[0] if signals else None
    if not played.judged and not signals:
        raise InputError(
            f"of {clip.info.frames} frames played live this machine kept up with {len(played.seen)}, and the truth of "
            "none of them is known; --fast takes every frame, however long it takes"
        )
    return played


@dataclass(frozen=True)
class Speed:
    """How fast frames become depth, and how fast the network alone is, on as many cores at once; frames per second."""

    pipeline_fps: float
    network_fps: float

    @property
    def ratio(self) -> float:
        """What the way from a file to depth leaves of the network's own speed."""
        return self.pipeline_fps / self.network_fps


def measure_speed(source: Source, estimator: FrameEstimator, model: Model, options: BackendOptions,
                  backend: str | None) -> Speed:  # fmt: skip
    """Every frame of ``source`` through ``estimator`` to nowhere, then as many runs of the network alone.

    Args:
        source: a file, unread; closed.
        estimator: opened with ``options``.
        model: what it runs. backend: on which library, as ``open_backend``.
    """
    summary = Pipeline(source, estimator).run()
    spec = model.spec.input
    grey = np.full((spec.height, spec.width, 3), 128, np.uint8)
    tensor = preprocess(spec, ResizePlan.for_frame(spec, (spec.width, spec.height)))(grey)
    with ExitStack() as stack:
        opened = stack.enter_context(open_backend(model.onnx_path, options, name=backend))
        feeds = {spec.name or opened.inputs[0].name: tensor}
        replicas = [stack.enter_context(opened.replica()) for _ in range(summary.workers)]
        threads = stack.enter_context(ThreadPoolExecutor(len(replicas)))

        def took_s(runs: int) -> float:
            def work(replica: Backend) -> None:
                for _ in range(runs):
                    replica.run(feeds)

            start_s = time.perf_counter()
            list(threads.map(work, replicas))
            return time.perf_counter() - start_s

        took_s(_WARM_UP_RUNS)
        runs = -(-summary.frames // len(replicas))
        return Speed(summary.fps, runs * len(replicas) / took_s(runs))
