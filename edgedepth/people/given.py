"""People the caller already knows: boxes or silhouettes drawn by hand or by another program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError
from edgedepth.geometry.bounds import bounds_xywh
from edgedepth.geometry.plane import FloorPlane
from edgedepth.people.base import Candidate, Stateless
from edgedepth.types import DepthMap, Frame

__all__ = ["GivenPeople"]


class GivenPeople(Stateless):
    """A PersonFinder that returns what it was given, in that order, checked against the frame's size.

    Args:
        boxes_xywh: one (x, y, width, height) a person, pixels of the frame. A box may reach beyond the frame, as
            annotations do; it is clipped.
        masks: one bool silhouette of the frame's size a person, or none at all. Without boxes the masks' own bounds
            are the boxes.

    Raises:
        InputError: neither is given, their numbers differ, a box is not four finite numbers with a positive size, or
            a mask is not a non-empty bool H x W.
    """

    def __init__(
        self,
        boxes_xywh: Sequence[Sequence[float]] | None = None,
        masks: Sequence[NDArray[Any]] | None = None,
    ) -> None:
        if boxes_xywh is None and masks is None:
            raise InputError("give boxes or masks of the people, found neither")
        if boxes_xywh is not None and masks is not None and len(boxes_xywh) != len(masks):
            raise InputError(f"each person needs one box and one mask, found {len(boxes_xywh)} and {len(masks)}")
        self._masks = [None] * len(boxes_xywh or ()) if masks is None else [_checked_mask(mask) for mask in masks]
        self._boxes = (
            [bounds_xywh(mask) for mask in self._masks if mask is not None]
            if boxes_xywh is None
            else [_checked_box(box) for box in boxes_xywh]
        )

    def find(
        self, frame: Frame, depth: DepthMap | None = None, floor: FloorPlane | None = None
    ) -> tuple[Candidate, ...]:
        """The given people.

        Raises:
            InputError: a box lies outside this frame, or a mask is of another size.
        """
        width, height = frame.size_wh
        found = []
        for (x, y, w, h), mask in zip(self._boxes, self._masks, strict=True):
            if mask is not None and mask.shape != (height, width):
                raise InputError(
                    f"a person's mask must be of the frame's size {width}x{height}, found "
                    f"{mask.shape[1]}x{mask.shape[0]}; resize it with nearest neighbour"
                )
            x0, y0, x1, y1 = max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))
            if x1 - x0 < 1 or y1 - y0 < 1:
                raise InputError(
                    f"the box x={x:g} y={y:g} w={w:g} h={h:g} lies outside the {width}x{height} frame; boxes are "
                    "x, y of the top left pixel, then width and height, in pixels of this image"
                )
            found.append(Candidate((x0, y0, x1 - x0, y1 - y0), mask=mask))
        return tuple(found)


def _checked_box(box: Sequence[float]) -> tuple[float, float, float, float]:
    if len(box) != 4 or not all(math.isfinite(v) for v in box) or box[2] <= 0 or box[3] <= 0:
        raise InputError(f"a box is x, y, width, height in pixels with a positive size, found {list(box)}")
    x, y, w, h = (float(v) for v in box)
    return x, y, w, h


def _checked_mask(mask: NDArray[Any]) -> NDArray[np.bool_]:
    if mask.ndim != 2 or mask.dtype != np.bool_ or not mask.any():
        raise InputError(
            f"a person's mask is a bool H x W array with some pixels set, found {mask.dtype} {mask.shape}"
            + (" with none set" if mask.dtype == np.bool_ else "; compare it with a threshold first")
        )
    return mask
