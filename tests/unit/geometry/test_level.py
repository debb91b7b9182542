"""The floor by gravity and the place of the feet, over depth that is exact, or bent as networks bend it."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgedepth.errors import IntrinsicsError, MeasurementRefused
from edgedepth.geometry.feet import find_feet, upright_depth
from edgedepth.geometry.level import find_level_floor
from edgedepth.geometry.plane import FloorPlane
from edgedepth.geometry.projection import points_from_depth
from edgedepth.synthetic.render import Rendering, render
from edgedepth.synthetic.scene import Box, Camera, Person, Room, Scene
from edgedepth.types import DepthKind, DepthMap, Intrinsics

VGA = Intrinsics(640, 480, 520.0, 520.0, 319.5, 239.5)
ROOM = Room((-3.0, 3.0), (-1.0, 6.0), 2.6)


def view(
    *boxes: Box, height_m: float = 1.4, pitch_deg: float = 18.0, roll_deg: float = 0.0, **person: float
) -> Rendering:
    people = (Person(1.2, ((0.2, person["at_m"]),)),) if person else ()
    return render(Scene(Camera(VGA, height_m, pitch_deg, roll_deg), people, boxes, ROOM))


def map_of(seen: Rendering, values: np.ndarray | None = None) -> DepthMap:
    depth = seen.depth_m if values is None else values.astype(np.float32)
    return DepthMap(depth, DepthKind.METRIC, seen.scene.camera.intrinsics)


def floor_of(seen: Rendering) -> FloorPlane:
    return FloorPlane(seen.scene.camera.up, seen.scene.camera.height_m)


def bent(depth_m: np.ndarray, seed: int, share: float = 0.04) -> np.ndarray:
    """What a small network does: errors of some percent that are the same over regions."""
    random = np.random.default_rng(seed)
    field = cv2.resize(random.normal(0, share, (5, 6)).astype(np.float32), depth_m.shape[::-1],
                       interpolation=cv2.INTER_CUBIC)  # fmt: skip
    return np.asarray(depth_m * np.exp(field))


@pytest.mark.parametrize(("height_m", "pitch_deg", "roll_deg"), [(1.4, 18, 0), (0.8, 5, 8), (2.1, 30, -10)])
def test_the_camera_s_height_is_found_where_gravity_is_known(
    height_m: float, pitch_deg: float, roll_deg: float
) -> None:
    seen = view(height_m=height_m, pitch_deg=pitch_deg, roll_deg=roll_deg)
    floor = find_level_floor(map_of(seen), seen.scene.camera.up)
    assert floor.offset_m == pytest.approx(height_m, rel=0.01)
    np.testing.assert_allclose(floor.normal, seen.scene.camera.up, atol=1e-9)
    assert floor.source == "gravity"


def test_how_well_gravity_is_known_is_told_on() -> None:
    seen = view(pitch_deg=18, roll_deg=5)
    up = np.asarray(seen.scene.camera.up)
    floor = find_level_floor(map_of(seen), seen.scene.camera.up, up_sigma_deg=0.5)
    # Straight below, 3 m ahead, 4 m to the side: a plane that turns by an angle rises by it times the distance.
    right, ahead = floor.axes()
    below = -floor.offset_m * up
    for point, away_m in ((below, 0.0), (below + 3 * ahead, 3.0), (below + 4 * right, 4.0), (3 * ahead, 3.0)):
        assert floor.height_sigma_m(point) == pytest.approx(math.radians(0.5) * away_m, abs=1e-9)


def test_a_table_that_fills_much_of_the_view_is_not_the_floor() -> None:
    seen = view(Box((-0.9, 1.9, 0.36), (1.7, 1.7, 0.72)), height_m=1.6, pitch_deg=25)
    above_m = 1.6 - 0.72
    floor = find_level_floor(map_of(seen), seen.scene.camera.up)
    points = points_from_depth(seen.depth_m, VGA).reshape(-1, 3)
    heights = 1.6 + points @ np.asarray(seen.scene.camera.up)
    assert np.count_nonzero(np.abs(heights - 0.72) < 0.01) > 0.5 * np.count_nonzero(np.abs(heights) < 0.01), "the table"
    assert floor.offset_m == pytest.approx(1.6, rel=0.02)
    assert floor.offset_m > 1.5 * above_m


def test_depth_that_is_bent_by_some_percent_still_tells_it() -> None:
    seen = view(pitch_deg=20)
    found = [
        find_level_floor(map_of(seen, bent(seen.depth_m, seed)), seen.scene.camera.up).offset_m for seed in range(12)
    ]
    assert np.median(found) == pytest.approx(1.4, rel=0.03)
    assert np.max(np.abs(np.log(np.array(found) / 1.4))) < 0.12


def test_the_scale_of_the_depth_is_that_of_the_floor() -> None:
    seen = view(pitch_deg=20)
    one, twice = (find_level_floor(map_of(seen, seen.depth_m * k), seen.scene.camera.up).offset_m for k in (1.0, 2.0))
    assert twice == pytest.approx(2 * one, rel=1e-6)


def test_where_nothing_faces_up_there_is_no_floor() -> None:
    seen = view(pitch_deg=20)
    wall = np.full_like(seen.depth_m, 2.0)
    with pytest.raises(MeasurementRefused, match="faces up"):
        find_level_floor(map_of(seen, wall), (0.0, -1.0, 0.0))
    with pytest.raises(IntrinsicsError):
        find_level_floor(DepthMap(seen.depth_m, DepthKind.METRIC), seen.scene.camera.up)


@pytest.mark.parametrize("at_m", [2.0, 2.8, 3.6])
def test_the_ray_to_the_feet_meets_the_floor_where_somebody_stands(at_m: float) -> None:
    seen = view(at_m=at_m)
    ray = find_feet(seen.person_ids == 1, VGA, floor_of(seen))
    assert ray is not None
    up = np.asarray(floor_of(seen).normal)
    point = ray * 1.4 / -(ray @ up)  # where it is 1.4 m under the camera
    assert float(point @ up) == pytest.approx(-1.4)
    true = math.hypot(0.2, at_m)
    assert math.sqrt(float(point @ point) - 1.4**2) == pytest.approx(true, abs=0.1)


def test_a_figure_of_board_stands_at_the_feet_whatever_the_depth_says() -> None:
    seen = view(at_m=2.8)
    mask = seen.person_ids == 1
    wrong = np.where(mask, seen.depth_m * 1.2, seen.depth_m)  # a fifth too far
    stood = upright_depth(map_of(seen, wrong), mask, floor_of(seen))
    found, true = np.median(stood.values[mask]), np.median(seen.depth_m[mask])
    assert abs(found / true - 1) < 0.04
    np.testing.assert_array_equal(stood.values[~mask], wrong.astype(np.float32)[~mask])


def test_feet_that_leave_the_picture_tell_nothing_and_the_depth_stands() -> None:
    seen = view(at_m=1.2, pitch_deg=5)
    mask = seen.person_ids == 1
    assert mask[-1].any(), "cut off at the bottom"
    stood = upright_depth(map_of(seen), mask, floor_of(seen))
    assert np.median(stood.values[mask]) == pytest.approx(np.median(seen.depth_m[mask]), rel=0.05)
    assert find_feet(np.zeros_like(mask), VGA, replace(floor_of(seen))) is None
