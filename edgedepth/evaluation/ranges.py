"""Error by true depth: a network that is right at two metres and wrong at eight has one mean and two answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.evaluation.metrics import DELTA_BASE

__all__ = ["RangeErrors", "RangeSums", "range_errors", "range_sums"]

RangeSums = NDArray[np.float64]
"""float64 bins x 5: pixels, and sums of |p - g| / g, (p - g) / g, (p - g)^2 and of delta1 over them."""


@dataclass(frozen=True)
class RangeErrors:
    """The error of the pixels whose true depth lies in from_m <= g < to_m, pooled over all frames.

    Attributes:
        from_m, to_m: the range.
        pixels: how many were scored.
        absrel, rmse_m, delta1: as ``DepthScores``; None where no pixel lies in the range.
        bias: mean (p - g) / g: negative is too near.
    """

    from_m: float
    to_m: float
    pixels: int
    absrel: float | None
    bias: float | None
    rmse_m: float | None
    delta1: float | None


def range_sums(
    found: NDArray[Any], truth: NDArray[Any], scored: NDArray[np.bool_], edges_m: Sequence[float]
) -> RangeSums:
    """What one frame adds to each range. ``scored``: see ``scored_pixels``."""
    p, g = found[scored].astype(np.float64), truth[scored].astype(np.float64)
    place = np.searchsorted(edges_m, g, side="right") - 1
    inside = (place >= 0) & (place < len(edges_m) - 1)
    p, g, place = p[inside], g[inside], place[inside]
    relative = (p - g) / g
    columns = [np.ones_like(g), np.abs(relative), relative, (p - g) ** 2, np.maximum(p / g, g / p) < DELTA_BASE]
    return np.stack([np.bincount(place, column, minlength=len(edges_m) - 1) for column in columns], axis=1)


def range_errors(sums: Iterable[RangeSums], edges_m: Sequence[float]) -> tuple[RangeErrors, ...]:
    """The errors of each range over frames."""
    total = np.sum([np.zeros((len(edges_m) - 1, 5)), *sums], axis=0)
    rows = []
    for low, high, (pixels, absolute, signed, square, close) in zip(edges_m[:-1], edges_m[1:], total, strict=True):
        if pixels == 0:
            rows.append(RangeErrors(low, high, 0, None, None, None, None))
            continue
        rows.append(
            RangeErrors(
                low,
                high,
                int(pixels),
                float(absolute / pixels),
                float(signed / pixels),
                float(np.sqrt(square / pixels)),
                float(close / pixels),
            )
        )
    return tuple(rows)
