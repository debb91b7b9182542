"""How far a mean over frames would move with other frames: the percentile bootstrap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "bootstrap_interval"]

RESAMPLES = 2000


def bootstrap_interval(
    values: NDArray[np.float64],
    groups: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float] | None:
    """The interval of the mean of ``values`` (Efron's percentile bootstrap).

    Frames of one scene resemble one another, so with groups it is whole groups that are drawn, with replacement, as
    many as there are; otherwise single values are. Each draw's mean is over all values that it holds. The same seed
    gives the same interval.

    Args:
        values: one number per frame, finite.
        groups: the group of each; None = each its own.

    Returns:
        (low, high), or None with fewer than two values or groups: they say nothing of others.
    """
    names = np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    sums, counts = np.bincount(names, values), np.bincount(names)
    if len(sums) < 2:
        return None
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for row in range(resamples):  # one at a time: large sets would not fit in memory
        drawn = rng.integers(0, len(sums), size=len(sums))
        means[row] = sums[drawn].sum() / counts[drawn].sum()
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, (tail, 100 - tail))
    return float(low), float(high)
