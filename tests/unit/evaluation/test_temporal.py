"""Depth carried between cameras whose motion is known."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.errors import IntrinsicsError, NotMetricError
from edgedepth.evaluation.temporal import reproject, temporal_alignment_error
from edgedepth.types import DepthKind, DepthMap, Intrinsics, Pose

CAMERA = Intrinsics(80, 60, 70, 70, 39.5, 29.5)


def wall(z_m: float) -> DepthMap:
    return DepthMap(np.full((60, 80), z_m, np.float32), DepthKind.METRIC, CAMERA)


def at(x: float = 0.0, z: float = 0.0, turned: bool = False) -> Pose:
    T = np.eye(4)
    if turned:  # half a turn about the optical axis
        T[0, 0] = T[1, 1] = -1
    T[:3, 3] = x, 0, z
    return Pose(T)


def test_a_wall_seen_from_nearer() -> None:
    assert temporal_alignment_error(wall(4), at(), wall(3), at(z=1)) == pytest.approx(0, abs=1e-5)
    # Depth that does not notice the step: 4 m carried to 3 m against 4, and 4 carried back to 5 against 4.
    assert temporal_alignment_error(wall(4), at(), wall(4), at(z=1)) == pytest.approx(25)


def test_a_scale_that_flickers() -> None:
    # 4.0 against 4.4 one way, 4.4 against 4.0 the other: 1/11 and 1/10.
    expected = 100 * (0.4 / 4.4 + 0.4 / 4.0) / 2
    assert temporal_alignment_error(wall(4), at(), wall(4.4), at()) == pytest.approx(expected, rel=1e-5)


def test_pixels_land_where_they_should() -> None:
    depth = np.full((60, 80), np.nan, np.float32)
    depth[30, 40] = 2.0
    one = DepthMap(depth, DepthKind.METRIC, CAMERA)
    carried = reproject(one, at(), wall(1), at(x=0.4))  # the camera moves right, the point 70 * 0.4 / 2 = 14 px left
    assert np.argwhere(np.isfinite(carried)).tolist() == [[30, 26]]
    assert carried[30, 26] == pytest.approx(2)
    turned = reproject(one, at(), wall(1), at(turned=True))
    assert np.argwhere(np.isfinite(turned)).tolist() == [[29, 39]]


def test_of_two_points_on_one_pixel_the_nearer_is_seen() -> None:
    # The camera moves right by 4/70 m: 70 * 4/70 / 2 = 2 px to the left at 2 m, 1 px at 4 m.
    for near, far, together in ((42, 41, 40), (40, 39, 38)):
        depth = np.full((60, 80), np.nan, np.float32)
        depth[30, near], depth[30, far] = 2.0, 4.0
        carried = reproject(DepthMap(depth, DepthKind.METRIC, CAMERA), at(), wall(1), at(x=4 / 70))
        assert carried[30, together] == pytest.approx(2)
        assert np.isfinite(carried).sum() == 1


def test_nothing_in_common_and_nothing_to_carry_with() -> None:
    assert temporal_alignment_error(wall(2), at(), wall(2), at(x=50)) is None
    with pytest.raises(NotMetricError):
        temporal_alignment_error(DepthMap(wall(2).values, DepthKind.DISPARITY, CAMERA), at(), wall(2), at())
    with pytest.raises(IntrinsicsError, match="has none"):
        temporal_alignment_error(DepthMap(wall(2).values, DepthKind.METRIC), at(), wall(2), at())
