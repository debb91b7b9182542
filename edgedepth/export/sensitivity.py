"""Finds the INT8 network that keeps the accuracy: which calibrator, and which blocks stay in float32.

Activations are looked at once; every trial after that is a new graph with the same ranges, run on the frames that were
held out. When no calibrator meets the budget, each block is quantised alone, with all the rest in float32: a run costs
the same as with all but that block quantised, and the damage seen is that block's own, not what is left of it under
everybody else's. Blocks are then left out, the most harmful first, until the budget holds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgedepth.bundle import ModelSpec
from edgedepth.calibration.int8_set import ImageSet, network_feeds
from edgedepth.errors import BudgetError
from edgedepth.export.blocks import blocks_of
from edgedepth.export.calibrators import CALIBRATORS, DEFAULT_PERCENTILE, Calibrator, collect_ranges
from edgedepth.export.frames import proof_frames
from edgedepth.export.int8_judge import Accuracy, Int8Budget, Judge
from edgedepth.export.quantize import insert_qdq, load_float_model, quantizable_nodes, save_model
from edgedepth.types import Frame

__all__ = ["BlockDamage", "Int8Result", "search_int8"]

MOST_IMAGES = 500
"""More images than this move no range that matters; they are taken evenly from a larger set."""

Progress = Callable[[str, float | None], None]


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
    ranges = {calibrator: seen.by(calibrator, percentile) for calibrator in calibrators}
    judge = Judge(spec, onnx_path, proof_frames(image_set).evaluated, budget)

    with tempfile.TemporaryDirectory(prefix="edgedepth-int8-") as folder:
        trial = Path(folder) / "trial.onnx"

        def judged(calibrator: Calibrator, exclude: Collection[str]) -> Accuracy:
            names = {name for block in exclude for name in blocks[block]}
            save_model(insert_qdq(model, ranges[calibrator], names), trial)
            return judge.accuracy(trial)

        by_calibrator: dict[Calibrator, Accuracy] = {}
        for index, calibrator in enumerate(calibrators):
            progress(f"trying the {calibrator} calibrator", index / len(calibrators))
            by_calibrator[calibrator] = judged(calibrator, ())
        # Neither here nor below by the change of AbsRel against the sensor: nearer here and farther there cancel in it.
        best = min(by_calibrator, key=lambda name: by_calibrator[name].deviation)
        excluded: tuple[str, ...] = ()
        int8 = by_calibrator[best]
        tried = [(excluded, int8)]
        damage: list[BlockDamage] = []
        if judge.faults(int8):
            for index, block in enumerate(blocks):
                progress(f"measuring the damage of {block}", index / len(blocks))
                alone = judged(best, [other for other in blocks if other != block])
                damage.append(BlockDamage(block, len(blocks[block]), alone))
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
    save_model(insert_qdq(model, ranges[best], out), out_path)
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
