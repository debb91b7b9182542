"""Is what is flat flat in the depth map? How far its points lie from a plane, and how that plane is turned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError, IntrinsicsError, MeasurementRefused
from edgedepth.geometry import FloorPlane, fit_floor, points_from_depth
from edgedepth.types import DepthKind, DepthMap

__all__ = ["FLOOR_WITHIN_M", "PlaneFit", "fit_plane", "floor_mask", "plane_fits"]

FLOOR_WITHIN_M = 0.03
"""A pixel is floor where the true depth puts it this near the floor's plane."""


@dataclass(frozen=True)
class PlaneFit:
    """Points of one flat surface and the plane that fits them best.

    Attributes:
        rms_m: root mean square distance of the points from their own plane, metres. (iBims-1 calls it the planarity
            error PE-fla; Intel's depth quality tool, plane fit RMS.)
        normal: unit normal of the plane, towards the camera.
        offset_m: distance of the camera from the plane.
        points: how many were fitted.
    """

    rms_m: float
    normal: tuple[float, float, float]
    offset_m: float
    points: int

    def angle_deg(self, normal: tuple[float, float, float]) -> float:
        """Angle to another plane's normal of either sign, degrees (iBims-1: PE-ori)."""
        return math.degrees(math.acos(min(1.0, abs(float(np.dot(self.normal, normal))))))


def fit_plane(points_m: NDArray[Any]) -> PlaneFit:
    """The plane of least squared distances of points (..., 3), camera frame, metres; NaN points are left out.

    Through the centroid, normal to the direction of least spread: the last singular vector (total least squares).

    Raises:
        InputError: fewer than three points, or all on one line.
    """
    points = np.asarray(points_m, dtype=np.float64).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 3:
        raise InputError(f"a plane needs three points at least, found {len(points)}; give a larger mask")
    centre = points.mean(axis=0)
    # Of the 3 x 3 scatter: three numbers, however many points.
    spread, directions = np.linalg.eigh((points - centre).T @ (points - centre))
    if spread[1] <= 1e-12 * spread[2]:
        raise InputError(f"a plane needs points that are not all on one line, found {len(points)} that are")
    normal = directions[:, 0] * (-1 if directions[:, 0] @ centre > 0 else 1)
    residual = (points - centre) @ normal
    return PlaneFit(
        float(np.sqrt(np.mean(residual**2))),
        (float(normal[0]), float(normal[1]), float(normal[2])),
        float(abs(normal @ centre)),
        len(points),
    )


def plane_fits(depth: DepthMap, masks: NDArray[np.bool_]) -> list[PlaneFit | None]:
    """The plane of each mask in a metric depth map with intrinsics.

    Args:
        depth: metres.
        masks: bool N x H x W, one flat surface each.

    Returns:
        One per mask; None where fewer than three of its pixels have depth.

    Raises:
        NotMetricError: depth without a scale. IntrinsicsError: depth without intrinsics.
        InputError: masks of another size.
    """
    if depth.intrinsics is None:
        raise IntrinsicsError("planes are fitted to points, which need the camera's intrinsics; give them")
    if masks.shape[1:] != depth.values.shape or masks.dtype != np.bool_:
        raise InputError(f"masks are bool N x {depth.values.shape}, found {masks.dtype} {masks.shape}")
    points = points_from_depth(depth.depth_m, depth.intrinsics)
    fits: list[PlaneFit | None] = []
    for mask in masks:
        try:
            fits.append(fit_plane(points[mask]))
        except InputError:
            fits.append(None)
    return fits


def floor_mask(
    truth: DepthMap, up: tuple[float, float, float] | None = None
) -> tuple[FloorPlane, NDArray[np.bool_]] | None:
    """The floor in the true depth and its pixels, where there is one.

    Args:
        truth: metric, with intrinsics.
        up: as for ``fit_floor``.
    """
    if truth.intrinsics is None or truth.kind is not DepthKind.METRIC:
        return None
    try:
        floor = fit_floor(truth, up=up)
    except MeasurementRefused:
        return None
    with np.errstate(invalid="ignore"):
        near = np.abs(floor.height_of(points_from_depth(truth.values, truth.intrinsics))) < FLOOR_WITHIN_M
    return floor, near
