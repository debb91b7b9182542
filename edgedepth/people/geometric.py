"""People without a network: what stands on the floor, and whether its shape is a person's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import MeasurementRefused
from edgedepth.geometry.plane import FloorPlane
from edgedepth.people.base import PERSON, UPRIGHT_OBJECT, Candidate, Stateless
from edgedepth.people.scene import Scene, depth_step_m, quantiles
from edgedepth.types import DepthMap, Frame

__all__ = ["GeometricFinder", "shape_score"]

WORK_WIDTH = 320
"""Columns the search works on: a person at 5 m is still 25 wide and 90 tall."""
MIN_AREA_M2 = 0.06
"""A toddler of half a metre shows 0.06 m^2 to the camera."""
MIN_PIXELS = 80
HEIGHT_M = (0.5, 2.2)
MAX_WIDTH_M = 1.2
"""Elbows out, or two steps; wider things are furniture and walls."""
MAX_GAP_TO_FLOOR_M = 0.35
"""Shiny or dark shoes and trousers often have no depth: a person may seem to hang in the air up to mid-calf."""
PROFILE_BIN_M = 0.04
HEAD_PROMINENCE_M = 0.12
"""How far shoulders and neighbours' arms lie below a crown, at least: a child of half a metre has 0.12 m."""
HEAD_SPACING_M = 0.28
"""Two children side by side are a shoulder's width apart."""
MERGE_FORWARD_M, MERGE_GAP_M = 0.25, 0.3
"""A body that a bag or a belt without depth cuts in two: how far apart the pieces may lie, ahead and up."""

# Trapezoids (0 below a, 1 from b to c, 0 above d) over a standing person seen from the front, the back or the side.
# Lengths are shares of the stature where bodies scale with it. Adults: head breadth 0.15 m, with hair up to 0.26 m,
# crown to shoulders 0.16-0.19 of the stature; elbow to elbow 0.40-0.60 m. A child's head is larger for its stature:
# 0.15 m wide of 1.0 m, crown to shoulders 0.25. Seen from the side, shoulders are 0.24-0.30 m.
HEAD_WIDTH_M = (0.08, 0.11, 0.27, 0.34)
HEAD_TALL_SHARE = (0.07, 0.11, 0.28, 0.34)
BODY_WIDTH_SHARE = (0.12, 0.16, 0.42, 0.50)
BODY_TO_HEAD = (1.1, 1.4, 4.0, 5.5)
HEAD_OFFSET_SHARE = (-2.0, -1.0, 0.25, 0.40)
FILL = (0.6, 0.8, 9.0, 10.0)
VISIBLE_SHARE = (0.4, 0.55, 9.0, 10.0)
THICKNESS_M = (-2.0, -1.0, 0.45, 0.60)
LEVEL_STEP_M = 1000.0
"""Offset between the levels of one sort: more than any room is wide."""
PERSON_SCORE = 0.5
"""A person is what is at least halfway into every trapezoid."""
MAX_STEP_M = 0.25
"""Where one surface may show larger depth steps than this (beyond 6 m), heads and shoulders are not resolved."""


@dataclass(frozen=True, eq=False)
class _Points:
    """A part of the scene, flattened."""

    rows: NDArray[np.intp]
    cols: NDArray[np.intp]
    lateral_m: NDArray[np.float32]
    forward_m: NDArray[np.float32]
    height_m: NDArray[np.float32]
    depth_m: NDArray[np.float32]

    def at(self, index: NDArray[np.intp]) -> _Points:
        return _Points(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: list[_Points]) -> _Points:
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__))


class GeometricFinder(Stateless):
    """Finds what stands on the floor and looks like one upright thing; labels it by its shape. A PersonFinder.

    Surfaces are grown over the depth map where depth is continuous, pieces above one another are joined, and what
    holds several heads is split between them. A head on shoulders of human proportions is labelled ``"person"``;
    the rest, between 0.5 and 2.2 m tall and at most 1.2 m wide, ``"upright_object"``. Walls, table tops and what does
    not reach the floor are left out.

    It needs metric depth and the floor, and depth that is sharp at silhouettes, as a sensor's is.
    """

    def find(self, frame: Frame, depth: DepthMap | None, floor: FloorPlane | None) -> tuple[Candidate, ...]:
        """What stands on the floor, people first, boxes in pixels of the frame.

        Raises:
            NotMetricError: the depth has no scale.
            MeasurementRefused: ``no_depth`` or ``no_floor``: it was called without them.
        """
        if depth is None:
            raise MeasurementRefused("no_depth", "the geometric finder needs a depth map, found none; use a detector")
        if floor is None:
            raise MeasurementRefused("no_floor", "the geometric finder needs the floor, found none; use a detector")
        stride = max(1, round(depth.size_wh[0] / WORK_WIDTH))
        scene = Scene.build(depth, floor, stride)
        scale = np.array(frame.size_wh) / np.array(depth.size_wh) * stride
        found = []
        for surface in _surfaces(scene):
            for part in _split_at_heads(surface):
                score = _upright_score(part, scene)
                if score is None:
                    continue
                x0, y0 = part.cols.min() * scale[0], part.rows.min() * scale[1]
                x1, y1 = (part.cols.max() + 1) * scale[0], (part.rows.max() + 1) * scale[1]
                box = (
                    float(x0),
                    float(y0),
                    float(min(x1, frame.size_wh[0]) - x0),
                    float(min(y1, frame.size_wh[1]) - y0),
                )
                is_person = score >= PERSON_SCORE
                found.append(Candidate(box, PERSON if is_person else UPRIGHT_OBJECT, score if is_person else 1 - score))
        return tuple(sorted(found, key=lambda c: (c.label != PERSON, -c.score)))


def _surfaces(scene: Scene) -> list[_Points]:
    """Depth-continuous surfaces that are large enough, with the pieces that belong above or below them."""
    labels, stats = scene.components()
    large = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= MIN_PIXELS // 4)
    pieces = []
    for label in large[large > 0]:
        x, y, w, h, _ = stats[label]
        rows, cols = np.nonzero(labels[y : y + h, x : x + w] == label)
        rows, cols = rows + y, cols + x
        at = (rows, cols)
        pieces.append(
            _Points(rows, cols, scene.lateral_m[at], scene.forward_m[at], scene.height_m[at], scene.depth_m[at])
        )
    pieces.sort(key=lambda p: -len(p.rows))
    merged: list[list[_Points]] = []
    reach: list[tuple[float, float, float, float, float]] = []
    for piece in pieces:
        (forward,), (low, high) = quantiles(piece.forward_m, 0.5), quantiles(piece.height_m, 0.02, 0.98)
        left, lateral, right = quantiles(piece.lateral_m, 0.02, 0.5, 0.98)
        for group, (near, far, ahead, bottom, top) in zip(merged, reach, strict=True):
            if (
                near < lateral < far
                and abs(forward - ahead) < MERGE_FORWARD_M
                and (low > top - 0.1 or high < bottom + 0.1)  # beside each other is another thing
                and max(low - top, bottom - high) < MERGE_GAP_M
            ):
                group.append(piece)
                break
        else:
            merged.append([piece])
            reach.append((left, right, forward, low, high))
    joined = [_Points.joined(group) for group in merged]
    return [p for p in joined if len(p.rows) >= MIN_PIXELS and _area_m2(p, scene) >= MIN_AREA_M2]


def _area_m2(points: _Points, scene: Scene) -> float:
    return float(np.sum((points.depth_m * np.float32(scene.pixel_rad)) ** 2))


def _split_at_heads(points: _Points) -> Iterator[_Points]:
    """One part per head: maxima of the outline's height over the lateral axis, cut at the lowest place between."""
    start = float(points.lateral_m.min())
    bins = ((points.lateral_m - start) / np.float32(PROFILE_BIN_M)).astype(np.intp)
    outline = np.zeros(int(bins.max()) + 1, np.float32)
    np.maximum.at(outline, bins, points.height_m)
    heads = _peaks(outline)
    if len(heads) < 2:
        yield points
        return
    cuts = [a + int(np.argmin(outline[a:b])) for a, b in pairwise(heads)]
    owner = np.searchsorted(np.array(cuts), bins, side="left")
    order = np.argsort(owner, kind="stable")
    for part in np.split(order, np.searchsorted(owner[order], np.arange(1, len(heads)))):
        yield points.at(part)


def _peaks(outline: NDArray[np.float32]) -> list[int]:
    """Positions of the maxima that stand HEAD_PROMINENCE_M above the lowest place between them and any higher one."""
    spacing = max(1, round(HEAD_SPACING_M / PROFILE_BIN_M))
    kept: list[int] = []
    around = np.pad(outline, 1, constant_values=-1)
    summits = np.flatnonzero((outline >= around[:-2]) & (outline > around[2:]))
    for candidate in summits[np.argsort(-outline[summits], kind="stable")]:
        top = outline[candidate]
        if top < HEIGHT_M[0]:
            break
        separate = all(
            abs(candidate - peak) >= spacing
            and top - outline[min(candidate, peak) : max(candidate, peak)].min() >= HEAD_PROMINENCE_M
            for peak in kept
        )
        if separate:
            kept.append(int(candidate))
    return sorted(kept)


def _upright_score(points: _Points, scene: Scene) -> float | None:
    """None: not one upright thing on the floor. Otherwise how well its shape is a person's, 0..1."""
    if len(points.rows) < MIN_PIXELS or _area_m2(points, scene) < MIN_AREA_M2:
        return None
    top_m = float(points.height_m.max())
    extents = [quantiles(axis, 0.02, 0.98) for axis in (points.lateral_m, points.forward_m)]
    if not HEIGHT_M[0] <= top_m <= HEIGHT_M[1] or max(high - low for low, high in extents) > MAX_WIDTH_M:
        return None
    (bottom_m,) = quantiles(points.height_m, 0.01)
    hangs = bottom_m > MAX_GAP_TO_FLOOR_M and not _cut_below(points, scene)
    if hangs or _top_is_hidden(points, scene):  # the latter is background seen between nearer things
        return None
    (distance_m,) = quantiles(points.depth_m, 0.5)
    if points.rows.min() <= 1 or depth_step_m(np.full(1, distance_m, np.float32))[0] > MAX_STEP_M:
        return 0.0  # no crown in view, or not resolved: nothing to tell a person by
    return shape_score(points.height_m, points.lateral_m, points.forward_m, scene.pixel_rad * distance_m)


def _cut_below(points: _Points, scene: Scene) -> bool:
    """Below its lowest pixel there is no depth: the image, or what the sensor sees, ends there."""
    below = int(points.rows.max()) + 1
    col = int(np.median(points.cols[points.rows >= below - 3]))
    return not np.isfinite(scene.depth_m[below : below + max(2, scene.depth_m.shape[0] // 40), col]).any()


def _top_is_hidden(points: _Points, scene: Scene) -> bool:
    """What lies just above its highest pixels is nearer: an occluder, not background."""
    top = points.rows <= points.rows.min() + max(1, int(np.ptp(points.rows)) // 20)
    above = points.rows[top] - max(3, int(np.ptp(points.rows)) // 12)
    inside = above >= 0
    if not inside.any():
        return False
    depth_m = scene.depth_m[above[inside], points.cols[top][inside]]
    own_m = points.depth_m[top][inside]
    with np.errstate(invalid="ignore"):
        nearer = own_m - depth_m > depth_step_m(own_m)
    return bool(nearer.mean() > 0.5)


def shape_score(
    height_m: NDArray[np.float32],
    lateral_m: NDArray[np.float32],
    forward_m: NDArray[np.float32],
    pixel_m: float,
) -> float:
    """How well the points of one surface are a head on the shoulders of a standing person, 0 (not at all) to 1.

    The outline's width is taken level by level below the crown, and every proportion must agree: the score is that of
    the worst one.

    Args:
        height_m, lateral_m, forward_m: N points: above the floor, to the right and ahead on it.
        pixel_m: what one pixel spans there; the search for depth steps took as much from each side.
    """
    stature = float(height_m.max())
    level_m = max(0.02, stature / 60)
    level = ((stature - height_m) / np.float32(level_m)).astype(np.intp)
    # One sort by level, then by lateral position, which stays below LEVEL_STEP_M.
    ordered = np.sort(level * LEVEL_STEP_M + lateral_m) - np.sort(level) * LEVEL_STEP_M
    count = np.bincount(level)
    start = np.cumsum(count) - count
    last = np.maximum(count - 1, 0)
    # Third and 97th percentile of the lateral position on each level.
    low, high = (ordered[np.minimum(start + np.rint(q * last).astype(np.intp), len(ordered) - 1)] for q in (0.03, 0.97))
    width = np.where(count >= 4, high - low + 2 * pixel_m, np.nan)
    centre = (high + low) / 2
    below = (np.arange(len(count)) + 0.5) * level_m / stature
    head = (below > 0.02) & (below < 0.11) & np.isfinite(width)
    body = (below > 0.18) & (below < 0.45) & np.isfinite(width)
    if head.sum() < 2 or body.sum() < 3:
        return 0.0
    # Hair that the sensor misses takes from the head's width, never adds: the wider levels are the head's.
    head_m, body_m = float(np.percentile(width[head], 75)), float(np.median(width[body]))
    shoulders = np.flatnonzero((width > (head_m + body_m) / 2) & (below > 0.05))
    fill = float(np.median((count * pixel_m**2 / level_m / width)[body]))
    offset = abs(float(np.median(centre[head])) - float(np.median(centre[body]))) / body_m
    front, behind = quantiles(forward_m, 0.1, 0.9)
    return min(
        _trapezoid(head_m, *HEAD_WIDTH_M),
        _trapezoid(float(below[shoulders[0]]) if shoulders.size else 1.0, *HEAD_TALL_SHARE),
        _trapezoid(body_m / stature, *BODY_WIDTH_SHARE),
        _trapezoid(body_m / head_m, *BODY_TO_HEAD),
        _trapezoid(offset, *HEAD_OFFSET_SHARE),
        _trapezoid(fill, *FILL),
        _trapezoid((stature - float(height_m.min())) / stature, *VISIBLE_SHARE),
        _trapezoid(behind - front, *THICKNESS_M),
    )


def _trapezoid(x: float, a: float, b: float, c: float, d: float) -> float:
    return max(0.0, min(1.0, (x - a) / (b - a), (d - x) / (d - c)))
