"""What a height measurement says: a number with its error, or a refusal with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgedepth.geometry.plane import UP_SIGMA_DEG, FloorPlane

__all__ = ["PERSON", "UPRIGHT_OBJECT", "HeightMeasurement", "Measurement", "Sighting"]

PERSON = "person"
UPRIGHT_OBJECT = "upright_object"
"""What stands on the floor without a person's shape."""


@dataclass(frozen=True)
class Sighting:
    """What one frame saw of a person before a floor made a height of it: what many frames are fused from.

    Camera frame, in the metres of the frame's height.

    Attributes:
        crown_m: the crown.
        feet_ray: unit ray to the place on the floor between the feet; None when they are not seen.
        floor_offset_m: how far the camera is above the floor around the feet, by the depth there.
    """

    crown_m: tuple[float, float, float]
    feet_ray: tuple[float, float, float] | None
    floor_offset_m: float


@dataclass(frozen=True)
class HeightMeasurement:
    """The height of one person above the floor, or why it is not given.

    Attributes:
        box_xywh: the person's box, pixels of the frame.
        height_m: crown (hair included) above the floor along its normal, metres; None when refused.
        sigma_m: one standard deviation of ``height_m``: the budget's terms added in quadrature.
        interval_m: 95 % interval (lo, hi), metres.
        flags: what the reader should know (``"feet_not_visible"``), stable identifiers.
        refused: None, or a stable identifier of the reason followed by ``": "`` and a sentence.
        label: ``"person"`` or ``"upright_object"``.
        distance_m: Z of the person's body, metres.
        score: the finder's confidence.
        budget_m: the error terms by name, metres (one standard deviation each).
        sighting: where crown and feet were seen; None when refused.
    """

    box_xywh: tuple[float, float, float, float]
    height_m: float | None = None
    sigma_m: float | None = None
    interval_m: tuple[float, float] | None = None
    flags: tuple[str, ...] = ()
    refused: str | None = None
    label: str = PERSON
    distance_m: float | None = None
    score: float = 1.0
    budget_m: tuple[tuple[str, float], ...] = ()
    sighting: Sighting | None = None

    @property
    def is_person(self) -> bool:
        """False for what stands upright and has no person's shape."""
        return self.label == PERSON

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, rounded to a tenth of a millimetre and a tenth of a pixel."""
        return {
            "box_xywh": [round(v, 1) for v in self.box_xywh],
            "label": self.label,
            "score": round(self.score, 3),
            "height_m": _round(self.height_m),
            "sigma_m": _round(self.sigma_m),
            "interval_m": None if self.interval_m is None else [_round(v) for v in self.interval_m],
            "distance_m": _round(self.distance_m),
            "flags": list(self.flags),
            "refused": self.refused,
            "budget_m": {name: _round(value) for name, value in self.budget_m},
        }


@dataclass(frozen=True)
class Measurement:
    """The floor and the people of one frame.

    Attributes:
        floor: the plane people are measured from, or None.
        people: one entry each, refused ones included; what only stands upright is labelled ``"upright_object"``.
        floor_refused: why there is no floor, as in HeightMeasurement.refused.
        scale: factor that was applied to the depth before measuring.
        scale_source: ``"sensor"``, ``"model"``, ``"camera_height"`` or ``"given"``.
        scale_sigma: relative standard deviation of the camera's height or the scale as it was given; None: neither was.
        origin: whose depth it is, ``"sensor"`` or ``"model"``.
        up: against gravity in the camera frame, where it was measured.
        up_sigma_deg: one standard deviation of its two angles.
    """

    floor: FloorPlane | None
    people: tuple[HeightMeasurement, ...] = ()
    floor_refused: str | None = None
    scale: float = 1.0
    scale_source: str = "model"
    scale_sigma: float | None = None
    origin: str = "model"
    up: tuple[float, float, float] | None = None
    up_sigma_deg: float = UP_SIGMA_DEG

    @property
    def notable(self) -> tuple[HeightMeasurement, ...]:
        """Who is worth showing: everyone, and the objects that have a height. Why a box has none helps nobody."""
        return tuple(found for found in self.people if found.is_person or found.height_m is not None)

    def as_dict(self) -> dict[str, Any]:
        """The JSON of ``edgedepth measure --json``: ``people``, and apart from them the upright ``objects``."""
        floor = None
        if self.floor is not None:
            floor = {
                "normal": [round(v, 6) for v in self.floor.normal],
                "offset_m": _round(self.floor.offset_m),
                "camera_height_m": _round(self.floor.camera_height_m),
                "pitch_deg": round(self.floor.pitch_deg, 3),
                "roll_deg": round(self.floor.roll_deg, 3),
                "inlier_rms_m": round(self.floor.inlier_rms_m, 5),
                "inlier_count": self.floor.inlier_count,
                "source": self.floor.source,
            }
        return {
            "floor": floor,
            "floor_refused": self.floor_refused,
            "scale": round(self.scale, 6),
            "scale_source": self.scale_source,
            "people": [found.as_dict() for found in self.people if found.is_person],
            "objects": [found.as_dict() for found in self.people if not found.is_person],
        }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
