from __future__ import annotations

import numpy as np
import pytest

from edgedepth.data import OrdinalPairs
from edgedepth.errors import InputError
from edgedepth.evaluation.ordinal import depth_order, ordinal_scores
from edgedepth.types import DepthKind, DepthMap

# 1 m at the left, 4 m at the right.
DEPTH = DepthMap(np.array([[1, 2, 3, 4], [1, 2, 3, 4]], np.float32), DepthKind.METRIC)


def pairs(*rows: tuple[tuple[float, float], tuple[float, float], int]) -> OrdinalPairs:
    first, second, relation = zip(*rows, strict=True)
    return OrdinalPairs(np.array(first, float), np.array(second, float), np.array(relation, np.int8))


def test_greater_means_that_the_first_point_is_farther() -> None:
    # Depth in the Wild's '>' is +1: A, the first point, is farther than B.
    assert ordinal_scores(DEPTH, pairs(((3, 0), (0, 0), +1))).accuracy == 1
    assert ordinal_scores(DEPTH, pairs(((3, 0), (0, 0), -1))).accuracy == 0
    assert ordinal_scores(DEPTH, pairs(((0, 1), (3, 1), -1))).whdr == 0


def test_disparity_counts_the_other_way_round() -> None:
    disparity = DepthMap((1 / DEPTH.values).astype(np.float32), DepthKind.DISPARITY)
    chosen = pairs(((3, 0), (0, 0), +1), ((0, 0), (2, 0), -1), ((1, 0), (1, 1), 0))
    assert depth_order(disparity, chosen).tolist() == depth_order(DEPTH, chosen).tolist() == [1, -1, 0]


def test_points_are_x_y_and_round_to_the_nearest_pixel() -> None:
    values = np.zeros((2, 4), np.float32)
    values[1, 3] = 5  # row 1, column 3
    depth = DepthMap(values, DepthKind.ORDINAL)
    assert depth_order(depth, pairs(((2.6, 0.8), (0.2, 0.4), 1))).tolist() == [1]
    with pytest.raises(InputError, match="outside of the 4x2 depth map"):
        depth_order(depth, pairs(((1, 3), (0, 0), 1)))


def test_no_depth_is_not_right() -> None:
    values = DEPTH.values.copy()
    values[0, 0] = np.nan
    scores = ordinal_scores(DepthMap(values, DepthKind.METRIC), pairs(((3, 0), (0, 0), +1), ((3, 0), (1, 0), +1)))
    assert (scores.pairs, scores.right, scores.undecided) == (2, 1, 1)
    assert scores.whdr == 0.5


def test_equal_needs_a_threshold() -> None:
    chosen = pairs(((2, 0), (3, 0), 0))  # 3 m and 4 m: a ratio of 1.333
    assert ordinal_scores(DEPTH, chosen).accuracy == 0
    assert ordinal_scores(DEPTH, chosen, equal_within=0.34).accuracy == 1
    assert ordinal_scores(DEPTH, chosen, equal_within=0.33).accuracy == 0


def test_accuracy_over_random_pairs_is_counted() -> None:
    rng = np.random.default_rng(0)
    depth = DepthMap(rng.uniform(1, 5, (20, 30)).astype(np.float32), DepthKind.METRIC)
    first, second = (np.stack([rng.integers(0, 30, 200), rng.integers(0, 20, 200)], 1).astype(float) for _ in range(2))
    relation = rng.choice([-1, 1], 200).astype(np.int8)
    right = 0
    for (xa, ya), (xb, yb), said in zip(first.astype(int), second.astype(int), relation, strict=True):
        a, b = depth.values[ya, xa], depth.values[yb, xb]
        right += (a > b and said == 1) or (a < b and said == -1)
    scores = ordinal_scores(depth, OrdinalPairs(first, second, relation))
    assert scores.accuracy == pytest.approx(right / 200)
    assert scores.whdr == pytest.approx(1 - right / 200)
    with pytest.raises(InputError, match="at least one ordinal pair"):
        ordinal_scores(depth, OrdinalPairs(np.empty((0, 2)), np.empty((0, 2)), np.empty(0, np.int8)))
