"""The renderer against closed forms: floors, walls, and where the crown of a head must appear."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgedepth.geometry.projection import points_from_depth, project_points
from edgedepth.synthetic.render import Renderer, render
from edgedepth.synthetic.scene import Box, Camera, Person, Room, Scene, default_scene
from edgedepth.types import Distortion, DistortionModel, Intrinsics

K = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)


def world_points(rendering: object) -> np.ndarray:
    depth = rendering.depth_m  # type: ignore[attr-defined]
    camera = rendering.scene.camera  # type: ignore[attr-defined]
    T = camera.pose.T_world_camera
    return points_from_depth(depth, camera.intrinsics).astype(float) @ T[:3, :3].T + T[:3, 3]


def test_pose_matches_the_floor_plane_s_angles() -> None:
    camera = Camera(K, pitch_deg=20, roll_deg=10, yaw_deg=35)
    up = np.array(camera.up)
    assert math.degrees(math.asin(-up[2])) == pytest.approx(20)  # FloorPlane.pitch_deg
    assert math.degrees(math.atan2(-up[0], -up[1])) == pytest.approx(10)  # FloorPlane.roll_deg
    np.testing.assert_allclose(camera.pose.T_world_camera[:3, :3].T @ (0, 0, 1), up, atol=1e-12)


def test_turned_clockwise_the_horizon_rises_on_the_left() -> None:
    """A camera turned clockwise (seen from behind) sees the world turned anticlockwise: up leans to the left."""
    assert Camera(K, roll_deg=10).up[0] == pytest.approx(-math.sin(math.radians(10)))


def test_every_pixel_lies_on_its_surface() -> None:
    scene = Scene(Camera(K, pitch_deg=15, roll_deg=-8, yaw_deg=10), boxes=(Box((0.3, 3.0, 0.25), (0.5, 0.5, 0.5)),))
    points = world_points(render(scene))
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    room = scene.room
    assert room is not None
    to_surface = np.min(
        [abs(z), abs(z - room.height_m), *(abs(x - w) for w in room.x_m), *(abs(y - w) for w in room.y_m)], axis=0
    )
    box = np.maximum.reduce([abs(x - 0.3), abs(y - 3.0), abs(z - 0.25)]) - 0.25
    assert np.minimum(to_surface, abs(box)).max() < 2e-6 * 10
    assert (abs(box) < 1e-5).mean() > 0.02


def test_without_a_room_the_floor_ends_at_the_horizon() -> None:
    rendering = render(Scene(Camera(K, height_m=1.0), room=None))
    # Level camera: row v below the centre sees the floor at f h / (v - cy).
    np.testing.assert_allclose(rendering.depth_m[200], 300 * 1.0 / (200 - 119.5), rtol=1e-6)
    assert np.isnan(rendering.depth_m[:119]).all()


@pytest.mark.parametrize("stature_m", [0.8, 1.1, 1.75, 2.0])
@pytest.mark.parametrize("roll_deg", [0.0, 12.0])
def test_the_highest_point_is_the_stature(stature_m: float, roll_deg: float) -> None:
    intrinsics = Intrinsics(1280, 960, 700.0, 700.0, 639.5, 479.5)
    scene = Scene(
        Camera(intrinsics, height_m=stature_m + 0.1, pitch_deg=15, roll_deg=roll_deg),
        (Person(stature_m, ((0.1, 2.2),), heading_deg=150),),
    )
    rendering = render(scene)
    heights = world_points(rendering)[rendering.mask(0), 2]
    # Below the stature by no more than a pixel's footprint on the top of the head: about 2.5 mm high, seen from above.
    assert stature_m - 0.002 < heights.max() <= stature_m + 1e-6
    assert heights.min() == pytest.approx(0, abs=0.03)  # the outline of a rounded foot
    # The crown projects inside the silhouette, or within a pixel of it.
    T = scene.camera.pose.T_world_camera
    crown = project_points(T[:3, :3].T @ (np.array([0.1, 2.2, stature_m]) - T[:3, 3]), intrinsics)
    v, u = np.nonzero(rendering.mask(0))
    assert np.hypot(u - crown[0], v - crown[1]).min() < 1.5


def test_nobody_leaves_a_hole_and_the_nearer_one_wins() -> None:
    scene = Scene(Camera(K, height_m=1.3, pitch_deg=5), (Person(1.7, ((0.0, 3.0),)), Person(1.1, ((0.05, 2.0),))))
    both = render(scene)
    behind = render(replace(scene, people=scene.people[:1]))
    covered = both.mask(1) & behind.mask(0)
    assert covered.any()
    assert (both.depth_m[covered] < behind.depth_m[covered]).all()
    np.testing.assert_array_equal(both.mask(0), behind.mask(0) & ~both.mask(1))


def test_ellipsoid_windows_lose_nothing() -> None:
    """Rendering with each pixel tested gives the same picture: here by a lens so slight that only the path differs."""
    slight = replace(K, distortion=Distortion(DistortionModel.BROWN_CONRADY, (1e-12, 0, 0, 0)))
    people = (Person(1.75, ((-0.4, 1.2),)), Person(1.1, ((1.1, 1.6),)))  # partly out of view
    plain = render(Scene(Camera(K, pitch_deg=10, roll_deg=14), people))
    general = render(Scene(Camera(slight, pitch_deg=10, roll_deg=14), people))
    assert (plain.person_ids != general.person_ids).mean() < 1e-4
    whole = Renderer(Scene(Camera(K, pitch_deg=10, roll_deg=14), people))
    part = people[0].ellipsoids(0.0)[0]
    # A solid that reaches behind the camera is tested everywhere.
    assert part.center_m[2] == pytest.approx(1.75 - part.semi_axes_m[2])
    np.testing.assert_array_equal(whole.render(0.0).person_ids, plain.person_ids)


def test_people_walk_their_round_and_return() -> None:
    person = Person(1.7, ((0.0, 2.0), (1.0, 2.0), (1.0, 3.0), (0.0, 3.0)), speed_m_s=0.5)
    assert person.place(0.0)[:2] == (0.0, 2.0)
    assert person.place(1.0) == pytest.approx((0.5, 2.0, math.pi / 2))
    assert person.place(3.0) == pytest.approx((1.0, 2.5, 0.0))
    assert person.place(8.0)[:2] == pytest.approx((0.0, 2.0))
    assert max(e.center_m[2] + e.semi_axes_m[2] for e in person.ellipsoids(0.7)[:1]) == pytest.approx(1.7)
    feet = [e for t in np.linspace(0, 3, 31) for e in person.ellipsoids(t)]
    assert min(float(e.center_m[2] - np.abs(e.rotation @ np.diag(e.semi_axes_m))[2].max()) for e in feet) > -0.02


def test_default_scene_shows_both_and_is_deterministic() -> None:
    scene = default_scene()
    renderer = Renderer(scene)
    for t_s in (0.0, 1.7, 4.2):
        first, again = renderer.render(t_s), render(scene, t_s)
        np.testing.assert_array_equal(first.image, again.image)
        np.testing.assert_array_equal(first.depth_m, again.depth_m)
        assert first.mask(0).sum() > 3000
        assert first.mask(1).sum() > 1500
    frame = first.frame()
    assert frame.intrinsics == scene.camera.intrinsics
    assert frame.up == scene.camera.up
    assert scene.people[0].stature_m == 1.75
    assert isinstance(scene.room, Room)
