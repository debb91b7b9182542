"""Measures the precisions of one network side by side, on one host, in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from edgedepth.backends import Backend, BackendOptions, open_backend
from edgedepth.bundle import Golden, ModelSpec, PrecisionRow
from edgedepth.bundle.spec import Precision
from edgedepth.calibration.int8_set import network_feeds
from edgedepth.depth import DepthEstimator, GateReport, answers, measure_backend
from edgedepth.errors import ExportError
from edgedepth.evaluation.frames import score_estimator, scored_range_m
from edgedepth.export.frames import GOLDEN_FRAMES, ProofFrames
from edgedepth.types import DepthKind

__all__ = ["Measured", "measure_precisions"]

TIMED_S = 1.0
"""How long each precision is timed, RUNS to MOST_RUNS runs; they take turns, so that what disturbs one disturbs all."""
RUNS, MOST_RUNS = 10, 300
REFERENCE = "onnxruntime:cpu"


@dataclass(frozen=True)
class Measured:
    """What every precision costs.

    Attributes:
        rows: in the order they were made.
        gates: the gate's verdict on each, over all evaluated frames.
        backend: what ran them.
        golden: the FP32 answers a bundle keeps.
    """

    rows: tuple[PrecisionRow, ...]
    gates: Mapping[Precision, GateReport]
    backend: str
    golden: Golden


def measure_precisions(
    graphs: Mapping[Precision, tuple[ModelSpec, Path]],
    frames: ProofFrames,
    *,
    backend: str | None = None,
    progress: Callable[[str, float | None], None] = lambda step, fraction: None,
) -> Measured:
    """Run every graph on every evaluated frame. ``graphs`` holds ``"fp32"``, against which the others are measured.

    Its own answers are onnxruntime's on the CPU, whatever ``backend`` measures: a library that compiles the network
    wrongly must not write the reference it is held to, on this device and on all others.

    Raises:
        ExportError: the FP32 network gives something that is no number.
        BackendError, BackendUnavailable: as ``open_backend``.
    """
    with ExitStack() as stack:
        loaded = {
            precision: stack.enter_context(open_backend(path, BackendOptions(), name=backend))
            for precision, (_, path) in graphs.items()
        }
        fp32_spec = graphs["fp32"][0]
        inputs = np.stack(list(network_feeds(fp32_spec.input, frames.evaluated)))
        with _reference(loaded["fp32"], graphs["fp32"][1]) as trusted:
            reference = answers(fp32_spec, trusted, inputs)
        if wrong := int(np.count_nonzero(~np.isfinite(reference.outputs))):
            raise ExportError(
                f"{fp32_spec.name} itself gives NaN or infinite numbers in FP32, {wrong} over {len(inputs)} frames; "
                "check its weights, and the scale, mean and std of its input"
            )
        latencies = _latencies(fp32_spec, loaded, reference, progress)
        rows, gates = [], {}
        for index, (precision, opened) in enumerate(loaded.items()):
            progress(f"measuring {precision}", index / len(loaded))
            spec, path = graphs[precision]
            gates[precision] = measure_backend(spec, reference, opened)
            size_bytes = path.stat().st_size
            rows.append(_row(spec, opened, gates[precision], frames, size_bytes, latencies[precision]))
        people = None if reference.person is None else reference.person[:GOLDEN_FRAMES]
        golden = Golden(reference.inputs[:GOLDEN_FRAMES], reference.outputs[:GOLDEN_FRAMES], people)
        return Measured(tuple(rows), gates, loaded["fp32"].name, golden)


@contextmanager
def _reference(fp32: Backend, path: Path) -> Iterator[Backend]:
    if fp32.name == REFERENCE:
        yield fp32
        return
    with open_backend(path, name=REFERENCE) as backend:
        yield backend


def _latencies(
    spec: ModelSpec, loaded: Mapping[Precision, Backend], golden: Golden, progress: Callable[[str, float | None], None]
) -> dict[Precision, list[float]]:
    """Milliseconds of every timed run."""
    name = spec.input.name or next(iter(loaded.values())).inputs[0].name
    times: dict[Precision, list[float]] = {precision: [] for precision in loaded}
    for backend in loaded.values():
        backend.run({name: golden.inputs[0]})  # the first run of a library is not the rule
    start = perf_counter_ns()
    for run in range(MOST_RUNS):
        for precision, backend in loaded.items():
            began = perf_counter_ns()
            backend.run({name: golden.inputs[run % len(golden)]})
            times[precision].append((perf_counter_ns() - began) / 1e6)
        share = (perf_counter_ns() - start) / (1e9 * TIMED_S * len(loaded))
        if share >= 1 and run + 1 >= RUNS:
            break
        progress("timing", min(1.0, max(share, run / MOST_RUNS)))
    return times


def _row(
    spec: ModelSpec, backend: Backend, gate: GateReport, frames: ProofFrames, size_bytes: int, times_ms: list[float]
) -> PrecisionRow:
    scores = None
    metric = spec.output.kind is DepthKind.METRIC and spec.provenance.trained
    # A network of a canonical camera needs to know the camera it is given frames of.
    placed = spec.output.focal is None or all(frame.intrinsics is not None for frame in frames.evaluated)
    if frames.frame_set.truth != "fp32" and metric and placed:
        low, high = scored_range_m(spec.output)
        scores = score_estimator(DepthEstimator(spec, backend), frames.evaluated, min_depth_m=low, max_depth_m=high)
    return PrecisionRow(
        precision=spec.precision,
        abs_rel=scores.abs_rel if scores else None,
        delta1=scores.delta1 if scores else None,
        rmse_m=scores.rmse_m if scores else None,
        relative_error=_finite(gate.relative_error),
        max_relative_error=_finite(gate.max_relative_error),
        scale_ratio=_finite(gate.scale_ratio),
        scale_spread=_finite(gate.scale_spread),
        nan_inf=gate.invalid_pixels,
        person_error=gate.person_error,
        size_mb=round(size_bytes / 1e6, 3),
        latency_ms_p50=round(float(np.percentile(times_ms, 50)), 3),
        latency_ms_p95=round(float(np.percentile(times_ms, 95)), 3),
    )


def _finite(value: float) -> float | None:
    """None where nothing could be compared: every pixel was NaN or infinite."""
    return round(value, 8) if np.isfinite(value) else None
