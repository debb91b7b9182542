"""How far a depth map is from the truth: the error measures of Eigen et al. (NeurIPS 2014) as the field reports them.

One frame's numbers are means over its pixels, and a set's are means over its frames (the convention of NYU Depth v2;
pooling all pixels of a set gives other numbers). Measures with one name and several meanings say which one they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError

__all__ = ["DELTA_BASE", "DepthScores", "depth_scores", "mean_scores", "scored_pixels"]

DELTA_BASE = 1.25


@dataclass(frozen=True)
class DepthScores:
    """Error of one depth map, or the means over several. p is the depth found, g the true one, both in metres.

    Attributes:
        abs_rel: mean |p - g| / g.
        sq_rel_m: mean (p - g)^2 / g, metres, as Eigen's and most code. (The KITTI devkit divides by g^2: sq_rel_kitti.)
        rmse_m: sqrt of the mean (p - g)^2, metres.
        rmse_log: sqrt of the mean (ln p - ln g)^2. (DIODE's devkit has it in base 10.)
        log10: mean |log10 p - log10 g|.
        silog: 100 sqrt(mean d^2 - (mean d)^2), d = ln p - ln g: the KITTI benchmark's scale-invariant error, all of the
            mean taken away. (The training loss of the same name takes away half, or 0.85 of it.)
        delta1, delta2, delta3: share of pixels with max(p / g, g / p) < 1.25, 1.25^2, 1.25^3.
        coverage: share of the pixels with a true depth for which one was found. The others enter no other number, so
            read them together.
        mae_m: mean |p - g|, metres.
        mse_m2: mean (p - g)^2, square metres.
        sq_rel_kitti: mean ((p - g) / g)^2, the KITTI devkit's squared relative error; no unit.
        silog_half: sqrt(mean d^2 - (mean d)^2 / 2): Eigen's scale-invariant error with lambda = 0.5, as the evaluation
            code of BTS and GLPDepth prints it under the name silog. Not times 100.
    """

    abs_rel: float
    sq_rel_m: float
    rmse_m: float
    rmse_log: float
    log10: float
    silog: float
    delta1: float
    delta2: float
    delta3: float
    coverage: float
    mae_m: float
    mse_m2: float
    sq_rel_kitti: float
    silog_half: float


def scored_pixels(
    found: NDArray[Any],
    truth: NDArray[Any],
    *,
    min_depth_m: float,
    max_depth_m: float,
    where: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], int]:
    """Which pixels are scored, and how many have a truth.

    A pixel has a truth where min_depth_m < truth < max_depth_m, both strict (0, NaN and infinity have none), and
    ``where`` is true. It is scored where the depth found is finite and positive too.
    """
    known = (truth > min_depth_m) & (truth < max_depth_m)  # NaN compares false
    if where is not None:
        known &= where
    return known & np.isfinite(found) & (found > 0), int(np.count_nonzero(known))


def depth_scores(
    found: NDArray[Any],
    truth: NDArray[Any],
    *,
    min_depth_m: float = 1e-3,
    max_depth_m: float = 10.0,
    where: NDArray[np.bool_] | None = None,
) -> DepthScores:
    """The error of ``found`` against ``truth``, two arrays of one shape in metres.

    A pixel has a truth where min_depth_m < truth < max_depth_m, both strict; 0, NaN and infinity have none. It is
    scored where the depth found is finite and positive too; how many are not is ``coverage``. Neither side is clipped.
    ``where`` is a crop or mask: pixels where it is false have no truth.

    Raises:
        InputError: shapes differ, the range is empty, or no pixel can be scored: such a frame has no error, and giving
            it a number would weigh in the mean.
    """
    if found.shape != truth.shape:
        raise InputError(
            f"depth is compared pixel by pixel: expected one shape, found {found.shape} against the truth's "
            f"{truth.shape}; bring them onto one grid first"
        )
    if not 0 <= min_depth_m < max_depth_m:
        raise InputError(f"the range of depths is 0 <= min < max metres, found {min_depth_m} to {max_depth_m}")
    given, pixels = scored_pixels(found, truth, min_depth_m=min_depth_m, max_depth_m=max_depth_m, where=where)
    scored = int(np.count_nonzero(given))
    if not scored:
        raise InputError(
            f"no pixel can be scored: {pixels} of {truth.size} have a true depth within {min_depth_m:g}-{max_depth_m:g}"
            " m, and none of them a positive depth that was found; leave the frame out, or widen the range"
        )
    p, g = found[given].astype(np.float64), truth[given].astype(np.float64)
    difference = p - g
    square = difference**2
    log_ratio = np.log(p) - np.log(g)
    mean_square, mean_square_log = float(np.mean(square)), float(np.mean(log_ratio**2))
    worst = np.maximum(p / g, g / p)
    return DepthScores(
        abs_rel=float(np.mean(np.abs(difference) / g)),
        sq_rel_m=float(np.mean(square / g)),
        rmse_m=math.sqrt(mean_square),
        rmse_log=math.sqrt(mean_square_log),
        log10=float(np.mean(np.abs(log_ratio)) / np.log(10)),
        # The variance, not the difference of two nearly equal squares.
        silog=100 * float(np.std(log_ratio)),
        delta1=float(np.mean(worst < DELTA_BASE)),
        delta2=float(np.mean(worst < DELTA_BASE**2)),
        delta3=float(np.mean(worst < DELTA_BASE**3)),
        coverage=scored / pixels,
        mae_m=float(np.mean(np.abs(difference))),
        mse_m2=mean_square,
        sq_rel_kitti=float(np.mean(square / g**2)),
        silog_half=math.sqrt(float(np.var(log_ratio)) + float(np.mean(log_ratio)) ** 2 / 2),
    )


def mean_scores(scores: Iterable[DepthScores]) -> DepthScores:
    """The mean of every number over frames.

    Raises:
        InputError: there is none.
    """
    rows = [astuple(score) for score in scores]
    if not rows:
        raise InputError("expected the scores of at least one frame, found none; give frames that bring sensor depth")
    means = np.mean(rows, axis=0)
    return DepthScores(**{field.name: float(value) for field, value in zip(fields(DepthScores), means, strict=True)})
