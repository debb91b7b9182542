"""Projection against OpenCV's own, librealsense's formula, and round trips."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgedepth.errors import InputError
from edgedepth.geometry.projection import pixel_rays, points_at, points_from_depth, project_points, ray_grid
from edgedepth.types import Distortion, DistortionModel, Intrinsics

BROWN = Distortion(DistortionModel.BROWN_CONRADY, (-0.28, 0.09, 0.0012, -0.0008, -0.013))
RATIONAL = Distortion(DistortionModel.BROWN_CONRADY, (0.6, -2.7, 0.0004, -0.0003, 1.6, 0.47, -2.5, 1.5))
INVERSE = Distortion(DistortionModel.INVERSE_BROWN_CONRADY, (0.14, -0.27, 0.0011, -0.0009, 0.12))
FISHEYE = Distortion(DistortionModel.FISHEYE, (-0.012, 0.006, -0.004, 0.0007))
ALL = [Distortion(), BROWN, RATIONAL, INVERSE, FISHEYE]


def camera(distortion: Distortion) -> Intrinsics:
    return Intrinsics(160, 120, 131.0, 133.0, 81.3, 58.7, distortion)


def grid(step: int = 7) -> np.ndarray:
    u, v = np.meshgrid(np.arange(0.0, 160, step), np.arange(0.0, 120, step))
    return np.stack((u, v), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("distortion", ALL, ids=lambda d: f"{d.model.value}{len(d.coefficients)}")
def test_projecting_a_pixels_ray_gives_the_pixel_back(distortion: Distortion) -> None:
    K = camera(distortion)
    points = points_at(np.full(len(grid()), 2.5), K, grid())
    np.testing.assert_allclose(project_points(points, K), grid(), atol=1e-5)


@pytest.mark.parametrize("distortion", [BROWN, RATIONAL], ids=["plumb_bob", "rational"])
def test_brown_conrady_projects_as_opencv_does(distortion: Distortion) -> None:
    K = camera(distortion)
    rng = np.random.default_rng(1)
    points = np.column_stack((rng.uniform(-0.5, 0.5, (50, 2)), np.ones(50))) * rng.uniform(1, 5, (50, 1))
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K.matrix, np.array(distortion.coefficients))
    np.testing.assert_allclose(project_points(points, K), expected.reshape(-1, 2), atol=1e-9)


def test_fisheye_projects_as_opencv_does() -> None:
    K = camera(FISHEYE)
    rng = np.random.default_rng(2)
    points = np.column_stack((rng.uniform(-2, 2, (50, 2)), np.ones(50)))
    expected, _ = cv2.fisheye.projectPoints(
        points.reshape(1, -1, 3), np.zeros(3), np.zeros(3), K.matrix, np.array(FISHEYE.coefficients)
    )
    np.testing.assert_allclose(project_points(points, K), expected.reshape(-1, 2), atol=1e-9)


def test_inverse_brown_conrady_deprojects_with_librealsense_s_formula() -> None:
    K = camera(INVERSE)
    k1, k2, p1, p2, k3 = INVERSE.coefficients
    u, v = 150.0, 11.0
    x, y = (u - K.cx) / K.fx, (v - K.cy) / K.fy
    r2 = x * x + y * y
    f = 1 + k1 * r2 + k2 * r2 * r2 + k3 * r2 * r2 * r2  # rs2_deproject_pixel_to_point
    expected = (x * f + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * f + 2 * p2 * x * y + p1 * (r2 + 2 * y * y))
    np.testing.assert_allclose(pixel_rays(K, np.array([u, v])), expected, rtol=1e-12)


def test_all_zero_fisheye_is_equidistant() -> None:
    K = Intrinsics(201, 201, 100, 100, 100, 100, Distortion(DistortionModel.FISHEYE, (0, 0, 0, 0)))
    # 78.54 px from the centre is pi/4 rad off the axis in an equidistant lens: x = tan(45 deg) = 1.
    np.testing.assert_allclose(pixel_rays(K, np.array([100 + 100 * np.pi / 4, 100])), (1.0, 0.0), atol=1e-12)
    assert np.isnan(pixel_rays(K, np.array([100 + 100 * 1.6, 100.0]))).all()  # beyond 90 degrees: no Z


def test_beyond_the_fold_of_the_polynomial_there_is_no_ray() -> None:
    # x (1 - r^2) has its maximum 0.385 at r = 0.577; no ray lands at 0.5.
    K = Intrinsics(201, 201, 200, 200, 100, 100, Distortion(DistortionModel.BROWN_CONRADY, (-1, 0, 0, 0)))
    assert np.isnan(pixel_rays(K, np.array([200.0, 100.0]))).all()
    assert np.isfinite(pixel_rays(K, np.array([170.0, 100.0]))).all()


def test_points_from_depth_of_a_pinhole() -> None:
    K = Intrinsics(4, 3, 2.0, 4.0, 1.0, 0.5)
    depth = np.full((3, 4), 2.0, np.float32)
    depth[0, 0] = np.nan
    points = points_from_depth(depth, K)
    assert points.shape == (3, 4, 3)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[2, 3], (2 * (3 - 1) / 2, 2 * (2 - 0.5) / 4, 2))
    assert np.isnan(points[0, 0]).all()
    out = np.empty((3, 4, 3), np.float32)
    assert points_from_depth(depth, K, out=out) is out
    with pytest.raises(InputError, match="4x3 was expected"):
        points_from_depth(depth.T.copy(), K)


def test_points_behind_the_camera_have_no_pixel() -> None:
    assert np.isnan(project_points(np.array([[0.1, 0.2, -1.0], [0.1, 0.2, 0.0]]), camera(BROWN))).all()


def test_ray_grid_is_cached_and_read_only() -> None:
    rays = ray_grid(camera(BROWN))
    assert rays is ray_grid(camera(BROWN))
    with pytest.raises(ValueError, match="read-only"):
        rays[0, 0] = 0
