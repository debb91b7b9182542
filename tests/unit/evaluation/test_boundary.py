"""Boundary F1 against a pixel-by-pixel count of the published definition, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.errors import InputError
from edgedepth.evaluation.boundary import THRESHOLDS, boundary_f1


def counted(found: np.ndarray, truth: np.ndarray, t: float) -> float:
    """F1 of one threshold with loops over pixels: the ratio of neighbouring inverse depths, four directions."""
    height, width = truth.shape
    recalls, precisions = [], []
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        hits = mine = theirs = 0
        for y in range(height):
            for x in range(width):
                v, u = y + dy, x + dx
                if not (0 <= v < height and 0 <= u < width):
                    continue
                if not all(np.isfinite(g) and g > 0 for g in (truth[y, x], truth[v, u])):
                    continue
                in_truth = (1 / truth[v, u]) / (1 / truth[y, x]) > t
                p, q = found[y, x], found[v, u]
                in_found = bool(np.isfinite(p) and np.isfinite(q) and p > 0 and q > 0 and (1 / q) / (1 / p) > t)
                hits += in_truth and in_found
                mine += in_found
                theirs += in_truth
        recalls.append(hits / max(theirs, 1))
        precisions.append(hits / max(mine, 1))
    r, p = np.mean(recalls), np.mean(precisions)
    return 0.0 if r + p == 0 else float(2 * r * p / (r + p))


@pytest.mark.parametrize("holes", [False, True])
def test_equals_a_count_over_pixels(holes: bool) -> None:
    rng = np.random.default_rng(4)
    truth = np.repeat(np.repeat(rng.uniform(1, 5, (4, 5)), 4, axis=0), 4, axis=1)
    found = truth * rng.lognormal(0, 0.08, truth.shape)
    if holes:
        truth[rng.random(truth.shape) < 0.1] = rng.choice([0, np.nan, np.inf])
        found[rng.random(found.shape) < 0.1] = np.nan
    weights = np.array(THRESHOLDS)
    expected = sum(counted(found, truth, t) * t for t in THRESHOLDS) / weights.sum()
    assert boundary_f1(found, truth) == pytest.approx(expected, rel=1e-9)
    assert 0.1 < expected < 1


def test_the_thresholds_are_depth_pro_s() -> None:
    np.testing.assert_allclose(THRESHOLDS, [1.05 + 0.2 * k / 9 for k in range(10)])


def step(at: int, near: float = 2.0, far: float = 4.0) -> np.ndarray:
    depth = np.full((6, 10), far)
    depth[:, :at] = near
    return depth


def test_by_hand() -> None:
    truth = step(5)
    # One of four directions has edges (the far side lies right of them); the other three have none in either map, and
    # count as zero, as published: recall = precision = 1/4.
    assert boundary_f1(truth, truth) == pytest.approx(0.25)
    assert boundary_f1(0.3 * truth, truth) == pytest.approx(0.25), "a factor does not matter"
    assert boundary_f1(step(6), truth) == 0, "one pixel off is off"
    assert boundary_f1(step(5, near=4, far=2), truth) == 0, "which side is nearer matters"
    # A ratio of 1.15 is an edge at the first five thresholds (1.05 .. 1.139) and none at the others.
    faint = boundary_f1(step(5, near=2, far=2.3), truth)
    assert faint == pytest.approx(0.25 * sum(THRESHOLDS[:5]) / sum(THRESHOLDS))


def test_a_truth_without_edges_says_nothing() -> None:
    assert boundary_f1(step(5), np.full((6, 10), 3.0)) is None
    assert boundary_f1(np.full((6, 10), np.nan), step(5)) == 0
    with pytest.raises(InputError, match="compared on one grid"):
        boundary_f1(np.ones((2, 3)), np.ones((3, 2)))
