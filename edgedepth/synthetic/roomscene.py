"""A room as one frozen value: walls, what stands in it, lights, people and a camera, at any time.

World frame of ``edgedepth.synthetic.scene``: x right, y forward, z up, metres, the floor at z = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgedepth.geometry.plane import FloorPlane
from edgedepth.synthetic.furniture import Look
from edgedepth.synthetic.people import Figure
from edgedepth.synthetic.scene import Camera, Room
from edgedepth.synthetic.solids import Solid

__all__ = ["Light", "Rgb", "RoomScene", "Surface"]

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Surface:
    """What covers a floor, a ceiling or the walls: colour, texture and how often it repeats per metre."""

    look: Look
    repeat_per_m: float


@dataclass(frozen=True)
class Light:
    """A lamp that shines along ``direction`` into a cone."""

    position_m: tuple[float, float, float]
    direction: tuple[float, float, float]
    color: Rgb
    cutoff_deg: float = 80.0
    shadows: bool = True


@dataclass(frozen=True, eq=False)
class RoomScene:
    """A room at any time.

    Attributes:
        seed: what it was made of.
        room: walls. solids: what stands still in it. people: who is there.
        surfaces: floor, ceiling, walls.
        lights: lamps. ambient: light from everywhere, 0 to 1.
        still: the camera at rest; ``camera(t_s)`` sways about it by ``sway_m`` and ``sway_deg``.
        view: 0 with the room's own camera; see ``edgedepth.synthetic.views``.
    """

    seed: int
    room: Room
    solids: tuple[Solid, ...]
    people: tuple[Figure, ...]
    surfaces: tuple[Surface, Surface, Surface]
    lights: tuple[Light, ...]
    ambient: Rgb
    still: Camera
    sway_m: float = 0.0
    sway_deg: float = 0.0
    view: int = 0

    def camera(self, t_s: float) -> Camera:
        """The camera at a time: as held in a hand, or at rest."""
        a, b, c = (math.sin(2 * math.pi * f * t_s + p) for f, p in ((0.31, 0.0), (0.43, 1.0), (0.23, 2.0)))
        rest = self.still
        return replace(
            rest,
            x_m=rest.x_m + self.sway_m * a,
            y_m=rest.y_m + self.sway_m * b,
            height_m=rest.height_m + 0.3 * self.sway_m * c,
            yaw_deg=rest.yaw_deg + 2 * self.sway_deg * b,
            pitch_deg=rest.pitch_deg + self.sway_deg * c,
            roll_deg=rest.roll_deg + 0.5 * self.sway_deg * a,
        )

    def floor(self, t_s: float) -> FloorPlane:
        """The floor in the camera's frame at a time."""
        camera = self.camera(t_s)
        return FloorPlane(camera.up, camera.height_m)

    def moving_solids(self, t_s: float) -> list[Solid]:
        """Everyone's bodies at a time; the same number at any time."""
        return [part for index, figure in enumerate(self.people) for part in figure.solids(t_s, index + 1)]
