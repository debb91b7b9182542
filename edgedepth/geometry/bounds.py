"""Where a mask is: everything about one person is worked out in this part of the image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Window", "bounds_xywh", "window_around"]

Box = tuple[float, float, float, float]
Window = tuple[slice, slice]
"""Rows and columns."""


def bounds_xywh(mask: NDArray[np.bool_]) -> Box:
    """x, y, width, height of the smallest box around a mask (bool H x W), pixels; zeros for an empty one."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    return float(x), float(y), float(w), float(h)


def window_around(mask: NDArray[np.bool_], margin: int = 0) -> Window:
    """The smallest box around a mask (bool H x W) and ``margin`` pixels beside it."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    return slice(max(0, y - margin), y + h + margin), slice(max(0, x - margin), x + w + margin)
