"""Alignments undo what they are made to undo, equal numpy.linalg.lstsq, and ignore what is not scored."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.errors import InputError, NotMetricError
from edgedepth.evaluation.alignment import ALIGNMENTS, align_depth, check_alignment
from edgedepth.types import DepthKind

RNG = np.random.default_rng(3)
TRUTH = RNG.uniform(0.6, 9.0, (30, 40)).astype(np.float32)


def test_none_leaves_the_numbers() -> None:
    aligned = align_depth(TRUTH * 3, TRUTH, "none")
    np.testing.assert_array_equal(aligned.depth_m, TRUTH * 3)
    assert (aligned.scale, aligned.shift) == (None, None)


def test_the_median_by_hand() -> None:
    # medians 4 of the truth and 2 of what was found: factor 2, whatever the outlier says.
    aligned = align_depth(np.array([1.0, 2.0, 9.0]), np.array([2.0, 4.0, 8.0]), "median")
    assert aligned.scale == 2
    np.testing.assert_array_equal(aligned.depth_m, [2, 4, 18])


def test_what_is_not_scored_does_not_align() -> None:
    truth, found = TRUTH.copy(), TRUTH / 2
    truth[0], truth[1], truth[2] = 0, np.nan, 50
    found[3], found[4] = np.nan, -1
    where = np.ones(truth.shape, bool)
    where[5] = False
    found[5] = 1e6
    for align in ("median", "scale-shift-depth", "scale-shift-disparity"):
        aligned = align_depth(found, truth, align, where=where)  # type: ignore[arg-type]
        assert aligned.scale == pytest.approx(2 if align != "scale-shift-disparity" else 0.5, rel=1e-5)
        np.testing.assert_allclose(aligned.depth_m[6:], TRUTH[6:], rtol=1e-4)
        assert np.isnan(aligned.depth_m[3]).all()


@pytest.mark.parametrize("align", ["median", "scale-shift-depth", "scale-shift-disparity"])
@pytest.mark.parametrize("nothing", [0.0, -2.0, np.inf, -np.inf, np.nan])
def test_no_alignment_makes_depth_where_none_was_found(align: str, nothing: float) -> None:
    found = (0.5 * TRUTH + 0.2).astype(np.float32)
    found[0] = nothing
    aligned = align_depth(found, TRUTH, align)  # type: ignore[arg-type]
    assert np.isnan(aligned.depth_m[0]).all()
    assert np.isfinite(aligned.depth_m[1:]).all()


def test_scale_and_shift_in_depth_are_numpy_s() -> None:
    found = 0.3 * TRUTH - 0.1 + RNG.normal(0, 0.05, TRUTH.shape)
    found = np.maximum(found, 1e-3)
    (scale, shift), *_ = np.linalg.lstsq(np.stack([found.ravel(), np.ones(found.size)], 1), TRUTH.ravel(), rcond=None)
    aligned = align_depth(found, TRUTH, "scale-shift-depth")
    assert (aligned.scale, aligned.shift) == pytest.approx((scale, shift), rel=1e-5)
    np.testing.assert_allclose(aligned.depth_m, np.clip(found * scale + shift, 1e-3, 10), rtol=1e-5)


@pytest.mark.parametrize("kind", [DepthKind.DISPARITY, DepthKind.METRIC])
def test_scale_and_shift_in_disparity_are_numpy_s(kind: DepthKind) -> None:
    disparity = 7 / TRUTH - 2 + RNG.normal(0, 0.2, TRUTH.shape)  # also negative ones
    if kind is DepthKind.METRIC:
        disparity = np.maximum(disparity, 0.05)
    (scale, shift), *_ = np.linalg.lstsq(
        np.stack([disparity.ravel(), np.ones(disparity.size)], 1), 1 / TRUTH.ravel().astype(float), rcond=None
    )
    found = disparity if kind is DepthKind.DISPARITY else 1 / disparity
    aligned = align_depth(found, TRUTH, "scale-shift-disparity", kind=kind)
    assert (aligned.scale, aligned.shift) == pytest.approx((scale, shift), rel=1e-4)
    expected = 1 / np.maximum(disparity * scale + shift, 0.1)  # MiDaS: no farther than 10 m
    np.testing.assert_allclose(aligned.depth_m, expected, rtol=1e-4)
    if kind is DepthKind.DISPARITY:
        assert aligned.depth_m.max() == pytest.approx(10)


def test_a_network_that_says_nothing_gets_the_mean() -> None:
    aligned = align_depth(np.full_like(TRUTH, 3.0), TRUTH, "scale-shift-depth")
    np.testing.assert_allclose(aligned.depth_m, TRUTH.mean(), rtol=1e-5)


def test_a_network_that_turns_depth_round_is_scored_for_what_it_is() -> None:
    aligned = align_depth(10 - TRUTH, TRUTH, "scale-shift-depth")
    assert aligned.scale == pytest.approx(-1, rel=1e-5)


def test_kinds_and_their_alignments() -> None:
    assert [a for a, kinds in ALIGNMENTS.items() if DepthKind.DISPARITY in kinds] == ["scale-shift-disparity"]
    with pytest.raises(NotMetricError, match=r"disparity map .*\(median .* use scale-shift-disparity"):
        check_alignment(DepthKind.DISPARITY, "median")
    with pytest.raises(NotMetricError, match="only be compared with ordinal pairs"):
        check_alignment(DepthKind.ORDINAL, "median")
    with pytest.raises(NotMetricError, match="relative_depth"):
        align_depth(TRUTH, TRUTH, "none", kind=DepthKind.RELATIVE_DEPTH)
    with pytest.raises(InputError, match="nothing to align: 0 of 1200"):
        align_depth(TRUTH, np.zeros_like(TRUTH), "median")
