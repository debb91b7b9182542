"""One frame's depth in the floor's own coordinates: what both the silhouettes and the geometric finder work on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import IntrinsicsError
from edgedepth.geometry.plane import FloorPlane
from edgedepth.geometry.projection import ray_grid
from edgedepth.types import DepthMap

__all__ = ["SOLID_ABOVE_FLOOR_M", "Scene", "depth_breaks", "depth_step_m", "quantiles"]

SOLID_ABOVE_FLOOR_M = 0.08
"""Lower points may be the floor: three times the noise of a structured-light sensor at 3 m."""
FLOOR_WITHIN_M, FLOOR_WITHIN_SHARE = 0.03, 0.015
"""A pixel is floor within the larger of 3 cm and 1.5 % of its depth: one and a half tolerances of the floor fit."""
FEET_REACH_M = 0.2
"""Spread of the weights around the feet: the floor a stride away, where the sensor's warp is still the same."""
MIN_FLOOR_WEIGHT = 40.0
"""As many pixels right at the feet, or more of them farther off."""


def depth_step_m(depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest step between neighbouring pixels that one surface may show at this depth, metres.

    A floor of 4 cm for creases of clothing, plus 6 mm/m^2 Z^2: about four quantisation steps of triangulating sensors,
    whose noise grows with the square of depth (a Kinect's step is 2.9 mm at 1 m, 26 mm at 3 m).
    """
    return np.float32(0.04) + np.float32(0.006) * depth_m * depth_m


def depth_breaks(depth_m: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where depth differs from a 4-neighbour's by more than ``depth_step_m``; bool of the same shape."""
    breaks = np.zeros(depth_m.shape, np.bool_)
    with np.errstate(invalid="ignore"):
        step = depth_step_m(depth_m)
        for axis in (0, 1):
            near, far = [slice(None)] * 2, [slice(None)] * 2
            near[axis], far[axis] = slice(None, -1), slice(1, None)
            jump = np.abs(depth_m[tuple(far)] - depth_m[tuple(near)]) > step[tuple(near)]
            breaks[tuple(near)] |= jump
            breaks[tuple(far)] |= jump
    return breaks


def quantiles(values: NDArray[np.float32], *shares: float) -> tuple[float, ...]:
    """Quantiles by the nearest rank, over at most about 2000 evenly drawn values: outlines need no more."""
    drawn = np.sort(values[:: 1 + len(values) // 2000])
    return tuple(float(drawn[round(share * (len(drawn) - 1))]) for share in shares)


@dataclass(frozen=True, eq=False)
class Scene:
    """Depth, and where each pixel's point lies over the floor. All arrays H x W; NaN where the depth is invalid.

    Attributes:
        depth_m: metres along Z, float32.
        height_m: above the floor along its normal.
        lateral_m, forward_m: on the floor from the point below the camera: to the right, and ahead.
        solid: valid and clearly above the floor.
        breaks: differs from a 4-neighbour by more than one surface does: silhouette edges and flying pixels.
        floor: the plane.
        pixel_rad: angle of one pixel, so that one pixel spans ``pixel_rad * depth``.
    """

    depth_m: NDArray[np.float32]
    height_m: NDArray[np.float32]
    lateral_m: NDArray[np.float32]
    forward_m: NDArray[np.float32]
    solid: NDArray[np.bool_]
    breaks: NDArray[np.bool_]
    floor: FloorPlane
    pixel_rad: float

    @classmethod
    def build(cls, depth: DepthMap, floor: FloorPlane, stride: int = 1) -> Scene:
        """From metric depth; every ``stride``-th pixel of it in both directions.

        Raises:
            NotMetricError: the depth has no scale.
            IntrinsicsError: the depth has no camera.
        """
        if depth.intrinsics is None:
            raise IntrinsicsError("people over a floor need the camera's intrinsics, found none; give fx, fy, cx, cy")
        z = depth.depth_m[::stride, ::stride]
        rays = ray_grid(depth.intrinsics)[::stride, ::stride]
        up = np.asarray(floor.normal, np.float32)
        right, ahead = (axis.astype(np.float32) for axis in floor.axes())
        x, y = z * rays[..., 0], z * rays[..., 1]
        height = x * up[0] + y * up[1] + z * up[2] + np.float32(floor.offset_m)
        with np.errstate(invalid="ignore"):
            solid = height > SOLID_ABOVE_FLOOR_M
        return cls(
            depth_m=z,
            height_m=height,
            lateral_m=x * right[0] + y * right[1] + z * right[2],
            forward_m=x * ahead[0] + y * ahead[1] + z * ahead[2],
            solid=solid,
            breaks=depth_breaks(z),
            floor=floor,
            pixel_rad=stride / depth.intrinsics.f_px,
        )

    def floor_under(self, mask: NDArray[np.bool_]) -> FloorPlane:
        """The floor moved to where depth shows it around one person's feet, its normal kept.

        Depth of real sensors is warped by some millimetres over a room, which no plane follows; what a person stands
        on is the floor beside the feet: the mean height of floor pixels, with Gaussian weights around the body's place.
        The plane stays where it is when next to no floor is seen there.

        Args:
            mask: bool H x W, the person.
        """
        known = mask & np.isfinite(self.depth_m)
        if not known.any():
            return self.floor
        stride = (slice(None, None, 2), slice(None, None, 2))
        height, depth = self.height_m[stride], self.depth_m[stride]
        with np.errstate(invalid="ignore"):
            is_floor = (np.abs(height) < np.maximum(FLOOR_WITHIN_M, FLOOR_WITHIN_SHARE * depth)) & ~mask[stride]
        lateral = self.lateral_m[stride][is_floor] - np.median(self.lateral_m[known])
        forward = self.forward_m[stride][is_floor] - np.median(self.forward_m[known])
        weight = np.exp(-0.5 * (lateral**2 + forward**2) / FEET_REACH_M**2)
        total = float(weight.sum())
        if total < MIN_FLOOR_WEIGHT:
            return self.floor
        return replace(self.floor, offset_m=self.floor.offset_m - float(weight @ height[is_floor]) / total)

    def components(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Depth-continuous surfaces above the floor: labels H x W (0 = none), and per label x, y, w, h, area."""
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (self.solid & ~self.breaks).view(np.uint8), connectivity=4
        )
        return np.asarray(labels, np.int32), np.asarray(stats, np.int32)
