"""People through frames of exact scenes and of made-up measurements: numbers, fused heights, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from edgedepth.geometry.measurement import HeightMeasurement, Measurement, Sighting
from edgedepth.geometry.plane import FloorPlane
from edgedepth.people import Candidate, HeightMeter, HeightTracker
from edgedepth.people.base import Stateless
from edgedepth.synthetic.render import render
from edgedepth.synthetic.scene import Camera, Person, Room, Scene
from edgedepth.types import DepthMap, Frame, Intrinsics

CAMERA = Camera(Intrinsics(640, 480, 480.0, 480.0, 319.5, 239.5), height_m=1.3, pitch_deg=6.0)
LEVEL = FloorPlane((0.0, -1.0, 0.0), 1.3)


class Masks(Stateless):
    """Gives the masks it was handed."""

    def __init__(self) -> None:
        self.masks: list[np.ndarray] = []

    def find(self, frame: Frame, depth: DepthMap | None, floor: FloorPlane | None) -> list[Candidate]:
        found = []
        for mask in self.masks:
            rows, columns = np.nonzero(mask)
            box = (float(columns.min()), float(rows.min()), float(np.ptp(columns) + 1), float(np.ptp(rows) + 1))
            found.append(Candidate(box, mask=mask))
        return found


def walk(people: tuple[Person, ...], *, origin: str, gravity: bool = True, **options: object) -> HeightTracker:
    """The tracker after 4 s of an exact scene."""
    finder = Masks()
    meter = HeightMeter(finder, origin=origin, **options)  # type: ignore[arg-type]
    tracker = HeightTracker()
    scene = Scene(CAMERA, people, room=Room((-3, 3), (-1, 7), 3.5))
    for t_s in np.arange(0, 4, 0.5):
        rendering = render(scene, float(t_s))
        finder.masks = [rendering.mask(i) for i in range(len(people)) if rendering.mask(i).any()]
        frame = Frame(
            np.zeros((480, 640, 3), np.uint8), CAMERA.intrinsics, media_time_s=float(t_s),
            up=CAMERA.up if gravity else None,
        )  # fmt: skip
        tracker.update(meter.measure(frame, rendering.depth), float(t_s))
    return tracker


CHILD = Person(1.10, ((-0.8, 2.6), (-0.8, 4.2)), speed_m_s=0.4)
ADULT = Person(1.75, ((0.7, 2.9), (0.7, 4.5)), speed_m_s=0.4)


def test_exact_depth_gives_statures_to_two_millimetres() -> None:
    child, adult = walk((CHILD, ADULT), origin="sensor").people()
    assert (child.person, adult.person) == (1, 2)
    assert child.height_m == pytest.approx(1.10, abs=0.002)
    assert adult.height_m == pytest.approx(1.75, abs=0.002)
    assert child.mode == "sensor"
    assert child.frames == child.seen == 8


@pytest.mark.parametrize("gravity", [True, False])
def test_a_network_and_the_cameras_height(gravity: bool) -> None:
    found = walk((CHILD, ADULT), origin="model", gravity=gravity, camera_height_m=1.3).people()
    for person, stature_m in zip(found, (1.10, 1.75), strict=True):
        assert person.height_m == pytest.approx(stature_m, abs=0.02)
        assert person.interval_m is not None
        assert person.interval_m[0] < stature_m < person.interval_m[1]
        assert person.mode == "camera_height"


def test_without_gravity_or_without_the_cameras_height_the_interval_is_larger() -> None:
    sigma = [
        walk((Person(1.75, ((0.2, 3.0),)),), origin="model", gravity=gravity, **known).people()[0].sigma_m or 0.0
        for gravity, known in ((True, {"camera_height_m": 1.3}), (False, {"camera_height_m": 1.3}), (True, {}))
    ]
    assert 0 < 3 * sigma[0] < min(sigma[1:])


def test_without_the_cameras_height_the_mode_says_so() -> None:
    (person,) = walk((ADULT,), origin="model").people()
    assert person.mode == "network_scale"
    assert person.interval_m is not None
    assert person.interval_m[1] - person.interval_m[0] > 0.2


def test_a_head_that_is_cut_off_in_all_frames_is_refused() -> None:
    (person,) = walk((Person(1.9, ((0.0, 1.0),)),), origin="sensor").people()
    assert person.height_m is None
    assert (person.refused or "").startswith("crown_cut_off: in 8 of 8 frames")


def test_no_floor_is_refused() -> None:
    tracker = HeightTracker()
    person = HeightMeasurement((10, 10, 50, 100), refused="no_floor: nothing faces up")
    for index in range(4):
        (shown,) = tracker.update(Measurement(None, (person,), floor_refused="no_floor: nothing"), 0.5 * index)
    assert shown.height_m is None
    assert (shown.refused or "").startswith("no_floor")


def seen(right_m: float, ahead_m: float, height_m: float, *, label: str = "person") -> HeightMeasurement:
    """What a level camera 1.3 m up with f = 500 sees."""
    left, wide = 320 + 500 * (right_m - 0.25) / ahead_m, 500 * 0.5 / ahead_m
    top, tall = 240 - 500 * (height_m - 1.3) / ahead_m, 500 * height_m / ahead_m
    feet = np.array([right_m, 1.3, ahead_m]) / math.sqrt(right_m**2 + 1.3**2 + ahead_m**2)
    sighting = Sighting((right_m, 1.3 - height_m, ahead_m), tuple(float(v) for v in feet), 1.3)
    return HeightMeasurement((left, top, wide, tall), height_m, 0.02, label=label, sighting=sighting)


def numbers(tracker: HeightTracker, t_s: float, *people: HeightMeasurement) -> Callable[[], list[int]]:
    shown = tracker.update(Measurement(LEVEL, people, origin="sensor"), t_s)
    boxes = {person.box_xywh: person.person for person in shown}
    return lambda: [boxes[person.box_xywh] for person in people]


def test_two_who_cross_keep_their_numbers() -> None:
    tracker = HeightTracker()
    for index in range(41):
        t_s = 0.1 * index
        a, b = seen(-1.0 + 0.05 * index, 3.0, 1.75), seen(1.0 - 0.05 * index, 3.7, 1.70)
        people = (a, b) if index % 2 else (b, a)
        assert numbers(tracker, t_s, *people)() == ([2, 1] if people[0] is a else [1, 2])
    assert len(tracker.people()) == 2


def test_who_is_hidden_for_a_second_comes_back_with_the_same_number() -> None:
    tracker = HeightTracker()
    for index in range(30):
        a, b = seen(-1.0 + 0.05 * index, 3.0, 1.75), seen(0.3, 4.0, 1.1)
        hidden = 10 <= index < 20
        found = numbers(tracker, 0.1 * index, *((a,) if hidden else (a, b)))()
        assert found == ([1] if hidden else [1, 2])


def test_who_comes_much_later_is_somebody_new() -> None:
    tracker = HeightTracker()
    assert numbers(tracker, 0.0, seen(0.0, 3.0, 1.75))() == [1]
    assert numbers(tracker, 30.0, seen(0.0, 3.0, 1.75))() == [2]


def test_the_summary_says_who_is_there_and_of_how_many_frames_a_height_is() -> None:
    tracker = HeightTracker()
    for index in range(300):
        numbers(tracker, 0.1 * index, *(seen(x, 3.0, 1.5) for x in ((-0.8, 0.8) if index < 20 else (-0.8,))))
    stays, left = tracker.people()
    assert (stays.visible, left.visible) == (True, False)
    assert (left.frames, left.seen) == (20, 20)
    assert stays.seen == 300
    assert 48 <= stays.frames <= 96, "of so many frames every fourth is kept"


def test_what_is_seen_for_a_moment_is_nobody_in_the_summary() -> None:
    tracker = HeightTracker()
    for index in range(30):
        ghost = [seen(1.5, 4.0, 1.2)] if index in (10, 11) else []
        assert len(numbers(tracker, 0.1 * index, seen(-0.8, 3.0, 1.5), *ghost)()) == 1 + len(ghost)
    assert [person.person for person in tracker.people()] == [1]
    still = HeightTracker()
    numbers(still, 0.0, seen(0.0, 3.0, 1.5))
    assert len(still.people()) == 1, "of a single picture everyone counts"


def test_objects_are_not_followed() -> None:
    tracker = HeightTracker()
    assert tracker.update(Measurement(LEVEL, (seen(0, 3, 1.0, label="upright_object"),)), 0.0) == ()
    assert tracker.people() == ()


def test_a_clock_that_starts_again_goes_on() -> None:
    tracker = HeightTracker()
    assert numbers(tracker, 100.0, seen(0.0, 3.0, 1.75))() == [1]
    assert numbers(tracker, 0.0, seen(0.0, 3.0, 1.75))() == [1]
