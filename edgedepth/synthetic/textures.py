"""Procedural textures: grey patterns from 0 to 1 that a surface's colour multiplies. Arrays, no files."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "make_texture"]

Grey = NDArray[np.float32]


def _fractal(rng: np.random.Generator, size: int, octaves: int = 5, stretch: tuple[int, int] = (1, 1)) -> Grey:
    """Noise of several scales, tiles without a seam; 0 to 1."""
    out = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        rows, columns = (min(size, 2 ** (octave + 1) * s) for s in stretch)
        grid = rng.random((rows, columns), dtype=np.float32)
        grid = np.pad(grid, 1, mode="wrap")
        big_wh = size * (columns + 2) // columns, size * (rows + 2) // rows
        big = cv2.resize(grid, big_wh, interpolation=cv2.INTER_CUBIC)
        top, left = size // rows, size // columns
        out += big[top : top + size, left : left + size] / 2**octave
    out -= out.min()
    return out / max(float(out.max()), 1e-6)


def _noise(rng: np.random.Generator, size: int) -> Grey:
    return 0.6 + 0.4 * _fractal(rng, size, 7)


def _plaster(rng: np.random.Generator, size: int) -> Grey:
    return 0.9 + 0.1 * _fractal(rng, size, 8)


def _wood(rng: np.random.Generator, size: int) -> Grey:
    """Planks along the rows with grain."""
    grain = _fractal(rng, size, 5, (16, 1))
    planks = int(rng.integers(3, 8))
    row = np.arange(size) * planks // size
    tone = rng.uniform(0.7, 1.0, planks).astype(np.float32)[row][:, None]
    seam = np.where((np.arange(size) * planks) % size < planks * 2, 0.55, 1.0).astype(np.float32)[:, None]
    shift = rng.integers(0, size, planks)[row]
    joints = (np.arange(size)[None, :] + shift[:, None]) % size < 2
    return tone * seam * (0.62 + 0.38 * grain) * np.where(joints, 0.6, 1).astype(np.float32)


def _tiles(rng: np.random.Generator, size: int) -> Grey:
    count = int(rng.integers(2, 6))
    index = np.arange(size) * count // size
    tone = rng.uniform(0.82, 1.0, (count, count)).astype(np.float32)[index][:, index]
    edge = (np.arange(size) * count) % size < count * 3
    grout = edge[:, None] | edge[None, :]
    return np.where(grout, np.float32(0.5), tone * (0.85 + 0.15 * _fractal(rng, size, 6)))


def _checks(rng: np.random.Generator, size: int) -> Grey:
    count = 2 * int(rng.integers(2, 6))
    index = np.arange(size) * count // size % 2
    low = rng.uniform(0.35, 0.8)
    checks = np.where(index[:, None] == index[None, :], np.float32(1), np.float32(low))
    return np.asarray(checks * (0.9 + 0.1 * _noise(rng, size)), np.float32)


def _stripes(rng: np.random.Generator, size: int) -> Grey:
    count = int(rng.integers(4, 14))
    low = np.float32(rng.uniform(0.4, 0.9))
    line = np.where((np.arange(size) * count % size) < size * rng.uniform(0.2, 0.6), low, np.float32(1))
    return np.broadcast_to(line[:, None] if rng.random() < 0.5 else line[None, :], (size, size)).astype(np.float32)


def _fabric(rng: np.random.Generator, size: int) -> Grey:
    weave = rng.random((size, size), dtype=np.float32)
    weave = np.asarray((cv2.blur(weave, (1, 5)) + cv2.blur(weave, (5, 1))) / 2, np.float32)
    return np.asarray(np.clip(0.45 + 0.35 * weave + 0.35 * _fractal(rng, size, 5), 0, 1), np.float32)


def _picture(rng: np.random.Generator, size: int) -> Grey:
    """Something on a wall: blobs and shapes."""
    image = 0.4 + 0.6 * _fractal(rng, size, 4)
    for _ in range(int(rng.integers(2, 9))):
        center = (int(rng.integers(0, size)), int(rng.integers(0, size)))
        axes = (int(rng.integers(5, size // 3)), int(rng.integers(5, size // 3)))
        cv2.ellipse(image, center, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.1, 1)), -1)
    return image


def _books(rng: np.random.Generator, size: int) -> Grey:
    """Spines side by side."""
    edges = np.sort(rng.choice(np.arange(4, size - 4), 18, replace=False))
    tone = rng.uniform(0.2, 1.0, len(edges) + 1).astype(np.float32)[np.searchsorted(edges, np.arange(size))]
    tone[edges] = 0.1
    return np.broadcast_to(tone[None, :], (size, size)).astype(np.float32)


def _window(rng: np.random.Generator, size: int) -> Grey:
    """What is seen outside, blurred: bright sky over something darker."""
    row = np.linspace(1.0, 0.8, size, dtype=np.float32)[:, None] * np.ones((1, size), np.float32)
    skyline = (size * (0.55 + 0.35 * _fractal(rng, size, 4)[0])).astype(int)
    row[np.arange(size)[:, None] > skyline[None, :]] = rng.uniform(0.4, 0.75)
    return np.asarray(cv2.GaussianBlur(row, (0, 0), 2.0))


_MAKERS: dict[str, Callable[[np.random.Generator, int], Grey]] = {
    "noise": _noise, "plaster": _plaster, "wood": _wood, "tiles": _tiles, "checks": _checks, "stripes": _stripes,
    "fabric": _fabric, "picture": _picture, "books": _books,
    "window": _window,
}  # fmt: skip
NAMES = tuple(_MAKERS)


def make_texture(name: str, rng: np.random.Generator, size: int = 128) -> NDArray[np.uint8]:
    """One pattern, uint8 size x size x 3, tinted a little from spot to spot. Raises KeyError for an unknown name."""
    grey = np.clip(_MAKERS[name](rng, size), 0, 1)
    tint = 1 + rng.uniform(-0.06, 0.06, 3).astype(np.float32) * (1 - grey[..., None])
    return np.clip(255 * grey[..., None] * tint, 0, 255).astype(np.uint8)
