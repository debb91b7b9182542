"""What is taken away from a prediction before it is scored: nothing, its scale, or its scale and shift.

A number without its alignment means nothing: a median-aligned AbsRel is no metric AbsRel, and both are in use. Every
report states which it is, and each frame's record the scale and shift that were used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError, NotMetricError
from edgedepth.evaluation.metrics import scored_pixels
from edgedepth.types import DepthKind

__all__ = ["ALIGNMENTS", "Aligned", "Alignment", "align_depth", "check_alignment"]

Alignment = Literal["none", "median", "scale-shift-depth", "scale-shift-disparity"]
"""All per frame, over the pixels that are scored:

none: the numbers as they come; metric networks only.
median: depth times median(truth) / median(found) (Zhou et al., CVPR 2017): the scale goes, the shape stays.
scale-shift-depth: s and t of the least squares s p + t = g in depth (Marigold, UniDepth's ssi); the fit is clipped to
min_depth_m .. max_depth_m, as in Marigold.
scale-shift-disparity: s and t of the least squares s x + t = 1 / g in inverse depth (MiDaS, Ranftl et al. 2020), x
being the disparity found or 1 / p; the fit is cut off at 1 / max_depth_m, as in MiDaS, and turned into depth.

The last two are ordinary least squares, as published: no weights, no outliers left out, and a scale that comes out
negative is kept and scored for what it is.
"""

ALIGNMENTS: dict[Alignment, tuple[DepthKind, ...]] = {
    "none": (DepthKind.METRIC,),
    "median": (DepthKind.METRIC, DepthKind.RELATIVE_DEPTH),
    "scale-shift-depth": (DepthKind.METRIC, DepthKind.RELATIVE_DEPTH),
    "scale-shift-disparity": (DepthKind.METRIC, DepthKind.RELATIVE_DEPTH, DepthKind.DISPARITY),
}
"""The kinds of depth map each makes metres of."""


@dataclass(frozen=True, eq=False)
class Aligned:
    """Depth in metres after the alignment, and what was done to get it.

    Attributes:
        depth_m: float32, the shape of what was found; NaN where nothing was found, and as it came for alignment none.
        scale, shift: depth = scale p (median), scale p + shift (scale-shift-depth), or 1 / (scale x + shift)
            (scale-shift-disparity), before the clipping. None for alignment none, and where there is no shift.
    """

    depth_m: NDArray[np.float32]
    scale: float | None = None
    shift: float | None = None


def check_alignment(kind: DepthKind, align: str) -> None:
    """Raises InputError for an unknown alignment, NotMetricError for one that makes no metres of ``kind``."""
    if align not in ALIGNMENTS:
        raise InputError(f"align is {', '.join(get_args(Alignment))}, found {align!r}")
    usable = ALIGNMENTS[align]
    if kind not in usable:
        fitting = [name for name, kinds in ALIGNMENTS.items() if kind in kinds]
        remedy = f"use {' or '.join(fitting)}" if fitting else "it can only be compared with ordinal pairs"
        raise NotMetricError(
            f"a {kind.value} map cannot be compared with metres ({align} alignment takes "
            f"{' and '.join(one.value for one in usable)}); {remedy}"
        )


def align_depth(
    found: NDArray[Any],
    truth: NDArray[Any],
    align: Alignment,
    *,
    kind: DepthKind = DepthKind.METRIC,
    min_depth_m: float = 1e-3,
    max_depth_m: float = 10.0,
    where: NDArray[np.bool_] | None = None,
) -> Aligned:
    """Metres of ``found``.

    Args:
        found: what a network gave, of ``kind``; NaN, infinity and depth that is not positive = nothing.
        truth: metres along Z, same shape.
        align: see Alignment.
        kind: what the numbers of ``found`` mean.
        min_depth_m, max_depth_m, where: the pixels that are scored, on which the alignment is fitted; see
            ``scored_pixels``. Disparities may be of any sign.

    Raises:
        InputError: no pixel to fit on.
        NotMetricError: ``align`` makes no metres of this kind.
    """
    check_alignment(kind, align)
    if align == "none":
        return Aligned(np.asarray(found, dtype=np.float32))
    values = np.array(found, dtype=np.float64)
    given = np.isfinite(values)
    if kind is not DepthKind.DISPARITY:
        given &= values > 0
    values[~given] = np.nan
    used, pixels = scored_pixels(
        np.where(given, 1.0, np.nan),
        truth,
        min_depth_m=min_depth_m,
        max_depth_m=max_depth_m,
        where=where,
    )
    if not used.any():
        raise InputError(
            f"nothing to align: {pixels} of {truth.size} pixels have a true depth within "
            f"{min_depth_m:g}-{max_depth_m:g} m, and none of them a depth that was found"
        )
    p, g = values[used], np.asarray(truth, dtype=np.float64)[used]
    if align == "median":
        scale = float(np.median(g) / np.median(p))
        return Aligned((values * scale).astype(np.float32), scale)
    if align == "scale-shift-depth":
        scale, shift = _least_squares(p, g)
        fitted = np.clip(values * scale + shift, min_depth_m, max_depth_m)  # NaN stays NaN
        return Aligned(fitted.astype(np.float32), scale, shift)
    x = values if kind is DepthKind.DISPARITY else 1 / values
    scale, shift = _least_squares(x[used], 1 / g)
    disparity = np.maximum(x * scale + shift, 1 / max_depth_m)  # NaN stays NaN
    return Aligned((1 / disparity).astype(np.float32), scale, shift)


def _least_squares(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """scale and shift of y = scale x + shift; (0, mean of y) where all x are equal."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    if spread <= 1e-24 * float(x @ x):
        return 0.0, float(y.mean())
    scale = float(centred @ (y - y.mean())) / spread
    return scale, float(y.mean() - scale * x.mean())
