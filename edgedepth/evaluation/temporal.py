"""Does depth stay the same from one frame to the next? The temporal alignment error of Video Depth Anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import IntrinsicsError
from edgedepth.geometry import points_from_depth, project_points
from edgedepth.types import DepthMap, Pose

__all__ = ["reproject", "temporal_alignment_error"]

Depth = NDArray[np.float32]


def temporal_alignment_error(first: DepthMap, first_pose: Pose, second: DepthMap, second_pose: Pose) -> float | None:
    """TAE of two frames, per cent: Video Depth Anything (Chen et al., CVPR 2025), benchmark/eval/eval_tae.py.

    Each frame's depth is carried into the other camera by the known poses, rounded to the nearest pixel, and compared
    there: mean |carried - own| / own; the mean of both directions, times 100. 0 is depth that agrees with itself, be it
    right or wrong. The published numbers align a whole clip by one scale and shift first, which metric depth does not
    need; where two points fall on one pixel the nearer is seen (the published code keeps either).

    Args:
        first, second: metric depth with intrinsics.
        first_pose, second_pose: of their cameras, in one world.

    Returns:
        None where the two see nothing in common.

    Raises:
        NotMetricError: a map without a scale; poses are in metres. IntrinsicsError: a map without intrinsics.
    """
    there = _error(first, first_pose, second, second_pose)
    back = _error(second, second_pose, first, first_pose)
    errors = [error for error in (there, back) if error is not None]
    return 100 * sum(errors) / len(errors) if errors else None


def _error(source: DepthMap, source_pose: Pose, target: DepthMap, target_pose: Pose) -> float | None:
    carried = reproject(source, source_pose, target, target_pose)
    own = target.depth_m
    both = np.isfinite(carried) & np.isfinite(own) & (own > 0)
    if not both.any():
        return None
    return float(np.mean(np.abs(carried[both].astype(np.float64) - own[both]) / own[both]))


def reproject(source: DepthMap, source_pose: Pose, target: DepthMap, target_pose: Pose) -> Depth:
    """``source`` as the camera of ``target`` would see it: float32 on the target's grid, NaN where nothing lands.

    Every source pixel lands on one target pixel, so a camera that comes nearer leaves gaps.
    """
    if source.intrinsics is None or target.intrinsics is None:
        raise IntrinsicsError("depth is carried from camera to camera by their intrinsics, and this depth map has none")
    depth_m = source.depth_m
    points = points_from_depth(depth_m, source.intrinsics).reshape(-1, 3).astype(np.float64)
    points = points[np.isfinite(points).all(axis=1) & (points[:, 2] > 0)]
    T_target_source = np.linalg.inv(target_pose.T_world_camera) @ source_pose.T_world_camera
    moved = points @ T_target_source[:3, :3].T + T_target_source[:3, 3]
    moved = moved[moved[:, 2] > 0]
    pixels = project_points(moved, target.intrinsics)
    visible = np.isfinite(pixels).all(axis=1)
    columns, rows = np.rint(pixels[visible]).astype(np.int64).T
    depths = moved[visible, 2]
    height, width = target.values.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    carried = np.full(height * width, np.inf)
    np.minimum.at(carried, rows[inside] * width + columns[inside], depths[inside])
    carried[np.isinf(carried)] = np.nan
    return carried.reshape(height, width).astype(np.float32)
