"""Sightings of people whose height, and whose errors, are known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgedepth.geometry.feet import SHOE_M
from edgedepth.geometry.fusion import FusionModel, Seen, fuse_heights, fuse_sensor_heights
from edgedepth.geometry.measurement import HeightMeasurement, Sighting
from edgedepth.geometry.plane import FloorPlane

MODEL = FusionModel()


def camera_axes(pitch_deg: float, roll_deg: float = 0.0) -> np.ndarray:
    """Rows: right, up and ahead along the floor, in the frame of a camera that looks down by pitch."""
    p, r = math.radians(pitch_deg), math.radians(roll_deg)
    right = np.array([math.cos(r), -math.sin(r), 0.0])
    up = np.array([-math.sin(r) * math.cos(p), -math.cos(r) * math.cos(p), -math.sin(p)])
    return np.stack((right, up, np.cross(right, up) * -1))


def see(
    places: list[tuple[float, float]],
    stature_m: float,
    *,
    camera_m: float = 1.3,
    pitch_deg: float = 5.0,
    drawn: tuple[float, float] = (0.0, 0.0),
    depth: np.ndarray | float = 0.0,
    feet_m: np.ndarray | float = 0.0,
    crown_deg: np.ndarray | float = 0.0,
    person: int = 1,
    gravity: bool = False,
    step_s: float = 0.5,
) -> list[Seen]:
    """Someone at ``places`` (right, ahead). The floor is drawn tilted by ``drawn`` (pitch, roll degrees); depth is off
    by a relative error, the feet by metres along the floor, the crown's edge by an angle."""
    axes = camera_axes(pitch_deg)
    tilted = camera_axes(pitch_deg + drawn[0], drawn[1])[1]
    plane = FloorPlane(tuple(float(v) for v in tilted), camera_m)
    errors = np.broadcast_arrays(np.zeros(len(places)), depth, feet_m, crown_deg)
    found = []
    for index, (right, ahead) in enumerate(places):
        away = math.hypot(right, ahead)
        forward = np.array([right / away, 0.0, ahead / away]) @ axes
        elevation = math.atan2(stature_m - camera_m, away) + math.radians(float(errors[3][index]))
        crown_range = math.hypot(away, stature_m - camera_m) * math.exp(float(errors[1][index]))
        crown = crown_range * (math.cos(elevation) * forward + math.sin(elevation) * axes[1])
        ground = (away - SHOE_M + float(errors[2][index])) * forward - camera_m * axes[1]
        # The floor under the person is drawn without an error of depth: its height over the drawn plane's direction.
        local = -float((away * forward - camera_m * axes[1]) @ tilted)
        sighting = Sighting(
            tuple(float(v) for v in crown), tuple(float(v) for v in ground / np.linalg.norm(ground)), local
        )
        up = tuple(float(v) for v in axes[1]) if gravity else None
        found.append(Seen(person, index * step_s, sighting, plane, up))
    return found


WALK = [(0.3, 2.0 + 0.4 * i) for i in range(9)]
STAND = [(0.3, 3.0)] * 9


@pytest.mark.parametrize("stature_m", [0.8, 1.1, 1.3, 1.78, 1.95])
@pytest.mark.parametrize("gravity", [True, False])
def test_exact_sightings_give_the_stature(stature_m: float, gravity: bool) -> None:
    found = fuse_heights(see(WALK, stature_m, gravity=gravity), camera_height_m=1.3, scale_sigma=0.0)[1]
    assert found.height_m == pytest.approx(stature_m, abs=0.002)
    assert found.frames == len(WALK)


def test_without_the_cameras_height_everything_has_the_scale_of_the_floors() -> None:
    seen = [
        replace(
            one,
            floor=replace(one.floor, offset_m=1.3 * 1.1),
            sighting=replace(
                one.sighting,
                crown_m=tuple(1.1 * v for v in one.sighting.crown_m),
                floor_offset_m=1.1 * one.sighting.floor_offset_m,
            ),
        )
        for one in see(WALK, 1.7, gravity=True)
    ]
    assert fuse_heights(seen, camera_height_m=1.3, scale_sigma=0.0)[1].height_m == pytest.approx(1.7, abs=0.003)
    unknown = fuse_heights(seen)[1]
    assert unknown.height_m == pytest.approx(1.1 * 1.7, abs=0.01)
    assert unknown.sigma_m > MODEL.scale * unknown.height_m


def test_the_interval_knows_how_well_gravity_is_known() -> None:
    """Up that is wrong by a degree, at 3 m: some 5 cm."""
    wrong = tuple(float(v) for v in camera_axes(pitch_deg=6.0)[1])
    seen = [replace(one, up=wrong) for one in see(STAND, 1.1, pitch_deg=5.0, gravity=True)]
    sure, unsure = (
        fuse_heights(seen, camera_height_m=1.3, scale_sigma=0.0, up_sigma_deg=sigma)[1] for sigma in (0.2, 1.0)
    )
    assert abs(sure.height_m - 1.1) > 1.96 * sure.sigma_m
    assert abs(unsure.height_m - 1.1) < 1.96 * unsure.sigma_m
    assert unsure.sigma_m > 2 * sure.sigma_m


def test_who_walks_tells_how_the_floor_is_tilted() -> None:
    model = replace(MODEL, pitch_deg=2.0, roll_deg=2.0)
    walking, standing = (
        fuse_heights(see(places, 1.5, drawn=(1.5, 0.0)), camera_height_m=1.3, scale_sigma=0.0, model=model)[1]
        for places in ([*WALK, *WALK[::-1], *WALK], STAND * 3)
    )
    # 1.5 degrees at 3 m are 8 cm.
    assert abs(standing.height_m - 1.5) > 0.06
    assert abs(walking.height_m - 1.5) < 0.03
    assert walking.sigma_m < 0.5 * standing.sigma_m
    assert abs(standing.height_m - 1.5) < 1.96 * standing.sigma_m


def test_the_tilt_that_one_tells_serves_the_other() -> None:
    model = replace(MODEL, pitch_deg=2.0, roll_deg=0.2)
    alone = fuse_heights(see(STAND, 1.1, drawn=(1.5, 0.0)), camera_height_m=1.3, scale_sigma=0.0, model=model)[1]
    seen = see(STAND, 1.1, drawn=(1.5, 0.0)) + see([*WALK, *WALK[::-1]], 1.7, drawn=(1.5, 0.0), person=2)
    together = fuse_heights(seen, camera_height_m=1.3, scale_sigma=0.0, model=model)[1]
    assert abs(together.height_m - 1.1) < 0.5 * abs(alone.height_m - 1.1)
    assert together.sigma_m < alone.sigma_m


def test_one_wrong_frame_in_nine_moves_the_height_by_little() -> None:
    crown = np.zeros(len(WALK))
    crown[4] = 6.0  # a raised hand: 38 cm
    found = fuse_heights(see(WALK, 1.7, gravity=True, crown_deg=crown), camera_height_m=1.3, scale_sigma=0.0)[1]
    assert found.height_m == pytest.approx(1.7, abs=0.02)


def test_scatter_widens_the_interval_of_whom_it_belongs_to() -> None:
    wild = np.random.default_rng(3).normal(0, 2.0, 9)  # degrees, where 0.3 are expected
    calm = see(STAND, 1.1, gravity=True)
    other = see([(-0.5, 2.5)] * 24, 1.78, gravity=True, person=2)  # more of them: the median frame is calm
    quiet = fuse_heights(calm + other, camera_height_m=1.3, scale_sigma=0.004)
    loud = fuse_heights(see(STAND, 1.1, gravity=True, crown_deg=wild) + other, camera_height_m=1.3, scale_sigma=0.004)
    assert loud[1].random_m > 3 * quiet[1].random_m
    assert loud[2].sigma_m == pytest.approx(quiet[2].sigma_m, rel=0.2)


def test_frames_of_one_moment_count_once() -> None:
    """Three seconds tell the same in 91 frames as in 7: what errs together within half a second is one value."""
    many, few = (
        fuse_heights(see([(0.3, 3.0)] * count, 1.7, gravity=True, step_s=3 / (count - 1)), camera_height_m=1.3)[1]
        for count in (91, 7)
    )
    assert many.random_m == pytest.approx(few.random_m, rel=0.01)
    assert many.random_m > 0.002


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """200 clips whose errors are drawn from the model itself."""
    model, rng = replace(MODEL, pitch_deg=2.0, roll_deg=2.0), np.random.default_rng(5)
    z = []
    for _ in range(200):
        stature_m, camera_m = float(rng.uniform(0.8, 2.0)), float(rng.uniform(0.7, 2.0))
        start, step = float(rng.uniform(2, 3.5)), float(rng.choice([0.0, 0.3]))
        places = [(float(rng.uniform(-0.5, 0.5)), start + step * i) for i in range(8)]
        seen = see(
            places, stature_m, camera_m=camera_m,
            drawn=(float(rng.normal(0, model.pitch_deg)), float(rng.normal(0, model.roll_deg))),
            depth=rng.normal(0, model.depth) + rng.normal(0, model.frame_range, 8),
            feet_m=rng.normal(0, model.feet_m) + rng.normal(0, model.frame_range * start, 8),
            crown_deg=rng.normal(0, model.crown_deg) + rng.normal(0, model.frame_deg, 8),
        )  # fmt: skip
        tape = camera_m * (1 + float(rng.normal(0, 0.005)))
        found = fuse_heights(seen, camera_height_m=tape, scale_sigma=0.005, model=model)[1]
        z.append((found.height_m - stature_m) / found.sigma_m)
    assert 0.9 <= np.mean(np.abs(z) < 1.96) <= 0.99
    assert 0.7 < math.sqrt(np.mean(np.square(z))) < 1.15


def test_sensor_heights_are_the_median_and_share_what_the_frames_share() -> None:
    heights = [1.70, 1.71, 1.69, 1.70, 1.95]
    frames = [
        HeightMeasurement((0, 0, 9, 9), height, 0.01, budget_m=(("scale", 0.009), ("edge", 0.004)))
        for height in heights
    ]
    found = fuse_sensor_heights(frames, [0.5 * i for i in range(5)])
    assert found.height_m == 1.70
    # Median absolute deviation 1 cm; five moments: 1.2533 x 1.4826 cm / sqrt(5).
    assert found.random_m == pytest.approx(1.2533 * 0.014826 / math.sqrt(5), rel=1e-6)
    assert found.sigma_m == pytest.approx(math.hypot(0.009, found.random_m), rel=1e-6)
