"""Depth as an active stereo camera would give it: range noise, flying pixels on silhouettes, holes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["SensorNoise", "add_sensor_noise"]


@dataclass(frozen=True)
class SensorNoise:
    """What the camera does to depth; the defaults are RealSense-like (D435 at about 1 m to 4 m).

    Attributes:
        sigma_per_m: sigma_Z = sigma_per_m * Z^2: triangulation noise, 1 cm at 2 m.
        correlation_px: blur of that noise, pixels (matching windows make neighbours err together); 0 for white noise.
        flying_share: share of the pixels on a depth edge that mix foreground and background.
        edge_step: a depth edge is a step of this share of Z between neighbours.
        edge_px: how far from the edge they are found, pixels.
        hole_share: share of pixels without depth, in specks; edges lose the same share again.
        max_range_m: nothing beyond.
    """

    sigma_per_m: float = 0.0025
    correlation_px: float = 0.0
    flying_share: float = 0.5
    edge_step: float = 0.05
    edge_px: int = 1
    hole_share: float = 0.02
    max_range_m: float = 10.0


DEFAULTS = SensorNoise()


def add_sensor_noise(depth_m: NDArray[np.float32], *, seed: int, noise: SensorNoise = DEFAULTS) -> NDArray[np.float32]:
    """A noisy copy of exact depth, float32 H x W, NaN = invalid. The same seed gives the same noise."""
    rng = np.random.default_rng(seed)
    valid = np.isfinite(depth_m)
    z = np.where(valid, depth_m, np.float32(noise.max_range_m)).astype(np.float32)

    kernel = np.ones((2 * noise.edge_px + 1, 2 * noise.edge_px + 1), np.uint8)
    near, far = cv2.erode(z, kernel), cv2.dilate(z, kernel)
    on_edge = far - near > noise.edge_step * near
    flying = on_edge & (rng.random(z.shape) < noise.flying_share)
    share = rng.random(z.shape, dtype=np.float32)
    z = np.where(flying, near + share * (far - near), z)

    grain = rng.standard_normal(z.shape, dtype=np.float32)
    if noise.correlation_px > 0:
        grain = cv2.GaussianBlur(grain, (0, 0), noise.correlation_px).astype(np.float32)
        grain /= max(float(grain.std()), 1e-9)
    noisy = z + np.float32(noise.sigma_per_m) * z * z * grain

    hole = rng.random(z.shape) < np.where(on_edge, 2, 1) * noise.hole_share
    lost = ~(valid | flying) | hole | (noisy > noise.max_range_m) | (noisy <= 0)
    return np.where(lost, np.float32(np.nan), noisy).astype(np.float32)
