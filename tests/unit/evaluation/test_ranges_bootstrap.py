from __future__ import annotations

import math

import numpy as np
import pytest

from edgedepth.evaluation.bootstrap import bootstrap_interval
from edgedepth.evaluation.ranges import range_errors, range_sums


def test_ranges_by_hand() -> None:
    truth = np.array([0.5, 1.0, 1.5, 2.5, 9.0, 3.0])
    found = np.array([1.0, 1.1, 1.2, 2.0, 9.0, 3.0])
    scored = np.array([True, True, True, True, True, False])
    rows = range_errors([range_sums(found, truth, scored, (0, 1, 2, 3, 4))], (0, 1, 2, 3, 4))
    assert [row.pixels for row in rows] == [1, 2, 1, 0], "9 m is beyond the last edge, 1 m belongs to 1..2"
    assert rows[0].absrel == rows[0].bias == 1.0
    assert rows[1].absrel == pytest.approx((0.1 + 0.2) / 2)
    assert rows[1].bias == pytest.approx((0.1 - 0.2) / 2)
    assert rows[1].rmse_m == pytest.approx(math.sqrt((0.1**2 + 0.3**2) / 2))
    assert rows[1].delta1 == 0.5  # 1.1 is within a factor of 1.25; 1.5 / 1.2 is the bound itself
    assert rows[3].absrel is None


def test_ranges_pool_the_pixels_of_frames() -> None:
    ones = np.ones(3)
    sums = [range_sums(1.2 * ones, ones, ones > 0, (0, 2)), range_sums(1.0 * ones[:1], ones[:1], ones[:1] > 0, (0, 2))]
    (row,) = range_errors(sums, (0, 2))
    assert (row.pixels, row.absrel) == (4, pytest.approx(0.15))


def test_the_interval_of_many_values_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(2).normal(5, 2, 4000)
    interval = bootstrap_interval(values)
    assert interval is not None
    half = 1.96 * values.std() / math.sqrt(4000)
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    assert bootstrap_interval(values) == interval, "seeded"
    assert bootstrap_interval(values, seed=1) != interval


def test_groups_are_drawn_whole() -> None:
    # Ten frames of each of twenty scenes, all frames of a scene alike: there are twenty values, not two hundred.
    scenes = np.random.default_rng(3).normal(0, 1, 20)
    values, names = np.repeat(scenes, 10), [f"scene_{i // 10}" for i in range(200)]
    grouped, single = bootstrap_interval(values, names), bootstrap_interval(values)
    assert grouped is not None
    assert single is not None
    assert (grouped[1] - grouped[0]) / (single[1] - single[0]) == pytest.approx(math.sqrt(10), rel=0.2)


def test_scenes_of_different_length_keep_the_mean_over_frames() -> None:
    values, names = np.array([1.0] * 90 + [0.0] * 10), ["long"] * 90 + ["short"] * 10
    # Drawn are long-long (1), short-short (0) and one of each: 0.9, not 0.5.
    interval = bootstrap_interval(values, names, confidence=0.0)
    assert interval is not None
    assert interval[0] == pytest.approx(0.9)


def test_one_value_says_nothing_of_others() -> None:
    assert bootstrap_interval(np.array([1.0])) is None
    assert bootstrap_interval(np.array([1.0, 2.0]), ["a", "a"]) is None
