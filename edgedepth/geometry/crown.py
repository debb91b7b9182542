"""Where the top of a head is, from a silhouette and the depth below its upper edge.

The highest visible rim of a head is where a line of sight touches it. In the vertical plane through the camera let
the head be an ellipse with semi-axes b (along the view) and c (up), and let the touching ray rise at the angle a. Then,
measured from the ellipse's centre,

    the ray passes at the distance            p = sqrt(b^2 sin^2 a + c^2 cos^2 a),
    it touches, along the ray, at             e = (c^2 - b^2) sin a cos a / p,
    a parallel ray s below it meets the head  t e - L sqrt(1 - t^2),  t = 1 - s / p,  L = b c / p,
    and the crown is higher than the rim by   c - c^2 cos a / p.

So depth measured a little below the edge (where it is measured at all: the edge itself has flying pixels) is carried to
the rim by the third line, and the rim to the crown by the fourth, whether the camera is below the crown or above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import MeasurementRefused
from edgedepth.geometry.plane import FloorPlane
from edgedepth.geometry.projection import pixel_rays
from edgedepth.geometry.rim import MIN_HEAD_COLUMNS, Rim
from edgedepth.types import Intrinsics

__all__ = ["Crown", "HeadModel", "find_crown"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class HeadModel:
    """What is known of heads before seeing one; adults and children of school age, any direction of view.

    Heads are about 0.19 m long and 0.15 m wide (0.18 m and 0.14 m at five years); what is width from the front is depth
    from the side, so the two semi-axes add up to about 0.17 m whichever way the head is turned.

    Attributes:
        sum_m, sum_sigma_m: semi-axis across plus semi-axis along the view of an adult of 1.75 m, and its spread between
            people of one stature.
        sum_per_m: how much that sum grows with stature.
        height_ratio: vertical semi-axis over that sum.
        across_m: semi-axis across where it cannot be seen.
    """

    sum_m: float = 0.168
    sum_sigma_m: float = 0.012
    sum_per_m: float = 0.012
    height_ratio: float = 0.62
    across_m: float = 0.08

    def sum_at(self, stature_m: float) -> float:
        """The sum of the semi-axes expected of someone of that stature, metres."""
        return self.sum_m + self.sum_per_m * (min(max(stature_m, 0.7), 1.9) - 1.75)


@dataclass(frozen=True, eq=False)
class Crown:
    """The highest point of a head.

    Attributes:
        point_m: on the touching ray at the rim, camera frame.
        height_m: of the crown above the floor.
        elevation_rad: rise of the touching ray above the horizontal; negative when the camera is above the crown.
        samples: depth pixels used.
        depth_semi_axis_m: b that was used; 0 for something without a head.
        footprint_m: height of one pixel at the crown.
        coverage: share of the pixels below the edge that have clean depth.
    """

    point_m: Array
    height_m: float
    elevation_rad: float
    samples: int
    depth_semi_axis_m: float
    footprint_m: float
    coverage: float


# The middle 10 cm of a head's outline are nearly a parabola; depth is taken from the middle 8 cm, 5 cm deep,
# where one ellipse fits a skull.
APEX_HALF_WIDTH_M = 0.05
BAND_HALF_WIDTH_M = 0.04
BAND_DEPTH_M = 0.05
# The outermost two rows of a silhouette mix head and background.
SKIPPED_ROWS = 2
OBJECT_ROWS = 6
# Of the upper outline of a head, h = -bend x^2: c / (2 a^2) with semi-axes of 0.11 m up and 0.08 m across.
USUAL_BEND_PER_M = 8.5


def find_crown(
    rim: Rim,
    depth_m: NDArray[np.float32],
    clean: Mask,
    *,
    intrinsics: Intrinsics,
    floor: FloorPlane,
    head: HeadModel | None,
) -> Crown:
    """The crown from the rim and the clean depth beneath it.

    Args:
        depth_m: float32 H x W.
        clean: bool H x W, the person's pixels whose depth can be trusted.
        head: None for something that is not a head: then the depth of the first rows is carried straight to the rim.

    Raises:
        MeasurementRefused: ``crown_depth_missing``.
    """
    axes = _Axes.of(floor)
    rim_rays = _unit_rays(intrinsics, rim.columns, rim.edge_rows)
    near_z = _depth_below(rim, depth_m, clean)
    edge = axes.lateral_and_height(rim_rays, near_z)
    apex = _Apex.of_object(edge) if head is None else _Apex.of_head(edge, near_z / intrinsics.fy)
    chosen = np.abs(edge[:, 0] - apex.at) <= BAND_HALF_WIDTH_M
    touching = axes.ray_through(apex.at, apex.height, near_z)
    elevation = math.asin(float(touching @ axes.up))
    rising = (axes.up - math.sin(elevation) * touching) / math.cos(elevation)

    # Pixels of the band under the rim, with the distance of their ray below the touching one of their slice.
    pixel_m = near_z / intrinsics.fy
    rows = round(BAND_DEPTH_M / pixel_m) if head is not None else OBJECT_ROWS
    rows = max(rows, OBJECT_ROWS)
    index = np.repeat(np.flatnonzero(chosen), rows)
    v = (rim.edge_rows[index] + 0.5).astype(int) + SKIPPED_ROWS + np.tile(np.arange(rows), int(chosen.sum()))
    u = rim.columns[index]
    inside = v < depth_m.shape[0]
    u, v = u[inside], v[inside]
    good = clean[v, u]
    coverage = float(good.mean()) if len(good) else 0.0
    u, v = u[good], v[good]
    if len(u) < 12:
        raise MeasurementRefused(
            "crown_depth_missing",
            "depth was expected just below the top of the head and there is none; dark hair or glare?",
        )
    rays = _unit_rays(intrinsics, u, v)
    ranges = depth_m[v, u] / rays[:, 2]
    # Against the apex and the parabola, not against each column's own edge: exact for a rolled camera, and smooth.
    drop = apex.bend_per_m * (ranges * (rays @ axes.right) - apex.at) ** 2
    below = ranges * ((touching - rays) @ rising) - drop * math.cos(elevation)

    b, deficit = 0.0, 0.0
    if head is None:
        # The front or the top of a box: a plane, whose inverse depth is linear across the image.
        rim_range = 1 / float(np.polyfit(below, 1 / ranges, 1)[1])
    else:
        seen_m = rim.half_width_px * near_z / intrinsics.fx
        across_m = seen_m if 0.05 < seen_m < 0.12 else head.across_m  # else hands, a hood, or the shoulders
        b, rim_range, deficit = _fit_head(
            _Band(ranges, below, drop, elevation), head, head.sum_at(apex.height) - across_m, across_m
        )
    point = touching * rim_range
    return Crown(
        point_m=point,
        height_m=float(floor.height_of(point)) + deficit,
        elevation_rad=elevation,
        samples=len(u),
        depth_semi_axis_m=b,
        footprint_m=rim_range * math.cos(elevation) / intrinsics.fy,
        coverage=coverage,
    )


@dataclass(frozen=True, eq=False)
class _Axes:
    """Up, to the right and ahead along the floor, in the camera frame."""

    up: Array
    right: Array
    ahead: Array
    offset: float

    @staticmethod
    def of(floor: FloorPlane) -> _Axes:
        up = np.asarray(floor.normal, np.float64)
        right, ahead = floor.axes()
        return _Axes(up, right, ahead, floor.offset_m)

    def lateral_and_height(self, rays: Array, z: float) -> Array:
        points = rays * (z / rays[:, 2:])
        return np.stack((points @ self.right, points @ self.up + self.offset), axis=1)

    def ray_through(self, lateral: float, height: float, z: float) -> Array:
        """Unit ray to the point of that lateral coordinate, height and Z."""
        point = lateral * self.right + (height - self.offset) * self.up
        point = point + (z - point[2]) / self.ahead[2] * self.ahead
        return np.asarray(point / np.linalg.norm(point))


@dataclass(frozen=True, eq=False)
class _Apex:
    """A parabola through the rim: its columns end half a pixel off on average, and many of them average that out."""

    at: float
    height: float
    bend_per_m: float

    @staticmethod
    def of_head(lateral_height: Array, pixel_m: float) -> _Apex:
        """First the parabola of a usual head that most columns agree on, whatever gaps and tufts say; then the best."""
        x, h = lateral_height[:, 0], lateral_height[:, 1]
        tolerance = max(0.01, 1.5 * pixel_m)
        best, at, height, bend = -math.inf, 0.0, 0.0, USUAL_BEND_PER_M
        for middle in np.arange(x.min(), x.max() + 0.005, 0.01):
            near = np.abs(x - middle) <= APEX_HALF_WIDTH_M
            if near.sum() < MIN_HEAD_COLUMNS:
                continue
            level = h[near] + bend * (x[near] - middle) ** 2
            apart = level[:, None] - level
            agree = (np.abs(apart) <= tolerance).sum(axis=0) - (apart > tolerance).sum(axis=0)
            # Between two heads that agree alike, the higher one.
            score = float(agree.max()) + float(level[agree.argmax()])
            if score > best:
                best, at, height = score, float(middle), float(level[agree.argmax()])
        if best == -math.inf:
            raise MeasurementRefused("no_head", "the top of the silhouette is in pieces; is the whole head in it?")
        for _ in range(4):
            fits = (np.abs(x - at) <= APEX_HALF_WIDTH_M) & (np.abs(h - height + bend * (x - at) ** 2) <= tolerance)
            if fits.sum() < MIN_HEAD_COLUMNS or np.ptp(x[fits]) < APEX_HALF_WIDTH_M:
                break
            curve, slope, constant = (float(v) for v in np.polyfit(x[fits] - at, h[fits], 2))
            bend = min(max(-curve, USUAL_BEND_PER_M / 2), 2 * USUAL_BEND_PER_M)
            if bend != -curve:  # not a head's bend: the usual one, moved to where the columns are
                height = float(np.mean(h[fits] + bend * (x[fits] - at) ** 2))
                break
            shift = min(max(slope / (2 * bend), -0.02), 0.02)
            height = constant + slope * shift - bend * shift**2
            at += shift
        return _Apex(at, height, bend)

    @staticmethod
    def of_object(lateral_height: Array) -> _Apex:
        """The upper edge of something else, without its outermost columns."""
        x, h = lateral_height[:, 0], lateral_height[:, 1]
        height = float(np.percentile(h, 90))
        return _Apex(float(np.median(x[h >= height - 0.01])), height, 0.0)


@dataclass(frozen=True, eq=False)
class _Band:
    """Depth pixels under the rim: range, distance of their ray below the touching one, drop of their column's rim."""

    ranges: Array
    below: Array
    drop: Array
    elevation: float

    def centers(self, b: Array, c: Array) -> tuple[Array, Array, Array]:
        """Range of the head's centre that every pixel implies (M x N), e and the rim's deficit (M), for M heads."""
        sin, cos = math.sin(self.elevation), math.cos(self.elevation)
        p = np.hypot(b * sin, c * cos)
        e, L = (c * c - b * b) * sin * cos / p, b * c / p
        # A slice beside the middle is a smaller ellipse with the same centre.
        k = np.maximum(1 - self.drop / c[:, None], 0.3)
        t = np.clip(1 - self.below / (k * p[:, None]), -1, 1)
        return self.ranges - k * (t * e[:, None] - L[:, None] * np.sqrt(1 - t * t)), e, c - c * c * cos / p


def _fit_head(band: _Band, head: HeadModel, expected: float, across_m: float) -> tuple[float, float, float]:
    """(b, range of the rim, deficit): the semi-axis along the view that explains how depth falls away under the rim.

    One unknown on a grid, held by the prior; the range is then a median. Neighbouring pixels err together, so the
    data count as one value per 5 x 5 pixels, each as noisy as the best fit leaves it.
    """
    grid = expected + head.sum_sigma_m * np.linspace(-3, 3, 25)
    grid = grid[grid > 0.04]
    c = head.height_ratio * (across_m + grid)
    centers, e, deficit = band.centers(grid, c)
    middles = np.median(centers, axis=1)
    residuals = np.abs(centers - middles[:, None])
    noise_m = max(0.002, 1.4826 * float(np.median(residuals, axis=1).min()))
    data_cost = (np.minimum(residuals / noise_m, 3) ** 2).sum(axis=1) / 25
    best = int((data_cost + ((grid - expected) / head.sum_sigma_m) ** 2).argmin())
    return float(grid[best]), float(middles[best] + e[best]), float(deficit[best])


def _depth_below(rim: Rim, depth_m: NDArray[np.float32], clean: Mask) -> float:
    """Median Z of the first clean rows under the highest part of the rim."""
    highest = rim.edge_rows <= np.partition(rim.edge_rows, MIN_HEAD_COLUMNS // 2)[MIN_HEAD_COLUMNS // 2] + OBJECT_ROWS
    v = (rim.edge_rows[highest] + 0.5).astype(int)[:, None] + SKIPPED_ROWS + np.arange(2 * OBJECT_ROWS)
    u = np.broadcast_to(rim.columns[highest, None], v.shape)
    inside = v < depth_m.shape[0]
    v, u = v[inside], u[inside]
    z = depth_m[v, u][clean[v, u]]
    if not len(z):
        raise MeasurementRefused(
            "crown_depth_missing", "depth was expected at the top of the head and there is none; dark hair or glare?"
        )
    return float(np.median(z))


def _unit_rays(intrinsics: Intrinsics, u: NDArray[np.generic], v: NDArray[np.generic]) -> Array:
    xy = pixel_rays(intrinsics, np.stack((u, v), axis=-1).astype(np.float64))
    rays = np.concatenate((xy, np.ones((len(xy), 1))), axis=1)
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))
