"""Where somebody stands: the place on the floor under a silhouette's lower edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgedepth.geometry.plane import FloorPlane
from edgedepth.geometry.projection import pixel_rays
from edgedepth.types import Intrinsics

__all__ = ["find_feet"]

Array = NDArray[np.float64]

# Of a silhouette's height: shoes, and the heel of a step.
FEET_SHARE = 0.12
NEAREST_SHARE = 0.15
MIN_COLUMNS = 4


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
