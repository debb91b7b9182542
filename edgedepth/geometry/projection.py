"""Between pixels and camera rays, with every distortion model; points from depth.

A ray is kept as (x, y) on the plane z = 1, so a point is ``depth * (x, y, 1)``. Lenses are undone here, on
coordinates: depth itself is never resampled. Pixel coordinates are (u, v) with pixel centres at integers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError
from edgedepth.types import Distortion, DistortionModel, Intrinsics

__all__ = ["pixel_rays", "points_at", "points_from_depth", "project_points", "ray_grid"]

Points = NDArray[np.float64]
NEWTON_STEPS = 12
# A ray is accepted when bending it again lands this close to where it came from (normalised coordinates).
INVERSION_TOLERANCE = 1e-8


def pixel_rays(intrinsics: Intrinsics, pixels_uv: NDArray[np.floating]) -> Points:
    """Ideal ray coordinates of pixels, float64 (..., 2) on the plane z = 1, for pixels (..., 2).

    NaN where no ray in front of the camera reaches the pixel: outside a fisheye's image circle, or where a
    Brown-Conrady polynomial folds back on itself.
    """
    uv = np.asarray(pixels_uv, dtype=np.float64)
    bent = (uv - (intrinsics.cx, intrinsics.cy)) / (intrinsics.fx, intrinsics.fy)
    return _unbend(bent, intrinsics.distortion)


def project_points(points_m: NDArray[np.floating], intrinsics: Intrinsics) -> Points:
    """Pixels (..., 2), float64, of camera-frame points (..., 3). NaN for points that are not in front (z <= 0)."""
    p = np.asarray(points_m, dtype=np.float64)
    z = np.where(p[..., 2] > 0, p[..., 2], np.nan)
    bent = _bend(p[..., :2] / z[..., None], intrinsics.distortion)
    return bent * (intrinsics.fx, intrinsics.fy) + (intrinsics.cx, intrinsics.cy)


@lru_cache(maxsize=8)
def ray_grid(intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Ray coordinates of every pixel: float32 H x W x 2, read-only, computed once per camera."""
    u, v = np.meshgrid(np.arange(intrinsics.width, dtype=np.float64), np.arange(intrinsics.height, dtype=np.float64))
    rays = pixel_rays(intrinsics, np.stack((u, v), axis=-1)).astype(np.float32)
    rays.flags.writeable = False
    return rays


def points_from_depth(
    depth_m: NDArray[np.float32], intrinsics: Intrinsics, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Camera-frame points of every pixel: float32 H x W x 3, NaN where the depth is invalid.

    Args:
        depth_m: H x W along Z, NaN = invalid. Any unit; the points come in the same one.
        intrinsics: the camera of this grid.
        out: written to and returned when given, so that a stream allocates nothing.

    Raises:
        InputError: the depth is not of the intrinsics' size.
    """
    if depth_m.shape != (intrinsics.height, intrinsics.width):
        raise InputError(
            f"depth of {intrinsics.width}x{intrinsics.height} was expected for these intrinsics, found "
            f"{'x'.join(map(str, depth_m.shape[::-1]))}; use Intrinsics.for_size"
        )
    points = np.empty((*depth_m.shape, 3), np.float32) if out is None else out
    np.multiply(ray_grid(intrinsics), depth_m[..., None], out=points[..., :2])
    points[..., 2] = depth_m
    return points


def points_at(depth_m: NDArray[np.floating], intrinsics: Intrinsics, pixels_uv: NDArray[np.floating]) -> Points:
    """Camera-frame points (..., 3), float64, of pixels (..., 2) (sub-pixel allowed) whose depths (...) are given."""
    z = np.asarray(depth_m, dtype=np.float64)
    rays = pixel_rays(intrinsics, pixels_uv)
    return np.concatenate((rays * z[..., None], z[..., None]), axis=-1)


def _bend(xy: Points, distortion: Distortion) -> Points:
    """Ideal to distorted normalised coordinates."""
    if distortion.is_identity:
        return xy
    k = distortion.coefficients
    if distortion.model is DistortionModel.FISHEYE:
        r = np.hypot(xy[..., 0], xy[..., 1])
        theta_d, _ = _fisheye(np.arctan(r), k)
        return np.asarray(xy * np.where(r > 0, theta_d / np.where(r > 0, r, 1), 1)[..., None])
    if distortion.model is DistortionModel.INVERSE_BROWN_CONRADY:
        return _invert(lambda p: _brown(p, k), xy)
    return _brown(xy, k)[0]


def _unbend(xy: Points, distortion: Distortion) -> Points:
    """Distorted to ideal normalised coordinates."""
    if distortion.is_identity:
        return xy
    k = distortion.coefficients
    if distortion.model is DistortionModel.FISHEYE:
        return _unbend_fisheye(xy, k)
    if distortion.model is DistortionModel.INVERSE_BROWN_CONRADY:
        return _brown(xy, k)[0]
    return _invert(lambda p: _brown(p, k), xy)


def _brown(xy: Points, coefficients: tuple[float, ...]) -> tuple[Points, Points]:
    """Brown-Conrady polynomial (OpenCV's, librealsense's) and its symmetric Jacobian (xx, xy, yy) as (..., 3)."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, *[0.0] * (8 - len(coefficients)))
    x, y = xy[..., 0], xy[..., 1]
    r2 = x * x + y * y
    top = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    bottom = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    f = top / bottom
    df = ((k1 + r2 * (2 * k2 + 3 * r2 * k3)) - f * (k4 + r2 * (2 * k5 + 3 * r2 * k6))) / bottom
    bent = np.stack(
        (x * f + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * f + 2 * p2 * x * y + p1 * (r2 + 2 * y * y)), axis=-1
    )
    jacobian = np.stack(
        (
            f + 2 * x * x * df + 2 * p1 * y + 6 * p2 * x,
            2 * x * y * df + 2 * p1 * x + 2 * p2 * y,
            f + 2 * y * y * df + 2 * p2 * x + 6 * p1 * y,
        ),
        axis=-1,
    )
    return bent, jacobian


def _invert(function: Callable[[Points], tuple[Points, Points]], target: Points) -> Points:
    """Newton's method; NaN where it does not arrive, or arrives beyond the fold (Jacobian not positive)."""
    guess = target.copy()
    with np.errstate(all="ignore"):
        for _ in range(NEWTON_STEPS):
            value, jacobian = function(guess)
            a, b, c = jacobian[..., 0], jacobian[..., 1], jacobian[..., 2]
            error = value - target
            determinant = a * c - b * b
            guess[..., 0] -= (c * error[..., 0] - b * error[..., 1]) / determinant
            guess[..., 1] -= (a * error[..., 1] - b * error[..., 0]) / determinant
        value, jacobian = function(guess)
        good = np.abs(value - target).max(axis=-1) < INVERSION_TOLERANCE
        # Beyond the first fold the polynomial has other solutions, which no light ray is.
        good &= (jacobian[..., 0] > 0) & (jacobian[..., 0] * jacobian[..., 2] > jacobian[..., 1] ** 2)
    guess[~good] = np.nan
    return guess


def _fisheye(theta: Points, k: tuple[float, ...]) -> tuple[Points, Points]:
    """Kannala-Brandt angle polynomial theta_d(theta) and its derivative (OpenCV fisheye)."""
    t2 = theta * theta
    value = theta * (1 + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3]))))
    slope = 1 + t2 * (3 * k[0] + t2 * (5 * k[1] + t2 * (7 * k[2] + t2 * 9 * k[3])))
    return value, slope


def _unbend_fisheye(xy: Points, k: tuple[float, ...]) -> Points:
    theta_d = np.hypot(xy[..., 0], xy[..., 1])
    theta = np.minimum(theta_d, np.pi / 2)
    with np.errstate(all="ignore"):
        for _ in range(NEWTON_STEPS):
            value, slope = _fisheye(theta, k)
            theta = theta - (value - theta_d) / slope
        value, slope = _fisheye(theta, k)
        good = (np.abs(value - theta_d) < INVERSION_TOLERANCE) & (slope > 0) & (theta >= 0) & (theta < np.pi / 2 - 1e-3)
        factor = np.where(theta_d > 0, np.tan(theta) / theta_d, 1.0)
    return np.asarray(xy * np.where(good, factor, np.nan)[..., None])
