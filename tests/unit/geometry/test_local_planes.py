"""Local planes of an exact floor, with and without holes in its depth."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.geometry.local_planes import fit_local_planes
from edgedepth.geometry.projection import ray_grid
from edgedepth.types import Intrinsics

K = Intrinsics(320, 240, 260, 260, 159.5, 119.5)
# m of m . p = -1: a floor 1.4 m under a camera that looks 40 degrees down, so that it fills the image.
M = np.array([0.0, -np.cos(np.radians(40)), -np.sin(np.radians(40))]) / 1.4


@pytest.mark.parametrize("holed", [False, True], ids=["every block has depth", "some have none"])
def test_every_local_plane_of_a_floor_is_the_floor(holed: bool) -> None:
    depth = (-1 / (ray_grid(K) @ M[:2] + M[2])).astype(np.float32)
    assert (depth > 0).all()
    if holed:
        depth[100:140, 60:90] = np.nan
    blocks = fit_local_planes(depth, K)
    assert len(blocks.plane) == blocks.total - holed * 20 * 15  # blocks of 2 x 2 pixels
    assert blocks.planar.mean() > 0.99
    assert np.abs(blocks.plane[blocks.planar] - M).max() < 2e-3
    assert np.allclose(blocks.points[blocks.planar] @ M, -1, atol=1e-4)
