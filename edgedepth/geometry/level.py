"""The floor where gravity tells its direction: only how far it is under the camera is left to find."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import IntrinsicsError, MeasurementRefused
from edgedepth.geometry.floor import Vector
from edgedepth.geometry.local_planes import fit_local_planes
from edgedepth.geometry.plane import UP_SIGMA_DEG, FloorPlane
from edgedepth.types import DepthMap

__all__ = ["find_level_floor"]

# What a network draws of a floor is tilted and bent by some degrees and percents.
FACING_DEG = 35.0
FALLING = 0.08
WIDTH = 0.07
LOWEST_OF = 0.4
MIN_SHARE = 0.02
BIN = 0.125
"""Of WIDTH: where the values are counted before they are smoothed."""
_KERNEL = np.exp(-0.5 * (np.arange(-4.0, 4.0 + BIN, BIN)) ** 2)


def find_level_floor(depth: DepthMap, up: Vector, *, up_sigma_deg: float = UP_SIGMA_DEG) -> FloorPlane:
    """The lowest level surface that much of the image lies on, in the map's own unit.

    For depth that is too uneven for a plane to be fitted: every patch of it that faces up roughly says how far the
    floor is under the camera, if it is floor; of the values that many agree on the largest is taken, for tables are
    nearer to the camera than floors.

    Args:
        depth: metric or relative depth with intrinsics.
        up: unit vector opposite to gravity in the camera frame.
        up_sigma_deg: how well its two angles are known; the plane's covariance tells it on.

    Raises:
        IntrinsicsError: the map has no intrinsics.
        MeasurementRefused: ``no_floor``.
    """
    if depth.intrinsics is None:
        raise IntrinsicsError("a floor needs the camera's intrinsics and this depth map has none; give --intrinsics")
    blocks = fit_local_planes(depth.values, depth.intrinsics)
    normal = np.asarray(up, np.float64) / np.linalg.norm(up)
    up32 = normal.astype(np.float32)
    drop = -(blocks.points @ up32)
    with np.errstate(invalid="ignore"):
        level = blocks.plane @ up32 > np.float32(math.cos(math.radians(FACING_DEG))) * _lengths(blocks.plane)
    level &= drop > np.float32(FALLING) * _lengths(blocks.points)
    if np.count_nonzero(level) < max(4, MIN_SHARE * blocks.total):
        raise MeasurementRefused(
            "no_floor",
            "a floor was expected and next to nothing in view faces up; show the floor around the feet, "
            "and check the camera's pitch and roll if they were told",
        )
    logs = np.log(drop[level].astype(np.float64))
    edges = np.arange(logs.min() - 5 * WIDTH, logs.max() + 5 * WIDTH, WIDTH * BIN)  # wider than the kernel
    counts, _ = np.histogram(logs, edges)
    density, grid = np.convolve(counts, _KERNEL, "same"), (edges[:-1] + edges[1:]) / 2
    peaks = np.flatnonzero((density[1:-1] >= density[:-2]) & (density[1:-1] >= density[2:])) + 1
    chosen = grid[peaks[density[peaks] >= LOWEST_OF * density.max()].max()]
    near = np.abs(logs - chosen) < 2 * WIDTH
    offset = math.exp(float(np.median(logs[near])))
    x, y, z = (float(v) for v in normal)
    # Of n / d where n turns about the camera and d is left to the scale.
    covariance = (math.radians(up_sigma_deg) / offset) ** 2 * (np.eye(3) - np.outer(normal, normal))
    return FloorPlane(
        (x, y, z),
        offset,
        inlier_rms_m=float(np.std(drop[level][near])),
        inlier_count=round(np.count_nonzero(near) * blocks.pixels_per_block),
        inlier_fraction=float(np.count_nonzero(near) / blocks.total),
        source="gravity",
        covariance=tuple(float(v) for v in covariance[np.triu_indices(3)]),
    )


def _lengths(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)), np.float32)
