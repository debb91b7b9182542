"""Rooms: the ranges they promise, people who stand on the floor at their stature, seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgedepth.errors import InputError
from edgedepth.geometry.projection import points_from_depth
from edgedepth.synthetic.people import Figure, random_figure
from edgedepth.synthetic.rooms import room_scene
from edgedepth.synthetic.scene import Camera, Person, Room
from edgedepth.synthetic.solids import draw_solids, room_depth
from edgedepth.types import Intrinsics

SEEDS = range(200)


def test_cameras_people_and_rooms_keep_their_ranges() -> None:
    scenes = [room_scene(seed, width=160, height=120) for seed in SEEDS]
    cameras = [scene.still for scene in scenes]
    fov = np.array([np.degrees(2 * np.arctan(80 / camera.intrinsics.fx)) for camera in cameras])
    for values, low, high in (
        (np.array([c.height_m for c in cameras]), 0.5, 2.2),
        (np.array([c.pitch_deg for c in cameras]), -5, 30),
        (np.array([c.roll_deg for c in cameras]), -10, 10),
        (fov, 50, 90),
    ):
        assert low <= values.min() and values.max() <= high
        assert values.min() < low + 0.25 * (high - low) and values.max() > high - 0.25 * (high - low)
    assert {len(scene.people) for scene in scenes} == {0, 1, 2, 3}
    statures = np.array([figure.stature_m for scene in scenes for figure in scene.people])
    assert 0.75 <= statures.min() < 0.9 and 1.9 < statures.max() <= 2.0
    for scene in scenes:  # the camera is inside and nothing still is before its lens
        depth = room_depth(camera := scene.camera(0.0), scene.room)
        draw_solids(camera, scene.solids, depth, np.zeros(depth.shape, np.uint8))
        assert depth.min() > 0.12, scene.seed


@pytest.mark.parametrize("seed", range(0, 40, 4))
def test_a_crown_is_at_the_stature_and_hair_above_it(seed: int) -> None:
    """Seen from above at 1 mm per pixel, measured from depth and mask."""
    rng = np.random.default_rng(seed)
    stature_m = float(rng.uniform(0.75, 2.0))
    path = Person(stature_m, ((0.0, 1.6), (0.4, 2.2))[: 1 + seed % 2], heading_deg=float(rng.uniform(0, 360)))
    dressed = random_figure(rng, path)
    K = Intrinsics(960, 720, 900.0, 900.0, 479.5, 359.5)
    camera = Camera(K, height_m=stature_m + 0.5, pitch_deg=25, roll_deg=6)
    for figure in (dressed, replace(dressed, hair_style="bald", hair_m=0.0)):
        depth = room_depth(camera, Room((-3, 3), (-1, 5), 3.0))
        ids = np.zeros(depth.shape, np.uint8)
        draw_solids(camera, figure.solids(0.4, 1), depth, ids)
        T = camera.pose.T_world_camera
        points = points_from_depth(depth.astype(np.float32), K).astype(float)[ids == 1] @ T[:3, :3].T + T[:3, 3]
        assert points[:, 2].max() == pytest.approx(stature_m + figure.hair_m, abs=1e-3)


@pytest.mark.parametrize("stature_m", [0.8, 1.2, 1.8])
def test_feet_stand_on_the_floor_at_every_phase_of_a_step(stature_m: float) -> None:
    figure = Figure(Person(stature_m, ((0.0, 0.0), (0.0, 4.0)), speed_m_s=0.7))
    lowest = []
    for t_s in np.linspace(0, 2, 41):
        bottoms = []
        for part in figure.solids(float(t_s), 1):
            if part.kind == "ellipsoid":
                bottoms.append(part.center_m[2] - np.linalg.norm(part.rotation[2] * part.half_m))
            else:
                bottoms.append(part.center_m[2] - abs(part.rotation[2, 2]) * part.half_m[2] - part.half_m[0])
        lowest.append(min(bottoms))
    assert min(lowest) > -1e-9 and max(lowest) < 0.03 * stature_m


def test_people_keep_clear_of_furniture() -> None:
    for seed in range(60):
        scene = room_scene(seed, people=3)
        for figure in scene.people:
            for t_s in (0.0, 1.0, 2.5):
                x, y, _ = figure.path.place(t_s)
                for solid in scene.solids:
                    if solid.center_m[2] - solid.extent_m[2] > 2.0 or solid.extent_m[2] < 0.02:
                        continue  # above everyone's head, or a rug
                    local = solid.rotation.T @ (np.array([x, y, solid.center_m[2]]) - solid.center_m)
                    assert (np.abs(local[:2]) > solid.extent_m[:2]).any(), (seed, solid.center_m)


def test_the_same_seed_is_the_same_room_and_another_is_not() -> None:
    one, two, other = room_scene(11), room_scene(11), room_scene(12)
    assert one.still == two.still and one.people == two.people and one.lights == two.lights
    assert all((a.center_m == b.center_m).all() for a, b in zip(one.solids, two.solids, strict=True))
    assert other.still != one.still


def test_a_room_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="0 to 3 people"):
        room_scene(1, people=4)
    with pytest.raises(InputError, match="seed"):
        room_scene(-1)
    with pytest.raises(InputError, match="hair"):
        Figure(Person(1.7), hair_m=0.02, hair_style="bald")
