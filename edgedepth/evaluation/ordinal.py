"""Which of two points is farther: the accuracy of ordinal depth, and its complement WHDR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgedepth.data import OrdinalPairs
from edgedepth.errors import InputError
from edgedepth.types import DepthKind, DepthMap

__all__ = ["OrdinalScores", "depth_order", "ordinal_scores"]


@dataclass(frozen=True)
class OrdinalScores:
    """How many pairs of an image, or of a set, are ordered right.

    Attributes:
        pairs: how many there are.
        right: how many the depth orders as the truth does.
        undecided: pairs of which a point has no depth. They are not right: a network cannot gain by not answering.
    """

    pairs: int
    right: int
    undecided: int = 0

    @property
    def accuracy(self) -> float:
        """right / pairs."""
        return self.right / self.pairs

    @property
    def whdr(self) -> float:
        """Weighted human disagreement rate with all weights 1, as Depth in the Wild reports it: 1 - accuracy."""
        return 1 - self.accuracy


def depth_order(depth: DepthMap, pairs: OrdinalPairs, *, equal_within: float = 0.0) -> NDArray[np.float64]:
    """What a depth map says of each pair: +1 the first point is farther, -1 nearer, 0 equal, NaN no depth there.

    Args:
        depth: of any kind, on the image's grid. Disparity counts the other way round.
        pairs: points in pixels of the image; the nearest pixel's depth counts.
        equal_within: two depths whose ratio is below 1 + this are equal (WKDR's threshold); 0, as for Depth in the
            Wild, takes the sign of the difference.

    Raises:
        InputError: a point lies outside of the map.
    """
    height, width = depth.values.shape

    def at(points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        columns, rows = np.rint(points_xy).astype(int).T
        if len(rows) and not (0 <= rows.min() <= rows.max() < height and 0 <= columns.min() <= columns.max() < width):
            raise InputError(f"a point of the ordinal pairs lies outside of the {width}x{height} depth map")
        return np.asarray(depth.values[rows, columns], dtype=np.float64)

    first, second = at(pairs.first_xy), at(pairs.second_xy)
    with np.errstate(invalid="ignore", divide="ignore"):
        order = np.sign(first - second)
        if equal_within > 0:
            order[np.maximum(first / second, second / first) < 1 + equal_within] = 0
    order[~(np.isfinite(first) & np.isfinite(second))] = np.nan
    return -order if depth.kind is DepthKind.DISPARITY else order


def ordinal_scores(depth: DepthMap, pairs: OrdinalPairs, *, equal_within: float = 0.0) -> OrdinalScores:
    """How many pairs ``depth`` orders as they are. Arguments and errors as ``depth_order``.

    Raises:
        InputError: also when there is no pair.
    """
    if not len(pairs):
        raise InputError("expected at least one ordinal pair, found none; leave the image out")
    order = depth_order(depth, pairs, equal_within=equal_within)
    right = int(np.count_nonzero(order == pairs.relation))
    return OrdinalScores(len(pairs), right, int(np.count_nonzero(np.isnan(order))))
