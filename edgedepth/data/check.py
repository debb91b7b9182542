"""Goes through a whole data set: what is in it, and what is wrong with it and where."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgedepth.data.base import Dataset, DepthFacts, Sample, unit_problem
from edgedepth.data.splits import shared_groups
from edgedepth.errors import DataError

__all__ = ["DataReport", "DepthSummary", "Problem", "Trouble", "check_dataset", "check_splits"]

Trouble = Literal[
    "missing_partner", "unreadable", "wrong_unit", "no_valid_depth", "out_of_range", "blank_image", "duplicate_id",
    "same_image", "shared_group",
]  # fmt: skip
"""missing_partner: an image without depth, or the reverse. unreadable: a file is corrupt, of another type or size.
wrong_unit: the median depth cannot be. no_valid_depth: not one pixel. out_of_range: depth beyond what the format or
sensor gives. blank_image: all pixels are alike. same_image: the same pixels in two groups, which a split takes for two
scenes. shared_group: a group on both sides of a split."""

# Depth beyond the farthest by rounding is no fault.
_SLACK = 1.001
_BINS_PER_E = 500  # of the logarithm of depth: percentiles are right to 0.1 %
_LOG_MIN = math.log(1e-3)
_BINS = math.ceil((math.log(1e4) - _LOG_MIN) * _BINS_PER_E)
PERCENTILES = (1, 5, 50, 95, 99)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. ``where`` is a sample's id, or the data set; ``text`` says what and what to do."""

    trouble: Trouble
    where: str
    text: str


@dataclass(frozen=True)
class DepthSummary:
    """The valid depth of all frames together.

    Attributes:
        percentile_m: depth by percentile, right to 0.1 %.
        valid_share_mean, valid_share_min: of the pixels of a frame.
    """

    percentile_m: dict[str, float]
    valid_share_mean: float
    valid_share_min: float


@dataclass(frozen=True)
class DataReport:
    """What ``check_dataset`` found.

    Attributes:
        kind, name: of the data set.
        stored_depth: what its format stores; None for ordinal pairs.
        samples, groups: how many it lists.
        checked, readable: how many were decoded, and how many of these well.
        sizes: number of samples by ``widthxheight``.
        cameras: number of samples by camera, ``fx 525 fy 525 cx 319.5 cy 239.5``; ``none`` where unknown.
        posed: samples with a camera pose.
        pairs: ordinal pairs.
        depth: of the readable samples; None where there is none.
        problems: in the order they were met.
    """

    kind: str
    name: str
    stored_depth: str | None
    samples: int
    groups: int
    checked: int
    readable: int
    sizes: dict[str, int]
    cameras: dict[str, int]
    posed: int
    pairs: int
    depth: DepthSummary | None
    problems: tuple[Problem, ...]

    @property
    def is_sound(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems


@dataclass
class _Tally:
    readable: int = 0
    sizes: Counter[str] = field(default_factory=Counter)
    cameras: Counter[str] = field(default_factory=Counter)
    posed: int = 0
    pairs: int = 0
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    valid_shares: list[float] = field(default_factory=list)
    images: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, trouble: Trouble, where: str, text: str) -> None:
        self.problems.append(Problem(trouble, where, text))


def check_dataset(
    dataset: Dataset, progress: Callable[[str, float | None], None] | None = None, *, every: int = 1
) -> DataReport:
    """Decode every sample, or every n-th, and say what is wrong. Goes on after a problem.

    Args:
        dataset: opened with ``lenient=True``, so that missing partners are listed and not refused.
        progress: called with what is being done and the fraction of it that is done.
        every: 1 = all samples; 10 = a tenth of them, for a quick look.

    Raises:
        DataError: ``every`` is not positive.
    """
    if every < 1:
        raise DataError(f"every is 1 or more, found {every}")
    tally = _Tally()
    for text in dataset.left_out:
        tally.add("missing_partner", dataset.name, text)
    for identity, count in Counter(dataset.ids).items():
        if count > 1:
            tally.add("duplicate_id", identity, f"{count} samples have this id; ids must be unique")
    chosen = range(0, len(dataset), every)
    for done, index in enumerate(chosen):
        if progress is not None:
            progress(f"checking {dataset.name}", done / len(chosen))
        try:
            sample = dataset[index]
        except DataError as error:
            tally.add("unreadable", dataset.ids[index], str(error))
            continue
        _examine(sample, dataset.depth, tally)
    return DataReport(
        kind=dataset.kind,
        name=dataset.name,
        stored_depth=None if dataset.depth is None else dataset.depth.stored,
        samples=len(dataset),
        groups=len(set(dataset.groups)),
        checked=len(chosen),
        readable=tally.readable,
        sizes=dict(tally.sizes.most_common()),
        cameras=dict(tally.cameras.most_common()),
        posed=tally.posed,
        pairs=tally.pairs,
        depth=_summary(tally),
        problems=tuple(tally.problems),
    )


def check_splits(parts: Mapping[str, Dataset]) -> list[Problem]:
    """The groups that are in two of the parts, by name of the part. Frames of one scene on both sides leak."""
    problems = []
    for (first, one), (second, other) in itertools.combinations(parts.items(), 2):
        problems += [
            Problem("shared_group", group, f"the group is in {first} and in {second}: its frames leak; move it to one")
            for group in shared_groups(one, other)
        ]
    return problems


def _examine(sample: Sample, facts: DepthFacts | None, tally: _Tally) -> None:
    tally.readable += 1
    tally.sizes["{}x{}".format(*sample.size_wh)] += 1
    camera = sample.intrinsics
    lens = "" if camera is None or camera.distortion.is_identity else f" {camera.distortion.model.value}"
    tally.cameras[
        "none"
        if camera is None
        else f"fx {camera.fx:.6g} fy {camera.fy:.6g} cx {camera.cx:.6g} cy {camera.cy:.6g}{lens}"
    ] += 1
    tally.posed += sample.pose is not None
    tally.pairs += len(sample.pairs) if sample.pairs is not None else 0
    if (sample.image == sample.image[0, 0]).all():
        tally.add("blank_image", sample.id, f"all pixels are {sample.image[0, 0].tolist()}; leave the sample out")
    digest = hashlib.blake2b(sample.image.tobytes(), digest_size=16).digest()
    first_id, first_group = tally.images.setdefault(digest, (sample.id, sample.group))
    if first_group != sample.group:
        tally.add("same_image", sample.id, f"{first_id} of another group has the same pixels; remove one")
    if sample.depth_m is not None and facts is not None:
        _examine_depth(sample.id, sample.depth_m, facts, tally)


def _examine_depth(where: str, depth_m: NDArray[np.float32], facts: DepthFacts, tally: _Tally) -> None:
    valid_m = depth_m[np.isfinite(depth_m)]
    tally.valid_shares.append(valid_m.size / depth_m.size)
    if not valid_m.size:
        tally.add("no_valid_depth", where, "not one pixel has depth; leave the sample out")
        return
    bins = ((np.log(valid_m) - _LOG_MIN) * _BINS_PER_E).astype(np.int64)
    tally.histogram += np.bincount(np.clip(bins, 0, _BINS - 1), minlength=_BINS)
    unit = unit_problem(depth_m, facts)
    if unit is not None:
        tally.add("wrong_unit", where, unit)
    far = float(np.mean(valid_m > facts.max_m * _SLACK))
    if far and unit is None:
        tally.add(
            "out_of_range",
            where,
            f"{far:.2%} of the depth is beyond {facts.max_m:g} m, the farthest of {facts.stored}, up to "
            f"{float(valid_m.max()):.4g} m",
        )


def _summary(tally: _Tally) -> DepthSummary | None:
    total = int(tally.histogram.sum())
    if not total:
        return None
    below = np.cumsum(tally.histogram)
    return DepthSummary(
        {f"p{p}": _round(_depth_at(int(np.searchsorted(below, total * p / 100)))) for p in PERCENTILES},
        _round(sum(tally.valid_shares) / len(tally.valid_shares)),
        _round(min(tally.valid_shares)),
    )


def _depth_at(index: int) -> float:
    return math.exp(_LOG_MIN + (index + 0.5) / _BINS_PER_E)


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def tell_most(problems: Iterable[Problem], each: int) -> tuple[list[Problem], dict[str, int]]:
    """The first ``each`` problems of every trouble, and how many there are of each."""
    shown: list[Problem] = []
    counts: Counter[str] = Counter()
    for problem in problems:
        counts[problem.trouble] += 1
        if counts[problem.trouble] <= each:
            shown.append(problem)
    return shown, dict(counts.most_common())
