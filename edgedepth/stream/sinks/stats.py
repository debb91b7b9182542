"""A depth map in a handful of numbers, cheap enough for every frame."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgedepth.types import DepthMap

__all__ = ["MAX_SAMPLES", "center_value", "depth_stats"]

MAX_SAMPLES = 10_000
_CENTER_RADIUS = 2
_PERCENTILES = {"min": 0, "p05": 5, "median": 50, "p95": 95, "max": 100}


def depth_stats(depth: DepthMap) -> dict[str, Any]:
    """JSON-ready statistics of the valid pixels, from a regular grid of at most MAX_SAMPLES of them.

    Returns:
        ``kind``, ``unit`` (``"m"`` or None), ``valid_fraction`` (0..1), and min, p05, median, p95, max and center
        (see center_value), each None when nothing is valid. Metric maps name them ``min_m`` and so on; the numbers
        of other kinds are no metres and their names do not say so.
    """
    h, w = depth.values.shape
    step = max(1, math.ceil(math.sqrt(h * w / MAX_SAMPLES)))
    grid = depth.values[step // 2 :: step, step // 2 :: step]
    valid = grid[np.isfinite(grid)]
    numbers: dict[str, float | None] = dict.fromkeys(_PERCENTILES)
    if valid.size:
        found = np.percentile(valid, list(_PERCENTILES.values()))
        numbers = dict(zip(_PERCENTILES, map(float, found), strict=True))
    numbers["center"] = center_value(depth)
    suffix = "_m" if depth.is_metric else ""
    return {
        "kind": depth.kind.value,
        "unit": "m" if depth.is_metric else None,
        "valid_fraction": round(valid.size / grid.size, 4) if grid.size else 0.0,
        **{name + suffix: _rounded(value, metric=depth.is_metric) for name, value in numbers.items()},
    }


def center_value(depth: DepthMap) -> float | None:
    """Median of the valid values in the 5 x 5 pixels around the centre, in the map's unit; None without any."""
    h, w = depth.values.shape
    y, x = (h - 1) // 2, (w - 1) // 2
    patch = depth.values[
        max(0, y - _CENTER_RADIUS) : y + _CENTER_RADIUS + 1, max(0, x - _CENTER_RADIUS) : x + _CENTER_RADIUS + 1
    ]
    valid = patch[np.isfinite(patch)]
    return float(np.median(valid)) if valid.size else None


def _rounded(value: float | None, *, metric: bool) -> float | None:
    """A tenth of a millimetre, or six digits where the unit is unknown."""
    if value is None:
        return None
    return round(value, 4) if metric else float(f"{value:.6g}")
