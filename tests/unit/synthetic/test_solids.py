"""Closed-form Z against planes and spheres worked out by hand, and shapes against their implicit equations."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.geometry.projection import points_from_depth
from edgedepth.synthetic.scene import Camera, Room
from edgedepth.synthetic.solids import Solid, draw_solids, room_depth, rotation
from edgedepth.types import Intrinsics

K = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)
ROOM = Room((-3.0, 3.0), (0.0, 6.0), 2.6)
TENTH_MM = 1e-4


def seen(solid: Solid, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    depth, ids = room_depth(camera, ROOM), np.zeros((240, 320), np.uint8)
    draw_solids(camera, [solid], depth, ids)
    return depth.astype(np.float32), ids


def test_floor_and_wall_are_planes() -> None:
    depth = room_depth(Camera(K, height_m=1.2, y_m=1.0), ROOM)
    v, _ = np.mgrid[:240, :320]
    floor = 1.2 * 300 / np.where(v > 119.5, v - 119.5, np.nan)
    expected = np.fmin(floor, 5.0)[:, 160]
    ceiling = (1.4 * 300 / np.where(v < 119.5, 119.5 - v, np.nan))[:, 160]
    np.testing.assert_allclose(depth[:, 160], np.fmin(expected, ceiling), atol=TENTH_MM)


@pytest.mark.parametrize("roll_deg", [0.0, -9.0])
def test_a_sphere_is_round_to_a_tenth_of_a_millimetre(roll_deg: float) -> None:
    camera = Camera(K, height_m=1.5, pitch_deg=14, roll_deg=roll_deg, yaw_deg=12, y_m=0.5)
    center = np.array([0.4, 2.9, 0.8])
    depth, ids = seen(Solid("ellipsoid", center, np.full(3, 0.3), np.eye(3), person=1), camera)
    T = camera.pose.T_world_camera
    points = points_from_depth(depth, K).astype(float)[ids == 1] @ T[:3, :3].T + T[:3, 3]
    assert len(points) > 2000
    assert np.abs(np.linalg.norm(points - center, axis=1) - 0.3).max() < TENTH_MM
    # The near side: its outward normal faces the camera.
    assert ((points - center) @ (T[:3, 3] - center)).min() > 0


def implicit(kind: str, p: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Signed distance to the surface, or zero on it."""
    a = np.abs(p)
    if kind == "box":
        return (a - half).max(axis=1)
    if kind == "cylinder":
        return np.maximum(np.hypot(p[:, 0], p[:, 1]) - half[0], a[:, 2] - half[2])
    if kind == "capsule":
        axis = np.clip(p[:, 2], -half[2], half[2])
        return np.linalg.norm(p - np.stack((0 * axis, 0 * axis, axis), 1), axis=1) - half[0]
    return (np.linalg.norm(p / half, axis=1) - 1) * half.min()


@pytest.mark.parametrize("kind", ["box", "cylinder", "capsule", "ellipsoid"])
def test_every_pixel_of_a_shape_lies_on_it(kind: str) -> None:
    tilt = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    R, half = rotation(33) @ tilt, np.array([0.2, 0.2, 0.5] if kind in ("cylinder", "capsule") else [0.2, 0.35, 0.5])
    camera = Camera(K, height_m=1.6, pitch_deg=10, roll_deg=5, y_m=0.3)
    center = np.array([0.1, 2.8, 1.0])
    depth, ids = seen(Solid(kind, center, half, R, person=2), camera)  # type: ignore[arg-type]
    T = camera.pose.T_world_camera
    points = points_from_depth(depth, K).astype(float)[ids == 2] @ T[:3, :3].T + T[:3, 3]
    assert len(points) > 2000
    assert np.abs(implicit(kind, (points - center) @ R, half)).max() < TENTH_MM


def test_what_is_nearer_hides_what_is_farther() -> None:
    camera = Camera(K, height_m=1.0, y_m=0.5)
    depth, ids = room_depth(camera, ROOM), np.zeros((240, 320), np.uint8)
    near = Solid("ellipsoid", np.array([0.0, 2.5, 1.0]), np.full(3, 0.2), np.eye(3), person=1)
    far = Solid("box", np.array([0.0, 4.5, 1.0]), np.full(3, 0.5), np.eye(3), person=2)
    draw_solids(camera, [far, near, far], depth, ids)
    assert ids[119, 160] == 1 and ids[119, 180 + 10] == 2
    assert depth[119, 160] == pytest.approx(1.8, abs=1e-3) and depth[119, 190] == pytest.approx(3.5)


def test_a_shape_around_or_behind_the_camera_does_not_break_it() -> None:
    camera = Camera(K, height_m=1.0, y_m=2.0)
    for at in ((0.0, 2.0, 1.0), (0.0, 1.0, 1.0), (0.15, 2.1, 1.0)):
        depth, _ = seen(Solid("box", np.array(at), np.full(3, 0.1), np.eye(3)), camera)
        assert np.isfinite(depth).all() and (depth > 0).all()
