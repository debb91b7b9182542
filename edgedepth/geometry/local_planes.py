"""A depth map reduced to blocks, each with the plane that fits its neighbourhood.

A plane n . p + d = 0 seen along the ray r = (x, y, 1) has inverse depth q = 1/Z = -(n / d) . r, which is *linear* in
the ray. So with m = n / d every local plane is a linear regression of q on (x, y): exact for slanted surfaces at any
distance, where a threshold on depth steps would take a far floor for an edge; and stereo and structured-light noise
(sigma_Z ~ Z^2) is uniform in q, so plain least squares is the weighted fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.geometry.projection import ray_grid
from edgedepth.types import Intrinsics

__all__ = ["BlockPlanes", "fit_local_planes"]

Array = NDArray[np.float64]

BLOCKS_ACROSS = 160
WINDOW_BLOCKS = 5
MIN_WINDOW_SHARE = 0.5
MIN_BLOCK_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class BlockPlanes:
    """The blocks of a depth map that have depth, flattened; N of them. Lengths in the unit of the depth.

    Attributes:
        rays: float32 N x 3, (x, y, 1) at the block's centre.
        inverse_depth: float32 N, mean of 1/Z over the block.
        points: float32 N x 3, the block's point.
        plane: float32 N x 3, m = n / d of the local plane (m . p = -1); NaN where there is none.
        planar: bool N, the neighbourhood is one surface: complete enough and with small residuals. Silhouettes, flying
            pixels and creases are not.
        pixels_per_block: image pixels a block stands for.
        total: number of blocks of the image, those without depth included.
    """

    rays: NDArray[np.float32]
    inverse_depth: NDArray[np.float32]
    points: NDArray[np.float32]
    plane: NDArray[np.float32]
    planar: NDArray[np.bool_]
    pixels_per_block: float
    total: int


@lru_cache(maxsize=8)
def _block_rays(intrinsics: Intrinsics, width: int, height: int) -> NDArray[np.float32]:
    """(x, y, 1) of every block's centre."""
    rays = cv2.resize(ray_grid(intrinsics), (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    rays = np.concatenate((rays, np.ones((height, width, 1), np.float32)), axis=2)
    rays.flags.writeable = False
    return rays


@dataclass(frozen=True, eq=False)
class _Windows:
    """What a regression on the rays of every block's neighbourhood needs to know of them. float64 H x W each."""

    complete: NDArray[np.bool_]
    x: Array
    y: Array
    count: Array
    mx: Array
    my: Array
    cxx: Array
    cxy: Array
    cyy: Array
    determinant: Array
    """NaN where there are too few blocks or all on a line."""

    @classmethod
    def of(cls, used: NDArray[np.bool_], rays: NDArray[np.float32]) -> _Windows:
        """Of the neighbourhoods in the blocks that are used."""
        x, y = (np.where(used, rays[..., side], 0).astype(np.float64) for side in (0, 1))
        blocks = _sums(used.astype(np.float64))
        count = np.maximum(blocks, 1)
        mx, my = _sums(x) / count, _sums(y) / count
        cxx, cxy, cyy = (_sums(a * b) / count - m for a, b, m in ((x, x, mx * mx), (x, y, mx * my), (y, y, my * my)))
        determinant = cxx * cyy - cxy * cxy
        complete = (blocks >= MIN_WINDOW_SHARE * WINDOW_BLOCKS**2) & (determinant > 1e-3 * cxx * cyy)
        determinant[~complete] = np.nan
        return cls(complete, x, y, count, mx, my, cxx, cxy, cyy, determinant)

    @staticmethod
    @lru_cache(maxsize=8)
    def of_all(intrinsics: Intrinsics, width: int, height: int) -> _Windows:
        """When every block has depth, as a network's have: the same for all frames."""
        return _Windows.of(np.ones((height, width), np.bool_), _block_rays(intrinsics, width, height))


def _sums(values: Array) -> Array:
    return np.asarray(
        cv2.boxFilter(values, -1, (WINDOW_BLOCKS, WINDOW_BLOCKS), normalize=False, borderType=cv2.BORDER_CONSTANT)
    )


def fit_local_planes(
    depth: NDArray[np.float32],
    intrinsics: Intrinsics,
    *,
    exclude: NDArray[np.bool_] | None = None,
    max_residual: float = 0.02,
) -> BlockPlanes:
    """Blocks of ``depth`` (H x W, NaN or <= 0 invalid) with their local planes.

    Args:
        depth: Z in any unit.
        intrinsics: the camera of this grid.
        exclude: bool H x W, pixels to leave out.
        max_residual: largest root mean square residual of q, relative to q, of a planar neighbourhood.
    """
    height, width = depth.shape
    step = max(1, round(width / BLOCKS_ACROSS))
    grid = max(1, width // step), max(1, height // step)
    if exclude is None and float(depth.min()) > 0 and float(depth.max()) < np.inf:  # never of NaN
        share = np.ones(grid[::-1], np.float32)
        q = np.float32(1) / depth
    else:
        valid = depth > 0
        valid &= depth < np.inf
        if exclude is not None:
            valid &= ~exclude
        q = np.zeros_like(depth)
        np.divide(1.0, depth, out=q, where=valid)
        share = cv2.resize(valid.astype(np.float32), grid, interpolation=cv2.INTER_AREA)
    # Means of blocks: averaging inverse depth is unbiased on a plane, averaging depth is not.
    q = cv2.resize(q, grid, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
    rays = _block_rays(intrinsics, *grid)
    used = (share >= MIN_BLOCK_SHARE) & np.isfinite(rays[..., 0])
    q = np.where(used, q / np.where(used, share, 1), 0).astype(np.float32)

    windows = _Windows.of_all(intrinsics, *grid) if used.all() else _Windows.of(used, rays)
    plane, residual = _window_regression(windows, q)
    planar = used & windows.complete & (residual < max_residual * q)
    chosen_rays, chosen_q = rays[used], q[used]
    return BlockPlanes(
        rays=chosen_rays,
        inverse_depth=chosen_q,
        points=chosen_rays / chosen_q[:, None],
        plane=plane[used],
        planar=planar[used],
        pixels_per_block=width * height / (grid[0] * grid[1]),
        total=grid[0] * grid[1],
    )


def _window_regression(windows: _Windows, q: NDArray[np.float32]) -> tuple[NDArray[np.float32], Array]:
    """Least squares q = a x + b y + c in every window: m = -(a, b, c), and the root mean square residual."""
    w, q64 = windows, q.astype(np.float64)
    mq = _sums(q64) / w.count
    cxq, cyq = _sums(w.x * q64) / w.count - w.mx * mq, _sums(w.y * q64) / w.count - w.my * mq
    cqq = _sums(q64 * q64) / w.count - mq * mq
    a = (w.cyy * cxq - w.cxy * cyq) / w.determinant
    b = (w.cxx * cyq - w.cxy * cxq) / w.determinant
    residual = np.sqrt(np.maximum(cqq - a * cxq - b * cyq, 0))
    plane = np.empty((*q.shape, 3), np.float32)
    plane[..., 0], plane[..., 1], plane[..., 2] = -a, -b, a * w.mx + b * w.my - mq
    return plane, residual
