"""The error measures against numbers worked out by hand and by other code paths."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from edgedepth.errors import InputError
from edgedepth.evaluation.metrics import DepthScores, depth_scores, mean_scores


def test_two_pixels_by_hand() -> None:
    # p = 3 against 2 and p = 3 against 4: ratios 1.5 and 4/3, both beyond 1.25 and within 1.25^2 = 1.5625.
    scores = depth_scores(np.array([[3.0, 3.0]]), np.array([[2.0, 4.0]]))
    assert scores.abs_rel == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert scores.sq_rel_m == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert scores.rmse_m == pytest.approx(1.0)
    up, down = math.log(1.5), math.log(0.75)
    assert scores.rmse_log == pytest.approx(math.sqrt((up**2 + down**2) / 2))
    assert scores.log10 == pytest.approx((math.log10(1.5) + math.log10(4 / 3)) / 2)
    assert scores.silog == pytest.approx(100 * math.log(2) / 2)  # two values: half their difference
    assert (scores.delta1, scores.delta2, scores.delta3, scores.coverage) == (0, 1, 1, 1)


def test_another_code_path_on_a_random_map() -> None:
    rng = np.random.default_rng(5)
    truth = rng.uniform(0.5, 9, (40, 30)).astype(np.float32)
    found = (truth * rng.lognormal(0.05, 0.3, truth.shape)).astype(np.float32)
    scores = depth_scores(found, truth)
    pairs = [(float(p), float(g)) for p, g in zip(found.flat, truth.flat, strict=True)]
    logs = [math.log(p / g) for p, g in pairs]
    assert scores.abs_rel == pytest.approx(statistics.fmean(abs(p / g - 1) for p, g in pairs))
    assert scores.sq_rel_m == pytest.approx(statistics.fmean((p - g) ** 2 / g for p, g in pairs))
    assert scores.rmse_m == pytest.approx(math.dist(*zip(*pairs, strict=True)) / math.sqrt(len(pairs)))
    assert scores.rmse_log == pytest.approx(math.hypot(*logs) / math.sqrt(len(logs)))
    assert scores.log10 == pytest.approx(statistics.fmean(abs(math.log10(p) - math.log10(g)) for p, g in pairs))
    assert scores.silog == pytest.approx(100 * statistics.pstdev(logs))
    for power, delta in enumerate((scores.delta1, scores.delta2, scores.delta3), 1):
        inside = sum(g / 1.25**power < p < g * 1.25**power for p, g in pairs)
        assert delta == pytest.approx(inside / len(pairs))


def test_a_wrong_scale_alone() -> None:
    truth = np.linspace(1, 5, 100).reshape(10, 10)
    scores = depth_scores(1.2 * truth, truth)
    assert scores.abs_rel == pytest.approx(0.2)
    assert scores.silog == pytest.approx(0, abs=1e-6)
    assert (scores.delta1, scores.delta2) == (1, 1)
    assert depth_scores(1.25 * np.ones((1, 4)), np.ones((1, 4))).delta1 == 0, "the bound is strict"


def test_the_range_is_strict_and_holes_have_no_truth() -> None:
    truth = np.array([0.0, np.nan, np.inf, -1.0, 0.5, 10.0, 2.0, 4.0])
    found = np.array([1.0, 1.0, 1.0, 1.0, 9.0, 9.0, 2.0, 4.0])
    scores = depth_scores(found, truth, min_depth_m=0.5, max_depth_m=10.0)
    assert (scores.abs_rel, scores.coverage) == (0, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -2.0])
def test_depth_that_was_not_found_is_counted_and_not_averaged(bad: float) -> None:
    scores = depth_scores(np.array([bad, 2.2, 2.2, 2.2]), np.full(4, 2.0))
    assert scores.abs_rel == pytest.approx(0.1)
    assert scores.coverage == 0.75


def test_a_frame_without_a_pixel_to_score_is_refused() -> None:
    with pytest.raises(InputError, match=r"no pixel can be scored: 0 of 4 have a true depth within 0\.001-10 m"):
        depth_scores(np.ones(4), np.zeros(4))
    with pytest.raises(InputError, match=r"4 of 4 .* none of them a positive depth"):
        depth_scores(np.full(4, np.nan), np.ones(4))
    with pytest.raises(InputError, match=r"expected one shape, found \(4,\) against the truth's \(2, 2\)"):
        depth_scores(np.ones(4), np.ones((2, 2)))
    with pytest.raises(InputError, match="found 5 to 1"):
        depth_scores(np.ones(4), np.ones(4), min_depth_m=5, max_depth_m=1)


def test_the_mean_is_of_frames_not_of_pixels() -> None:
    small = depth_scores(np.full(1, 1.5), np.ones(1))
    large = depth_scores(np.full(1000, 1.1), np.ones(1000))
    mean = mean_scores([small, large])
    assert isinstance(mean, DepthScores)
    assert mean.abs_rel == pytest.approx(0.3)
    assert mean.delta1 == 0.5
    with pytest.raises(InputError, match="at least one frame"):
        mean_scores([])


def test_the_named_variants_by_hand() -> None:
    # p = 3 against 2 and p = 3 against 4, as above.
    scores = depth_scores(np.array([[3.0, 3.0]]), np.array([[2.0, 4.0]]))
    up, down = math.log(1.5), math.log(0.75)
    assert (scores.mae_m, scores.mse_m2) == (1.0, 1.0)
    assert scores.sq_rel_kitti == pytest.approx((1 / 4 + 1 / 16) / 2)
    mean_square, mean = (up**2 + down**2) / 2, (up + down) / 2
    assert scores.silog_half == pytest.approx(math.sqrt(mean_square - 0.5 * mean**2))
    assert scores.silog == pytest.approx(100 * math.sqrt(mean_square - mean**2))


def test_torchmetrics_agrees_on_what_it_has() -> None:
    functional = pytest.importorskip("torchmetrics.functional")
    import torch

    rng = np.random.default_rng(8)
    truth = rng.uniform(-1, 11, (37, 23))
    truth[rng.random(truth.shape) < 0.2] = np.nan
    found = rng.uniform(-0.5, 12, truth.shape)
    found[rng.random(truth.shape) < 0.1] = np.inf
    where = rng.random(truth.shape) < 0.7
    scores = depth_scores(found, truth, min_depth_m=0.5, max_depth_m=9.5, where=where)
    keep = [
        (p, g)
        for p, g, inside in zip(found.flat, truth.flat, where.flat, strict=True)
        if inside and 0.5 < g < 9.5 and 0 < p < math.inf
    ]
    known = sum(bool(inside and 0.5 < g < 9.5) for g, inside in zip(truth.flat, where.flat, strict=True))
    p, g = (torch.tensor(column, dtype=torch.float64) for column in zip(*keep, strict=True))
    assert scores.mae_m == pytest.approx(float(functional.mean_absolute_error(p, g)))
    assert scores.mse_m2 == pytest.approx(float(functional.mean_squared_error(p, g)))
    assert scores.rmse_m == pytest.approx(float(functional.mean_squared_error(p, g, squared=False)))
    assert scores.abs_rel == pytest.approx(float(functional.mean_absolute_percentage_error(p, g)))
    assert scores.rmse_log == pytest.approx(float(functional.mean_squared_error(p.log(), g.log(), squared=False)))
    assert scores.coverage == pytest.approx(len(keep) / known)


def test_outside_of_a_crop_nothing_counts() -> None:
    truth, found = np.full((4, 4), 2.0), np.full((4, 4), 2.0)
    found[0] = 9.0
    where = np.ones((4, 4), bool)
    where[0] = False
    assert depth_scores(found, truth, where=where).abs_rel == 0
    assert depth_scores(found, truth).abs_rel > 0
    with pytest.raises(InputError, match="0 of 16"):
        depth_scores(found, truth, where=np.zeros((4, 4), bool))
