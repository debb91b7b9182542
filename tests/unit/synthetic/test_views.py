"""Other cameras in the same room."""

from __future__ import annotations

import numpy as np

from edgedepth.synthetic.mujoco_renderer import RoomRenderer, truth
from edgedepth.synthetic.rooms import room_scene
from edgedepth.synthetic.views import room_view

SMALL = {"width": 64, "height": 48}


def test_view_0_is_the_rooms_own_camera_and_others_stand_elsewhere_in_the_same_room() -> None:
    scene = room_scene(11, **SMALL)
    assert room_view(scene, 0, 0.0) is scene
    cameras = [room_view(scene, view, 7.3 * view).still for view in range(5)]
    assert len({(c.x_m, c.y_m, c.intrinsics.fx) for c in cameras}) == 5
    again = room_view(scene, 3, 7.3 * 3)
    assert again.still == cameras[3]
    assert (again.room, again.solids, again.people) == (scene.room, scene.solids, scene.people)


def test_cameras_stand_in_the_room_and_see_clear() -> None:
    for seed in range(20):
        scene = room_scene(seed, **SMALL)
        for view in (1, 2):
            seen = room_view(scene, view, 0.0)
            if seen.still == scene.still:
                continue  # no clear place was found in a crowded room
            camera = seen.camera(0.0)
            x, y, z = camera.pose.T_world_camera[:3, 3]
            (x0, x1), (y0, y1) = scene.room.x_m, scene.room.y_m
            assert x0 < x < x1
            assert y0 < y < y1
            assert 0 < z < scene.room.height_m
            depth_m, _ = truth(seen, camera, seen.moving_solids(0.0))
            assert np.quantile(depth_m, 0.01) > 0.3, seed
            assert np.median(depth_m) > 1.1, seed


def test_a_lens_that_changes_needs_no_new_loading_and_gives_the_same_picture() -> None:
    scene = room_scene(12, **SMALL)
    other = room_view(scene, 1, 2.0)
    with RoomRenderer() as renderer:
        renderer.render(scene, 0.0)
        after = renderer.render(other, 2.0)
    with RoomRenderer() as renderer:
        fresh = renderer.render(other, 2.0)
    assert (after.image == fresh.image).all()
    assert (after.depth_m == fresh.depth_m).all()
    assert other.still.intrinsics.fx != scene.still.intrinsics.fx
