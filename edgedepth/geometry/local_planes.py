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
    rays = cv2.resize(ray_grid(intrinsics), (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    rays.flags.writeable = False
    return rays


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
    valid = depth > 0
    valid &= depth < np.inf
    if exclude is not None:
        valid &= ~exclude
    q = np.zeros_like(depth)
    np.divide(1.0, depth, out=q, where=valid)
    # Means of blocks: averaging inverse depth is unbiased on a plane, averaging depth is not.
    share = cv2.resize(valid.astype(np.float32), grid, interpolation=cv2.INTER_AREA)
    q = cv2.resize(q, grid, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
    rays = _block_rays(intrinsics, *grid)
    used = (share >= MIN_BLOCK_SHARE) & np.isfinite(rays[..., 0])
    q = np.where(used, q / np.where(used, share, 1), 0).astype(np.float32)

    plane, residual, complete = _window_regression(used, np.where(used[..., None], rays, 0), q)
    planar = used & complete & (residual < max_residual * q)
    chosen_rays = rays[used]
    chosen_rays = np.concatenate((chosen_rays, np.ones((len(chosen_rays), 1), np.float32)), axis=1)
    chosen_q = q[used]
    return BlockPlanes(
        rays=chosen_rays,
        inverse_depth=chosen_q,
        points=chosen_rays / chosen_q[:, None],
        plane=plane[used],
        planar=planar[used],
        pixels_per_block=width * height / (grid[0] * grid[1]),
        total=grid[0] * grid[1],
    )


def _window_regression(
    used: NDArray[np.bool_], rays: NDArray[np.float32], q: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]:
    """Least squares q = a x + b y + c in every window: m = -(a, b, c), rms residual, enough blocks or not."""
    w, x, y = used.astype(np.float64), rays[..., 0].astype(np.float64), rays[..., 1].astype(np.float64)
    q64 = q.astype(np.float64)
    terms = (w, x, y, x * x, x * y, y * y, q64, x * q64, y * q64, q64 * q64)
    moments: NDArray[np.float64] = np.stack(terms, axis=-1)
    sums = np.empty_like(moments)
    for first in range(0, moments.shape[-1], 2):  # box filters take up to four channels everywhere
        sums[..., first : first + 2] = cv2.boxFilter(
            moments[..., first : first + 2], -1, (WINDOW_BLOCKS, WINDOW_BLOCKS), normalize=False,
            borderType=cv2.BORDER_CONSTANT,
        )  # fmt: skip
    count = sums[..., 0]
    complete = count >= MIN_WINDOW_SHARE * WINDOW_BLOCKS**2
    means = sums[..., 1:] / np.maximum(count, 1)[..., None]
    mx, my, mq = means[..., 0], means[..., 1], means[..., 5]
    cxx, cxy, cyy = means[..., 2] - mx * mx, means[..., 3] - mx * my, means[..., 4] - my * my
    cxq, cyq, cqq = means[..., 6] - mx * mq, means[..., 7] - my * mq, means[..., 8] - mq * mq
    determinant = cxx * cyy - cxy * cxy
    complete &= determinant > 1e-3 * cxx * cyy
    determinant[~complete] = np.nan
    a = (cyy * cxq - cxy * cyq) / determinant
    b = (cxx * cyq - cxy * cxq) / determinant
    residual = np.sqrt(np.maximum(cqq - a * cxq - b * cyq, 0))
    plane = -np.stack((a, b, mq - a * mx - b * my), axis=-1).astype(np.float32)
    return plane, residual, complete
