"""Depth and person probability as a small monocular network would give them, made of the truth.

Stands in for a network where its errors must be known: ``benchmarks/height_mono.py`` checks the error model of heights
with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.types import DepthKind, DepthMap, Intrinsics

__all__ = ["NetworkNoise", "SimulatedNetwork"]

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class NetworkNoise:
    """How a network errs. Standard deviations, of the logarithm of depth unless they say otherwise.

    Attributes:
        width, height: of the network.
        scale: of a whole clip.
        warp, warp_frame: smooth over the image: the same in all frames of a clip, and anew in every frame.
        person, person_frame: of every person against the room, likewise.
        patch: size of what is smooth, as a share of the image's height.
        blur_px: of edges in depth and probability, pixels of the network.
        jitter_px: by how much outlines wander, pixels of the network, anew in every frame.
    """

    width: int = 256
    height: int = 192
    scale: float = 0.07
    warp: float = 0.02
    warp_frame: float = 0.01
    person: float = 0.02
    person_frame: float = 0.015
    patch: float = 0.35
    blur_px: float = 0.8
    jitter_px: float = 0.5


DEFAULTS = NetworkNoise()


class SimulatedNetwork:
    """What a network makes of one clip. The same seed errs the same way."""

    def __init__(self, seed: int, noise: NetworkNoise = DEFAULTS) -> None:
        self._noise, self._rng = noise, np.random.default_rng([seed, 0xDE17])
        self._scale = noise.scale * float(self._rng.standard_normal())
        self._warp = noise.warp * self._smooth()
        self._people = noise.person * self._rng.standard_normal(256)

    def estimate(self, depth_m: Plane, person_ids: NDArray[np.uint8], intrinsics: Intrinsics) -> DepthMap:
        """The next frame of the clip.

        Args:
            depth_m: float32 H x W, exact.
            person_ids: uint8 H x W, 0 is nobody.
            intrinsics: of the frame, with which the network's size must share the aspect ratio.

        Returns:
            Metric depth and probabilities on the frame's grid.
        """
        noise, rng = self._noise, self._rng
        network_wh, frame_wh = (noise.width, noise.height), intrinsics.size_wh
        error = self._scale + self._warp + noise.warp_frame * self._smooth()
        small = cv2.resize(depth_m, network_wh, interpolation=cv2.INTER_AREA)
        people = cv2.resize((person_ids > 0).astype(np.float32), network_wh, interpolation=cv2.INTER_AREA)
        ids = cv2.resize(person_ids, network_wh, interpolation=cv2.INTER_NEAREST)
        for person in np.unique(ids[ids > 0]):
            own = self._people[person] + noise.person_frame * float(rng.standard_normal())
            error = error + np.float32(own) * cv2.GaussianBlur((ids == person).astype(np.float32), (0, 0), 1.0)
        shift = [np.float32(noise.jitter_px) * self._smooth() for _ in range(2)]
        x, y = np.meshgrid(np.arange(noise.width, dtype=np.float32), np.arange(noise.height, dtype=np.float32))
        drawn = []
        for plane in (small * np.exp(error).astype(np.float32), people):
            soft = cv2.GaussianBlur(plane, (0, 0), noise.blur_px)
            moved = cv2.remap(soft, x + shift[0], y + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            drawn.append(cv2.resize(moved, frame_wh, interpolation=cv2.INTER_LINEAR).astype(np.float32))
        return DepthMap(drawn[0], DepthKind.METRIC, intrinsics, np.clip(drawn[1], 0, 1))

    def _smooth(self) -> Plane:
        """A field of unit variance over ensembles, height x width of the network."""
        noise = self._noise
        sigma = noise.patch * noise.height
        step = max(1, int(sigma / 3))
        pad = 3 * 3
        shape = (noise.height // step + 2 * pad, noise.width // step + 2 * pad)
        kernel_sigma = sigma / step
        grain = cv2.GaussianBlur(self._rng.standard_normal(shape).astype(np.float32), (0, 0), kernel_sigma)
        # White noise after a Gaussian of s has the variance 1 / (4 pi s^2).
        field = grain[pad:-pad, pad:-pad] * np.float32(2 * np.sqrt(np.pi) * kernel_sigma)
        return np.asarray(cv2.resize(field, (noise.width, noise.height), interpolation=cv2.INTER_CUBIC), np.float32)
