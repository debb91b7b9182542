"""Depth, masks and heights of a played clip against its truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgedepth.demo.play import Played
from edgedepth.evaluation.metrics import depth_scores
from edgedepth.people.track import TrackedHeight
from edgedepth.sources.clip import Clip

__all__ = ["DemoScores", "FrameScore", "PersonFrame", "PersonScore", "score"]

Box = Sequence[float]

_SAME_PERSON = 0.4
"""Overlap (intersection over union) of a found box with the true one from which both are of one person."""


@dataclass(frozen=True)
class FrameScore:
    """One frame against its truth; means over its pixels.

    Attributes:
        frame: its number in the clip.
        absrel, delta1, rmse_m: as ``edgedepth.evaluation.metrics``, without alignment.
        absrel_people: on the pixels of people alone.
        iou: intersection over union of all people's pixels; None when the model tells no people.
    """

    frame: int
    absrel: float
    delta1: float
    rmse_m: float
    absrel_people: float | None
    iou: float | None


@dataclass(frozen=True)
class PersonFrame:
    """What one frame says of a person: a height with its 95 % interval, or both None where it was refused."""

    frame: int
    height_m: float | None
    interval_m: tuple[float, float] | None


@dataclass(frozen=True)
class PersonScore:
    """Someone of the clip.

    Attributes:
        name, stature_m: as the clip says.
        frames: those in which they were found.
        tracked: what all frames tell together; None when nobody was followed at their place.
    """

    name: str
    stature_m: float
    frames: tuple[PersonFrame, ...]
    tracked: TrackedHeight | None

    @property
    def height_m(self) -> float | None:
        """Of all frames; None when refused."""
        return None if self.tracked is None else self.tracked.height_m

    @property
    def interval_m(self) -> tuple[float, float] | None:
        """Its 95 % interval."""
        return None if self.tracked is None else self.tracked.interval_m

    @property
    def refused(self) -> str | None:
        """Why there is no height; None when there is one."""
        return "not_found: nobody was followed where they are" if self.tracked is None else self.tracked.refused

    @property
    def error_m(self) -> float | None:
        """Height minus stature."""
        return None if self.height_m is None else self.height_m - self.stature_m

    @property
    def holds(self) -> bool | None:
        """Whether the interval contains the stature."""
        return None if self.interval_m is None else self.interval_m[0] <= self.stature_m <= self.interval_m[1]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "name": self.name,
            "stature_m": self.stature_m,
            "height_m": _rounded(self.height_m),
            "interval_m": None if self.interval_m is None else [_rounded(end) for end in self.interval_m],
            "error_m": _rounded(self.error_m),
            "interval_holds_stature": self.holds,
            "mode": None if self.tracked is None else self.tracked.mode,
            "refused": self.refused,
            "frames": 0 if self.tracked is None else self.tracked.frames,
            "frames_found": len(self.frames),
            "frames_measured": sum(one.height_m is not None for one in self.frames),
        }


@dataclass(frozen=True)
class DemoScores:
    """Everything that was held against the truth."""

    frames: tuple[FrameScore, ...]
    people: tuple[PersonScore, ...]

    def mean(self, name: str) -> float | None:
        """Mean of one number of FrameScore over the frames that have it."""
        values = [value for one in self.frames if (value := getattr(one, name)) is not None]
        return float(np.mean(values)) if values else None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        names = ("absrel", "delta1", "rmse_m", "absrel_people")
        depth = {name: _rounded(self.mean(name)) for name in names}
        return {
            "depth": {"frames": len(self.frames), "alignment": "none", **depth},
            "mask": {"iou": _rounded(self.mean("iou"))},
            "people": [person.as_dict() for person in self.people],
        }


def score(clip: Clip, played: Played, person_threshold: float | None) -> DemoScores:
    """Hold what was played against the truth.

    Args:
        clip: with the truth. played: of this clip.
        person_threshold: probability from which a pixel counts as a person; None: the model tells no people.

    Raises:
        InputError: the clip's truth cannot be read.
    """
    frames = []
    for result in played.judged:
        number = result.frame.sequence
        truth_m, ids = clip.truth(number)
        found_m, people = result.depth.depth_m, ids > 0
        whole = depth_scores(found_m, truth_m)
        with_depth = people & np.isfinite(found_m) & (found_m > 0)
        on_people = depth_scores(found_m, truth_m, where=people).abs_rel if with_depth.any() else None
        iou = None
        if person_threshold is not None and result.depth.person is not None:
            iou = _overlap(result.depth.person >= np.float32(person_threshold), people)
        frames.append(FrameScore(number, whole.abs_rel, whole.delta1, whole.rmse_m, on_people, iou))
    return DemoScores(tuple(frames), _people(clip, played))


def _overlap(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    either = int(np.count_nonzero(found | true))
    return int(np.count_nonzero(found & true)) / either if either else 1.0


def _people(clip: Clip, played: Played) -> tuple[PersonScore, ...]:
    """Everyone of the clip: what single frames say, and the track that was at their place most often."""
    frames: dict[str, list[PersonFrame]] = {person.name: [] for person in clip.info.people}
    votes: dict[str, Counter[int]] = {person.name: Counter() for person in clip.info.people}
    for seen in played.seen:
        for person in clip.info.people:
            place = person.boxes_xywh[seen.frame]
            found = _at(place, [one for one in seen.measurement.people if one.is_person])
            if found is not None:
                frames[person.name].append(PersonFrame(seen.frame, found.height_m, found.interval_m))
            track = _at(place, seen.people)
            if track is not None:
                votes[person.name][track.person] += 1
    tracked = {one.person: one for one in played.summary.people}
    followed = {
        name: next((tracked[number] for number, _ in count.most_common() if number in tracked), None)
        for name, count in votes.items()
    }
    return tuple(
        PersonScore(person.name, person.stature_m, tuple(frames[person.name]), followed[person.name])
        for person in clip.info.people
    )


class _Boxed(Protocol):
    @property
    def box_xywh(self) -> tuple[float, float, float, float]: ...


Found = TypeVar("Found", bound=_Boxed)


def _at(true_xywh: Box | None, people: Sequence[Found]) -> Found | None:
    """Who is in the true box, of those found: the one whose box overlaps it most, and enough."""
    if true_xywh is None or not people:
        return None
    overlaps = [_box_overlap(true_xywh, one.box_xywh) for one in people]
    best = int(np.argmax(overlaps))
    return people[best] if overlaps[best] >= _SAME_PERSON else None


def _box_overlap(a: Box, b: Box) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
