"""One sample after another through an estimator, each to its numbers: what every way of evaluating shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgedepth.data import Dataset, Sample
from edgedepth.depth import FrameEstimator
from edgedepth.errors import DataError, InputError, NotMetricError
from edgedepth.evaluation.alignment import Aligned, Alignment, align_depth, check_alignment
from edgedepth.evaluation.boundary import boundary_f1
from edgedepth.evaluation.metrics import depth_scores, scored_pixels
from edgedepth.evaluation.ordinal import ordinal_scores
from edgedepth.evaluation.people import person_scores, person_threshold
from edgedepth.evaluation.planarity import floor_mask, plane_fits
from edgedepth.evaluation.protocols import Protocol
from edgedepth.evaluation.ranges import RangeSums, range_sums
from edgedepth.evaluation.report import FrameRecord
from edgedepth.evaluation.temporal import temporal_alignment_error
from edgedepth.types import DepthKind, DepthMap, Frame, Pose

__all__ = ["Outcome", "Scored", "check_request", "frame_of", "score_depth", "score_range"]


@dataclass(frozen=True, eq=False)
class Scored:
    """A prediction brought into metres under a protocol, and what it was compared with.

    Attributes:
        aligned: the prediction after alignment and clipping.
        truth_m: float32 H x W, NaN = invalid.
        scored: bool H x W, the pixels that count.
        range_m: the limits of the true depth.
    """

    aligned: Aligned
    truth_m: NDArray[np.float32]
    scored: NDArray[np.bool_]
    range_m: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Outcome:
    """One sample: its record and what it adds to the ranges, or the reason why it has none. Can be pickled."""

    index: int
    id: str
    record: FrameRecord | None = None
    ranges: RangeSums | None = None
    skipped: str | None = None


def check_request(estimator: FrameEstimator, protocol: Protocol, alignment: Alignment) -> None:
    """Raises InputError or NotMetricError when this depth cannot be scored so; said before the first frame."""
    if protocol.truth == "depth":
        check_alignment(estimator.kind, alignment)
    elif alignment != "none":
        raise InputError(f"ordinal pairs are scored without an alignment, found {alignment}; leave out --align")


def score_range(
    estimator: FrameEstimator,
    dataset: Dataset,
    protocol: Protocol,
    alignment: Alignment,
    indices: range,
    *,
    strict: bool = False,
) -> Iterator[Outcome]:
    """The samples ``indices`` (consecutive) in order, one outcome each.

    The temporal error of a frame needs the one before it: where the range does not start at 0 that one is scored
    too, so that parts of a data set give the numbers of the whole.

    Args:
        strict: a sample that cannot be read or scored ends it, instead of being skipped with its reason.

    Raises:
        DataError, InputError, NotMetricError: with ``strict``.
        BackendError: the network failed.
    """
    before = _Previous()
    threshold = person_threshold(estimator)

    def outcome_of(index: int, sample: Sample) -> Outcome:
        found = estimator.estimate(frame_of(sample))
        outcome = _score(index, sample, found, f"{dataset.name}/{sample.id}", protocol, alignment, before)
        return _with_people(outcome, sample, found, threshold)

    if indices.start > 0:
        with suppress(DataError, InputError, NotMetricError):  # told where it is scored for its own sake
            first = dataset[indices.start - 1]
            if first.pose is not None and estimator.kind is DepthKind.METRIC:
                outcome_of(indices.start - 1, first)
    for index in indices:
        try:
            outcome = outcome_of(index, dataset[index])
        except (DataError, InputError, NotMetricError) as error:
            if strict:
                raise
            before.forget()
            outcome = Outcome(index, dataset.ids[index], skipped=" ".join(str(error).split()))
        yield outcome


def score_depth(
    found: DepthMap, truth_m: NDArray[np.float32], path: str, protocol: Protocol, alignment: Alignment
) -> Scored:
    """A depth map under a protocol.

    Args:
        found: on the truth's grid.
        truth_m: H x W, NaN = invalid.
        path: the data set's and the sample's id, which choose the range.

    Raises:
        InputError: sizes differ, the protocol's crop is of another size, or nothing can be scored or aligned.
    """
    if found.values.shape != truth_m.shape:
        raise InputError(
            f"the depth map is {found.size_wh[0]}x{found.size_wh[1]} and the truth {truth_m.shape[1]}x"
            f'{truth_m.shape[0]}; depth is compared on the frame\'s own pixels: open the estimator with grid="frame"'
        )
    low, high = protocol.range_m(path)
    where = protocol.mask(*truth_m.shape)
    aligned = align_depth(
        found.values, truth_m, alignment, kind=found.kind, min_depth_m=low, max_depth_m=high, where=where
    )
    if protocol.clips:
        found_m = aligned.depth_m  # what is no depth becomes none by clipping
        given = np.isfinite(found_m) & (found_m > 0)
        clipped = np.where(given, np.clip(found_m, low, high), np.float32(np.nan))
        aligned = Aligned(clipped, aligned.scale, aligned.shift)
    scored, _ = scored_pixels(aligned.depth_m, truth_m, min_depth_m=low, max_depth_m=high, where=where)
    return Scored(aligned, truth_m, scored, (low, high))


def frame_of(sample: Sample) -> Frame:
    """A sample as what an estimator takes."""
    return Frame(
        sample.image,
        sample.intrinsics,
        depth_m=sample.depth_m,
        up=sample.up,
        pose=sample.pose,
        source=sample.id,
    )


class _Previous:
    """The frame before, for the temporal error: metric depth with camera and pose, or nothing."""

    def __init__(self) -> None:
        self._depth: DepthMap | None = None
        self._pose: Pose | None = None
        self._group = ""

    def forget(self) -> None:
        self._depth = self._pose = None

    def keep(self, sample: Sample, depth: DepthMap) -> None:
        usable = depth.is_metric and depth.intrinsics is not None and sample.pose is not None
        self._depth, self._pose = (depth, sample.pose) if usable else (None, None)
        self._group = sample.group

    def error_to(self, sample: Sample, depth: DepthMap) -> float | None:
        """TAE, or None when the two do not follow one another in one recording."""
        if self._depth is None or self._pose is None or sample.pose is None or sample.group != self._group:
            return None
        if not depth.is_metric or depth.intrinsics is None:
            return None
        return temporal_alignment_error(self._depth, self._pose, depth, sample.pose)


def _score(
    index: int,
    sample: Sample,
    found: DepthMap,
    path: str,
    protocol: Protocol,
    alignment: Alignment,
    before: _Previous,
) -> Outcome:
    if protocol.truth == "pairs":
        return Outcome(index, sample.id, _pair_record(sample, found))
    if sample.depth_m is None:
        raise InputError(f"{sample.id} brings no depth to compare with; {protocol.name} needs it")
    scored = score_depth(found, sample.depth_m, path, protocol, alignment)
    low, high = scored.range_m
    depth_m, where = scored.aligned.depth_m, protocol.mask(*sample.depth_m.shape)
    scores = depth_scores(depth_m, sample.depth_m, min_depth_m=low, max_depth_m=high, where=where)
    metric = DepthMap(depth_m, DepthKind.METRIC, sample.intrinsics)
    floor_rms_m, floor_angle_deg = _floor(metric, sample)
    tae_percent = before.error_to(sample, found)
    before.keep(sample, found)
    in_range = np.where((sample.depth_m > low) & (sample.depth_m < high), sample.depth_m, np.nan)
    if where is not None:
        in_range[~where] = np.nan
    record = FrameRecord(
        id=sample.id,
        group=sample.group,
        absrel=scores.abs_rel,
        sqrel_m=scores.sq_rel_m,
        sqrel_kitti=scores.sq_rel_kitti,
        rmse_m=scores.rmse_m,
        rmse_log=scores.rmse_log,
        log10=scores.log10,
        silog=scores.silog,
        silog_half=scores.silog_half,
        mae_m=scores.mae_m,
        mse_m2=scores.mse_m2,
        delta1=scores.delta1,
        delta2=scores.delta2,
        delta3=scores.delta3,
        coverage=scores.coverage,
        boundary_f1=boundary_f1(depth_m, in_range),
        floor_rms_m=floor_rms_m,
        floor_angle_deg=floor_angle_deg,
        tae_percent=tae_percent,
        scale=scored.aligned.scale,
        shift=scored.aligned.shift,
    )
    return Outcome(index, sample.id, record, range_sums(depth_m, sample.depth_m, scored.scored, protocol.bins_m))


def _with_people(outcome: Outcome, sample: Sample, found: DepthMap, threshold: float) -> Outcome:
    """With the scores of the mask, where both the sample and the estimator say who is a person."""
    if outcome.record is None or found.person is None or sample.person_ids is None:
        return outcome
    overlap, wrong = person_scores(found.person, sample.person_ids > 0, threshold)
    record = outcome.record.model_copy(update={"person_iou": overlap, "person_false": wrong})
    return replace(outcome, record=record)


def _pair_record(sample: Sample, found: DepthMap) -> FrameRecord:
    if sample.pairs is None:
        raise InputError(f"{sample.id} brings no ordinal pairs to compare with")
    scores = ordinal_scores(found, sample.pairs)
    return FrameRecord(id=sample.id, group=sample.group, ordinal_accuracy=scores.accuracy, whdr=scores.whdr)


def _floor(found: DepthMap, sample: Sample) -> tuple[float | None, float | None]:
    """Flatness and tilt of the found depth on the pixels that are floor in the truth."""
    assert sample.depth_m is not None
    truth = floor_mask(DepthMap(sample.depth_m, DepthKind.METRIC, sample.intrinsics), sample.up)
    fit = plane_fits(found, truth[1][None])[0] if truth else None
    return (None, None) if truth is None or fit is None else (fit.rms_m, fit.angle_deg(truth[0].normal))
