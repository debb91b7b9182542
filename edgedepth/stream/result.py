"""What the pipeline hands to its sinks for every frame."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgedepth.geometry.measurement import Measurement
from edgedepth.people.track import TrackedHeight
from edgedepth.types import DepthMap, Frame

__all__ = ["STAGES", "Result"]

STAGES = ("capture", "wait", "preprocess", "infer", "postprocess", "measure", "publish_wait", "track")
"""Stage names in order. ``wait``: from captured to taken by a worker; ``publish_wait``: from done to its turn;
``track``: heights of earlier frames and of this one made into one."""


@dataclass(frozen=True, eq=False)
class Result:
    """One frame, its depth, and what was measured in it.

    Attributes:
        frame: the frame as captured.
        depth: depth on the frame's pixel grid (or at network size when asked).
        measurement: floor and people, or None when heights were not asked for.
        people: the same people with their numbers, and the height of each out of all frames so far.
        stage_ns: nanoseconds of each stage, by name (a subset of STAGES).
        published_ns: monotonic clock when the sinks got it; the result's age is this minus ``frame.timestamp_ns``.
        dropped: frames dropped since the start, by the source and by the latest-wins slot.
    """

    frame: Frame
    depth: DepthMap
    measurement: Measurement | None = None
    stage_ns: dict[str, int] = field(default_factory=dict)
    published_ns: int = 0
    dropped: int = 0
    people: tuple[TrackedHeight, ...] = ()

    @property
    def age_ms(self) -> float:
        """Milliseconds from capture to the sinks."""
        return (self.published_ns - self.frame.timestamp_ns) / 1e6
