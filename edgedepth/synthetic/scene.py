"""A small analytic world: a room, boxes, and people made of ellipsoids whose stature is exact.

World frame: x right, y forward, z up, metres, the floor at z = 0. Everything is a frozen value, so what stands still
can be cached; people move as a function of time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError
from edgedepth.types import Intrinsics, Pose

__all__ = ["Box", "Camera", "Ellipsoid", "Person", "Room", "Scene", "default_scene"]

Color = tuple[int, int, int]
Triple = tuple[float, float, float]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """Where the camera is and how it is turned.

    Attributes:
        intrinsics: pinhole or with distortion.
        height_m: of the camera's centre above the floor.
        pitch_deg: positive looks down. roll_deg: positive is turned clockwise, seen from behind. yaw_deg: positive
            looks to the right. As in FloorPlane.
        x_m, y_m: position on the floor.
    """

    intrinsics: Intrinsics
    height_m: float = 1.2
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    yaw_deg: float = 0.0
    x_m: float = 0.0
    y_m: float = 0.0

    @property
    def pose(self) -> Pose:
        """T_world_camera."""
        pitch, roll, yaw = (math.radians(a) for a in (self.pitch_deg, self.roll_deg, self.yaw_deg))
        forward = np.array([math.sin(yaw) * math.cos(pitch), math.cos(yaw) * math.cos(pitch), -math.sin(pitch)])
        right = np.array([math.cos(yaw), -math.sin(yaw), 0.0])
        down = np.cross(forward, right)
        T = np.eye(4)
        # Turned clockwise, the image's x axis dips towards the ground.
        T[:3, 0] = math.cos(roll) * right + math.sin(roll) * down
        T[:3, 1] = -math.sin(roll) * right + math.cos(roll) * down
        T[:3, 2] = forward
        T[:3, 3] = self.x_m, self.y_m, self.height_m
        return Pose(T)

    @property
    def up(self) -> Triple:
        """Unit vector opposite to gravity in the camera frame."""
        x, y, z = (float(v) for v in self.pose.T_world_camera[2, :3])
        return x, y, z


@dataclass(frozen=True)
class Room:
    """A closed room around the camera: walls at these x and y, a ceiling at ``height_m``."""

    x_m: tuple[float, float] = (-2.5, 2.5)
    y_m: tuple[float, float] = (-1.0, 5.0)
    height_m: float = 2.7


@dataclass(frozen=True)
class Box:
    """A cuboid: centre, full size (x, y, z), turned about the vertical."""

    center_m: Triple
    size_m: Triple
    yaw_deg: float = 0.0
    color: Color = (150, 110, 70)


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """Centre, semi-axes and the rotation whose columns are the axes' directions; world frame."""

    center_m: Vector
    semi_axes_m: Vector
    rotation: Vector
    color: Color
    hair: bool = False


@dataclass(frozen=True)
class Person:
    """Someone of exactly ``stature_m``: the crown of the head's ellipsoid is that high above the floor.

    Attributes:
        stature_m: height of the crown.
        waypoints_m: (x, y) on the floor; one stands there, more are walked round and round.
        speed_m_s: walking speed.
        heading_deg: where a standing person faces; 0 is away from the camera's side (+y), 90 to the right (+x).
        shirt, trousers, hair: colours.
    """

    stature_m: float
    waypoints_m: tuple[tuple[float, float], ...] = ((0.0, 2.0),)
    speed_m_s: float = 0.8
    heading_deg: float = 180.0
    shirt: Color = (60, 110, 170)
    trousers: Color = (60, 60, 75)
    hair: Color = (60, 40, 25)

    def __post_init__(self) -> None:
        if not 0.3 < self.stature_m < 2.6 or not self.waypoints_m:
            raise InputError(f"a person is 0.3 to 2.6 m tall and stands somewhere, found {self.stature_m}")

    @property
    def walks(self) -> bool:
        """True when there is somewhere to go."""
        return len(self.waypoints_m) > 1 and self.speed_m_s > 0

    def place(self, t_s: float) -> tuple[float, float, float]:
        """(x_m, y_m, heading in radians) at a time."""
        points = np.asarray(self.waypoints_m, dtype=np.float64)
        if not self.walks:
            return float(points[0, 0]), float(points[0, 1]), math.radians(self.heading_deg)
        legs = np.roll(points, -1, axis=0) - points
        lengths = np.hypot(legs[:, 0], legs[:, 1])
        ends = np.cumsum(lengths)
        travelled = (t_s * self.speed_m_s) % ends[-1]
        leg = min(int(np.searchsorted(ends, travelled, side="right")), len(legs) - 1)
        share = (travelled - (ends[leg] - lengths[leg])) / lengths[leg]
        x, y = points[leg] + share * legs[leg]
        return float(x), float(y), math.atan2(legs[leg, 0], legs[leg, 1])

    @property
    def head_semi_axes_m(self) -> Triple:
        """Half width, half depth and half height of the head. A child's is larger for its stature."""
        height = self.stature_m * min(0.2, max(0.125, 0.13 + 0.07 * (1.75 - self.stature_m)))
        return 0.36 * height, 0.43 * height, 0.5 * height

    def ellipsoids(self, t_s: float) -> tuple[Ellipsoid, ...]:
        """The body at a time. Legs and arms swing while walking; the crown keeps its height."""
        H, skin = self.stature_m, (205, 160, 130)
        x, y, heading = self.place(t_s)
        swing = 0.3 * math.sin(2 * math.pi * 0.9 * self.speed_m_s * t_s / (0.45 * H)) if self.walks else 0.0
        head = self.head_semi_axes_m
        chin = H - 2 * head[2]
        # Person frame: x to the person's right, y ahead, z up. (centre, semi-axes, swing, colour, hair)
        parts: list[tuple[Triple, Triple, float, Color, bool]] = [
            ((0, 0, H - head[2]), head, 0.0, skin, True),
            ((0, 0, chin), (0.032 * H, 0.035 * H, 0.05 * H), 0.0, skin, False),
            ((0, 0, 0.785 * H), (0.125 * H, 0.078 * H, 0.05 * H), 0.0, self.shirt, False),
            ((0, 0, 0.665 * H), (0.1 * H, 0.088 * H, 0.16 * H), 0.0, self.shirt, False),
            ((0, 0, 0.505 * H), (0.09 * H, 0.082 * H, 0.09 * H), 0.0, self.trousers, False),
        ]
        for side, angle in ((-1, swing), (1, -swing)):
            ahead, drop = math.sin(angle), math.cos(angle)
            parts.append(
                ((side * 0.05 * H, 0.24 * H * ahead, (0.5 - 0.24 * drop) * H),
                 (0.044 * H, 0.05 * H, 0.24 * H), angle, self.trousers, False)
            )  # fmt: skip
            lift = max(0.0, 0.5 * (1 - drop) - 0.005) * H
            parts.append(
                ((side * 0.05 * H, (0.47 * ahead + 0.025) * H, 0.02 * H + lift),
                 (0.027 * H, 0.07 * H, 0.02 * H), 0.0, (40, 35, 35), False)
            )  # fmt: skip
            parts.append(
                ((side * 0.14 * H, -0.18 * H * ahead, (0.79 - 0.18 * drop) * H),
                 (0.027 * H, 0.03 * H, 0.19 * H), -angle, self.shirt, False)
            )  # fmt: skip
            parts.append(
                ((side * 0.14 * H, -0.38 * H * ahead, (0.79 - 0.38 * drop) * H),
                 (0.018 * H, 0.025 * H, 0.045 * H), -angle, skin, False)
            )  # fmt: skip
        c, s = math.cos(heading), math.sin(heading)
        turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        ground = np.array([x, y, 0.0])
        return tuple(
            Ellipsoid(ground + turn @ np.array(center), np.array(semi), turn @ _about_x(pitch), color, hair)
            for center, semi, pitch, color, hair in parts
        )


def _about_x(angle: float) -> Vector:
    """Swings the lower end (-z) of a limb ahead (+y)."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


@dataclass(frozen=True)
class Scene:
    """A camera and what it sees. Without a room there is a floor without end and no depth above the horizon."""

    camera: Camera
    people: tuple[Person, ...] = ()
    boxes: tuple[Box, ...] = ()
    room: Room | None = field(default_factory=Room)


def default_scene(width: int = 640, height: int = 480) -> Scene:
    """An adult of 1.75 m and a child of 1.10 m walk about in a furnished room; what ``synthetic://`` shows."""
    intrinsics = Intrinsics.from_fov(width, height, hfov_deg=69.0)  # a RealSense's colour camera
    return Scene(
        camera=Camera(intrinsics, height_m=1.35, pitch_deg=8.0),
        people=(
            Person(1.75, waypoints_m=((-1.0, 2.8), (-0.6, 4.3), (0.1, 2.9)), speed_m_s=0.8),
            Person(
                1.10, waypoints_m=((0.9, 2.2), (0.5, 3.6), (1.1, 2.9)), speed_m_s=0.55,
                shirt=(200, 90, 60), trousers=(70, 95, 130), hair=(130, 85, 40),
            ),
        ),
        boxes=(
            Box((-1.9, 4.4, 0.45), (0.8, 0.8, 0.9), yaw_deg=12, color=(140, 100, 65)),
            Box((1.95, 4.5, 0.9), (0.7, 0.5, 1.8), yaw_deg=-8, color=(120, 130, 125)),
            Box((1.95, 2.6, 0.2), (0.6, 0.6, 0.4), yaw_deg=30, color=(175, 150, 95)),
        ),
    )  # fmt: skip
