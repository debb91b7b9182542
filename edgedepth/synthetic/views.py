"""Other cameras in the same room: many pictures of one room for little more than the first one costs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgedepth.synthetic.mujoco_renderer import truth
from edgedepth.synthetic.roomscene import RoomScene
from edgedepth.synthetic.scene import Camera
from edgedepth.types import Intrinsics

__all__ = ["room_view"]

_TRIES = 30
_GRID_WH = (32, 24)


def room_view(scene: RoomScene, view: int, t_s: float) -> RoomScene:
    """The room through its camera number ``view``; 0 is its own. The same arguments give the same camera.

    The others stand anywhere, with another lens, height, pitch and roll of the same ranges, and see clear at ``t_s``:
    nothing within 0.4 m, and neither one near thing nor a bare wall fills the picture. Two of three turn towards
    someone, if there is anyone.
    """
    if view == 0:
        return scene
    rng = np.random.default_rng([scene.seed, view, 0x71E3])
    for _ in range(_TRIES):
        camera = _camera(rng, scene, t_s)
        other = replace(scene, still=camera, view=view)
        if _sees_clear(other, t_s):
            return other
    return replace(scene, view=view)


def _camera(rng: np.random.Generator, scene: RoomScene, t_s: float) -> Camera:
    (x0, x1), (y0, y1) = scene.room.x_m, scene.room.y_m
    width, height = scene.still.intrinsics.size_wh
    x, y = float(rng.uniform(x0 + 0.25, x1 - 0.25)), float(rng.uniform(y0 + 0.25, y1 - 0.25))
    to_x, to_y = float(rng.uniform(x0, x1)), float(rng.uniform(y0, y1))
    if scene.people and rng.random() < 2 / 3:
        to_x, to_y, _ = scene.people[int(rng.integers(len(scene.people)))].path.place(t_s)
    return Camera(
        Intrinsics.from_fov(width, height, hfov_deg=float(rng.uniform(50, 90))),
        height_m=float(min(rng.uniform(0.5, 2.2), scene.room.height_m - 0.15)),
        pitch_deg=float(rng.uniform(-5, 30)),
        roll_deg=float(np.clip(rng.normal(0, 4), -10, 10)),
        yaw_deg=math.degrees(math.atan2(to_x - x, to_y - y)) + float(rng.normal(0, 10)),
        x_m=x,
        y_m=y,
    )


def _sees_clear(scene: RoomScene, t_s: float) -> bool:
    camera = scene.camera(t_s)
    at = camera.pose.T_world_camera[:3, 3]
    solids = (*scene.solids, *scene.moving_solids(t_s))
    # From within a body its own faces may not be seen.
    if any(np.all(np.abs((at - solid.center_m) @ solid.rotation) < solid.extent_m + 0.1) for solid in solids):
        return False
    small = replace(camera, intrinsics=camera.intrinsics.resized(*_GRID_WH))
    depth_m, _ = truth(scene, small, scene.moving_solids(t_s))
    nearest, near, middle, far = np.quantile(depth_m, (0.01, 0.05, 0.5, 0.95))
    return bool(nearest > 0.4 and middle > 1.2 and far > 1.5 * near)
