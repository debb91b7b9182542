"""Validation as the device sees it: the exported network's pre- and postprocessing, scored on the frame's grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from edgedepth.bundle.spec import InputSpec, OutputSpec
from edgedepth.data import Dataset, Sample
from edgedepth.depth.colormap import DepthColormap, pick_range
from edgedepth.depth.postprocess import postprocess
from edgedepth.depth.preprocess import preprocess
from edgedepth.depth.resize import ResizePlan
from edgedepth.errors import DataError, InputError
from edgedepth.evaluation.alignment import Alignment, align_depth
from edgedepth.evaluation.metrics import depth_scores
from edgedepth.evaluation.ordinal import ordinal_scores
from edgedepth.models.base import DepthNetwork
from edgedepth.output import atomic_output
from edgedepth.training.recipe import DataSource
from edgedepth.types import DepthKind, DepthMap

__all__ = ["ALIGNMENT_OF", "METRICS", "Totals", "score", "validate", "write_picture"]

METRICS = ("abs_rel", "rmse_m", "delta1", "whdr", "person_iou")
BATCH = 8
ALIGNMENT_OF: Mapping[DepthKind, Alignment] = {
    DepthKind.METRIC: "none",
    DepthKind.RELATIVE_DEPTH: "median",
    DepthKind.DISPARITY: "scale-shift-disparity",
}
"""What is taken away from a network's depth before it is scored, per frame; ordinal depth is scored by pairs alone."""


@dataclass
class Totals:
    """Sums over frames; those of several processes add up.

    Attributes:
        sums: of each frame's abs_rel, rmse_m, delta1. ``frames``: how many.
        pairs, wrong: ordinal pairs, and those ordered wrongly or not at all.
        both, either: pixels that are a person in truth and in prediction, and in one of the two at least.
        skipped: frames that could not be read or scored, one sentence each.
    """

    sums: tuple[float, float, float] = (0.0, 0.0, 0.0)
    frames: int = 0
    pairs: int = 0
    wrong: int = 0
    skipped: tuple[str, ...] = ()
    both: int = 0
    either: int = 0

    def __add__(self, other: Totals) -> Totals:
        a, b = self.sums, other.sums
        sums = (a[0] + b[0], a[1] + b[1], a[2] + b[2])
        return Totals(sums, self.frames + other.frames, self.pairs + other.pairs, self.wrong + other.wrong,
                      self.skipped + other.skipped, self.both + other.both, self.either + other.either)  # fmt: skip

    @property
    def means(self) -> dict[str, float]:
        """METRICS that could be had."""
        found = {}
        if self.frames:
            found = dict(zip(METRICS, (total / self.frames for total in self.sums), strict=False))
        found |= {"whdr": self.wrong / self.pairs} if self.pairs else {}
        return found | ({"person_iou": self.both / self.either} if self.either else {})


def score(means: Mapping[str, float]) -> float:
    """What decides which weights are the best: AbsRel, plus WHDR where there are pairs. Less is better.

    Raises:
        DataError: nothing of the validation data could be scored.
    """
    if not means:
        raise DataError("no frame of the validation data has depth within the recipe's range, or pairs; give others")
    return means.get("abs_rel", 0.0) + means.get("whdr", 0.0)


def validate(
    network: DepthNetwork,
    data: Sequence[tuple[Dataset, DataSource]],
    input_spec: InputSpec,
    output_spec: OutputSpec,
    *,
    strict: bool = False,
    rank: int = 0,
    processes: int = 1,
    pictures: tuple[Path, int] | None = None,
) -> Totals:
    """Score a network on data sets.

    Args:
        network: in evaluation mode, on its device.
        data: with what the recipe says of each.
        input_spec, output_spec: of the exported network, the input at the stage's size.
        strict: a frame that cannot be read is an error; else it is counted.
        rank, processes: which share of the frames is this process's.
        pictures: folder, and how many samples to draw there (by the first process).

    Raises:
        DataError: with ``strict``.
    """
    totals = Totals()
    drawn = 0
    for dataset, source in data:
        for batch in _batches(dataset, range(rank, len(dataset), processes), totals, strict=strict):
            found = _found(network, batch, input_spec, output_spec)
            for sample, depth in zip(batch, found, strict=True):
                metres = _in_metres(depth, sample, source)
                _add(totals, sample, depth, metres, source)
                if depth.person is not None and sample.person_ids is not None:
                    true, told = sample.person_ids > 0, depth.person >= 0.5
                    totals.both += int(np.count_nonzero(true & told))
                    totals.either += int(np.count_nonzero(true | told))
                if pictures is not None and rank == 0 and drawn < pictures[1]:
                    write_picture(pictures[0] / f"{drawn}-{_file_name(sample.id)}.png", sample, metres)
                    drawn += 1
    return totals


def _batches(dataset: Dataset, indices: Sequence[int], totals: Totals, *, strict: bool) -> Iterator[list[Sample]]:
    batch: list[Sample] = []
    for index in indices:
        try:
            batch.append(dataset[index])
        except DataError as error:
            if strict:
                raise
            totals.skipped += (str(error),)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _found(
    network: DepthNetwork, batch: list[Sample], input_spec: InputSpec, output_spec: OutputSpec
) -> Iterator[DepthMap]:
    """What the network gives, people included where it tells them, on each frame's grid."""
    device = next(network.parameters()).device
    plans = [ResizePlan.for_frame(input_spec, sample.size_wh) for sample in batch]
    feeds = np.concatenate(
        [preprocess(input_spec, plan)(sample.image) for plan, sample in zip(plans, batch, strict=True)]
    )
    with torch.inference_mode():
        given = network(torch.from_numpy(feeds).to(device))
    depths, *rest = (
        tensor.float().cpu().numpy() for tensor in (given if isinstance(given, tuple) else (given,))
    )  # fmt: skip
    height, width = depths.shape[-2:]
    for number, (plan, sample) in enumerate(zip(plans, batch, strict=True)):
        person = rest[0][number] if rest else None
        yield postprocess(output_spec, plan, (width, height))(depths[number], sample.intrinsics, person=person)


def _in_metres(depth: DepthMap, sample: Sample, source: DataSource) -> DepthMap:
    """Depth after ALIGNMENT_OF, or as it is where there is nothing to align it with."""
    if sample.depth_m is None or depth.kind is DepthKind.METRIC or depth.kind not in ALIGNMENT_OF:
        return depth
    try:
        aligned = align_depth(
            depth.values, sample.depth_m, ALIGNMENT_OF[depth.kind], kind=depth.kind,
            min_depth_m=source.min_depth_m, max_depth_m=source.max_depth_m,
        )  # fmt: skip
    except InputError:
        return depth
    return DepthMap(aligned.depth_m, DepthKind.METRIC, depth.intrinsics)


def _add(totals: Totals, sample: Sample, depth: DepthMap, metres: DepthMap, source: DataSource) -> None:
    if sample.depth_m is not None and depth.kind in ALIGNMENT_OF:
        try:
            scores = depth_scores(
                metres.values, sample.depth_m, min_depth_m=source.min_depth_m, max_depth_m=source.max_depth_m
            )
        except InputError as error:  # nothing of this frame is within the range
            totals.skipped += (f"validation sample {sample.id}: {error}",)
        else:
            found = asdict(scores)
            a, b, c = (total + found[name] for total, name in zip(totals.sums, METRICS, strict=False))
            totals.sums, totals.frames = (a, b, c), totals.frames + 1
    if sample.pairs is not None and len(sample.pairs):
        counted = ordinal_scores(depth, sample.pairs)
        totals.pairs += counted.pairs
        totals.wrong += counted.pairs - counted.right


def write_picture(path: Path, sample: Sample, depth: DepthMap) -> None:
    """A PNG of image, true depth, found depth and relative error (0 to 50 %), side by side. Raises OutputError.

    Pairs are drawn on the image: the farther point red, the nearer green.
    """
    image = sample.image[..., ::-1].copy()
    if sample.pairs is not None:
        for a, b, relation in zip(sample.pairs.first_xy, sample.pairs.second_xy, sample.pairs.relation, strict=True):
            for point, farther in ((a, relation > 0), (b, relation < 0)):
                color = (0, 0, 255) if farther else (0, 255, 0)
                cv2.circle(image, (round(point[0]), round(point[1])), 3, color, -1)
    panels = [image]
    truth = None if sample.depth_m is None else DepthMap(sample.depth_m, DepthKind.METRIC)
    ends = (truth and pick_range(truth)) or pick_range(depth) or (0.0, 10.0)
    colours = DepthColormap(*ends)
    if truth is not None:
        panels.append(colours(truth.values).copy())
    panels.append(colours(depth.values).copy())
    if truth is not None and depth.kind is DepthKind.METRIC:
        with np.errstate(invalid="ignore"):
            error = (np.abs(depth.values - truth.values) / truth.values).astype(np.float32)
        panels.append(DepthColormap(0.5, 0.0, "inferno")(error).copy())
    ok, content = cv2.imencode(".png", np.hstack(panels))
    assert ok
    with atomic_output(path, sync=False) as temporary:
        temporary.write_bytes(content.tobytes())


def _file_name(sample_id: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in sample_id)[-60:]
