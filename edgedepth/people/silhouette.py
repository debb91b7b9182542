"""From a box to a silhouette: the pixels of the person in it, told from depth and the floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.people.scene import Scene, depth_breaks, depth_step_m, quantiles

__all__ = ["Silhouette", "silhouettes"]

Box = tuple[float, float, float, float]

# How far a detector's box is trusted, as shares of its size: heads and feet are cut by a few percent.
EXTEND_UP, EXTEND_DOWN, EXTEND_SIDE = 0.06, 0.12, 0.06
# Where in the box the body is looked for: below the head, above the knees, away from the neighbours at its sides.
CORE_ROWS, CORE_COLS = (0.08, 0.65), (0.25, 0.75)
BODY_DEPTH_M = 0.25
"""Half of a body's extent along the line of sight, for the mode of the core's depth."""
REACH_LATERAL_M, REACH_FORWARD_M = 0.75, 0.6
"""How far arms and a stride reach from the body's axis."""
FRAGMENT_REACH_M = 0.35
"""A piece that depth does not connect to the body (a head above a collar the sensor missed) may be this far off."""
MIN_PIXELS = 60
CORE_STEP_FROM = 200
"""Rows of a box from which every second pixel of its core is plenty."""


@dataclass(frozen=True, eq=False)
class Silhouette:
    """The pixels of one person.

    Attributes:
        mask: bool H x W on the scene's grid. Pixels without depth are never part of it.
        lateral_m, forward_m: the body's axis on the floor.
        distance_m: Z of the body, the median over the mask.
        open_top: the mask runs into the upper end of the extended box: depth does not tell the head from what is
            behind or above it.
    """

    mask: NDArray[np.bool_]
    lateral_m: float
    forward_m: float
    distance_m: float
    open_top: bool


@dataclass(frozen=True, eq=False)
class _Body:
    rows: slice
    cols: slice
    lateral_m: float
    forward_m: float


def silhouettes(boxes_xywh: Sequence[Box], scene: Scene) -> list[Silhouette | None]:
    """One silhouette a box, in order; None where the box holds no surface that stands above the floor.

    Boxes may overlap: each pixel goes to the body whose axis is nearest on the floor, and depth steps separate the
    rest. Boxes are in pixels of the scene's grid, and may lie beside it where that shows a part of the frame.
    """
    bodies = [_find_body(box, scene) for box in boxes_xywh]
    return [None if body is None else _outline(body, bodies, scene) for body in bodies]


def _window(box: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    x, y, w, h = box
    top, bottom = y - max(EXTEND_UP * h, 4), y + h + max(EXTEND_DOWN * h, 4)
    left, right = x - max(EXTEND_SIDE * w, 4), x + w + max(EXTEND_SIDE * w, 4)
    return (
        slice(max(0, int(top)), max(0, min(shape[0], int(np.ceil(bottom))))),
        slice(max(0, int(left)), max(0, min(shape[1], int(np.ceil(right))))),
    )


def _find_body(box: Box, scene: Scene) -> _Body | None:
    """The body's axis: the most common distance in the middle of the box, and the middle of what is there."""
    x, y, w, h = box
    rows, cols = _window(box, scene.depth_m.shape)
    step = 2 if h > CORE_STEP_FROM else 1
    core = (
        slice(max(0, int(y + CORE_ROWS[0] * h)), max(0, int(y + CORE_ROWS[1] * h) + 1), step),
        slice(max(0, int(x + CORE_COLS[0] * w)), max(0, int(x + CORE_COLS[1] * w) + 1), step),
    )
    middle = scene.part(core)
    forward, lateral = middle.forward_m[middle.solid], middle.lateral_m[middle.solid]
    if forward.size < MIN_PIXELS // 4:
        return None
    # A sliding window over the sorted distances: the fullest stretch of 2 x BODY_DEPTH_M.
    ordered = np.sort(forward)
    ends = np.searchsorted(ordered, ordered + 2 * BODY_DEPTH_M, side="right")
    start = int(np.argmax(ends - np.arange(ordered.size)))
    centre = float(np.median(ordered[start : ends[start]]))
    return _Body(rows, cols, float(np.median(lateral[np.abs(forward - centre) <= BODY_DEPTH_M])), centre)


def _outline(body: _Body, bodies: Sequence[_Body | None], scene: Scene) -> Silhouette | None:
    window = (body.rows, body.cols)
    part = scene.part(window)
    lateral, forward = part.lateral_m, part.forward_m
    with np.errstate(invalid="ignore"):
        mine = part.solid & (np.abs(lateral - body.lateral_m) < REACH_LATERAL_M)
        mine &= np.abs(forward - body.forward_m) < REACH_FORWARD_M
        rivals = [other for other in bodies if other is not None and other is not body and _touch(body, other)]
        own = _offset2(lateral, forward, body) if rivals else np.float32(0)
        for other in rivals:
            mine &= own <= _offset2(lateral, forward, other)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (mine & ~depth_breaks(scene.depth_m, window)).view(np.uint8), connectivity=4
    )
    if count < 2:
        return None
    main = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[main, cv2.CC_STAT_AREA] < MIN_PIXELS:
        return None
    chosen = np.zeros(count, np.bool_)
    chosen[main] = True
    for label in np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= MIN_PIXELS // 2):
        if label not in (0, main):
            piece = labels == label
            offset = np.hypot(np.median(lateral[piece]) - body.lateral_m, np.median(forward[piece]) - body.forward_m)
            chosen[label] = offset < FRAGMENT_REACH_M
    kept = _grow(chosen[labels], mine, part.depth_m)
    mask = np.zeros(scene.depth_m.shape, np.bool_)
    mask[window] = kept
    return Silhouette(
        mask=mask,
        lateral_m=body.lateral_m,
        forward_m=body.forward_m,
        distance_m=quantiles(part.depth_m[kept], 0.5)[0],
        open_top=bool(body.rows.start > 0 and kept[0].sum() > 2),
    )


def _grow(kept: NDArray[np.bool_], allowed: NDArray[np.bool_], depth_m: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Give back the outermost pixel that the search for steps took: where its depth is still that of the body.

    A flying pixel lies between body and background and stays out.
    """
    # Local range of the kept depths: outside the mask the neutral element of each filter.
    near = cv2.erode(np.where(kept, depth_m, np.float32(1e6)), _CROSS)
    far = cv2.dilate(np.where(kept, depth_m, np.float32(-1e6)), _CROSS)
    with np.errstate(invalid="ignore"):
        half = depth_step_m(depth_m) / 2
        fits = (depth_m > near - half) & (depth_m < far + half)
    return kept | (allowed & fits)


_CROSS = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))


def _offset2(lateral: NDArray[np.float32], forward: NDArray[np.float32], body: _Body) -> NDArray[np.float32]:
    """Squared distance on the floor from the body's axis. Bodies are thin along the line of sight: it counts more."""
    return (lateral - np.float32(body.lateral_m)) ** 2 + 2 * (forward - np.float32(body.forward_m)) ** 2


def _touch(a: _Body, b: _Body) -> bool:
    return all(bool(p.start < q.stop and q.start < p.stop) for p, q in ((a.rows, b.rows), (a.cols, b.cols)))
