from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edgedepth.depth.colormap import COLORMAPS, DepthColormap, pick_range
from edgedepth.errors import InputError
from edgedepth.types import DepthKind, DepthMap


def row(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def test_near_is_warm_far_is_cold_and_nothing_is_black() -> None:
    near, far, nothing = DepthColormap(0.5, 8.0)(row(0.6, 7.9, np.nan))[0].astype(int)
    assert near[2] > near[0] + 60  # BGR: more red than blue
    assert far[0] > far[2] + 20
    assert nothing.tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", list(COLORMAPS))
def test_only_invalid_depth_is_black(name: str) -> None:
    coloured = DepthColormap(0.0, 10.0, name)(row(*np.linspace(0, 10, 500)))
    assert coloured.sum(axis=2).min() > 30


def test_outside_the_range_is_the_end_of_it() -> None:
    colormap = DepthColormap(1.0, 5.0)
    inside = colormap(row(1.0, 5.0)).copy()
    outside = colormap(row(-3.0, 1000.0)).copy()
    np.testing.assert_array_equal(inside, outside)
    np.testing.assert_array_equal(colormap(row(-np.inf, np.inf)), inside)


def test_colours_follow_opencvs_map() -> None:
    # 255 steps across the range; the middle of the range is the middle of the map.
    middle = DepthColormap(2.0, 4.0, "turbo")(row(3.0))[0, 0]
    np.testing.assert_allclose(
        middle.astype(int), cv2.applyColorMap(np.array([[130]], np.uint8), cv2.COLORMAP_TURBO)[0, 0].astype(int), atol=6
    )


def test_same_depth_same_colour_whatever_else_is_in_the_frame() -> None:
    colormap = DepthColormap(0.0, 8.0)
    first = colormap(row(2.0, 2.0, 2.0)).copy()
    second = colormap(row(2.0, 0.1, 7.9)).copy()
    np.testing.assert_array_equal(first[0, 0], second[0, 0])


def test_disparity_is_near_where_large() -> None:
    large, small = DepthColormap(10.0, 1.0)(row(9.5, 1.5))[0].astype(int)
    assert large[2] > large[0]
    assert small[0] > small[2]


def test_input_is_left_alone_and_buffers_are_reused() -> None:
    values = row(1.0, np.nan, 3.0)
    colormap = DepthColormap(0.0, 4.0)
    first = colormap(values)
    assert colormap(values) is first
    np.testing.assert_array_equal(values, row(1.0, np.nan, 3.0))
    assert colormap(np.ones((3, 5), np.float32)).shape == (3, 5, 3)


@pytest.mark.parametrize("ends", [(1.0, 1.0), (0.0, math.inf), (math.nan, 2.0)])
def test_ranges_that_are_none(ends: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="two different finite ends"):
        DepthColormap(*ends)


def test_unknown_map() -> None:
    with pytest.raises(InputError, match="unknown colour map 'jet'; one of turbo"):
        DepthColormap(0.0, 1.0, "jet")


def test_bar_runs_from_far_to_near() -> None:
    bar = DepthColormap(0.0, 5.0).bar(100, 7)
    assert bar.shape == (100, 7, 3)
    top, bottom = bar[0, 0].astype(int), bar[-1, 0].astype(int)
    assert top[0] > top[2]
    assert bottom[2] > bottom[0]


@pytest.mark.parametrize(("largest", "far"), [(0.4, 0.5), (3.9, 4.0), (7.0, 8.0), (70.0, 80.0)])
def test_metres_end_at_a_round_number(largest: float, far: float) -> None:
    values = np.linspace(0.01, largest, 100 * 100, dtype=np.float32).reshape(100, 100)
    assert pick_range(DepthMap(values, DepthKind.METRIC)) == (0.0, far)


def test_range_of_the_other_kinds_spans_the_values() -> None:
    values = np.linspace(100, 200, 101, dtype=np.float32)[None]
    assert pick_range(DepthMap(values, DepthKind.RELATIVE_DEPTH)) == pytest.approx((102, 198))
    assert pick_range(DepthMap(values, DepthKind.DISPARITY)) == pytest.approx((198, 102))
    constant = pick_range(DepthMap(np.zeros((4, 4), np.float32), DepthKind.ORDINAL))
    assert constant is not None
    DepthColormap(*constant)


def test_no_range_from_almost_nothing() -> None:
    values = np.full((10, 10), np.nan, np.float32)
    assert pick_range(DepthMap(values, DepthKind.METRIC)) is None
    values[0, :5] = 2.0
    assert pick_range(DepthMap(values, DepthKind.METRIC)) is None
