"""Finds the INT8 network that keeps the accuracy: which calibrator, and which blocks stay in float32.

Activations are looked at once; every trial after that is a new graph with the same ranges, run on the frames that were
held out. When no calibrator meets the budget, each block is quantised alone, with all the rest in float32: a run costs
the same as with all but that block quantised, and the damage seen is that block's own, not what is left of it under
everybody else's. Blocks are then left out, the most harmful first, until the budget holds.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends import BackendOptions, open_backend
from edgedepth.bundle import ModelSpec
from edgedepth.calibration.int8_set import ImageSet, network_feeds
from edgedepth.depth import DepthEstimator
from edgedepth.errors import BudgetError, CalibrationSetError, InputError
from edgedepth.evaluation.frames import scored_range_m
from edgedepth.evaluation.metrics import DepthScores, depth_scores, mean_scores
from edgedepth.export.blocks import blocks_of
from edgedepth.export.calibrators import CALIBRATORS, DEFAULT_PERCENTILE, Calibrator, collect_ranges
from edgedepth.export.frames import proof_frames
from edgedepth.export.quantize import insert_qdq, load_float_model, quantizable_nodes, save_model
from edgedepth.types import DepthKind, Frame

__all__ = ["Accuracy", "BlockDamage", "Int8Budget", "Int8Result", "search_int8"]

MOST_IMAGES = 500
"""More images than this move no range that matters; they are taken evenly from a larger set."""
NEGLIGIBLE = 0.05
"""Values below this share of a frame's median are not compared: ratios of them mean nothing (the gate's rule)."""

Progress = Callable[[str, float | None], None]

_NOTHING = DepthScores(*((math.inf,) * 6), *((0.0,) * 4))  # type: ignore[call-arg]


@dataclass(frozen=True)
class Int8Budget:
    """What INT8 may cost on the held-out frames.

    Attributes:
        abs_rel: largest change of AbsRel against the sensor, relative to FP32's own, either way: an AbsRel that
            becomes better by chance is no smaller departure from the network.
        delta1: largest change of delta1, either way, and of the share of pixels without depth; 0.005 is half a point.
        deviation: where there is no sensor depth, the largest AbsRel of INT8 against FP32. An error of its own of this
            size adds 2 % to an AbsRel e when it is sqrt(1.02^2 - 1) e = 0.2 e: 0.03 for a network with 0.15.
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
    """

    abs_rel: float | None
    delta1: float | None
    deviation: float
    agreement: float
    coverage: float


@dataclass(frozen=True)
class BlockDamage:
    """What one block costs when it alone is INT8."""

    block: str
    nodes: int
    accuracy: Accuracy


@dataclass(frozen=True)
class Int8Result:
    """The INT8 network that was written.

    Attributes:
        path: where.
        calibrator: the one that was best with everything quantised.
        excluded: blocks that stay float32, the most harmful first; ``excluded_nodes`` their nodes.
        blocks: how many blocks there are.
        fp32, int8: accuracy of both.
        by_calibrator: accuracy of each calibrator with everything quantised.
        damage: every block's, the most harmful first; empty when nothing had to be left out.
        faults: what is beyond the budget, in words; empty unless it was told to keep the network all the same.
        calibration: set, digest, images and calibrator, for the bundle's report.
    """

    path: Path
    calibrator: Calibrator
    excluded: tuple[str, ...]
    excluded_nodes: tuple[str, ...]
    blocks: int
    fp32: Accuracy
    int8: Accuracy
    by_calibrator: dict[Calibrator, Accuracy]
    damage: tuple[BlockDamage, ...]
    faults: tuple[str, ...]
    calibration: dict[str, Any] = field(default_factory=dict)


def search_int8(
    onnx_path: Path,
    out_path: Path,
    spec: ModelSpec,
    image_set: ImageSet,
    *,
    keep: bool = False,
    budget: Int8Budget | None = None,
    calibrators: Sequence[Calibrator] = CALIBRATORS,
    percentile: float = DEFAULT_PERCENTILE,
    progress: Progress = lambda step, fraction: None,
) -> Int8Result:
    """Quantise a network within a budget of accuracy.

    Args:
        onnx_path: the float32 network, simplified.
        out_path: the INT8 network to write.
        spec: of the float32 network.
        image_set: calibrates and judges; one that ``check_image_set`` passed.
        keep: write the nearest when nothing meets the budget, instead of raising.
        budget: None is the default.
        calibrators: which to try.
        percentile: of the percentile calibrator.

    Raises:
        BudgetError: no exclusion short of everything meets the budget, and ``keep`` is not set.
        CalibrationSetError: the set holds no frame out, or a frame of it cannot be read.
        ExportError: see ``quantize_int8``.
        BackendError: onnxruntime cannot run a trial.
    """
    budget = budget or Int8Budget()
    model = load_float_model(onnx_path, spec.name)
    nodes = quantizable_nodes(model)
    blocks = blocks_of(model, nodes)
    images = min(MOST_IMAGES, len(image_set.calibration))
    feeds = network_feeds(spec.input, _evenly(image_set.calibration, images))
    seen = collect_ranges(model, sorted({node.input[0] for node in nodes}), feeds, images=images, progress=progress)
    judge = _Judge(spec, onnx_path, proof_frames(image_set).evaluated, budget)

    with tempfile.TemporaryDirectory(prefix="edgedepth-int8-") as folder:
        trial = Path(folder) / "trial.onnx"

        def judged(calibrator: Calibrator, exclude: Collection[str]) -> Accuracy:
            names = {name for block in exclude for name in blocks[block]}
            save_model(insert_qdq(model, seen.by(calibrator, percentile), names), trial)
            return judge.accuracy(trial)

        by_calibrator: dict[Calibrator, Accuracy] = {}
        for index, calibrator in enumerate(calibrators):
            progress(f"trying the {calibrator} calibrator", index / len(calibrators))
            by_calibrator[calibrator] = judged(calibrator, ())
        best = min(by_calibrator, key=lambda name: judge.excess(by_calibrator[name]))
        excluded: tuple[str, ...] = ()
        int8 = by_calibrator[best]
        tried = [(excluded, int8)]
        damage: list[BlockDamage] = []
        if judge.faults(int8):
            for index, block in enumerate(blocks):
                progress(f"measuring the damage of {block}", index / len(blocks))
                alone = judged(best, [other for other in blocks if other != block])
                damage.append(BlockDamage(block, len(blocks[block]), alone))
            # Not by the change of AbsRel against the sensor: nearer here and farther there cancel in it.
            damage.sort(key=lambda one: one.accuracy.deviation, reverse=True)
            for count in range(1, len(blocks)):
                progress(f"leaving out {damage[count - 1].block}", count / len(blocks))
                excluded = tuple(one.block for one in damage[:count])
                int8 = judged(best, excluded)
                tried.append((excluded, int8))
                if not judge.faults(int8):
                    break
    faults = judge.faults(int8)
    if faults and not keep:
        raise BudgetError(
            f"INT8 of {spec.name} misses its budget however many of its {len(blocks)} blocks stay float32: at best it "
            f"{'; '.join(judge.faults(min(tried, key=lambda one: judge.excess(one[1]))[1]))}; use --fp16, or calibrate "
            "with more images of what the camera sees"
        )
    if faults:
        excluded, int8 = min(tried, key=lambda one: judge.excess(one[1]))
    out = tuple(name for block in excluded for name in blocks[block])
    save_model(insert_qdq(model, seen.by(best, percentile), out), out_path)
    calibration = {
        "set": image_set.name,
        "sha256": image_set.sha256,
        "images": seen.images,
        "calibrator": best,
        **({"percentile": percentile} if best == "percentile" else {}),
        "fp32": asdict(judge.fp32),
        "int8": asdict(int8),
    }
    return Int8Result(
        path=out_path,
        calibrator=best,
        excluded=excluded,
        excluded_nodes=out,
        blocks=len(blocks),
        fp32=judge.fp32,
        int8=int8,
        by_calibrator=by_calibrator,
        damage=tuple(damage),
        faults=judge.faults(int8),
        calibration=calibration,
    )


def _evenly(frames: Sequence[Frame], count: int) -> Iterator[Frame]:
    for index in np.linspace(0, len(frames) - 1, count).round().astype(int) if count else ():
        yield frames[int(index)]


class _Judge:
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
        self._reference = self._depths(fp32_path)
        self.fp32 = self._scores(self._reference)
        if not math.isfinite(self.fp32.deviation + (self.fp32.abs_rel or 0.0)):
            low, high = scored_range_m(spec.output)
            raise CalibrationSetError(
                f"{spec.name} in FP32 cannot be scored on every held-out frame: one has no sensor depth within "
                f"{low:g}-{high:g} m, or the network finds none in it; leave such frames out"
            )

    def accuracy(self, onnx_path: Path) -> Accuracy:
        """Of a network with the same inputs and outputs."""
        return self._scores(self._depths(onnx_path))

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
        if found.abs_rel is None or found.delta1 is None or fp32.abs_rel is None or fp32.delta1 is None:
            yield (
                found.deviation / budget.deviation,
                f"differs from FP32 by {found.deviation:.2%} (allowed {budget.deviation:.2%})",
            )
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

    def _depths(self, onnx_path: Path) -> list[NDArray[np.float32]]:
        backend = open_backend(onnx_path, BackendOptions(), name="onnxruntime")
        with DepthEstimator(self._spec, backend, allow_untrained=True) as estimator:
            return [estimator.estimate(frame).values for frame in self._frames]

    def _scores(self, depths: Sequence[NDArray[np.float32]]) -> Accuracy:
        against_fp32 = mean_scores(map(_against, depths, self._reference))
        abs_rel = delta1 = None
        if self._truths:
            low, high = scored_range_m(self._spec.output)
            scores = mean_scores(
                _scored(depth, truth, low, high) for depth, truth in zip(depths, self._truths, strict=True)
            )
            abs_rel, delta1 = scores.abs_rel, scores.delta1
        return Accuracy(abs_rel, delta1, against_fp32.abs_rel, against_fp32.delta1, against_fp32.coverage)


def _against(found: NDArray[np.float32], reference: NDArray[np.float32]) -> DepthScores:
    known = reference[np.isfinite(reference)]
    least = NEGLIGIBLE * float(np.median(np.abs(known))) if known.size else 0.0
    return _scored(found, reference, least, math.inf)


def _scored(found: NDArray[np.float32], truth: NDArray[np.float32], low: float, high: float) -> DepthScores:
    try:
        return depth_scores(found, truth, min_depth_m=low, max_depth_m=high)
    except InputError:  # not one depth where there is a truth
        return _NOTHING
