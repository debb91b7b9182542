"""FloorPlane against planes written down by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgedepth.errors import InputError
from edgedepth.geometry.plane import FloorPlane, up_of
from edgedepth.synthetic.scene import Camera
from edgedepth.types import Intrinsics

S, C = math.sin(math.radians(30)), math.cos(math.radians(30))


def test_pitch_and_roll_by_hand() -> None:
    looking_down = FloorPlane((0.0, -C, -S), 1.5)
    assert (looking_down.pitch_deg, looking_down.roll_deg) == (pytest.approx(30), pytest.approx(0))
    assert looking_down.camera_height_m == 1.5
    # Turned clockwise, the world seems to turn the other way: up points to the upper left.
    clockwise = FloorPlane((-S, -C, 0.0), 1.5)
    assert (clockwise.pitch_deg, clockwise.roll_deg) == (pytest.approx(0), pytest.approx(30))


@pytest.mark.parametrize(("pitch_deg", "roll_deg"), [(0, 0), (30, 0), (0, 30), (-5, 10), (25, -170)])
def test_up_of_a_tilted_camera(pitch_deg: float, roll_deg: float) -> None:
    up = up_of(pitch_deg, roll_deg)
    # A rotation matrix, turned about yaw, pitch and roll one after the other.
    pose = Camera(Intrinsics.from_fov(64, 48, hfov_deg=60), pitch_deg=pitch_deg, roll_deg=roll_deg, yaw_deg=33)
    np.testing.assert_allclose(up, pose.up, atol=1e-12)
    plane = FloorPlane(up, 1.0)
    assert (plane.pitch_deg, plane.roll_deg) == (pytest.approx(pitch_deg), pytest.approx(roll_deg))


@pytest.mark.parametrize(
    ("up", "right", "ahead"),
    [
        ((0.0, -1.0, 0.0), (1, 0, 0), (0, 0, 1)),
        ((0.0, -C, -S), (1, 0, 0), (0, -S, C)),
        ((-S, -C, 0.0), (C, -S, 0), (0, 0, 1)),
        ((0.0, 0.0, -1.0), (1, 0, 0), (0, -1, 0)),  # straight down: ahead is where the image's up points
    ],
)
def test_axes_along_the_floor(up: tuple, right: tuple, ahead: tuple) -> None:
    found_right, found_ahead = FloorPlane(up, 1.0).axes()
    np.testing.assert_allclose(found_right, right, atol=1e-12)
    np.testing.assert_allclose(found_ahead, ahead, atol=1e-12)


def test_heights_of_points() -> None:
    floor = FloorPlane((0.0, -C, -S), 1.5)
    points = np.array([[0, 0, 0], [0, 0, 3.0], [1.0, 0, 0]])
    np.testing.assert_allclose(floor.height_of(points), [1.5, 0, 1.5], atol=1e-12)


def test_the_sigma_of_a_height_is_what_drawn_planes_scatter_by() -> None:
    m = np.array([0.02, -0.8, -0.3])
    length = np.linalg.norm(m)
    root = np.array([[4e-3, 0, 0], [1e-3, 3e-3, 0], [-2e-3, 1e-3, 5e-3]])
    covariance = root @ root.T
    floor = FloorPlane(tuple(m / length), 1 / length, covariance=tuple(covariance[np.triu_indices(3)]))
    points = np.array([[0.0, 0, 0], [0.5, -0.4, 2.0], [-1.0, 0.2, 4.0]])
    drawn = m + np.random.default_rng(0).standard_normal((20000, 3)) @ root.T
    heights = (drawn @ points.T + 1) / np.linalg.norm(drawn, axis=1, keepdims=True)
    np.testing.assert_allclose(floor.height_sigma_m(points), heights.std(axis=0), rtol=0.03)


def test_what_is_no_plane_is_refused() -> None:
    for normal, offset, covariance in (
        ((0.0, -2.0, 0.0), 1.0, None),
        ((0.0, -1.0, 0.0), math.nan, None),
        ((0.0, -1.0, 0.0), 1.0, (1.0,)),
    ):
        with pytest.raises(InputError):
            FloorPlane(normal, offset, covariance=covariance)
