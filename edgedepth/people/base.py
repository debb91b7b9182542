"""The PersonFinder seam, and what is known of one person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from edgedepth.geometry.measurement import PERSON, UPRIGHT_OBJECT
from edgedepth.geometry.plane import FloorPlane
from edgedepth.types import DepthMap, Frame

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PERSON", "UPRIGHT_OBJECT", "Candidate", "PersonFinder", "Stateless"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """Something a finder found in a frame.

    Attributes:
        box_xywh: x, y of the top left pixel, width, height; pixels of the frame.
        label: ``"person"``, or ``"upright_object"`` for what stands on the floor without a person's shape.
        score: 0..1, the finder's confidence; 1 for what the caller gave.
        mask: bool H x W silhouette on the frame's grid, or None when the finder gives boxes only.
    """

    box_xywh: tuple[float, float, float, float]
    label: str = PERSON
    score: float = 1.0
    mask: NDArray[np.bool_] | None = None


class PersonFinder(Protocol):
    """Finds people in a frame. One thread at a time may use one; other threads take a ``replica``."""

    def find(self, frame: Frame, depth: DepthMap | None, floor: FloorPlane | None) -> Sequence[Candidate]:
        """People in ``frame``, best first. Depth (on the frame's grid) and floor are None when unknown."""
        ...

    def replica(self) -> PersonFinder:
        """The same finder for use from another thread: with buffers of its own, or itself when it has none."""
        ...

    def close(self) -> None:
        """Release what it holds. Safe to call twice."""
        ...


class Stateless:
    """What a finder without buffers or network shares with others of its kind."""

    def replica(self) -> Self:
        """See PersonFinder.replica: there is nothing to separate."""
        return self

    def close(self) -> None:
        """See PersonFinder.close: there is nothing to release."""
