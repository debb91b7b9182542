"""Boxes and masks from the frame's pixels to the depth map's."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.people.mapping import GridMap
from edgedepth.types import DepthKind, DepthMap, Frame, Intrinsics

CAMERA = Intrinsics(640, 480, 500.0, 510.0, 310.0, 250.0)
FRAME = Frame(np.zeros((480, 640, 3), np.uint8), CAMERA)


def depth(camera: Intrinsics, *, known: bool = True) -> DepthMap:
    return DepthMap(np.ones(camera.size_wh[::-1], np.float32), DepthKind.METRIC, camera if known else None)


def test_the_frame_s_own_grid() -> None:
    grid = GridMap(FRAME, depth(CAMERA))
    assert grid.is_identity
    assert grid.box((10, 20, 30, 40)) == (10, 20, 30, 40)


@pytest.mark.parametrize("known", [True, False])
def test_the_whole_frame_is_the_whole_of_a_smaller_map(known: bool) -> None:
    grid = GridMap(FRAME, depth(CAMERA.resized(160, 120), known=known))
    assert not grid.is_identity
    assert grid.box((0, 0, 640, 480)) == pytest.approx((0, 0, 160, 120))
    assert grid.box((64, 48, 320, 240)) == pytest.approx((16, 12, 80, 60))


def test_a_crop_that_was_shrunk() -> None:
    grid = GridMap(FRAME, depth(CAMERA.cropped(100, 60, 400, 300).resized(200, 150)))
    assert grid.box((100, 60, 400, 300)) == pytest.approx((0, 0, 200, 150))
    assert grid.box((300, 160, 20, 10)) == pytest.approx((100, 50, 10, 5))


def test_masks_follow_the_boxes() -> None:
    mask = np.zeros((480, 640), bool)
    mask[160:180, 300:340] = True
    grid = GridMap(FRAME, depth(CAMERA.cropped(100, 60, 400, 300).resized(200, 150)))
    rows, columns = np.nonzero(grid.mask(mask))
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (50, 60, 100, 120)
    assert len(rows) == 10 * 20
