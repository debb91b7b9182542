"""Figures of an exact stature for rendered rooms: build, clothes, hair, standing or walking.

Stature is the height of the skull's crown above the floor, barefoot, as a stadiometer with its board pressed on the
hair reads it. Hair adds ``hair_m`` to the silhouette, so the highest visible point is stature + hair_m. No pose lifts
a hand above the crown. The skeleton follows the proportions of Drillis and Contini (segment lengths as shares of
stature); a child's head is larger and its legs are shorter for its stature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError
from edgedepth.synthetic.scene import Person
from edgedepth.synthetic.solids import Solid, rotation

__all__ = ["Figure", "random_figure"]

Array = NDArray[np.float64]
Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Figure:
    """Someone who stands or walks.

    Attributes:
        path: stature, way and speed, as of the small analytic world.
        build: girth over the average for the stature, 0.8 to 1.35.
        hair_m: how far the hair stands above the skull. hair_style: bald, short, long or bun.
        arms: forward and outward lift of the upper arm and bend of the elbow, degrees, left then right.
        stance: half distance of the feet over the stature.
        skirt: a skirt or dress instead of trousers. sleeves: long or short.
        skin, shirt, trousers, hair, shoes: colours, 0 to 1. pattern: texture of the shirt.
    """

    path: Person
    build: float = 1.0
    hair_m: float = 0.0
    hair_style: str = "short"
    arms: tuple[tuple[float, float, float], tuple[float, float, float]] = ((0, 6, 12), (0, 6, 12))
    stance: float = 0.05
    skirt: bool = False
    sleeves: bool = True
    skin: Rgb = (0.78, 0.58, 0.46)
    shirt: Rgb = (0.25, 0.4, 0.65)
    trousers: Rgb = (0.22, 0.22, 0.3)
    hair: Rgb = (0.2, 0.13, 0.08)
    shoes: Rgb = (0.12, 0.1, 0.1)
    pattern: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.hair_m <= 0.1 or (self.hair_style == "bald" and self.hair_m):
            raise InputError(f"hair is 0 to 0.1 m above the skull, 0 when bald, found {self.hair_m} {self.hair_style}")

    @property
    def stature_m(self) -> float:
        """Height of the skull's crown above the floor."""
        return self.path.stature_m

    def solids(self, t_s: float, person: int) -> list[Solid]:
        """The body at a time, marked as ``person`` (1 or more). Its number of parts never changes."""
        H, (x, y, heading) = self.stature_m, self.path.place(t_s)
        # Person frame: x to the right, y ahead, z up.
        turn, ground = rotation(-math.degrees(heading)), np.array([x, y, 0.0])
        parts: list[Solid] = []

        def put(
            kind: str, at: Array, half: tuple[float, float, float], R: Array, color: Rgb, texture: str = ""
        ) -> None:
            parts.append(
                Solid(kind, ground + turn @ at, np.array(half), turn @ R, color, texture, person)  # type: ignore[arg-type]
            )

        def limb(a: Array, b: Array, radius: float, color: Rgb, texture: str = "") -> None:
            put(
                "capsule",
                (a + b) / 2,
                (radius, radius, float(np.linalg.norm(b - a)) / 2),
                _along(b - a),
                color,
                texture,
            )

        eye3 = np.eye(3)
        wide, deep, high = self.path.head_semi_axes_m
        chin, girth = H - 2 * high, self.build
        youth = min(1.0, max(0.0, (1.5 - H) / 0.7))
        hip, shoulder = (0.515 - 0.045 * youth) * H, chin - 0.035 * H
        shoulder_x = (0.108 + 0.012 * (girth - 1)) * H

        put("ellipsoid", np.array([0, 0, H - high]), (wide, deep, high), eye3, self.skin)
        put("ellipsoid", np.array([0, deep, H - 1.15 * high]), (0.12 * wide, 0.15 * deep, 0.18 * high), eye3, self.skin)
        self._hair(put, wide, deep, high)
        limb(np.array([0, -0.01 * H, shoulder]), np.array([0, 0, chin + 0.3 * high]), 0.032 * H * girth**0.5, self.skin)

        middle = (hip + shoulder) / 2
        yoke = np.array([0.7 * shoulder_x, 0, shoulder - 0.02 * H])
        limb(yoke * (-1, 1, 1), yoke, 0.042 * H, self.shirt, self.pattern)
        put("ellipsoid", np.array([0, 0, middle + 0.055 * H]),
            (0.102 * H * girth**0.6, 0.07 * H * girth**0.8, 0.16 * H), eye3, self.shirt, self.pattern)  # fmt: skip
        belly = (0.09 * H * girth, (0.064 + 0.03 * (girth - 1)) * H * girth, 0.13 * H)
        put("ellipsoid", np.array([0, 0.008 * H * girth, middle - 0.05 * H]), belly, eye3, self.shirt, self.pattern)
        put("ellipsoid", np.array([0, 0, hip + 0.005 * H]), (0.096 * H * girth, 0.07 * H * girth, 0.085 * H), eye3,
            self.trousers)  # fmt: skip
        if self.skirt:
            put("ellipsoid", np.array([0, 0, hip - 0.07 * H]), (0.125 * H * girth, 0.105 * H * girth, 0.2 * H), eye3,
                self.trousers)  # fmt: skip

        phase = 2 * math.pi * t_s * self.path.speed_m_s / (0.75 * H) if self.path.walks else None
        for index, side in enumerate((-1.0, 1.0)):
            self._leg(put, limb, side, hip, None if phase is None else phase + index * math.pi)
            forward, outward, bend = self.arms[index]
            if phase is not None:
                forward += 24 * math.cos(phase + index * math.pi)
            start = np.array([side * shoulder_x, 0, shoulder - 0.025 * H])
            upper = _swing(forward, side * outward)
            elbow = start + 0.17 * H * upper @ np.array([0, 0, -1.0])
            wrist = elbow + 0.145 * H * _swing(forward + bend, side * outward * 0.3) @ np.array([0, 0, -1.0])
            thick = 0.023 * H * girth**0.7
            limb(start, elbow, thick * 1.12, self.shirt, self.pattern)
            limb(elbow, wrist, thick * 0.9, self.shirt if self.sleeves else self.skin)
            hand = wrist + 0.045 * H * _unit(wrist - elbow)
            put("ellipsoid", hand, (0.014 * H, 0.024 * H, 0.05 * H), _along(wrist - elbow), self.skin)
        return parts

    def _hair(self, put, wide: float, deep: float, high: float) -> None:  # type: ignore[no-untyped-def]
        H, extra = self.stature_m, self.hair_m
        if self.hair_style == "bald":
            return
        # A cap behind the face whose top is exactly hair_m above the skull.
        half = 0.62 * high
        put(
            "ellipsoid",
            np.array([0, -0.2 * deep, H + extra - half]),
            (1.06 * wide, 0.98 * deep, half),
            np.eye(3),
            self.hair,
        )
        if self.hair_style == "long":
            back = (1.02 * wide, 0.6 * deep, 1.25 * high)
            put("ellipsoid", np.array([0, -0.55 * deep, H - 1.5 * high]), back, np.eye(3), self.hair)
        if self.hair_style == "bun":
            put("ellipsoid", np.array([0, -1.15 * deep, H - 0.7 * high]), (0.5 * wide,) * 3, np.eye(3), self.hair)

    def _leg(self, put, limb, side: float, hip: float, phase: float | None) -> None:  # type: ignore[no-untyped-def]
        """Thigh and calf to an ankle that stands, or follows a gait: half the cycle on the floor, half swinging."""
        H, girth = self.stature_m, self.build
        step, lift = 0.0, 0.0
        if phase is not None:
            turn = (phase / (2 * math.pi)) % 1.0
            if turn < 0.5:
                step = 0.75 * H * (0.25 - turn)  # carried back as fast as the body goes ahead
            else:
                swing = (turn - 0.5) * 2
                step = 0.75 * H * 0.25 * -math.cos(math.pi * swing)
                lift = 0.05 * H * math.sin(math.pi * swing)
        start = np.array([side * 0.05 * H * girth**0.5, 0, hip])
        ankle = np.array([side * (self.stance if phase is None else 0.045) * H, step, 0.045 * H + lift])
        length = 1.015 * (hip - 0.045 * H)  # a little longer than the way down: knees are never quite straight
        reach = ankle - start
        distance = float(np.linalg.norm(reach))
        if distance > 0.999 * length:  # the heel comes up at both ends of a long step
            ankle = start + np.array(
                [reach[0], reach[1], -math.sqrt(max((0.999 * length) ** 2 - reach[0] ** 2 - reach[1] ** 2, 0.01))]
            )
            reach, distance = ankle - start, 0.999 * length
        out = math.sqrt(max((length / 2) ** 2 - (distance / 2) ** 2, 0.0))
        ahead = _unit(np.cross(reach, np.array([-1.0, 0, 0])))
        ahead = ahead if ahead[1] > 0 else -ahead
        knee = start + reach / 2 + out * ahead
        bare = self.skirt
        limb(start, knee, 0.043 * H * girth, self.trousers)
        limb(knee, ankle, 0.029 * H * girth**0.7, self.skin if bare else self.trousers)
        tip = math.atan2(max(ankle[2] - 0.045 * H, 0.0) * 2.0, 0.15 * H) * (-1 if step < 0 else 0.6)
        c, s = math.cos(tip), math.sin(tip)
        R = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        half = np.array([0.026 * H, 0.072 * H, 0.024 * H])
        # The lowest point of a tilted ellipsoid is sqrt((c hz)^2 + (s hy)^2) under its centre; it never sinks in.
        low = math.sqrt((c * half[2]) ** 2 + (s * half[1]) ** 2)
        put(
            "ellipsoid",
            np.array([ankle[0], ankle[1] + 0.035 * H, max(low, ankle[2] - 0.021 * H)]),
            tuple(half),
            R,
            self.shoes,
        )


def random_figure(rng: np.random.Generator, path: Person) -> Figure:
    """Clothes, build, hair and arms for someone; ``path`` says how tall and where."""
    style = str(rng.choice(["short", "short", "long", "bun", "bald"], p=[0.3, 0.2, 0.28, 0.1, 0.12]))
    lightness = rng.uniform(0.25, 1.0)
    pose = rng.integers(0, 5)

    def arm() -> tuple[float, float, float]:
        if path.walks or pose < 2:
            return float(rng.uniform(-8, 12)), float(rng.uniform(4, 14)), float(rng.uniform(5, 35))
        if pose == 2:  # holds something before the chest
            return float(rng.uniform(10, 40)), float(rng.uniform(5, 20)), float(rng.uniform(60, 110))
        if pose == 3:  # points or reaches out
            return float(rng.uniform(0, 85)), float(rng.uniform(5, 45)), float(rng.uniform(0, 40))
        return float(rng.uniform(-25, 0)), float(rng.uniform(25, 50)), float(rng.uniform(10, 60))

    def colour(low: float = 0.08, high: float = 0.9) -> Rgb:
        base = rng.uniform(low, high)
        tint = rng.dirichlet((1.5, 1.5, 1.5)) * 3
        strength = rng.uniform(0, 0.8)
        r, g, b = np.clip(base * ((1 - strength) + strength * tint), 0.03, 0.95)
        return float(r), float(g), float(b)

    return Figure(
        path,
        build=float(np.clip(rng.normal(1.0, 0.13), 0.8, 1.35)),
        hair_m=0.0 if style == "bald" else float(rng.uniform(0.003, 0.03)),
        hair_style=style,
        arms=(arm(), arm()),
        stance=float(rng.uniform(0.035, 0.08)),
        skirt=bool(rng.random() < 0.2),
        sleeves=bool(rng.random() < 0.6),
        skin=(0.88 * lightness, 0.68 * lightness**1.15, 0.56 * lightness**1.25),
        shirt=colour(),
        trousers=colour(0.05, 0.6),
        hair=tuple(float(v) for v in np.array([0.45, 0.3, 0.16]) * rng.uniform(0.1, 1.8)),  # type: ignore[arg-type]
        shoes=colour(0.05, 0.8),
        pattern=str(rng.choice(["", "fabric", "stripes", "noise", "checks"])),
    )  # fmt: skip


def _unit(v: Array) -> Array:
    return np.asarray(v / max(float(np.linalg.norm(v)), 1e-12))


def _along(direction: Array) -> Array:
    """A rotation whose z is along ``direction``, its x as level as can be."""
    z = _unit(direction)
    x = _unit(np.cross([0.0, 1.0, 0.0], z) if abs(z[1]) < 0.95 else np.cross([1.0, 0.0, 0.0], z))
    return np.stack((x, np.cross(z, x), z), axis=1)


def _swing(forward_deg: float, outward_deg: float) -> Array:
    """Turns what hangs down (-z) forward (+y) and to the right (+x)."""
    f, o = math.radians(forward_deg), math.radians(outward_deg)
    about_x = np.array([[1, 0, 0], [0, math.cos(f), -math.sin(f)], [0, math.sin(f), math.cos(f)]])
    about_y = np.array([[math.cos(o), 0, -math.sin(o)], [0, 1, 0], [math.sin(o), 0, math.cos(o)]])
    return np.asarray(about_y @ about_x)
