"""How long things took: percentiles in bounded memory, and the summary of a run."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgedepth.people.track import TrackedHeight
from edgedepth.stream.result import STAGES, Result
from edgedepth.thinned import Thinned

__all__ = ["Percentiles", "RunRecord", "RunSummary", "Samples"]


@dataclass(frozen=True)
class Percentiles:
    """Of one duration, milliseconds. ``count`` is of all observations, also those no longer held."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    count: int

    def as_dict(self) -> dict[str, float]:
        """JSON-ready, rounded to a microsecond."""
        return {
            "p50": round(self.p50_ms, 3),
            "p95": round(self.p95_ms, 3),
            "p99": round(self.p99_ms, 3),
            "mean": round(self.mean_ms, 3),
        }


class Samples:
    """Durations of one kind, exact up to ``capacity`` of them: percentiles of longer runs are those of a sample."""

    def __init__(self, capacity: int = 1 << 16) -> None:
        self._kept_ns = Thinned(capacity, array("q"))
        self._total_ns = 0

    def add(self, value_ns: int) -> None:
        """Record one duration, nanoseconds."""
        self._kept_ns.add(value_ns)
        self._total_ns += value_ns

    def percentiles(self) -> Percentiles | None:
        """p50, p95, p99 (linear interpolation) and the mean; None when nothing was recorded. From any thread."""
        count = self._kept_ns.count
        if not count:
            return None
        # A copy: the array cannot grow while NumPy looks at it.
        p50, p95, p99 = np.percentile(np.asarray(self._kept_ns.items[:]), (50, 95, 99)) / 1e6
        return Percentiles(float(p50), float(p95), float(p99), self._total_ns / count / 1e6, count)


@dataclass(frozen=True)
class RunSummary:
    """What a run did.

    Attributes:
        source: URI of the source, without credentials.
        estimator: name of what gave the depth.
        workers: frames estimated at once.
        frames: results published.
        dropped: frames dropped by the source and by the latest-wins slot.
        invalid: frames of a file that could not be decoded and were skipped.
        wall_s: from the first read to the last result.
        stages_ms: by stage (stream.result.STAGES, and ``publish``: the sinks together).
        age_ms: capture to sinks; None when nothing was published.
        stopped: True when the run was asked to stop before its source ended.
        errors: what went wrong, in order, one line each; the first was raised.
        people: everyone who was followed, with their heights.
    """

    source: str
    estimator: str
    workers: int
    frames: int = 0
    dropped: int = 0
    invalid: int = 0
    wall_s: float = 0.0
    stages_ms: dict[str, Percentiles] = field(default_factory=dict)
    age_ms: Percentiles | None = None
    stopped: bool = False
    errors: tuple[str, ...] = ()
    people: tuple[TrackedHeight, ...] = ()

    @property
    def fps(self) -> float:
        """Results per second."""
        return self.frames / self.wall_s if self.wall_s > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "source": self.source,
            "estimator": self.estimator,
            "workers": self.workers,
            "frames": self.frames,
            "dropped": self.dropped,
            "invalid": self.invalid,
            "wall_s": round(self.wall_s, 4),
            "fps": round(self.fps, 2),
            "stages_ms": {name: value.as_dict() for name, value in self.stages_ms.items()},
            "age_ms": None if self.age_ms is None else self.age_ms.as_dict(),
            "stopped": self.stopped,
            "errors": list(self.errors),
            "people": [person.as_dict() for person in self.people],
        }


class RunRecord:
    """Collects what RunSummary says while the pipeline runs. One thread writes, any reads."""

    def __init__(self) -> None:
        self.frames = 0
        self.start_ns = self.last_ns = 0
        self.errors: list[str] = []
        self._samples = {name: Samples() for name in (*STAGES, "publish")}
        self._age = Samples()

    def start(self) -> None:
        """The clock starts."""
        self.start_ns = self.last_ns = time.monotonic_ns()

    def published(self, result: Result) -> None:
        """The sinks have had ``result``."""
        self.last_ns = time.monotonic_ns()
        self.frames += 1
        for name, value_ns in result.stage_ns.items():
            self._samples[name].add(value_ns)
        self._samples["publish"].add(self.last_ns - result.published_ns)
        self._age.add(result.published_ns - result.frame.timestamp_ns)

    def failed(self, error: BaseException) -> None:
        """Note ``error`` on one line."""
        text = " ".join(str(error).split())
        self.errors.append(f"{type(error).__name__}: {text}" if text else type(error).__name__)

    def summary(
        self,
        *,
        source: str,
        estimator: str,
        workers: int,
        dropped: int,
        invalid: int,
        stopped: bool,
        people: tuple[TrackedHeight, ...] = (),
    ) -> RunSummary:
        """What was done so far."""
        measured = {name: samples.percentiles() for name, samples in self._samples.items()}
        return RunSummary(
            source=source,
            estimator=estimator,
            workers=workers,
            frames=self.frames,
            dropped=dropped,
            invalid=invalid,
            wall_s=(self.last_ns - self.start_ns) / 1e9,
            stages_ms={name: value for name, value in measured.items() if value is not None},
            age_ms=self._age.percentiles(),
            stopped=stopped,
            errors=tuple(self.errors),
            people=people,
        )
