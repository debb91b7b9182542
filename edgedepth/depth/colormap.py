"""Depth as colours: near is warm, far is cold, nothing is black. One range for a whole run, so nothing flickers."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError
from edgedepth.types import DepthKind, DepthMap

__all__ = ["COLORMAPS", "DepthColormap", "pick_range"]

COLORMAPS = {"turbo": cv2.COLORMAP_TURBO, "inferno": cv2.COLORMAP_INFERNO, "magma": cv2.COLORMAP_MAGMA}
_ROUND_ENDS_M = (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300, 500, 1000)


class DepthColormap:
    """Colours a depth map. Keeps its buffers: no allocation per frame while the size stays.

    Args:
        near, far: the values of the warmest and the coldest colour, in the map's unit; what lies outside takes the
            colour of that end. For disparity, where near is large, near > far.
        name: one of COLORMAPS.

    Raises:
        InputError: an empty or endless range, or an unknown name.
    """

    def __init__(self, near: float, far: float, name: str = "turbo") -> None:
        if not (math.isfinite(near) and math.isfinite(far) and near != far):
            raise InputError(f"a colour range needs two different finite ends, found {near:g} and {far:g}")
        if name not in COLORMAPS:
            raise InputError(f"unknown colour map '{name}'; one of {', '.join(COLORMAPS)}")
        self.near, self.far = float(near), float(far)
        # Index 1..255 is far..near; 0 is "no depth" and black. The outermost tones of the maps are near black.
        tones = np.linspace(12, 248, 255).astype(np.uint8).reshape(-1, 1)
        self._lut = np.zeros((256, 1, 3), np.uint8)
        self._lut[1:] = cv2.applyColorMap(tones, COLORMAPS[name])
        self._scaled = np.empty((0, 0), np.float32)
        self._index = np.empty((0, 0), np.uint8)
        self._bgr = np.empty((0, 0, 3), np.uint8)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """``values`` float32 H x W, NaN = invalid, as uint8 BGR H x W x 3: a buffer that the next call reuses."""
        if self._index.shape != values.shape:
            self._scaled = np.empty(values.shape, np.float32)
            self._index = np.empty(values.shape, np.uint8)
            self._bgr = np.empty((*values.shape, 3), np.uint8)
        scale = 254 / (self.near - self.far)
        scaled = self._scaled
        np.multiply(values, scale, out=scaled)
        scaled += 1.5 - self.far * scale
        np.clip(scaled, 1, 255, out=scaled)  # NaN stays NaN, infinities become an end
        np.nan_to_num(scaled, copy=False, nan=0.0)
        np.copyto(self._index, scaled, casting="unsafe")
        cv2.applyColorMap(self._index, self._lut, self._bgr)
        return self._bgr

    @property
    def table_rgb(self) -> NDArray[np.uint8]:
        """The colours from far to near, uint8 RGB 255 x 3, for other programs to draw with."""
        return np.ascontiguousarray(self._lut[1:, 0, ::-1])

    def bar(self, height: int, width: int) -> NDArray[np.uint8]:
        """The colours from far (top) to near (bottom), uint8 BGR height x width x 3."""
        column = np.linspace(self.far, self.near, height, dtype=np.float32)[:, None]
        return np.repeat(self(column), width, axis=1)


def pick_range(depth: DepthMap) -> tuple[float, float] | None:
    """A (near, far) that suits this map, or None when fewer than a tenth of its pixels are valid.

    Metres start at 0 and end at a round number above the 98th percentile, so that videos compare; other kinds span
    their 2nd to 98th percentile.
    """
    valid = depth.values[np.isfinite(depth.values)]
    if valid.size < 0.1 * depth.values.size or not valid.size:
        return None
    low, high = (float(v) for v in np.percentile(valid, (2, 98)))
    if depth.is_metric:
        return 0.0, float(next((end for end in _ROUND_ENDS_M if end >= high), high))
    if low == high:
        high = low + max(abs(low), 1.0) * 1e-3
    return (high, low) if depth.kind is DepthKind.DISPARITY else (low, high)
