from __future__ import annotations

import numpy as np
import pytest

from edgedepth.errors import InputError
from edgedepth.evaluation.planarity import fit_plane, floor_mask, plane_fits
from edgedepth.types import DepthKind, DepthMap, Intrinsics

CAMERA = Intrinsics(160, 120, 120, 120, 79.5, 59.5)


def plane_depth(normal: tuple[float, float, float], offset_m: float) -> np.ndarray:
    """Z of n . p + d = 0 along every ray, float32; NaN where the ray does not meet it."""
    v, u = np.mgrid[0:120, 0:160]
    rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)], axis=-1)
    with np.errstate(divide="ignore"):
        z = -offset_m / (rays @ np.asarray(normal))
    return np.where((z > 0) & (z < 50), z, np.nan).astype(np.float32)


def test_the_points_of_a_plane_have_no_error() -> None:
    n = np.array([0.6, 0.0, -0.8])
    masks = np.zeros((2, 120, 160), bool)
    masks[0, 10:60, 10:60] = masks[1, 80:110, 100:150] = True
    for fit in plane_fits(DepthMap(plane_depth(tuple(n), 2.0), DepthKind.METRIC, CAMERA), masks):
        assert fit is not None
        assert fit.rms_m < 1e-6
        assert fit.angle_deg((0.6, 0.0, -0.8)) < 0.05
        assert fit.offset_m == pytest.approx(2.0, abs=1e-4)


def test_the_rms_is_that_of_the_noise_and_as_svd_gives_it() -> None:
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(-1, 1, (20_000, 2)), 3 + rng.normal(0, 0.02, 20_000)])
    fit = fit_plane(points)
    assert fit.rms_m == pytest.approx(0.02, rel=0.02)
    assert fit.normal[2] < -0.999, "towards the camera"
    # The smallest singular value of the centred points is their rms distance times sqrt(n).
    smallest = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[-1]
    assert fit.rms_m == pytest.approx(smallest / np.sqrt(len(points)), rel=1e-9)


def test_the_angle_between_planes() -> None:
    # Two walls at 30 degrees to one another.
    first, second = (fit_plane(np.array([[0, 0, 2], [1, 0, 2 + s], [0, 1, 2], [1, 1, 2 + s]])) for s in (0.0, 0.57735))
    assert first.angle_deg(second.normal) == pytest.approx(30, abs=0.01)


def test_too_little_for_a_plane() -> None:
    with pytest.raises(InputError, match="three points at least, found 2"):
        fit_plane(np.array([[0, 0, 1], [1, 0, 1], [np.nan, 0, 0]]))
    with pytest.raises(InputError, match="on one line"):
        fit_plane(np.array([[0, 0, 1], [1, 0, 1], [2, 0, 1.0]]))
    flat = DepthMap(plane_depth((0, 0, -1), 2.0), DepthKind.METRIC, CAMERA)
    assert plane_fits(flat, np.zeros((1, 120, 160), bool)) == [None]
    with pytest.raises(InputError, match="masks are bool"):
        plane_fits(flat, np.zeros((120, 160), bool)[None, :5])


def test_the_floor_of_a_room_is_found_and_its_pixels_are_floor() -> None:
    floor_z, wall_z = plane_depth((0, -1, 0), 1.2), plane_depth((0, 0, -1), 4.0)
    truth = np.fmin(floor_z, wall_z)
    found = floor_mask(DepthMap(truth, DepthKind.METRIC, CAMERA))
    assert found is not None
    floor, mask = found
    assert floor.camera_height_m == pytest.approx(1.2, abs=0.01)
    assert mask[floor_z < 3.8].all()
    assert not mask[:50].any()
    assert floor_mask(DepthMap(wall_z, DepthKind.METRIC, CAMERA)) is None
    assert floor_mask(DepthMap(truth, DepthKind.METRIC)) is None
