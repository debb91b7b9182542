"""Seeded rooms: the same seed gives the same walls, furniture, lights, people and camera, in any process.

World frame of ``edgedepth.synthetic.scene``: x right, y forward, z up, metres, the floor at z = 0.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError
from edgedepth.synthetic.furniture import PIECES, Look, assemble
from edgedepth.synthetic.people import Figure, random_figure
from edgedepth.synthetic.roomscene import Light, Rgb, RoomScene, Surface
from edgedepth.synthetic.scene import Camera, Person, Room
from edgedepth.synthetic.solids import Solid
from edgedepth.types import Intrinsics

__all__ = ["room_scene"]


def room_scene(seed: int, *, width: int = 640, height: int = 480, people: int | None = None) -> RoomScene:
    """A room nobody designed.

    Args:
        seed: 0 or more.
        width, height: of the image, pixels.
        people: how many, 0 to 3; None draws it. Fewer when there is no free place for them.

    Raises:
        InputError: a negative seed, or more people than 3.
    """
    if seed < 0:
        raise InputError(f"a room takes a seed of 0 or more, found {seed}")
    if people is not None and not 0 <= people <= 3:
        raise InputError(f"a room takes 0 to 3 people, found {people}")
    return _Maker(np.random.default_rng([seed, 0x5EED])).make(seed, width, height, people)


Rect = tuple[float, float, float, float]


class _Maker:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.taken: list[Rect] = []
        self.hung: list[tuple[int, float, float]] = []
        self.blocks: list[Rect] = []
        self.solids: list[Solid] = []

    def make(self, seed: int, width: int, height: int, people: int | None) -> RoomScene:
        rng = self.rng
        w, d, h = rng.uniform(2.8, 7.0), rng.uniform(3.4, 8.5), rng.uniform(2.3, 3.2)
        self.room = Room((-w / 2, w / 2), (0.0, d), h)
        self.palette = [self._colour(0.15, 0.95) for _ in range(4)]
        self.fov_deg = float(rng.uniform(50, 90))
        camera = Camera(
            Intrinsics.from_fov(width, height, hfov_deg=self.fov_deg),
            height_m=float(min(rng.uniform(0.5, 2.2), h - 0.15)),
            pitch_deg=float(rng.uniform(-5, 30)),
            roll_deg=float(np.clip(rng.normal(0, 4), -10, 10)),
            x_m=float(rng.uniform(-0.4, 0.4) * (w - 0.8)),
            y_m=float(rng.uniform(0.3, 0.3 * d)),
        )
        # Towards some place in the far half.
        to_x, to_y = rng.uniform(-0.35, 0.35) * w, rng.uniform(0.6, 1.0) * d
        camera = replace(camera, yaw_deg=math.degrees(math.atan2(to_x - camera.x_m, to_y - camera.y_m)))
        self.camera = camera
        # Free in front of the lens, or one piece fills the picture.
        yaw = math.radians(camera.yaw_deg)
        ahead_x, ahead_y = camera.x_m + 0.5 * math.sin(yaw), camera.y_m + 0.5 * math.cos(yaw)
        self.taken.append((ahead_x - 0.6, ahead_y - 0.7, ahead_x + 0.6, ahead_y + 0.6))
        self._blocks(h)
        number = int(rng.choice(4, p=[0.25, 0.35, 0.25, 0.15])) if people is None else people
        figures = self._people(number)
        self._furnish(w * d)
        handheld = rng.random() < 0.5
        return RoomScene(
            seed, self.room, tuple(self.solids), tuple(figures), self._surfaces(), self._lights(w, d, h),
            self._warmth(float(rng.uniform(0.25, 0.5))), camera,
            float(rng.uniform(0.01, 0.04)) if handheld else 0.0, float(rng.uniform(0.3, 1.5)) if handheld else 0.0,
        )  # fmt: skip

    def _colour(self, low: float, high: float) -> Rgb:
        base, strength = self.rng.uniform(low, high), 0.7 * self.rng.beta(1, 2.5)
        tint = self.rng.dirichlet((2, 2, 2)) * 3
        r, g, b = np.clip(base * ((1 - strength) + strength * tint), 0.04, 0.97)
        return float(r), float(g), float(b)

    def _floor_colour(self) -> Rgb:
        """Wood more often than not."""
        if self.rng.random() < 0.45:
            return self._colour(0.3, 0.95)
        r, g, b = np.array([0.85, 0.64, 0.44]) * self.rng.uniform(0.5, 1.15)
        return float(r), float(g), float(b)

    def _warmth(self, level: float) -> Rgb:
        warm = self.rng.uniform(-0.12, 0.18)
        return level * (1 + warm), level, level * (1 - warm)

    def _surfaces(self) -> tuple[Surface, Surface, Surface]:
        rng = self.rng
        floor = str(rng.choice(["wood", "wood", "tiles", "fabric", "noise", "checks"]))
        wall = str(rng.choice(["plaster", "plaster", "plaster", "stripes", "noise", "tiles"]))
        return (
            Surface(Look(self._floor_colour(), floor), float(rng.uniform(0.5, 1.7))),
            Surface(Look(self._colour(0.75, 0.97), "plaster"), 0.4),
            Surface(Look(self._colour(0.4, 0.97), wall), float(rng.uniform(0.3, 0.9))),
        )

    def _lights(self, w: float, d: float, h: float) -> tuple[Light, ...]:
        rng = self.rng
        lamp = Light(
            (float(rng.uniform(-0.3, 0.3) * w), float(rng.uniform(0.3, 0.7) * d), h - 0.12),
            (float(rng.uniform(-0.25, 0.25)), float(rng.uniform(-0.25, 0.25)), -1.0),
            self._warmth(float(rng.uniform(0.35, 0.75))),
        )
        if rng.random() < 0.4:
            return (lamp,)
        # From a window: a wide, soft light. Its shadow map would leave dots on the walls it meets head-on.
        side = 1.0 if rng.random() < 0.5 else -1.0
        window = Light(
            (side * (w / 2 - 0.1), float(rng.uniform(0.2, 0.8) * d), float(min(1.9, h - 0.2))),
            (-side, float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.6, -0.2))),
            self._warmth(float(rng.uniform(0.2, 0.6))), 70.0, shadows=False,
        )  # fmt: skip
        return lamp, window

    def _blocks(self, h: float) -> None:
        """A corner taken out of the room makes it an L; a pillar stands by a wall."""
        rng = self.rng
        (x0, x1), (_, y1) = self.room.x_m, self.room.y_m
        if rng.random() < 0.35:
            bw, bd = rng.uniform(0.2, 0.45) * (x1 - x0), rng.uniform(0.15, 0.4) * y1
            left = rng.random() < 0.5
            cx = x0 + bw / 2 if left else x1 - bw / 2
            self._block(cx, y1 - bd / 2, bw, bd, h)
        if rng.random() < 0.2:
            side = rng.uniform(0.2, 0.45)
            self._block(float(rng.choice([x0, x1])), float(rng.uniform(0.5, 0.9) * y1), side, side, h)

    def _block(self, x: float, y: float, bw: float, bd: float, h: float) -> None:
        self.blocks.append((x - bw / 2, y - bd / 2, x + bw / 2, y + bd / 2))
        self.taken.append(self.blocks[-1])
        center, half = np.array([x, y, h / 2]), np.array([bw / 2, bd / 2, h / 2])
        self.solids.append(Solid("box", center, half, np.eye(3), self._colour(0.5, 0.95), "plaster"))

    def _looks(self, name: str) -> tuple[Look, Look]:
        rng, (one, two) = self.rng, PIECES[name].textures
        colors = [
            self.palette[int(rng.integers(4))] if rng.random() < 0.6 else self._colour(0.08, 0.95) for _ in range(2)
        ]
        if "wood" in one and rng.random() < 0.6:
            colors[0] = tuple(float(v) for v in np.array([0.75, 0.55, 0.36]) * rng.uniform(0.4, 1.25))  # type: ignore[assignment]
        if name == "plant":
            colors[0] = (0.15 + 0.2 * rng.random(), 0.35 + 0.3 * rng.random(), 0.12)
        if name == "picture":
            colors[0] = self._colour(0.7, 0.97)
        if two == ("window",):
            return Look(self._colour(0.6, 0.97), str(rng.choice(one))), Look(self._colour(0.85, 0.97), "window")
        return Look(colors[0], str(rng.choice(one))), Look(colors[1], str(rng.choice(two)))

    def _furnish(self, area_m2: float) -> None:
        rng = self.rng
        places = ("wall", "free", "hung", "rug")
        by_place = {where: [n for n, p in PIECES.items() if p.where == where] for where in places}
        counts = {
            "hung": rng.integers(3, 9), "rug": rng.integers(0, 2),
            "wall": rng.integers(2, 4 + int(area_m2 / 6)), "free": rng.integers(0, 3 + int(area_m2 / 7)),
        }  # fmt: skip
        for where, count in counts.items():
            for _ in range(int(count)):
                self._place(str(rng.choice(by_place[where])))

    def _place(self, name: str) -> None:
        """Try some places; leave it out when none is free."""
        rng, piece = self.rng, PIECES[name]
        size = rng.uniform(piece.low_m, piece.high_m)
        if name in ("round table", "stool", "bin", "ball", "plant", "floor lamp"):
            size[1] = size[0]
        if name == "ball":
            size[2] = size[0]
        (x0, x1), (y0, y1) = self.room.x_m, self.room.y_m
        size[2] = min(size[2], self.room.height_m - 0.05)
        for _ in range(12):
            wall, bottom = int(rng.integers(0, 4)), 0.0
            if piece.where in ("free", "rug"):
                yaw = float(90 * rng.integers(0, 4) + rng.normal(0, 12))
                x, y = float(rng.uniform(x0 + 0.4, x1 - 0.4)), float(rng.uniform(y0 + 0.4, y1 - 0.4))
            else:
                gap = 0.0 if piece.where == "hung" else float(rng.uniform(0.01, 0.06))
                yaw = (180.0, 90.0, 0.0, -90.0)[wall]  # far, right, near, left: the back is to the wall
                long = (x1 - x0 if wall % 2 == 0 else y1 - y0) - size[0] - 0.1
                if long <= 0:
                    return
                along = float(rng.uniform(-0.5, 0.5) * long)
                off, mid_x, mid_y = size[1] / 2 + gap, (x0 + x1) / 2 + along, (y0 + y1) / 2 + along
                x, y = ((mid_x, y1 - off), (x1 - off, mid_y), (mid_x, y0 + off), (x0 + off, mid_y))[wall]
                if piece.where == "wall":
                    yaw += float(rng.normal(0, 1.0)) if gap > 0.04 else 0.0
                bottom = float(min(rng.uniform(*piece.sill_m), self.room.height_m - size[2] - 0.03))
                if bottom < 0:
                    return
            if not self._fits(piece.where, wall, (x, y), yaw, size):
                continue
            self.solids.extend(assemble(piece, size, (float(x), float(y), bottom), yaw, self._looks(name)))
            if piece.top:
                self._clutter((float(x), float(y)), yaw, size, piece.top * size[2])
            return

    def _fits(self, where: str, wall: int, at: tuple[float, float], yaw_deg: float, size: NDArray[np.float64]) -> bool:
        c, s = abs(math.cos(math.radians(yaw_deg))), abs(math.sin(math.radians(yaw_deg)))
        half_x, half_y = (c * size[0] + s * size[1]) / 2, (s * size[0] + c * size[1]) / 2
        rect = (at[0] - half_x, at[1] - half_y, at[0] + half_x, at[1] + half_y)
        (x0, x1), (y0, y1) = self.room.x_m, self.room.y_m
        if rect[0] < x0 - 1e-6 or rect[1] < y0 - 1e-6 or rect[2] > x1 + 1e-6 or rect[3] > y1 + 1e-6:
            return False
        if where == "rug":
            return True
        if where == "hung":
            low, high = (rect[0], rect[2]) if wall % 2 == 0 else (rect[1], rect[3])
            free = not any(w == wall and low < b + 0.05 and high > a - 0.05 for w, a, b in self.hung)
            free = free and not any(_overlap(rect, other, 0.01) for other in self.blocks)
            self.hung += [(wall, low, high)] if free else []
            return free
        if any(_overlap(rect, other, 0.04) for other in self.taken):
            return False
        self.taken.append(rect)
        return True

    def _clutter(self, at: tuple[float, float], yaw_deg: float, size: NDArray[np.float64], top_m: float) -> None:
        """Small things on a table or a shelf; each has its own strip, so that none stands in another."""
        rng, count = self.rng, int(self.rng.integers(0, 5))
        c, s = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
        for i in range(count):
            half = np.array([rng.uniform(0.02, 0.09), rng.uniform(0.02, 0.09), rng.uniform(0.02, 0.16)])
            half[:2] = np.minimum(half[:2], size[:2] / (2.4 * count))
            kind = str(rng.choice(["box", "cylinder", "ellipsoid"]))
            if kind == "cylinder":
                half[:2] = half[:2].min()
            room = np.maximum(size[:2] / 2 - 1.5 * half[:2].max(), 0)
            lx = float(np.clip((i + 0.5) / count * size[0] - size[0] / 2, -room[0], room[0]))
            ly = float(rng.uniform(-room[1], room[1])) * 0.7
            center = np.array([at[0] + c * lx - s * ly, at[1] + s * lx + c * ly, top_m + half[2]])
            R = np.array([[c, -s, 0.0], [s, c, 0.0], [0, 0, 1.0]])
            texture = str(rng.choice(["", "noise", "stripes", "picture"]))
            self.solids.append(Solid(kind, center, half, R, self._colour(0.08, 0.95), texture))  # type: ignore[arg-type]

    def _people(self, number: int) -> list[Figure]:
        rng, figures = self.rng, []
        for _ in range(number):
            child = rng.random() < 0.4
            stature = float(rng.uniform(0.75, 1.3) if child else np.clip(rng.normal(1.7, 0.12), 1.3, 2.0))
            path = self._path(stature)
            if path is not None:
                figures.append(random_figure(rng, path))
        return figures

    def _path(self, stature_m: float) -> Person | None:
        """Somewhere in view, kept free for them."""
        rng, camera = self.rng, self.camera
        (x0, x1), (y0, y1) = self.room.x_m, self.room.y_m
        for _ in range(30):
            bearing = math.radians(camera.yaw_deg + rng.uniform(-0.42, 0.42) * self.fov_deg)
            distance = rng.uniform(1.2, 5.5)
            x, y = camera.x_m + distance * math.sin(bearing), camera.y_m + distance * math.cos(bearing)
            walks = rng.random() < 0.5
            ways = [(float(x), float(y))]
            if walks:
                ways += [(float(x + rng.uniform(-1.2, 1.2)), float(y + rng.uniform(-1.2, 1.2))) for _ in range(2)]
            xs, ys, reach = [p[0] for p in ways], [p[1] for p in ways], 0.3 * stature_m + 0.1
            rect = (min(xs) - reach, min(ys) - reach, max(xs) + reach, max(ys) + reach)
            if rect[0] < x0 or rect[2] > x1 or rect[1] < y0 or rect[3] > y1:
                continue
            if any(_overlap(rect, other, 0.0) for other in self.taken):
                continue
            self.taken.append(rect)
            heading = float(rng.uniform(0, 360))
            return Person(stature_m, tuple(ways), float(rng.uniform(0.4, 1.2)) * min(1.0, stature_m / 1.5), heading)
        return None


def _overlap(a: Rect, b: Rect, gap_m: float) -> bool:
    return a[0] < b[2] + gap_m and a[2] > b[0] - gap_m and a[1] < b[3] + gap_m and a[3] > b[1] - gap_m
