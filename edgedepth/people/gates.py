"""What makes a silhouette unfit for a height before it is measured, each as a refusal with its reason.

The gates that need the crown, the body's lean or the plausible range are geometry.height's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import MeasurementRefused
from edgedepth.geometry.bounds import Box, bounds_xywh, window_around
from edgedepth.people.scene import Scene, quantiles

__all__ = ["require_alone", "require_box_agrees", "require_standing", "require_whole_head", "top_hole_m"]

Mask = NDArray[np.bool_]

# As HeightOptions.border_px; here also for what the sensor does not see and for the detector's box.
BORDER_PIXELS = 2
# Masks drawn side by side share seams of a few pixels.
MAX_SHARED = 0.1
# A standing person is three times as tall as wide or more, somebody sitting on the floor or lying is not.
MIN_SLENDERNESS = 1.5
# Detectors put a box's upper edge within 4 % of its height; a head that depth has lost is 13 % of a body or more.
MAX_MISSING_TOP, MAX_MISSING_BOTTOM = 0.1, 0.12


def require_alone(mask: Mask, others: Sequence[Mask | None]) -> None:
    """Refuses (``overlaps``) whose silhouette is somebody else's as well: given twice, or drawn over a neighbour."""
    size = max(1, int(np.count_nonzero(mask)))
    for theirs in others:
        if theirs is not None:
            shared = np.count_nonzero(mask & theirs) / size
            if shared > MAX_SHARED:
                raise MeasurementRefused(
                    "overlaps",
                    f"a silhouette must be one person's alone and {shared:.0%} of this one is another's too; "
                    "give each person once",
                )


def require_whole_head(mask: Mask, scene: Scene, *, box_top: float, open_top: bool) -> None:
    """Refuses a head whose top is out of view, or not told from what is behind it.

    Args:
        box_top: upper edge of the person's box, pixels of the depth map: a detector that puts it at the image's edge
            says as much as a silhouette there.
        open_top: see Silhouette.

    Raises:
        MeasurementRefused: ``crown_cut_off``, ``silhouette_unclear``.
    """
    top = int(bounds_xywh(mask)[1])
    # Registered depth seldom covers the image: a silhouette may end where the sensor's view does.
    sees, _ = scene.seen_rows
    if min(top, box_top) < BORDER_PIXELS or top < sees + BORDER_PIXELS:
        where = "what the depth sensor sees" if sees >= BORDER_PIXELS and box_top >= BORDER_PIXELS else "the image"
        raise MeasurementRefused(
            "crown_cut_off", f"the whole head must be in view and it leaves {where}; step back or tilt the camera up"
        )
    if open_top:
        raise MeasurementRefused(
            "silhouette_unclear",
            "depth must tell the head from what is above and behind it and the silhouette runs on above the box; "
            "step away from the background, or give a mask",
        )


def require_box_agrees(mask: Mask, scene: Scene, box_xywh: Box, *, feet_too: bool) -> None:
    """Refuses (``silhouette_unclear``) when the box, which comes from the image, holds much more than depth shows.

    Blurred depth loses heads, and a floor that is wrong swallows legs or stretches them.

    Args:
        box_xywh: pixels of the depth map.
        feet_too: also compare the lower edges: for a network's depth, whose floor is no surer than its people. A sensor
            that misses dark trousers measures the crown and the floor all the same.
    """
    _, top, _, tall = bounds_xywh(mask)
    _, y, _, h = box_xywh
    missing = (top - max(y, 0.0)) / h
    if missing > MAX_MISSING_TOP:
        raise MeasurementRefused(
            "silhouette_unclear",
            f"depth should show the head up to the box's upper edge and ends {missing:.0%} of the box below it; "
            "sharper depth is needed, or a tighter box",
        )
    _, seen = scene.seen_rows
    missing = (min(y + h, seen) - (top + tall)) / h
    if feet_too and missing > MAX_MISSING_BOTTOM:
        raise MeasurementRefused(
            "silhouette_unclear",
            f"the body should stand on the floor at the box's lower edge and by depth and floor it does {missing:.0%} "
            "of the box above it; depth and floor contradict the image",
        )


def require_standing(mask: Mask, scene: Scene, *, depth_is_sure: bool = True) -> None:
    """Refuses (``not_upright``) who is hardly taller than wide: lying, crawling, or several people in one outline.

    The middle 80 % of the silhouette's width and depth count, so arms held out do not; the width alone where depth is a
    network's, which draws bodies half as deep again as they are.
    """
    window = window_around(mask, 1)  # with the neighbours that breaks are told by
    mask, scene = mask[window], scene.part(window)
    known = mask & np.isfinite(scene.depth_m)  # a mask that was given has pixels without depth
    if np.count_nonzero(known & ~scene.breaks) > np.count_nonzero(known) / 2:
        known &= ~scene.breaks  # nor are a soft silhouette's edges, half way to the wall, part of a body
    if not known.any():
        return  # refused as ``no_depth`` when it is measured
    (tall_m,) = quantiles(scene.height_m[known], 1.0)
    axes = (scene.lateral_m, scene.forward_m) if depth_is_sure else (scene.lateral_m,)
    spreads = [quantiles(axis[known], 0.1, 0.9) for axis in axes]
    wide_m = max(high - low for low, high in spreads)
    if tall_m < MIN_SLENDERNESS * wide_m:
        raise MeasurementRefused(
            "not_upright",
            f"a standing person is at least {MIN_SLENDERNESS:g} times as tall as wide, found {tall_m:.2f} m by "
            f"{wide_m:.2f} m; stand up, apart from others",
        )


def top_hole_m(mask: Mask, depth_m: NDArray[np.float32], pixel_m: float) -> float:
    """How far pixels without depth reach above the silhouette's highest ones, metres; 0 where background follows.

    Dark hair swallows the light of active sensors, so the crown may lie anywhere in such a hole. The median over the
    crown's columns: the sensor's shadow beside a head is no hair.
    """
    top = int(bounds_xywh(mask)[1])
    crown = mask[top : top + max(1, round(0.03 / pixel_m))]
    cols = np.flatnonzero(crown.any(axis=0))
    first = top + crown[:, cols].argmax(axis=0)
    reach = max(1, round(0.15 / pixel_m))
    rows = first[None, :] - 1 - np.arange(reach)[:, None]
    empty = np.where(rows >= 0, ~np.isfinite(depth_m[np.maximum(rows, 0), cols[None, :]]), False)
    holes = np.where(empty.all(axis=0), 0, empty.argmin(axis=0))  # nothing but holes: sky, or out of range
    return float(np.median(holes)) * pixel_m
