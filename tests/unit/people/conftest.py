"""Exact scenes: rays cast at a floor, at ellipsoids and at boxes, so that every pixel's owner is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from edgedepth.geometry.plane import FloorPlane
from edgedepth.types import DepthKind, DepthMap, Frame, Intrinsics


@dataclass(frozen=True)
class Ellipsoid:
    """Centre and semi-axes in floor coordinates: right, height, ahead. Metres."""

    centre_m: tuple[float, float, float]
    axes_m: tuple[float, float, float]


@dataclass(frozen=True)
class Slab:
    """An axis-parallel box in floor coordinates, from low to high corner (right, height, ahead). Metres."""

    low_m: tuple[float, float, float]
    high_m: tuple[float, float, float]


Thing = list[Ellipsoid | Slab]


def person(right_m: float, ahead_m: float, stature_m: float = 1.75) -> Thing:
    """Head, neck, torso and two legs. A child's head is larger for its stature: it grows with its 0.3rd power."""
    k = stature_m / 1.75
    head = 0.23 * k**0.3
    chin = stature_m - head
    parts = [
        ((0, chin + head / 2, 0), (0.35 * head, head / 2, 0.42 * head)),
        ((0, chin, 0), (0.055 * k, 0.12 * k, 0.055 * k)),
        ((0, chin - 0.16 * k, 0), (0.22 * k, 0.11 * k, 0.11 * k)),
        ((0, chin - 0.40 * k, 0), (0.20 * k, 0.34 * k, 0.12 * k)),
        ((-0.1 * k, 0.45 * k, 0), (0.085 * k, 0.45 * k, 0.085 * k)),
        ((0.1 * k, 0.45 * k, 0), (0.085 * k, 0.45 * k, 0.085 * k)),
    ]
    return [Ellipsoid((right_m + c[0], c[1], ahead_m + c[2]), a) for c, a in parts]


@dataclass(frozen=True, eq=False)
class Rendered:
    frame: Frame
    depth: DepthMap
    floor: FloorPlane
    owner: np.ndarray
    """int H x W: 0 background and floor, 1.. the things in the order given."""

    def box_of(self, thing: int) -> tuple[float, float, float, float]:
        rows, cols = np.nonzero(self.owner == thing + 1)
        return float(cols.min()), float(rows.min()), float(np.ptp(cols) + 1), float(np.ptp(rows) + 1)


def render(
    things: list[Thing],
    *,
    camera_height_m: float = 1.3,
    pitch_deg: float = 6.0,
    wall_m: float | None = 5.0,
    size_wh: tuple[int, int] = (640, 480),
    f_px: float = 525.0,
) -> Rendered:
    """Depth seen by a pinhole camera over the floor, looking ahead and ``pitch_deg`` down."""
    w, h = size_wh
    camera = Intrinsics(w, h, f_px, f_px, (w - 1) / 2, (h - 1) / 2)
    u, v = np.meshgrid(np.arange(w), np.arange(h))
    x, y = (u - camera.cx) / f_px, (v - camera.cy) / f_px
    s, c = np.sin(np.radians(pitch_deg)), np.cos(np.radians(pitch_deg))
    # One step along z = 1: right, up and ahead on the floor.
    ray = np.stack([x, -y * c - s, c - y * s], axis=-1)
    origin = np.array([0.0, camera_height_m, 0.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(ray[..., 1] < 0, -camera_height_m / ray[..., 1], np.nan)
        if wall_m is not None:
            z = np.fmin(z, wall_m / ray[..., 2])
        owner = np.zeros((h, w), int)
        for number, thing in enumerate(things, 1):
            for part in thing:
                hit = _ellipsoid(origin, ray, part) if isinstance(part, Ellipsoid) else _slab(origin, ray, part)
                nearer = (hit > 0) & ~(hit >= z)
                z, owner = np.where(nearer, hit, z), np.where(nearer, number, owner)
    frame = Frame(np.zeros((h, w, 3), np.uint8), camera)
    floor = FloorPlane((0.0, -float(c), -float(s)), camera_height_m)
    return Rendered(frame, DepthMap(z.astype(np.float32), DepthKind.METRIC, camera), floor, owner)


def _ellipsoid(origin: np.ndarray, ray: np.ndarray, part: Ellipsoid) -> np.ndarray:
    o, r = (origin - part.centre_m) / part.axes_m, ray / part.axes_m
    a, b, c = (r * r).sum(-1), (r * o).sum(-1), (o * o).sum() - 1
    disc = b * b - a * c
    return np.where(disc >= 0, (-b - np.sqrt(np.maximum(disc, 0))) / a, np.nan)


def _slab(origin: np.ndarray, ray: np.ndarray, part: Slab) -> np.ndarray:
    a, b = (part.low_m - origin) / ray, (part.high_m - origin) / ray
    enter, leave = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    return np.where(enter < leave, enter, np.nan)


@pytest.fixture
def render_scene() -> Callable[..., Rendered]:
    return render


@pytest.fixture
def make_person() -> Callable[..., Thing]:
    return person


@pytest.fixture
def make_slab() -> Callable[..., Thing]:
    return lambda low, high: [Slab(low, high)]
