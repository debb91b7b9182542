"""Which box of this frame is whose: people told apart by place on the floor, box and height."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedepth.geometry.measurement import HeightMeasurement
from edgedepth.geometry.plane import FloorPlane

__all__ = ["Follower", "Track"]

Box = tuple[float, float, float, float]
Place = tuple[float, float]

LOST_S = 2.0
"""Who was away for longer is somebody new."""
SPEED_M_S, SPREAD_M, SPREAD_SHARE, SAME_BOX = 2.0, 0.6, 0.15, 0.3
"""How far somebody may be from where they were expected: what people walk, and what depth errs, in part by distance;
farther only with a box that overlaps by as much."""
HEIGHT_M = 0.25
"""Per-frame heights of one person differ by less, those of a child and an adult by more."""
SMOOTHING_S = 0.4
FAR = 1.0
"""Costs above it are other people."""


@dataclass(eq=False)
class Track:
    """Someone followed.

    Attributes:
        number: 1, 2, ...
        box_xywh: the last box, pixels. seen_s: when that was.
        box_speed: of the box's middle, pixels per second.
        place_m: on the floor from under the camera, right and ahead; None when never known. speed_m_s: its change.
        height_m: a running mean of the frames' heights.
    """

    number: int
    box_xywh: Box
    seen_s: float
    box_speed: Place = (0.0, 0.0)
    place_m: Place | None = None
    speed_m_s: Place = (0.0, 0.0)
    height_m: float | None = None

    def expected_box(self, t_s: float) -> Box:
        """Where the box is at a time if its middle goes on as it did, for half a second at most."""
        x, y, w, h = self.box_xywh
        ahead_s = min(t_s - self.seen_s, 0.5)
        return x + self.box_speed[0] * ahead_s, y + self.box_speed[1] * ahead_s, w, h

    def expected_place(self, t_s: float) -> Place | None:
        """Likewise on the floor."""
        if self.place_m is None:
            return None
        ahead_s = min(t_s - self.seen_s, 0.5)
        return self.place_m[0] + self.speed_m_s[0] * ahead_s, self.place_m[1] + self.speed_m_s[1] * ahead_s

    def take(self, found: HeightMeasurement, place_m: Place | None, t_s: float) -> None:
        """This is where they are now."""
        passed_s = max(t_s - self.seen_s, 1e-3)
        share = passed_s / (passed_s + SMOOTHING_S)
        self.box_speed = _blend(
            self.box_speed, _speed(_middle(self.box_xywh), _middle(found.box_xywh), passed_s), share
        )
        if place_m is not None:
            if self.place_m is not None:
                self.speed_m_s = _blend(self.speed_m_s, _speed(self.place_m, place_m, passed_s), share)
            self.place_m = place_m
        if found.height_m is not None:
            self.height_m = found.height_m if self.height_m is None else 0.9 * self.height_m + 0.1 * found.height_m
        self.box_xywh, self.seen_s = found.box_xywh, t_s


class Follower:
    """Gives the people of one frame after the other their tracks: the nearest pairs first."""

    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._count = 0

    def assign(self, people: Sequence[HeightMeasurement], floor: FloorPlane | None, t_s: float) -> list[Track]:
        """A track for everyone in ``people``, in their order; new ones for those who were not seen before."""
        self._tracks = [track for track in self._tracks if t_s - track.seen_s <= LOST_S]
        places = [_place(person, floor) for person in people]
        costs = sorted(
            (_cost(track, person, place, t_s), i, j)
            for i, track in enumerate(self._tracks)
            for j, (person, place) in enumerate(zip(people, places, strict=True))
        )
        owner: dict[int, Track] = {}
        taken: set[int] = set()
        for cost, i, j in costs:
            if cost <= FAR and i not in taken and j not in owner:
                taken.add(i)
                owner[j] = self._tracks[i]
        for j, (person, place) in enumerate(zip(people, places, strict=True)):
            if j not in owner:
                self._count += 1
                owner[j] = Track(self._count, person.box_xywh, t_s)
                self._tracks.append(owner[j])
            owner[j].take(person, place, t_s)
        return [owner[j] for j in range(len(people))]


def _cost(track: Track, person: HeightMeasurement, place_m: Place | None, t_s: float) -> float:
    """0 for the same place, box and height; above ``FAR`` for what cannot be."""
    away_s = t_s - track.seen_s
    overlap = _iou(track.expected_box(t_s), person.box_xywh)
    expected = track.expected_place(t_s)
    if expected is not None and place_m is not None:
        reach_m = SPREAD_M + SPREAD_SHARE * math.hypot(*place_m) + SPEED_M_S * away_s
        where = math.dist(expected, place_m) / reach_m
        if where > 1 and overlap < SAME_BOX:
            return math.inf
    else:
        where = 0.9  # the box alone
        if overlap < 0.1 + 0.2 * math.exp(-away_s):
            return math.inf
    tall = 0.0
    if track.height_m is not None and person.height_m is not None:
        tall = min(1.0, (abs(track.height_m - person.height_m) / HEIGHT_M) ** 2)
    return 0.6 * min(where, 1.0) + 0.25 * (1 - overlap) + 0.35 * tall


def _place(person: HeightMeasurement, floor: FloorPlane | None) -> Place | None:
    if person.sighting is None or floor is None:
        return None
    right, ahead = floor.axes()
    crown = np.asarray(person.sighting.crown_m)
    return float(crown @ right), float(crown @ ahead)


def _middle(box: Box) -> Place:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def _speed(before: Place, after: Place, passed_s: float) -> Place:
    return (after[0] - before[0]) / passed_s, (after[1] - before[1]) / passed_s


def _blend(old: Place, new: Place, share: float) -> Place:
    return old[0] + share * (new[0] - old[0]), old[1] + share * (new[1] - old[1])


def _iou(a: Box, b: Box) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)
