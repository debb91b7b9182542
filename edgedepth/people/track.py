"""People over frames: who is who, and one height of each out of all frames."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgedepth.geometry.fusion import FusedHeight, FusionModel, Seen, fuse_heights, fuse_sensor_heights
from edgedepth.geometry.measurement import HeightMeasurement, Measurement
from edgedepth.people.following import Follower, Track
from edgedepth.thinned import Thinned

__all__ = ["HeightTracker", "TrackedHeight"]


@dataclass(frozen=True)
class TrackedHeight:
    """One person over many frames, and the height that they tell together.

    Attributes:
        person: 1, 2, ...: the same number in all frames, kept through short absences.
        height_m: crown (hair included) above the floor; None when refused.
        sigma_m: one standard deviation. random_m: the part of it that is new in every frame, the rest is shared by all.
        interval_m: 95 % interval (lo, hi), metres.
        frames: how many the height was made of. seen: how many the person was seen in.
        mode: what gave the metres: ``"sensor"``, ``"camera_height"``, ``"given_scale"`` or ``"network_scale"``: the
            network's own metres, which nothing checked.
        box_xywh: pixels of the last frame that shows the person. visible: it is the newest one.
        refused: None, or why there is no height, as in HeightMeasurement.
        flags: ``"partly_seen"``: no frame shows the person from crown to floor.
    """

    person: int
    height_m: float | None
    sigma_m: float | None
    random_m: float | None
    interval_m: tuple[float, float] | None
    frames: int
    seen: int
    mode: str
    box_xywh: tuple[float, float, float, float]
    visible: bool = True
    refused: str | None = None
    flags: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, rounded to a tenth of a millimetre and a tenth of a pixel."""

        def rounded(value: float | None) -> float | None:
            return None if value is None else round(value, 4)

        return {
            "person": self.person,
            "height_m": rounded(self.height_m),
            "sigma_m": rounded(self.sigma_m),
            "random_m": rounded(self.random_m),
            "interval_m": None if self.interval_m is None else [rounded(v) for v in self.interval_m],
            "frames": self.frames,
            "seen": self.seen,
            "mode": self.mode,
            "box_xywh": [round(v, 1) for v in self.box_xywh],
            "visible": self.visible,
            "refused": self.refused,
            "flags": list(self.flags),
        }


# Frames that show no whole person: used where there is nothing better.
PARTLY = frozenset({"feet_not_visible", "out_of_view"})
UNSURE = frozenset({"crown_depth_hole"})
KEPT = 96
"""Frames of a person that are kept, evenly over time: a network's errors are shared by many more."""
FLOORS = 240
# Detections that came and went within fewer frames are no people.
LEAST_SEEN = 3
STILL_DEG = 1.2


def _kept() -> Thinned[tuple[HeightMeasurement, Seen]]:
    return Thinned(KEPT)


@dataclass(eq=False)
class _Evidence:
    """What the frames tell of one person."""

    whole: Thinned[tuple[HeightMeasurement, Seen]] = field(default_factory=_kept)
    partly: Thinned[tuple[HeightMeasurement, Seen]] = field(default_factory=_kept)
    refusals: Counter[str] = field(default_factory=Counter)
    sentence: dict[str, str] = field(default_factory=dict)
    seen: int = 0


class HeightTracker:
    """Follows people through the measurements of one camera, in order, and fuses their heights.

    Frames in which a person is refused or only partly seen do not count, unless there are no others. Networks' heights
    are fused as in geometry.fusion, a depth sensor's by their median.

    Args:
        model: how networks err.
        refresh_s: heights are worked out again when this much time has passed, not for every frame.
    """

    def __init__(self, *, model: FusionModel | None = None, refresh_s: float = 0.5) -> None:
        self._model, self._refresh_s = model or FusionModel(), refresh_s
        self._follower = Follower()
        self._evidence: dict[int, _Evidence] = {}
        self._normals: deque[tuple[float, float, float]] = deque(maxlen=FLOORS)
        self._tracks: dict[int, Track] = {}
        self._last: Measurement | None = None
        self._here: set[int] = set()
        self._fused: dict[int, FusedHeight] = {}
        self._fused_s = -math.inf
        self._frames = 0
        self._now_s, self._shift_s = -math.inf, 0.0

    def update(self, measurement: Measurement, t_s: float) -> tuple[TrackedHeight, ...]:
        """Take one frame's people; frames come in the order of their time.

        Args:
            measurement: as a HeightMeter gives it.
            t_s: when, seconds on any clock; one that jumps back, as a file that starts again, goes on from there.

        Returns:
            Who is seen in it, in the order of their numbers; ``height_m`` is of all frames so far.
        """
        t_s = self._clock(t_s)
        self._frames += 1
        self._last = measurement
        if measurement.floor is not None:
            self._normals.append(measurement.up or measurement.floor.normal)
        people = [person for person in measurement.people if person.is_person]
        tracks = self._follower.assign(people, measurement.floor, t_s)
        fresh = False
        for person, track in zip(people, tracks, strict=True):
            self._tracks[track.number] = track
            fresh |= self._note(track.number, person, measurement, t_s)
        if fresh or t_s - self._fused_s >= self._refresh_s:
            self._fuse()
            self._fused_s = t_s
        self._here = {track.number for track in tracks}
        return tuple(self._value(number) for number in sorted(self._here))

    def people(self) -> tuple[TrackedHeight, ...]:
        """Everyone so far, also who has left; without what was only seen for a moment."""
        self._fuse()
        return tuple(
            self._value(number)
            for number, evidence in sorted(self._evidence.items())
            if evidence.seen >= min(LEAST_SEEN, self._frames)
        )

    def _clock(self, t_s: float) -> float:
        if t_s + self._shift_s < self._now_s:
            self._shift_s = self._now_s - t_s
        self._now_s = t_s + self._shift_s
        return self._now_s

    def _note(self, number: int, person: HeightMeasurement, measurement: Measurement, t_s: float) -> bool:
        """Keep what a frame says of a person. True when it is the first that can be used."""
        evidence = self._evidence.setdefault(number, _Evidence())
        evidence.seen += 1
        if person.refused is not None:
            reason = person.refused.split(":", 1)[0]
            evidence.refusals[reason] += 1
            evidence.sentence[reason] = person.refused
            return False
        if person.sighting is None or measurement.floor is None or UNSURE & set(person.flags):
            return False
        first = not (evidence.whole.count or evidence.partly.count)
        seen = Seen(number, t_s, person.sighting, measurement.floor, measurement.up)
        (evidence.partly if PARTLY & set(person.flags) else evidence.whole).add((person, seen))
        return first

    def _usable(self, number: int) -> Thinned[tuple[HeightMeasurement, Seen]]:
        evidence = self._evidence[number]
        return evidence.whole if evidence.whole.count else evidence.partly

    def _fuse(self) -> None:
        last = self._last
        if last is None:
            return
        used = {number: self._usable(number) for number in self._evidence}
        if last.origin == "sensor":
            self._fused = {
                number: fuse_sensor_heights([person for person, _ in kept.items], [one.t_s for _, one in kept.items])
                for number, kept in used.items()
                if kept.items
            }
            return
        seen = [one for kept in used.values() for _, one in kept.items]
        if not seen:
            return
        by_height = last.scale_source == "camera_height"
        self._fused = fuse_heights(
            seen,
            camera_height_m=seen[-1].floor.offset_m if by_height else None,
            scale_sigma=last.scale_sigma,
            up_sigma_deg=last.up_sigma_deg,
            still=self._still(),
            model=self._model,
        )

    def _still(self) -> bool:
        """The floor's normals scatter by no more than a network's do over a camera at rest."""
        normals = np.asarray(self._normals)
        middle = np.median(normals, axis=0)
        return bool(np.median(np.linalg.norm(normals - middle, axis=1)) < math.radians(STILL_DEG))

    def _value(self, number: int) -> TrackedHeight:
        evidence, track, found = self._evidence[number], self._tracks[number], self._fused.get(number)
        mode, visible = _mode(self._last), number in self._here
        if found is None:
            return TrackedHeight(
                number, None, None, None, None, 0, evidence.seen, mode, track.box_xywh, visible, self._reason(evidence)
            )  # fmt: skip
        kept = self._usable(number)
        flags = () if evidence.whole.count else ("partly_seen",)
        return TrackedHeight(
            number, found.height_m, found.sigma_m, found.random_m, found.interval_m, len(kept.items), evidence.seen,
            mode, track.box_xywh, visible, None, flags,
        )  # fmt: skip

    def _reason(self, evidence: _Evidence) -> str:
        if not evidence.refusals:
            return "crown_depth_missing: the top of the head must have depth and it lies in a hole in every frame"
        reason, count = evidence.refusals.most_common(1)[0]
        sentence = evidence.sentence[reason].split(":", 1)[-1].strip()
        return f"{reason}: in {count} of {evidence.seen} frames {sentence}"


def _mode(measurement: Measurement | None) -> str:
    if measurement is None or measurement.origin == "sensor":
        return "sensor"
    return {"camera_height": "camera_height", "given": "given_scale"}.get(measurement.scale_source, "network_scale")
