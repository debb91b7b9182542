"""One frame's depth in the floor's own coordinates: what both the silhouettes and the geometric finder work on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import IntrinsicsError
from edgedepth.geometry.bounds import Window, window_around
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


def depth_breaks(depth_m: NDArray[np.float32], window: Window | None = None) -> NDArray[np.bool_]:
    """Where depth differs from a 4-neighbour's by more than ``depth_step_m``; bool of the same shape, or the window's.

    Neighbours beside the window count.
    """
    if window is not None:
        first = [max(0, side.start - 1) for side in window]
        grown = tuple(slice(start, side.stop + 1) for start, side in zip(first, window, strict=True))
        inner = tuple(slice(s.start - start, s.stop - start) for start, s in zip(first, window, strict=True))
        return depth_breaks(depth_m[grown])[inner]
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

    What is asked for is worked out when it is first asked for: who needs a person's box takes that ``part``.

    Attributes:
        depth_m: metres along Z, float32.
        rays: float32 H x W x 2, as of ``ray_grid``.
        floor: the plane.
        pixel_rad: angle of one pixel, so that one pixel spans ``pixel_rad * depth``.
    """

    depth_m: NDArray[np.float32]
    rays: NDArray[np.float32]
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
        every = slice(None, None, stride)
        z, rays = depth.depth_m[every, every], ray_grid(depth.intrinsics)[every, every]
        return cls(z, rays, floor, stride / depth.intrinsics.f_px)

    def part(self, window: Window) -> Scene:
        """The pixels of a window, as a scene that knows nothing of those around it."""
        return Scene(self.depth_m[window], self.rays[window], self.floor, self.pixel_rad)

    @cached_property
    def height_m(self) -> NDArray[np.float32]:
        """Above the floor along its normal."""
        return self._along(np.asarray(self.floor.normal)) + np.float32(self.floor.offset_m)

    @cached_property
    def lateral_m(self) -> NDArray[np.float32]:
        """On the floor from the point below the camera, to the right."""
        return self._along(self.floor.axes()[0])

    @cached_property
    def forward_m(self) -> NDArray[np.float32]:
        """On the floor from the point below the camera, ahead."""
        return self._along(self.floor.axes()[1])

    @cached_property
    def solid(self) -> NDArray[np.bool_]:
        """Valid and clearly above the floor."""
        with np.errstate(invalid="ignore"):
            return self.height_m > SOLID_ABOVE_FLOOR_M

    @cached_property
    def breaks(self) -> NDArray[np.bool_]:
        """Differs from a 4-neighbour by more than one surface does: silhouette edges and flying pixels."""
        return depth_breaks(self.depth_m)

    @cached_property
    def seen_rows(self) -> tuple[int, int]:
        """First row with depth, and the one after the last."""
        rows = np.flatnonzero(np.isfinite(self.depth_m).any(axis=1))
        return (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)

    def _along(self, axis: NDArray[np.float64]) -> NDArray[np.float32]:
        x, y, z = axis.astype(np.float32)
        return np.asarray(self.depth_m * (self.rays[..., 0] * x + self.rays[..., 1] * y + z), np.float32)

    def floor_under(self, mask: NDArray[np.bool_]) -> FloorPlane:
        """The floor moved to where depth shows it around one person's feet, its normal kept.

        Depth of real sensors is warped by some millimetres over a room, which no plane follows; what a person stands
        on is the floor beside the feet: the mean height of floor pixels, with Gaussian weights around the body's place.
        The plane stays where it is when next to no floor is seen there.

        Args:
            mask: bool H x W, the person.
        """
        window = window_around(mask)
        body = self.part(window)
        known = mask[window] & np.isfinite(body.depth_m)
        if not known.any():
            return self.floor
        rows, columns, lateral, forward, height = self._floor_points
        lateral = lateral - np.median(body.lateral_m[known])
        forward = forward - np.median(body.forward_m[known])
        away2 = lateral**2 + forward**2
        near = (away2 < (5 * FEET_REACH_M) ** 2) & ~mask[rows, columns]
        weight = np.exp(-0.5 * away2[near] / FEET_REACH_M**2)
        total = float(weight.sum())
        if total < MIN_FLOOR_WEIGHT:
            return self.floor
        return replace(self.floor, offset_m=self.floor.offset_m - float(weight @ height[near]) / total)

    @cached_property
    def _floor_points(self) -> tuple[NDArray[Any], ...]:
        """Row, column, lateral and forward position and height of the floor's pixels; every second of them."""
        every = slice(None, None, 2)
        coarse = self.part((every, every))
        with np.errstate(invalid="ignore"):
            is_floor = np.abs(coarse.height_m) < np.maximum(FLOOR_WITHIN_M, FLOOR_WITHIN_SHARE * coarse.depth_m)
        rows, columns = np.nonzero(is_floor)
        places = (coarse.lateral_m[is_floor], coarse.forward_m[is_floor], coarse.height_m[is_floor])
        return 2 * rows, 2 * columns, *places

    def components(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Depth-continuous surfaces above the floor: labels H x W (0 = none), and per label x, y, w, h, area."""
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (self.solid & ~self.breaks).view(np.uint8), connectivity=4
        )
        return np.asarray(labels, np.int32), np.asarray(stats, np.int32)
