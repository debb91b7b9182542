"""What INT8 costs on frames it was not calibrated on, and whether that is too much."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends import BackendOptions, open_backend
from edgedepth.bundle import ModelSpec
from edgedepth.depth import DepthEstimator
from edgedepth.depth.gate import NEGLIGIBLE
from edgedepth.errors import CalibrationSetError, InputError
from edgedepth.evaluation.frames import scored_range_m
from edgedepth.evaluation.metrics import DepthScores, depth_scores, mean_scores
from edgedepth.types import DepthKind, DepthMap, Frame

__all__ = ["Accuracy", "Int8Budget", "Judge"]

_NOTHING = DepthScores(
    abs_rel=math.inf,
    sq_rel_m=math.inf,
    rmse_m=math.inf,
    rmse_log=math.inf,
    log10=math.inf,
    silog=math.inf,
    delta1=0.0,
    delta2=0.0,
    delta3=0.0,
    coverage=0.0,
    mae_m=math.inf,
    mse_m2=math.inf,
    sq_rel_kitti=math.inf,
    silog_half=math.inf,
)


@dataclass(frozen=True)
class Int8Budget:
    """What INT8 may cost on the held-out frames.

    Attributes:
        abs_rel: largest change of AbsRel against the sensor, relative to FP32's own, either way: an AbsRel that
            becomes better by chance is no smaller departure from the network.
        delta1: largest change of delta1, either way, and of the share of pixels without depth; 0.005 is half a point.
        deviation: largest AbsRel of INT8 against FP32. An error of its own of this size adds 2 % to an AbsRel e when
            it is sqrt(1.02^2 - 1) e = 0.2 e: 0.03 for a network with 0.15. It is all there is without sensor depth;
            with it, it keeps a network from passing because what it gets wrong cancels on a handful of frames.
    """

    abs_rel: float = 0.02
    delta1: float = 0.005
    deviation: float = 0.03


@dataclass(frozen=True)
class Accuracy:
    """Means over the held-out frames.

    Attributes:
        abs_rel, delta1: against the sensor; None without.
        deviation: AbsRel against the FP32 network's own depth; infinite where INT8 gives none.
        agreement: delta1 against it.
        coverage: share of the pixels with a depth in FP32 that have one here.
        mask_iou: overlap (intersection over union) of the mask of people with FP32's own, pooled over the frames;
            None for networks that do not tell people, and where neither sees any. Reported; the budget is of depth.
    """

    abs_rel: float | None
    delta1: float | None
    deviation: float
    agreement: float
    coverage: float
    mask_iou: float | None = None


class Judge:
    """Runs networks on the held-out frames and says what they cost."""

    def __init__(self, spec: ModelSpec, fp32_path: Path, frames: Sequence[Frame], budget: Int8Budget) -> None:
        metric = spec.output.kind is DepthKind.METRIC and spec.provenance.trained
        if spec.output.focal and any(frame.intrinsics is None for frame in frames):
            # Its metres need the camera; its numbers can be compared without.
            spec = spec.model_copy(update={"output": spec.output.model_copy(update={"focal": None})})
            metric = False
        truths = [frame.depth_m for frame in frames if frame.depth_m is not None]
        self._truths = truths if metric and len(truths) == len(frames) else []
        self._spec, self._frames, self._budget = spec, tuple(frames), budget
        self._reference = self._maps(fp32_path)
        self.fp32 = self._scores(self._reference)
        if not math.isfinite(self.fp32.deviation + (self.fp32.abs_rel or 0.0)):
            low, high = scored_range_m(spec.output)
            raise CalibrationSetError(
                f"{spec.name} in FP32 cannot be scored on every held-out frame: one has no sensor depth within "
                f"{low:g}-{high:g} m, or the network finds none in it; leave such frames out"
            )

    def accuracy(self, onnx_path: Path) -> Accuracy:
        """Of a network with the same inputs and outputs."""
        return self._scores(self._maps(onnx_path))

    def faults(self, found: Accuracy) -> tuple[str, ...]:
        """What is beyond the budget, in words."""
        return tuple(words for excess, words in self._checks(found) if not excess <= 1)

    def excess(self, found: Accuracy) -> float:
        """The largest share of an allowance that is used; beyond 1 is too much."""
        return max(math.inf if math.isnan(excess) else excess for excess, _ in self._checks(found))

    def _checks(self, found: Accuracy) -> Iterator[tuple[float, str]]:
        """The share of each allowance that is used, and what that means."""
        budget, fp32 = self._budget, self.fp32
        lost = 1 - found.coverage
        yield lost / budget.delta1, f"gives no depth where FP32 does, {lost:.2%} of the pixels"
        yield (
            found.deviation / budget.deviation,
            f"differs from FP32 by {found.deviation:.2%} (allowed {budget.deviation:.2%})",
        )
        if found.abs_rel is None or found.delta1 is None or fp32.abs_rel is None or fp32.delta1 is None:
            return
        change, points = found.abs_rel / fp32.abs_rel - 1, 100 * (found.delta1 - fp32.delta1)
        yield (
            abs(change) / budget.abs_rel,
            f"changes AbsRel by {change:+.2%}, from {fp32.abs_rel:.4f} (allowed {budget.abs_rel:.2%})",
        )
        yield (
            abs(points) / (100 * budget.delta1),
            f"changes delta1 by {points:+.2f} points (allowed {100 * budget.delta1:.2f})",
        )

    def _maps(self, onnx_path: Path) -> list[DepthMap]:
        backend = open_backend(onnx_path, BackendOptions(), name="onnxruntime")
        with DepthEstimator(self._spec, backend, allow_untrained=True) as estimator:
            return [estimator.estimate(frame) for frame in self._frames]

    def _scores(self, maps: Sequence[DepthMap]) -> Accuracy:
        depths = [one.values for one in maps]
        against_fp32 = mean_scores(map(_against, depths, (one.values for one in self._reference)))
        abs_rel = delta1 = None
        if self._truths:
            low, high = scored_range_m(self._spec.output)
            scores = mean_scores(
                _scored(depth, truth, low, high) for depth, truth in zip(depths, self._truths, strict=True)
            )
            abs_rel, delta1 = scores.abs_rel, scores.delta1
        overlap = self._mask_iou(maps)
        return Accuracy(abs_rel, delta1, against_fp32.abs_rel, against_fp32.delta1, against_fp32.coverage, overlap)

    def _mask_iou(self, maps: Sequence[DepthMap]) -> float | None:
        if self._spec.person is None:
            return None
        both = either = 0
        for found, reference in zip(maps, self._reference, strict=True):
            assert found.person is not None
            assert reference.person is not None
            ours = found.person >= self._spec.person.threshold
            theirs = reference.person >= self._spec.person.threshold
            both += int(np.count_nonzero(ours & theirs))
            either += int(np.count_nonzero(ours | theirs))
        return both / either if either else None


def _against(found: NDArray[np.float32], reference: NDArray[np.float32]) -> DepthScores:
    known = reference[np.isfinite(reference)]
    least = NEGLIGIBLE * float(np.median(np.abs(known))) if known.size else 0.0
    return _scored(found, reference, least, math.inf)


def _scored(found: NDArray[np.float32], truth: NDArray[np.float32], low: float, high: float) -> DepthScores:
    try:
        return depth_scores(found, truth, min_depth_m=low, max_depth_m=high)
    except InputError:  # not one depth where there is a truth
        return _NOTHING
