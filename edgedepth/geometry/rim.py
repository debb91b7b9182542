"""The upper edge of a head in a silhouette: gaps bridged, hands and tufts of hair left out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import MeasurementRefused

__all__ = ["MIN_HEAD_COLUMNS", "Rim", "find_rim"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Whatever is narrower is no head: forearms and hands up to 9 cm, small children's heads from 12 cm.
HEAD_WIDTH_M = 0.10
SPIKE_WIDTH_M = 0.03
SPIKE_HEIGHT_M = 0.01
# A cap of a head above the level where it is 10 cm wide is at most 3 cm high.
CAP_HEIGHT_M = 0.045
HEAD_REACH_M = 0.08
MIN_HEAD_COLUMNS = 6


@dataclass(frozen=True, eq=False)
class Rim:
    """The upper edge of a silhouette around its highest point.

    Attributes:
        columns: image columns, and ``edge_rows``: the row of the mask's upper edge there (topmost pixel - 0.5).
        half_width_px: half the width of what is below the edge.
        has_narrow_top: something narrower than a head sticks out above and was left out (hand, hair, antenna).
    """

    columns: NDArray[np.intp]
    edge_rows: Array
    half_width_px: float
    has_narrow_top: bool


def find_rim(mask: Mask, unknown: Mask, pixel_m: float) -> Rim:
    """The upper edge of the head in a silhouette.

    Args:
        mask: bool H x W.
        unknown: bool H x W, pixels without depth: dark hair swallows the light of active sensors and leaves gaps in
            silhouettes that come from depth. A head with a gap is one head; an arm with background between is not.
        pixel_m: size of a pixel at the person, metres.

    Raises:
        MeasurementRefused: ``too_small`` (a head of fewer than six columns), ``no_head`` (nothing as wide as a head).
    """
    width_px = HEAD_WIDTH_M / pixel_m
    if width_px < MIN_HEAD_COLUMNS:
        raise MeasurementRefused(
            "too_small",
            f"a head needs {MIN_HEAD_COLUMNS} pixels and has about {width_px:.1f} here; come closer or raise the "
            "resolution",
        )
    bridged = mask | (unknown & (_rows(cv2.MORPH_CLOSE, mask, round(width_px))))
    solid = _rows(cv2.MORPH_OPEN, bridged, max(1, round(SPIKE_WIDTH_M / pixel_m)))
    wide = _rows(cv2.MORPH_OPEN, solid, round(width_px)) & solid
    columns = np.flatnonzero(wide.any(axis=0) & mask.any(axis=0))
    if not len(columns):
        raise MeasurementRefused(
            "no_head",
            f"nothing in the silhouette is as wide as a head ({HEAD_WIDTH_M:.2f} m); is the whole person in it?",
        )
    top_wide = wide[:, columns].argmax(axis=0)
    # The topmost rows of a head are narrow too: a spike is what rises more than a centimetre above the solid part.
    top, highest = solid[:, columns].argmax(axis=0), mask[:, columns].argmax(axis=0)
    top = np.where(top - highest <= SPIKE_HEIGHT_M / pixel_m, highest, top)
    cap_px = CAP_HEIGHT_M / pixel_m
    # A column whose own pixels begin far below is all gap; one that rises far above is an arm.
    # Columns whose edge lies well below the highest level of a head's width are shoulders.
    is_head = (top_wide - top <= cap_px) & mask[top, columns] & (top <= top_wide.min() + HEAD_REACH_M / pixel_m)
    columns, top = columns[is_head], top[is_head]
    if len(columns) < MIN_HEAD_COLUMNS:
        raise MeasurementRefused("no_head", "the top of the silhouette is narrower than a head; lower the arms")
    narrow = bool(mask.any(axis=1).argmax() < top.min() - cap_px / 2)
    return Rim(columns, top - 0.5, _half_width(bridged, columns, top, pixel_m), narrow)


def _half_width(mask: Mask, columns: NDArray[np.intp], top: NDArray[np.intp], pixel_m: float) -> float:
    """Half of the widest run through the head's middle column, 5 to 11 cm below its top."""
    middle = int(np.median(columns[top == top.min()]))
    rows = mask[top.min() + round(0.05 / pixel_m) : top.min() + round(0.11 / pixel_m) + 1]
    outside = np.pad(~rows[rows[:, middle]], ((0, 0), (1, 1)), constant_values=True)  # so is what lies beside the mask
    right, left = outside[:, middle + 1 :].argmax(axis=1), outside[:, middle::-1].argmax(axis=1)
    return float((right + left).max(initial=0)) / 2


def _rows(operation: int, mask: Mask, width_px: int) -> Mask:
    """Opening or closing of the rows: drops runs, or fills gaps, that are narrower."""
    kernel = np.ones((1, width_px | 1), np.uint8)  # odd: an even kernel shifts the result by a pixel
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), operation, kernel) > 0)
