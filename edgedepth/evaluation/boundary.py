"""Are the edges of a depth map where the edges of the truth are? Depth Pro's scale-invariant boundary F1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError

__all__ = ["THRESHOLDS", "boundary_f1"]

THRESHOLDS = tuple(float(t) for t in np.linspace(1.05, 1.25, 10))
"""Ratios of neighbouring depths that count as an edge; the F1 of each is weighted by the ratio (Depth Pro, eq. 4-5)."""


def boundary_f1(
    found: NDArray[Any], truth: NDArray[Any], *, thresholds: tuple[float, ...] = THRESHOLDS
) -> float | None:
    """Weighted mean over thresholds of the F1 of depth edges (Bochkovskii et al., Depth Pro, ICLR 2025).

    Two neighbouring pixels, left-right or above-below, have an edge when their depths differ by more than a ratio t;
    which of them is nearer matters, so there are four directions. Recall and precision are means over the directions of
    the edges that both maps have at the very same place. No factor between the maps matters, so nothing is aligned.

    Neighbours of which one has no true depth (not finite and positive) are left out of both maps, where Depth Pro wants
    a dense truth; on a dense one the number is Depth Pro's. A pixel that was not found has no edge: it costs recall.

    Args:
        found: depth, any unit, H x W; not finite or not positive = none.
        truth: depth, any unit, same shape.
        thresholds: greater than 1.

    Returns:
        0..1, or None where the truth has no edge at the smallest threshold: nothing can be said.

    Raises:
        InputError: not two maps of one shape.
    """
    if found.shape != truth.shape or found.ndim != 2:
        raise InputError(f"edges are compared on one grid, found {found.shape} against the truth's {truth.shape}")
    scored, expected = _steps(found), _steps(truth)
    for p, g in zip(scored, expected, strict=True):
        p[np.isnan(g)] = np.nan
    if not any((step > np.log(min(thresholds))).any() for step in expected):
        return None
    scores = [_f1([p > np.log(t) for p in scored], [g > np.log(t) for g in expected]) for t in thresholds]
    return float(np.average(scores, weights=thresholds))


def _steps(depth: NDArray[Any]) -> list[NDArray[np.float64]]:
    """ln of the ratio of every two neighbours, in the four directions; NaN where one of them is invalid."""
    valid = np.isfinite(depth) & (depth > 0)
    logs = np.log(np.where(valid, depth, np.nan).astype(np.float64))
    right, down = np.diff(logs, axis=1), np.diff(logs, axis=0)
    return [right, -right, down, -down]


def _f1(found: list[NDArray[np.bool_]], truth: list[NDArray[np.bool_]]) -> float:
    recall = precision = 0.0
    for p, g in zip(found, truth, strict=True):
        hits = int(np.count_nonzero(p & g))
        recall += hits / max(int(np.count_nonzero(g)), 1) / len(found)
        precision += hits / max(int(np.count_nonzero(p)), 1) / len(found)
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0
