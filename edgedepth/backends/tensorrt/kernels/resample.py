"""What the preprocess kernel is launched with: how each pixel of the tensor is made of pixels of the frame.

The rules are OpenCV's, whose resize is the CPU path: pixel centres for bilinear; for area the mean over the footprint
when both axes shrink, else two neighbours whose weights keep the footprint's edges sharp.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgedepth.bundle.spec import Interpolation

__all__ = ["KERNELS", "Job", "Taps", "grid_of", "taps"]

BLOCK = (32, 8, 1)
KERNELS = {1: "preprocess_1", 2: "preprocess_2", 4: "preprocess_4"}
"""Bytes of a tensor's element -> the kernel for it."""


class Job(ctypes.Structure):
    """``struct Job`` of preprocess.cu."""

    _fields_ = (
        ("frame", ctypes.c_void_p),
        ("tensor", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("first_x", ctypes.c_void_p),
        ("weights_x", ctypes.c_void_p),
        ("first_y", ctypes.c_void_p),
        ("weights_y", ctypes.c_void_p),
        ("pitch", ctypes.c_int),
        ("count_x", ctypes.c_int),
        ("count_y", ctypes.c_int),
        ("left", ctypes.c_int),
        ("top", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("tensor_width", ctypes.c_int),
        ("tensor_height", ctypes.c_int),
        ("pixel_step", ctypes.c_int),
        ("channel_step", ctypes.c_int),
        ("swap", ctypes.c_int),
        ("padding", ctypes.c_int),
    )


@dataclass(frozen=True)
class Taps:
    """One axis: output pixel n is the sum over k of weights[n, k] times input pixel first[n] + k.

    Attributes:
        first: int32, (pixels).
        weights: float32, (pixels, taps); each row sums to 1. No tap with or without weight is outside the input.
    """

    first: NDArray[np.int32]
    weights: NDArray[np.float32]


def taps(offset: int, source: int, content: int, interpolation: Interpolation, *, shrinks: bool) -> Taps:
    """Resampling of ``source`` pixels, from ``offset`` on, to ``content`` pixels.

    Args:
        shrinks: no axis of the image grows; area is a mean over footprints only then.
    """
    scale = source / content
    n = np.arange(content, dtype=np.float64)
    if interpolation == "area" and shrinks:
        return _footprints(offset, source, scale, n)
    if interpolation == "bilinear":
        position = (n + 0.5) * scale - 0.5
        first = np.floor(position)
        share = position - first
    else:
        first = np.floor(n * scale)
        share = (n + 1) - (first + 1) / scale
        share = np.where(share <= 0, 0.0, share - np.floor(share))
    share = np.where((first < 0) | (first >= source - 1), 0.0, share)
    first = np.clip(first, 0, source - 1)
    count = min(2, source)
    start = np.minimum(first, source - count)  # the last pixel is the second tap of the pair before it
    weights = np.zeros((content, count))
    rows = np.arange(content)
    index = (first - start).astype(np.intp)
    weights[rows, index] += 1 - share
    weights[rows, np.minimum(index + 1, count - 1)] += share
    return _taps(offset, start, weights)


def _footprints(offset: int, source: int, scale: float, n: NDArray[np.float64]) -> Taps:
    begin, end = n * scale, np.minimum((n + 1) * scale, source)
    count = min(math.ceil(scale) + 1, source)
    start = np.minimum(np.floor(begin), source - count)
    pixel = start[:, None] + np.arange(count)
    covered = np.minimum(pixel + 1, end[:, None]) - np.maximum(pixel, begin[:, None])
    # OpenCV's threshold: slivers are floating error.
    covered = np.where(covered > 1e-3, covered, 0.0)
    return _taps(offset, start, covered / covered.sum(axis=1, keepdims=True))


def _taps(offset: int, first: NDArray[np.float64], weights: NDArray[np.float64]) -> Taps:
    return Taps((first + offset).astype(np.int32), np.ascontiguousarray(weights, np.float32))


def grid_of(width: int, height: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Grid and block of one thread per pixel."""
    return (-(-width // BLOCK[0]), -(-height // BLOCK[1]), 1), BLOCK
