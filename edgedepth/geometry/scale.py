"""One factor that turns depth into metres, and how well it is known.

A factor is enough for metric depth (a network's own scale drifts between cameras) and for relative depth. It is not for
disparity, whose shift is unknown too, nor for ordinal depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError, MeasurementRefused, NotMetricError
from edgedepth.geometry.floor import FloorOptions, Vector, fit_floor
from edgedepth.geometry.plane import FloorPlane
from edgedepth.types import DepthKind, DepthMap

__all__ = ["Scale", "scale_from_camera_height", "scale_from_depth", "scale_from_floor"]


@dataclass(frozen=True)
class Scale:
    """metres = ``factor`` * value.

    Attributes:
        factor: positive.
        sigma: relative standard deviation of the factor.
        source: as Measurement.scale_source.
    """

    factor: float
    sigma: float
    source: str


# Depth errors of networks wander over the image: one independent ratio per cell of this grid.
CELLS = 8
MIN_PIXELS = 500
MIN_CELLS = 4
# Wider than any network that sees the same scene as the sensor: the two are not of one view.
MAX_SPREAD = 0.35


def scale_from_floor(floor: FloorPlane, camera_height_m: float, *, camera_height_sigma_m: float = 0.005) -> Scale:
    """The factor that puts the camera ``camera_height_m`` above a floor fitted in the depth's own unit.

    sigma adds that of the tape and that of the plane's offset. A height measured with the scaled depth inherits it:
    dH / H = dh / h, so 5 mm of 1 m are 5.5 mm of a child of 1.10 m.

    Raises:
        InputError: a height that is not positive, or a plane through or above the camera.
    """
    if not (math.isfinite(camera_height_m) and camera_height_m > 0):
        raise InputError(
            f"the camera's height above the floor must be a positive number of metres, found {camera_height_m}"
        )
    if not (math.isfinite(camera_height_sigma_m) and camera_height_sigma_m >= 0):
        raise InputError(f"the camera height's sigma must be zero or positive, found {camera_height_sigma_m}")
    if floor.offset_m <= 0:
        raise InputError(f"the floor must lie below the camera, found offset {floor.offset_m:g}")
    plane_sigma = float(floor.height_sigma_m(np.zeros(3))) / floor.offset_m
    sigma = math.hypot(camera_height_sigma_m / camera_height_m, plane_sigma)
    return Scale(camera_height_m / floor.offset_m, sigma, "camera_height")


def scale_from_camera_height(
    depth: DepthMap,
    camera_height_m: float,
    *,
    camera_height_sigma_m: float = 0.005,
    up: Vector | None = None,
    exclude: NDArray[np.bool_] | None = None,
    options: FloorOptions | None = None,
) -> Scale:
    """The factor from the camera's known height: fits the floor in the map's own unit.

    On a metric map the fit takes its own metres for tolerances; a network that is off by half should be handed over as
    RELATIVE_DEPTH.

    Args:
        depth: metric or relative depth with intrinsics.
        camera_height_m: of the camera's centre above the floor.
        camera_height_sigma_m: how well that is known; 5 mm with a tape.
        up, exclude, options: as for fit_floor.

    Raises:
        NotMetricError: disparity or ordinal depth.
        MeasurementRefused: there is no floor (see fit_floor).
        InputError: see scale_from_floor.
    """
    floor = fit_floor(depth, up=up, exclude=exclude, options=options or FloorOptions())
    return scale_from_floor(floor, camera_height_m, camera_height_sigma_m=camera_height_sigma_m)


def scale_from_depth(
    depth: DepthMap, reference_depth_m: NDArray[np.float32], *, mask: NDArray[np.bool_] | None = None
) -> Scale:
    """The factor that agrees with a depth sensor's metres on the same grid: the median of the ratios, pixel by pixel.

    sigma is that of the median over the cells of an 8 x 8 grid, because a network's errors are not independent.

    Args:
        depth: metric or relative depth.
        reference_depth_m: float H x W, metres along Z, NaN = invalid.
        mask: bool H x W, pixels to compare; all when None.

    Raises:
        NotMetricError: disparity or ordinal depth.
        InputError: sizes differ.
        MeasurementRefused: ``scale_too_few_pixels``; ``scale_inconsistent`` when the ratios scatter so much that
            the two cannot be depths of one view.
    """
    if depth.kind not in (DepthKind.METRIC, DepthKind.RELATIVE_DEPTH):
        raise NotMetricError(
            f"one factor cannot make metres of {depth.kind.value} depth, whose shift is unknown; use a metric or "
            "relative-depth model"
        )
    if reference_depth_m.shape != depth.values.shape or (mask is not None and mask.shape != depth.values.shape):
        raise InputError(
            f"the reference must be on the depth map's grid {depth.values.shape}, found {reference_depth_m.shape}"
        )
    valid = (depth.values > 0) & np.isfinite(depth.values) & (reference_depth_m > 0) & np.isfinite(reference_depth_m)
    if mask is not None:
        valid &= mask
    count = int(np.count_nonzero(valid))
    if count < MIN_PIXELS:
        raise MeasurementRefused(
            "scale_too_few_pixels", f"a scale needs {MIN_PIXELS} pixels with depth in both maps, found {count}"
        )
    ratio = np.log(reference_depth_m[valid].astype(np.float64)) - np.log(depth.values[valid].astype(np.float64))
    middle = float(np.median(ratio))
    spread = 1.4826 * float(np.median(np.abs(ratio - middle)))
    if spread > MAX_SPREAD:
        raise MeasurementRefused(
            "scale_inconsistent",
            f"the ratios of the two depths must agree within {MAX_SPREAD:.0%} and scatter by {spread:.0%}; "
            "are they of one view, and registered?",
        )
    rows, columns = np.nonzero(valid)
    cell = rows * CELLS // valid.shape[0] * CELLS + columns * CELLS // valid.shape[1]
    order = np.argsort(cell, kind="stable")
    parts = np.split(ratio[order], np.flatnonzero(np.diff(cell[order])) + 1)
    medians = np.array([np.median(part) for part in parts if len(part) >= MIN_PIXELS // CELLS**2])
    between = 1.4826 * float(np.median(np.abs(medians - middle))) if len(medians) >= MIN_CELLS else spread
    # The median of n values is 1.25 times as uncertain as their mean.
    sigma = 1.2533 * between / math.sqrt(max(len(medians), 1))
    return Scale(math.exp(middle), sigma, "sensor")
