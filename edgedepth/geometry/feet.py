"""Where somebody stands: the place on the floor under a silhouette's lower edge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import IntrinsicsError
from edgedepth.geometry.bounds import window_around
from edgedepth.geometry.plane import FloorPlane
from edgedepth.geometry.projection import pixel_rays, ray_grid
from edgedepth.types import DepthMap, Intrinsics

__all__ = ["find_feet", "upright_depth"]

Array = NDArray[np.float64]

# Of a silhouette's height: shoes, and the heel of a step.
FEET_SHARE = 0.12
NEAREST_SHARE = 0.15
MIN_COLUMNS = 4
BORDER_PIXELS = 2
SHOE_M = 0.05
"""How much nearer to the camera than the body's axis a shoe's visible edge lies on average."""
# Right below a foot that is seen there is floor; what hides a foot is nearer than the floor by more.
BELOW_PIXELS = (3, 8)
HIDDEN = 0.65
MAX_FACTOR = 2.5
FRONT_M = 0.06
"""How much nearer than its axis the front of a body or head is."""


def find_feet(mask: NDArray[np.bool_], intrinsics: Intrinsics, floor: FloorPlane) -> Array | None:
    """Unit ray to the point on the floor between both feet, camera frame; None when no such place is seen.

    The lower edge of a silhouette is where its shoes touch the floor on the camera's side. Its left and its right half
    hold one foot each, more often than not; the mean of the nearest ends of the two is the body's place but for a
    part of a shoe, whether they stand side by side or are a stride apart. A lifted foot looks farther than it is.

    Args:
        mask: bool H x W, the person, feet visible.
        floor: the plane; its normal matters and its offset does not.
    """
    window = window_around(mask)
    body = mask[window]
    if not body.size:
        return None
    low = body[-1 - max(2, round(FEET_SHARE * np.count_nonzero(body.any(axis=1)))) :]
    columns = np.flatnonzero(low.any(axis=0))
    if len(columns) < MIN_COLUMNS:
        return None
    edge = window[0].stop - low[::-1, columns].argmax(axis=0) - 0.5
    columns += window[1].start
    xy = pixel_rays(intrinsics, np.stack((columns, edge), axis=-1).astype(np.float64))
    rays = np.concatenate((xy, np.ones((len(xy), 1))), axis=1)
    up = np.asarray(floor.normal)
    falls = -(rays @ up)
    below = falls > 1e-3  # of the horizon
    if np.count_nonzero(below) < MIN_COLUMNS:
        return None
    columns, places = columns[below], rays[below] / falls[below, None]  # on a floor one unit under the camera
    away = np.linalg.norm(places + up, axis=1)
    middle = (columns[0] + columns[-1]) / 2
    ends = []
    for half in (columns <= middle, columns > middle):
        if half.any():
            nearest = np.argsort(away[half])[: max(1, round(NEAREST_SHARE * np.count_nonzero(half)))]
            ends.append(places[half][nearest].mean(axis=0))
    place = np.mean(ends, axis=0)
    return np.asarray(place / np.linalg.norm(place))


def upright_depth(depth: DepthMap, mask: NDArray[np.bool_], floor: FloorPlane) -> DepthMap:
    """The map with the person as a figure cut out of board, upright on the floor where the feet are.

    Over a floor whose direction is known the feet tell the distance to one or two percent; small networks tell it to
    five or more and draw heads, soft against the wall behind, farther off than bodies. Where the feet leave the image
    or are hidden, the board stands at the median distance of the body by depth.

    Args:
        depth: metric, with intrinsics; not written to.
        mask: bool H x W, the person.
        floor: in metres.
    """
    window = window_around(mask)
    inside = mask[window]
    rays = ray_grid(_camera(depth))[window][inside]
    across, ahead = (rays @ axis[:2].astype(np.float32) + np.float32(axis[2]) for axis in floor.axes())
    level = np.hypot(across, ahead)
    by_depth = _median(depth.values[window][inside] * level) + FRONT_M
    by_feet = _distance_by_feet(depth, mask, floor)
    if by_feet is None or not 1 / MAX_FACTOR < by_feet / by_depth < MAX_FACTOR:
        by_feet = by_depth
    if not np.isfinite(by_feet):
        return depth
    values = depth.values.copy()
    values[window][inside] = np.float32(by_feet - FRONT_M) / level
    return replace(depth, values=values)


def _camera(depth: DepthMap) -> Intrinsics:
    if depth.intrinsics is None:
        raise IntrinsicsError("feet on a floor need the camera's intrinsics and this map has none; give --intrinsics")
    return depth.intrinsics


def _distance_by_feet(depth: DepthMap, mask: NDArray[np.bool_], floor: FloorPlane) -> float | None:
    """Horizontal distance of the body's axis, metres; None when the feet leave the image or are hidden."""
    last = window_around(mask)[0].stop - 1
    if not 0 <= last < mask.shape[0] - BORDER_PIXELS:
        return None
    feet = find_feet(mask, _camera(depth), floor)
    if feet is None or _hidden(depth, mask, last, floor):
        return None
    fall = -float(feet @ np.asarray(floor.normal))
    return floor.offset_m * float(np.sqrt(1 - fall * fall)) / fall + SHOE_M


def _hidden(depth: DepthMap, mask: NDArray[np.bool_], last: int, floor: FloorPlane) -> bool:
    """Something nearer than floor begins right under the silhouette."""
    grain = max(1, round(depth.values.shape[0] / 192))  # depth of networks is soft over some of their pixels
    rows = last + np.arange(BELOW_PIXELS[0] * grain, BELOW_PIXELS[1] * grain)
    rows = rows[rows < mask.shape[0]]
    columns = np.flatnonzero(mask[max(0, last - 3 * grain) : last + 1].any(axis=0))
    if not len(rows) or not len(columns):
        return False
    above = (slice(max(0, last - 6 * grain), last + 1), columns)
    own = _median(depth.values[above][mask[above]])
    # On a level floor depth goes with 1 / fall along a column.
    middle = float(np.median(columns))
    at = np.array([[middle, float(last)], [middle, float(np.median(rows))]])
    rays = np.concatenate((pixel_rays(_camera(depth), at), np.ones((2, 1))), axis=1)
    falls = -(rays @ np.asarray(floor.normal))
    below = _median(depth.values[np.ix_(rows, columns)])
    return bool(below < HIDDEN * own * max(falls[0], 1e-3) / max(falls[1], 1e-3))


def _median(values: NDArray[np.float32]) -> float:
    """Of those that are known; NaN when none is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else np.nan
