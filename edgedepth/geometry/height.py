"""The height of one person above the floor, with its error, or the reason why it is not given.

Height is the distance of the crown from the floor plane along its normal: never rows of the image, never head to foot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError, IntrinsicsError, MeasurementRefused
from edgedepth.geometry.bounds import Box, bounds_xywh, window_around
from edgedepth.geometry.crown import Crown, HeadModel, find_crown
from edgedepth.geometry.feet import find_feet
from edgedepth.geometry.measurement import PERSON, HeightMeasurement, Sighting
from edgedepth.geometry.plane import FloorPlane
from edgedepth.geometry.projection import ray_grid
from edgedepth.geometry.rim import Rim, find_rim
from edgedepth.types import DepthMap

__all__ = ["HeightOptions", "clean_depth", "measure_height"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class HeightOptions:
    """The error model and the gates.

    Attributes:
        scale_sigma: relative one-sigma error of the depth's scale, focal length included; 0.005 for a calibrated
            sensor. Where a scale was measured, its sigma (geometry.scale.Scale) takes this one's place.
        noise_per_m: sigma_Z = noise_per_m * Z^2, metres; 0.0025 for RealSense-class stereo.
        edge_sigma_px: how well the silhouette's upper edge is known.
        hair_m: subtracted from every person: what the hair adds to the vertex. Measured heights include hair.
        plausible_m: heights outside are refused.
        min_coverage: least share of clean depth under the crown.
        max_lean_deg: largest lean of the body from upright.
        max_roll_deg: largest roll of the camera; columns of the image no longer run up a person beyond it.
        max_pitch_deg: steepest view, up or down; beyond it a head hides its own crown or body by centimetres.
        feet_gap_m: feet count as visible when the silhouette comes this close to the floor.
        border_px: a silhouette this close to the image's edge leaves the image.
        head: prior of the head's shape.
    """

    scale_sigma: float = 0.005
    noise_per_m: float = 0.0025
    edge_sigma_px: float = 0.6
    hair_m: float = 0.0
    plausible_m: tuple[float, float] = (0.45, 2.3)
    min_coverage: float = 0.4
    max_lean_deg: float = 25.0
    max_roll_deg: float = 30.0
    max_pitch_deg: float = 80.0
    feet_gap_m: float = 0.12
    border_px: int = 2
    head: HeadModel = field(default_factory=HeadModel)


DEFAULTS = HeightOptions()
MIN_MASK_PIXELS = 100
MARGIN_PIXELS = 4
# One independent depth error per 5 x 5 pixels.
CORRELATED_PIXELS = 25
# Enough for the medians that tell a body's lean.
BODY_POINTS = 4000
# Silhouettes of heads are not ellipses and hair is uneven: what is left when everything else is perfect.
CROWN_SIGMA_M = 0.003


def measure_height(
    depth: DepthMap,
    mask: Mask,
    floor: FloorPlane,
    *,
    box_xywh: Box | None = None,
    label: str = PERSON,
    score: float = 1.0,
    options: HeightOptions = DEFAULTS,
) -> HeightMeasurement:
    """Height of the person whose silhouette is ``mask``.

    Flying pixels are dropped; the silhouette's upper edge (half a pixel above its topmost pixels, narrow things left
    out) is carried to the crown as in geometry.crown; the height is its distance to the plane along the normal.

    Args:
        depth: metric, on the mask's grid, with intrinsics. Never resampled.
        mask: bool H x W, the person's visible silhouette.
        floor: the plane, in metres.
        box_xywh: reported with the result; the mask's bounds when None.
        label: ``"person"`` is measured to the crown of a head; anything else to the upper edge of its front.
        score: passed through.
        options: error model and gates.

    Returns:
        A measurement; ``refused`` holds the reason when there is no number: ``not_metric``, ``mask_too_small``,
        ``no_depth``, ``too_small``, ``no_head``, ``crown_cut_off``, ``crown_depth_missing``, ``crown_occluded``,
        ``camera_rolled``, ``camera_too_steep``, ``not_upright``, ``implausible_height``. Flags: ``feet_not_visible``,
        ``out_of_view`` (touches the image's edge), ``narrow_top_ignored``.

    Raises:
        InputError: the mask is not bool of the depth's shape.
        IntrinsicsError: the depth has no intrinsics.
    """
    if depth.intrinsics is None:
        raise IntrinsicsError("a height needs the camera's intrinsics and this depth map has none; give --intrinsics")
    if mask.shape != depth.values.shape or mask.dtype != np.bool_:
        raise InputError(f"a silhouette must be bool {depth.values.shape}, found {mask.dtype} {mask.shape}")
    box = box_xywh if box_xywh is not None else bounds_xywh(mask)
    try:
        return _Measurer(depth, mask, floor, options).measure(box, label, score)
    except MeasurementRefused as refusal:
        return HeightMeasurement(box, label=label, score=score, refused=f"{refusal.reason}: {refusal}")


def clean_depth(depth_m: NDArray[np.float32]) -> Mask:
    """Pixels with depth that are no flying pixels: bool H x W.

    Flying pixels mix foreground and background on silhouettes; a pixel is dropped when depth within its 3 x 3
    neighbourhood differs by more than 5 cm and 3 % of it.
    """
    valid = np.isfinite(depth_m) & (depth_m > 0)
    kernel = np.ones((3, 3), np.uint8)
    highest = cv2.dilate(np.where(valid, depth_m, np.float32(0)), kernel)
    lowest = cv2.erode(np.where(valid, depth_m, np.float32(np.finfo(np.float32).max)), kernel)
    return np.asarray(valid & (highest - lowest <= np.maximum(np.float32(0.05), np.float32(0.03) * highest)))


class _Measurer:
    """One person in one frame. Arrays are cut to the silhouette; intrinsics go with them."""

    def __init__(self, depth: DepthMap, mask: Mask, floor: FloorPlane, options: HeightOptions) -> None:
        if depth.intrinsics is None:
            raise IntrinsicsError("intrinsics are needed")
        depth_m = depth.depth_m  # raises NotMetricError
        if abs(floor.pitch_deg) > options.max_pitch_deg:  # first: the roll of a vertical view means nothing
            raise MeasurementRefused(
                "camera_too_steep",
                f"the camera may be pitched by {options.max_pitch_deg:g} degrees and is by {floor.pitch_deg:.0f}; "
                "tilt it towards the horizon",
            )
        if abs(floor.roll_deg) > options.max_roll_deg:
            raise MeasurementRefused(
                "camera_rolled",
                f"the camera may be rolled by {options.max_roll_deg:g} degrees and is by {floor.roll_deg:.0f}; "
                "turn it upright",
            )
        if np.count_nonzero(mask) < MIN_MASK_PIXELS:
            raise MeasurementRefused(
                "mask_too_small", f"a silhouette needs {MIN_MASK_PIXELS} pixels, found {np.count_nonzero(mask)}"
            )
        self.options, self.floor = options, floor
        self.image_wh = depth.size_wh
        self.box = bounds_xywh(mask)
        window = window_around(mask, MARGIN_PIXELS)
        self.top, self.left = window[0].start, window[1].start
        self.depth_m, self.mask = depth_m[window], mask[window]
        self.rays = ray_grid(depth.intrinsics)[window]
        self.intrinsics = depth.intrinsics.cropped(self.left, self.top, self.mask.shape[1], self.mask.shape[0])
        self.clean = clean_depth(self.depth_m) & self.mask
        if np.count_nonzero(self.clean) < MIN_MASK_PIXELS:
            raise MeasurementRefused(
                "no_depth", "a person needs depth and almost none is valid in the silhouette; check the sensor's range"
            )

    def measure(self, box: Box, label: str, score: float) -> HeightMeasurement:
        distance_m = float(np.median(self.depth_m[self.clean]))
        rim = find_rim(self.mask, ~np.isfinite(self.depth_m), distance_m / self.intrinsics.f_px)
        self._require_crown_in_view(rim)
        head = self.options.head if label == PERSON else None
        crown = find_crown(rim, self.depth_m, self.clean, intrinsics=self.intrinsics, floor=self.floor, head=head)
        if crown.coverage < self.options.min_coverage:
            raise MeasurementRefused(
                "crown_depth_missing",
                f"at least {self.options.min_coverage:.0%} of the depth below the crown must be valid and "
                f"{crown.coverage:.0%} is; dark hair, glare or too far",
            )
        self._require_crown_unoccluded(rim, crown)
        heights, lean_deg = self._body()
        if label == PERSON and lean_deg > self.options.max_lean_deg:
            raise MeasurementRefused(
                "not_upright",
                f"a standing body leans less than {self.options.max_lean_deg:g} degrees and this one {lean_deg:.1f}; "
                "stand straight",
            )
        height_m = crown.height_m - (self.options.hair_m if label == PERSON else 0.0)
        low, high = self.options.plausible_m
        if label == PERSON and not low <= height_m <= high:
            raise MeasurementRefused(
                "implausible_height",
                f"people are {low:g} to {high:g} m tall and this came out as {height_m:.2f} m; "
                "wrong floor, scale or mask?",
            )
        budget = self._budget(crown, height_m)
        sigma_m = math.sqrt(sum(value**2 for _, value in budget))
        flags = self._flags(heights, rim)
        return HeightMeasurement(
            box,
            height_m=height_m,
            sigma_m=sigma_m,
            interval_m=(height_m - 1.96 * sigma_m, height_m + 1.96 * sigma_m),
            flags=flags,
            label=label,
            distance_m=distance_m,
            score=score,
            budget_m=budget,
            sighting=self._sighting(crown, height_m, feet_seen="feet_not_visible" not in flags),
        )

    def _sighting(self, crown: Crown, height_m: float, *, feet_seen: bool) -> Sighting:
        up = np.asarray(self.floor.normal)
        # Straight over the rim, as high as the crown without its hair.
        x, y, z = (float(v) for v in crown.point_m + (height_m - float(self.floor.height_of(crown.point_m))) * up)
        feet = find_feet(self.mask, self.intrinsics, self.floor) if feet_seen else None
        ray = None if feet is None else (float(feet[0]), float(feet[1]), float(feet[2]))
        return Sighting((x, y, z), ray, self.floor.offset_m)

    def _budget(self, crown: Crown, height_m: float) -> tuple[tuple[str, float], ...]:
        options, slope = self.options, abs(math.sin(crown.elevation_rad))
        range_m = float(np.linalg.norm(crown.point_m))
        noise_m = options.noise_per_m * range_m**2 / math.sqrt(max(crown.samples / CORRELATED_PIXELS, 1))
        # The rim lies about 0.6 b behind the depth it is carried from; b is uncertain, and tilts into height.
        shape_m = 0.6 * options.head.sum_sigma_m * slope if crown.depth_semi_axis_m > 0 else 0.0
        return (
            ("scale", options.scale_sigma * abs(height_m)),
            ("depth_noise", noise_m * slope),
            ("floor", float(self.floor.height_sigma_m(crown.point_m))),
            ("edge", options.edge_sigma_px * crown.footprint_m),
            ("crown", math.hypot(CROWN_SIGMA_M, shape_m)),
        )

    def _body(self) -> tuple[NDArray[np.float64], float]:
        """Heights of the body's clean points, the lowest first, and its lean from the vertical, degrees."""
        where = np.flatnonzero(self.clean)
        where = where[:: 1 + len(where) // BODY_POINTS]
        z = self.depth_m.ravel()[where].astype(np.float64)
        points = np.concatenate((self.rays.reshape(-1, 2)[where] * z[:, None], z[:, None]), axis=1)
        heights = self.floor.height_of(points)
        order = np.argsort(heights)
        heights, points = heights[order], points[order]
        low, high = _share_of(heights, 0.02), _share_of(heights, 0.98)
        if high - low < 0.2:
            return heights, 90.0
        # Medians of slices: arms and legs spread evenly, a leaning body moves them. Only well measured points count.
        across = points - heights[:, None] * np.asarray(self.floor.normal)
        edges = np.linspace(low, high, 9)
        slices = [across[a:b] for a, b in pairwise(np.searchsorted(heights, edges))]
        used = [i for i, s in enumerate(slices) if len(s) >= 5]
        if len(used) < 4:
            return heights, 0.0
        middles = np.array([_share_of(np.sort(slices[i], axis=0), 0.5) for i in used])
        levels = (edges[:-1] + edges[1:])[used] / 2
        levels -= levels.mean()
        slopes = levels @ middles / (levels @ levels)  # of the straight lines nearest to them
        return heights, math.degrees(math.atan(float(np.linalg.norm(slopes))))

    def _flags(self, heights: NDArray[np.float64], rim: Rim) -> tuple[str, ...]:
        x, y, w, h = self.box
        border = self.options.border_px
        flags = []
        bottom_cut = y + h > self.image_wh[1] - border
        if bottom_cut or _share_of(heights, 0.005) > self.options.feet_gap_m:
            flags.append("feet_not_visible")
        if bottom_cut or x < border or x + w > self.image_wh[0] - border:
            flags.append("out_of_view")
        if rim.has_narrow_top:
            flags.append("narrow_top_ignored")
        return tuple(flags)

    def _require_crown_in_view(self, rim: Rim) -> None:
        border = self.options.border_px
        highest = rim.edge_rows.argmin()
        column = rim.columns[highest] + self.left
        if rim.edge_rows[highest] + 0.5 + self.top < border or not border <= column < self.image_wh[0] - border:
            raise MeasurementRefused(
                "crown_cut_off",
                "the top of the head must be inside the image and leaves it; tilt the camera or step back",
            )

    def _require_crown_unoccluded(self, rim: Rim, crown: Crown) -> None:
        """Refuses when what is right above the rim is nearer than the head: then the edge is not the head's own."""
        rows = (rim.edge_rows + 0.5).astype(int)
        middle = np.abs(rim.columns - rim.columns[rows.argmin()]) <= max(3, round(0.04 / crown.footprint_m))
        above = rows[middle, None] - np.arange(2, 5)
        columns = np.broadcast_to(rim.columns[middle, None], above.shape)
        inside = above >= 0
        z = self.depth_m[above[inside], columns[inside]]
        if inside.any() and np.count_nonzero(z < crown.point_m[2] - 0.25) > 0.3 * inside.sum():
            raise MeasurementRefused(
                "crown_occluded", "the top of the head is hidden by something nearer; clear the view of the head"
            )


def _share_of(ordered: NDArray[np.float64], share: float) -> Any:
    """The value below which a share of sorted ones (of every column of them) lies, between two of them linear."""
    at = share * (len(ordered) - 1)
    below = int(at)
    return ordered[below] + (at - below) * (ordered[min(below + 1, len(ordered) - 1)] - ordered[below])
