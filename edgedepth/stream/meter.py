"""The Meter seam: what measures people inside the pipeline."""

from __future__ import annotations

from typing import Protocol

from edgedepth.geometry.measurement import Measurement
from edgedepth.types import DepthMap, Frame

__all__ = ["Meter"]


class Meter(Protocol):
    """Measures people in a frame. One thread at a time may use one; other threads take a ``replica``."""

    def measure(self, frame: Frame, depth: DepthMap) -> Measurement:
        """The floor and the people of one frame."""
        ...

    def replica(self) -> Meter:
        """The same meter for use from another thread."""
        ...

    def close(self) -> None:
        """Release what it holds. Safe to call twice."""
        ...
