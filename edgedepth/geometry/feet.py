"""Where somebody stands: the place on the floor under a silhouette's lower edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgedepth.geometry.plane import FloorPlane
from edgedepth.geometry.projection import pixel_rays
from edgedepth.types import DepthMap, Intrinsics

__all__ = ["distance_by_feet", "find_feet"]

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
HIDDEN = 0.8
MAX_FACTOR = 1.8


def find_feet(mask: NDArray[np.bool_], intrinsics: Intrinsics, floor: FloorPlane) -> Array | None:
    """Unit ray to the point on the floor between both feet, camera frame; None when no such place is seen.

    The lower edge of a silhouette is where its shoes touch the floor on the camera's side. Its left and its right half
    hold one foot each, more often than not; the mean of the nearest ends of the two is the body's place but for a
    part of a shoe, whether they stand side by side or are a stride apart. A lifted foot looks farther than it is.

    Args:
        mask: bool H x W, the person, feet visible.
        floor: the plane; its normal matters and its offset does not.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    first = max(int(rows[-1]) - max(2, round(FEET_SHARE * len(rows))), 0)
    low = mask[first:]
    columns = np.flatnonzero(low.any(axis=0))
    if len(columns) < MIN_COLUMNS:
        return None
    edge = first + low.shape[0] - low[::-1, columns].argmax(axis=0) - 0.5
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


def distance_by_feet(depth: DepthMap, mask: NDArray[np.bool_], floor: FloorPlane) -> float | None:
    """The factor on depth that puts the person's body over the place where the feet are.

    Args:
        depth: metric, with intrinsics.
        mask: bool H x W, the person.
        floor: in metres.

    Returns:
        None when the feet leave the image or are hidden, or the two contradict one another.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if depth.intrinsics is None or not len(rows) or rows[-1] >= mask.shape[0] - BORDER_PIXELS:
        return None
    feet = find_feet(mask, depth.intrinsics, floor)
    if feet is None or _hidden(depth, mask, int(rows[-1]), floor):
        return None
    up = np.asarray(floor.normal)
    fall = -float(feet @ up)
    away = floor.offset_m * float(np.sqrt(1 - fall * fall)) / fall + SHOE_M
    v, u = np.nonzero(mask & np.isfinite(depth.values))
    step = 1 + len(v) // 2000
    v, u = v[::step], u[::step]
    xy = pixel_rays(depth.intrinsics, np.stack((u, v), axis=-1).astype(np.float64))
    points = np.concatenate((xy, np.ones((len(xy), 1))), axis=1) * depth.values[v, u][:, None]
    level = points - (points @ up)[:, None] * up
    # The body's front, half of it nearer than the axis.
    factor = away / (float(np.median(np.linalg.norm(level, axis=1))) + SHOE_M)
    return factor if 1 / MAX_FACTOR < factor < MAX_FACTOR else None


def _hidden(depth: DepthMap, mask: NDArray[np.bool_], last: int, floor: FloorPlane) -> bool:
    """Something nearer than floor begins right under the silhouette."""
    assert depth.intrinsics is not None
    grain = max(1, round(depth.values.shape[0] / 192))  # depth of networks is soft over some of their pixels
    rows = last + np.arange(BELOW_PIXELS[0] * grain, BELOW_PIXELS[1] * grain)
    rows = rows[rows < mask.shape[0]]
    columns = np.flatnonzero(mask[max(0, last - 3 * grain) : last + 1].any(axis=0))
    above = depth.values[max(0, last - 6 * grain) : last + 1, columns]
    own = float(np.nanmedian(np.where(mask[max(0, last - 6 * grain) : last + 1, columns], above, np.nan)))
    if not len(rows) or not len(columns):
        return False
    # On a level floor depth goes with 1 / fall along a column.
    middle = float(np.median(columns))
    at = np.array([[middle, float(last)], [middle, float(np.median(rows))]])
    rays = np.concatenate((pixel_rays(depth.intrinsics, at), np.ones((2, 1))), axis=1)
    falls = -(rays @ np.asarray(floor.normal))
    below = float(np.nanmedian(depth.values[np.ix_(rows, columns)]))
    return bool(below < HIDDEN * own * max(falls[0], 1e-3) / max(falls[1], 1e-3))
