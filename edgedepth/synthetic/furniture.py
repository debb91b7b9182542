"""Furniture as data: pieces of boxes, cylinders and ellipsoids, in shares of the piece's own size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgedepth.synthetic.solids import Kind, Solid, rotation

__all__ = ["PIECES", "Look", "Part", "Piece", "assemble"]


@dataclass(frozen=True)
class Part:
    """Centre (x, y from the middle, z from the floor) and full size, as shares of the piece's width, depth, height.

    ``look`` is 0 for the main colour, 1 for the second. The width of a cylinder is its diameter, along z.
    """

    kind: Kind
    at: tuple[float, float, float]
    size: tuple[float, float, float]
    look: int = 0


@dataclass(frozen=True)
class Piece:
    """A piece of furniture whose back is at -y.

    Attributes:
        low_m, high_m: range of (width, depth, height).
        where: along a wall, anywhere free, on a wall (pictures, windows), or flat on the floor (rugs).
        parts: what it is made of.
        top: share of the height where small things stand, 0 for nowhere.
        textures: what the two looks may be covered with.
        sill_m: range of the height of its lower edge, for what hangs.
    """

    low_m: tuple[float, float, float]
    high_m: tuple[float, float, float]
    where: Literal["wall", "free", "hung", "rug"]
    parts: tuple[Part, ...]
    top: float = 0.0
    textures: tuple[tuple[str, ...], tuple[str, ...]] = (("wood", "noise", ""), ("", "noise"))
    sill_m: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Look:
    """A colour, 0 to 1, and a texture."""

    color: tuple[float, float, float]
    texture: str


def _legs(
    x: float, y: float, thick: tuple[float, float], height: float, look: int = 1, kind: Kind = "box"
) -> tuple[Part, ...]:
    return tuple(Part(kind, (sx * x, sy * y, height / 2), (*thick, height), look) for sx in (-1, 1) for sy in (-1, 1))


def _shelves(count: int) -> tuple[Part, ...]:
    boards = tuple(Part("box", (0, 0, 0.01 + 0.97 * i / count), (0.94, 0.95, 0.02)) for i in range(count + 1))
    books = tuple(
        Part(
            "box", (0.46 * (share - 0.9), -0.05, 0.97 * (i + 0.36) / count + 0.01), (0.9 * share, 0.6, 0.68 / count), 1
        )
        for i, share in enumerate((0.85, 0.5, 0.9, 0.65, 0.35, 0.8)[:count])
    )
    sides = tuple(Part("box", (s * 0.485, 0, 0.5), (0.03, 1, 1)) for s in (-1, 1))
    return (*sides, Part("box", (0, -0.48, 0.5), (0.94, 0.04, 1)), *boards, *books)


PIECES: dict[str, Piece] = {
    "table": Piece((0.8, 0.6, 0.68), (1.9, 1.0, 0.78), "free",
        (Part("box", (0, 0, 0.97), (1, 1, 0.06)), *_legs(0.45, 0.42, (0.06, 0.08), 0.94)), 1.0),
    "round table": Piece((0.6, 0.6, 0.45), (1.2, 1.2, 0.76), "free",
        (Part("cylinder", (0, 0, 0.97), (1, 1, 0.06)), Part("cylinder", (0, 0, 0.5), (0.1, 0.1, 0.9), 1),
         Part("cylinder", (0, 0, 0.02), (0.5, 0.5, 0.04), 1)), 1.0),
    "chair": Piece((0.4, 0.42, 0.8), (0.52, 0.55, 1.05), "free",
        (Part("box", (0, 0, 0.48), (1, 1, 0.06)), Part("box", (0, -0.46, 0.78), (0.95, 0.07, 0.42)),
         *_legs(0.44, 0.43, (0.09, 0.09), 0.46)), 0.0, (("fabric", "wood", ""), ("wood", ""))),
    "stool": Piece((0.32, 0.32, 0.42), (0.42, 0.42, 0.72), "free",
        (Part("cylinder", (0, 0, 0.94), (1, 1, 0.12)), *_legs(0.28, 0.28, (0.1, 0.1), 0.9, 1, "cylinder"))),
    "armchair": Piece((0.75, 0.75, 0.75), (1.0, 0.95, 1.05), "free",
        (Part("box", (0, 0.06, 0.27), (0.7, 0.85, 0.38)), Part("box", (0, -0.4, 0.55), (0.98, 0.2, 0.88)),
         Part("box", (-0.43, 0.05, 0.34), (0.14, 0.88, 0.56)), Part("box", (0.43, 0.05, 0.34), (0.14, 0.88, 0.56)),
         *_legs(0.4, 0.4, (0.06, 0.06), 0.1)), 0.0, (("fabric", "stripes", "checks", "noise"), ("", "wood"))),
    "sofa": Piece((1.5, 0.8, 0.75), (2.3, 1.0, 0.95), "wall",
        (Part("box", (0, 0.05, 0.27), (0.84, 0.88, 0.4)), Part("box", (0, -0.4, 0.54), (0.98, 0.2, 0.92)),
         Part("box", (-0.46, 0.05, 0.37), (0.08, 0.88, 0.62)), Part("box", (0.46, 0.05, 0.37), (0.08, 0.88, 0.62)),
         Part("ellipsoid", (-0.28, -0.22, 0.62), (0.22, 0.25, 0.4), 1),
         Part("ellipsoid", (0.25, -0.2, 0.6), (0.2, 0.24, 0.36), 1),
         *_legs(0.45, 0.4, (0.03, 0.06), 0.09)), 0.0,
        (("fabric", "stripes", "checks", "noise"), ("fabric", "stripes"))),
    "bed": Piece((0.9, 1.9, 0.8), (1.7, 2.1, 1.1), "wall",
        (Part("box", (0, 0, 0.2), (1, 0.98, 0.2), 1), Part("box", (0, 0.01, 0.4), (0.97, 0.95, 0.22)),
         Part("box", (0, -0.48, 0.5), (1, 0.04, 1), 1), Part("ellipsoid", (0, -0.34, 0.55), (0.6, 0.2, 0.14)),
         *_legs(0.46, 0.46, (0.06, 0.04), 0.12)), 0.0, (("fabric", "stripes", "checks"), ("wood", ""))),
    "shelf": Piece((0.6, 0.25, 1.2), (1.4, 0.4, 2.15), "wall", _shelves(5), 1.0, (("wood", ""), ("books",))),
    "low shelf": Piece((0.8, 0.3, 0.7), (1.6, 0.45, 1.0), "wall", _shelves(2), 1.0, (("wood", ""), ("books",))),
    "wardrobe": Piece((0.8, 0.5, 1.7), (2.0, 0.65, 2.2), "wall",
        (Part("box", (0, -0.02, 0.51), (1, 0.95, 0.98)), Part("box", (-0.25, 0.47, 0.52), (0.48, 0.04, 0.92)),
         Part("box", (0.25, 0.47, 0.52), (0.48, 0.04, 0.92)),
         Part("cylinder", (-0.03, 0.52, 0.5), (0.02, 0.02, 0.1), 1),
         Part("cylinder", (0.03, 0.52, 0.5), (0.02, 0.02, 0.1), 1), *_legs(0.46, 0.4, (0.04, 0.06), 0.03))),
    "cabinet": Piece((0.6, 0.38, 0.6), (1.8, 0.55, 1.1), "wall",
        (Part("box", (0, -0.02, 0.53), (1, 0.95, 0.9)), Part("box", (-0.25, 0.47, 0.53), (0.47, 0.05, 0.8)),
         Part("box", (0.25, 0.47, 0.53), (0.47, 0.05, 0.8)), Part("box", (0, 0, 0.99), (1.03, 1.02, 0.03), 1),
         *_legs(0.46, 0.42, (0.04, 0.08), 0.09)), 1.0),
    "desk": Piece((1.0, 0.55, 0.7), (1.7, 0.8, 0.78), "wall",
        (Part("box", (0, 0, 0.97), (1, 1, 0.06)), Part("box", (-0.36, 0, 0.47), (0.26, 0.9, 0.94)),
         *_legs(0.47, 0.45, (0.04, 0.07), 0.94), Part("box", (0.12, -0.2, 1.32), (0.42, 0.05, 0.42), 1),
         Part("box", (0.12, -0.2, 1.05), (0.06, 0.06, 0.16), 1),
         Part("box", (0.12, -0.2, 1.01), (0.2, 0.25, 0.02), 1)), 0.0),
    "floor lamp": Piece((0.3, 0.3, 1.4), (0.45, 0.45, 1.8), "wall",
        (Part("cylinder", (0, 0, 0.01), (0.8, 0.8, 0.02), 1), Part("cylinder", (0, 0, 0.45), (0.06, 0.06, 0.88), 1),
         Part("cylinder", (0, 0, 0.9), (1, 1, 0.2))), 0.0, (("", "fabric"), ("",))),
    "plant": Piece((0.4, 0.4, 0.7), (0.8, 0.8, 1.7), "wall",
        (Part("cylinder", (0, 0, 0.12), (0.45, 0.45, 0.24), 1), Part("cylinder", (0, 0, 0.4), (0.06, 0.06, 0.4), 1),
         Part("ellipsoid", (0, 0, 0.8), (0.6, 0.6, 0.4)), Part("ellipsoid", (0.25, 0.1, 0.62), (0.5, 0.4, 0.3)),
         Part("ellipsoid", (-0.22, 0.12, 0.66), (0.5, 0.5, 0.28)),
         Part("ellipsoid", (0.02, -0.24, 0.7), (0.5, 0.48, 0.3))),
        0.0, (("noise", "fabric"), ("", "noise"))),
    "crate": Piece((0.25, 0.25, 0.2), (0.7, 0.6, 0.6), "free", (Part("box", (0, 0, 0.5), (1, 1, 1)),), 1.0,
        (("noise", "wood", "checks", ""), ("",))),
    "bin": Piece((0.22, 0.22, 0.28), (0.4, 0.4, 0.65), "free", (Part("cylinder", (0, 0, 0.5), (1, 1, 1)),)),
    "ball": Piece((0.2, 0.2, 0.2), (0.65, 0.65, 0.65), "free", (Part("ellipsoid", (0, 0, 0.5), (1, 1, 1)),), 0.0,
        (("", "checks", "stripes"), ("",))),
    "rug": Piece((1.0, 0.8, 0.006), (3.0, 2.2, 0.012), "rug", (Part("box", (0, 0, 0.5), (1, 1, 1)),), 0.0,
        (("fabric", "stripes", "checks", "noise"), ("",))),
    "door": Piece((0.8, 0.06, 1.95), (1.0, 0.09, 2.1), "hung",
        (Part("box", (-0.48, 0, 0.5), (0.06, 1, 1), 1), Part("box", (0.48, 0, 0.5), (0.06, 1, 1), 1),
         Part("box", (0, 0, 0.98), (0.92, 1, 0.04), 1), Part("box", (0, -0.2, 0.48), (0.92, 0.5, 0.96)),
         Part("box", (0.36, 0.15, 0.48), (0.12, 0.4, 0.015), 1))),
    "window": Piece((0.7, 0.06, 0.8), (1.8, 0.1, 1.5), "hung",
        (Part("box", (0, -0.2, 0.5), (0.94, 0.5, 0.94), 1), Part("box", (-0.47, 0, 0.5), (0.06, 1, 1)),
         Part("box", (0.47, 0, 0.5), (0.06, 1, 1)), Part("box", (0, 0, 0.5), (0.04, 1, 1)),
         Part("box", (0, 0, 0.97), (1, 1, 0.06)), Part("box", (0, 0.3, 0.02), (1.1, 1.8, 0.04))),
        0.0, (("", "wood"), ("window",)), (0.8, 1.0)),
    "picture": Piece((0.25, 0.02, 0.25), (1.1, 0.04, 0.9), "hung",
        (Part("box", (0, 0, 0.5), (1, 1, 1), 1), Part("box", (0, 0.3, 0.5), (0.9, 0.6, 0.88))), 0.0,
        (("picture",), ("wood", "")), (1.1, 1.5)),
    "radiator": Piece((0.6, 0.1, 0.5), (1.4, 0.14, 0.65), "hung", (Part("box", (0, 0, 0.5), (1, 1, 1)),), 0.0,
        (("stripes",), ("",)), (0.08, 0.15)),
    "curtain": Piece((0.4, 0.08, 1.9), (0.9, 0.14, 2.15), "hung", tuple(
        Part("cylinder", (x, 0, 0.5), (0.17, 1.0, 1.0)) for x in (-0.42, -0.28, -0.14, 0.0, 0.14, 0.28, 0.42)), 0.0,
        (("fabric", "stripes", ""), ("",))),
}  # fmt: skip
"""Every piece there is. Statements of taste, measured off ordinary homes and offices."""


def assemble(
    piece: Piece,
    size_m: NDArray[np.float64],
    at_m: tuple[float, float, float],
    yaw_deg: float,
    looks: tuple[Look, Look],
) -> list[Solid]:
    """The solids of a piece of ``size_m`` (width, depth, height) whose floor centre is ``at_m``."""
    R, solids = rotation(yaw_deg), []
    for part in piece.parts:
        half = np.array(part.size) * size_m / 2
        if part.kind == "cylinder":
            half[:2] = half[:2].min()
        center = np.array(at_m) + R @ (np.array(part.at) * size_m)
        look = looks[part.look]
        solids.append(Solid(part.kind, center, half, R, look.color, look.texture))
    return solids
