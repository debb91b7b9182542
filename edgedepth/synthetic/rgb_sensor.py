"""What a cheap colour camera does to a picture: exposure, white balance, lens fall-off, blur, rolling bands, noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["RgbSensor", "sense"]


@dataclass(frozen=True)
class RgbSensor:
    """A colour sensor; the defaults change nothing.

    Attributes:
        mean: grey level that auto exposure steers to, 0 to 1; None leaves the exposure alone.
        gamma: of the tone curve, below 1 lifts the shadows.
        balance: factors on red, green, blue.
        vignette: darkening in the corners, 0 to 1.
        blur_px: sigma of defocus. motion_px: length and motion_deg direction of a smear.
        banding: amplitude of the bands that mains light leaves in rows exposed one after the other; bands: how many.
        shot_noise, read_noise: variance = shot_noise * signal + read_noise^2, signal 0 to 1.
        jpeg: quality, 0 for none.
    """

    mean: float | None = None
    gamma: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    vignette: float = 0.0
    blur_px: float = 0.0
    motion_px: float = 0.0
    motion_deg: float = 0.0
    banding: float = 0.0
    bands: float = 2.0
    shot_noise: float = 0.0
    read_noise: float = 0.0
    jpeg: int = 0

    @classmethod
    def random(cls, seed: int) -> RgbSensor:
        """One of the cameras there are, by seed."""
        rng = np.random.default_rng([seed, 0xCA3E])
        warm = rng.normal(0, 0.05)
        return cls(
            mean=float(rng.uniform(0.3, 0.6)),
            gamma=float(rng.uniform(0.7, 1.15)),
            balance=(float(1 + warm), 1.0, float(1 - warm)),
            vignette=float(rng.uniform(0, 0.35)),
            blur_px=float(rng.choice([0.0, 0.4, 0.7, 1.1])),
            motion_px=float(rng.uniform(1.5, 5)) if rng.random() < 0.15 else 0.0,
            motion_deg=float(rng.uniform(0, 180)),
            banding=float(rng.uniform(0.02, 0.08)) if rng.random() < 0.15 else 0.0,
            bands=float(rng.uniform(1, 5)),
            shot_noise=float(10 ** rng.uniform(-4.5, -3)),
            read_noise=float(10 ** rng.uniform(-3, -2)),
            jpeg=int(rng.integers(60, 96)) if rng.random() < 0.4 else 0,
        )


def sense(picture: NDArray[np.uint8], sensor: RgbSensor, *, seed: int, t_s: float = 0.0) -> NDArray[np.uint8]:
    """``picture`` (uint8 H x W x 3) as the sensor gives it. The same seed and time give the same noise."""
    rng = np.random.default_rng([seed, round(t_s * 1e6), 0x9015E])
    height, width = picture.shape[:2]
    x: NDArray[Any] = picture.astype(np.float32) / 255
    if sensor.vignette:
        u = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        v = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        x *= (1 - sensor.vignette * (u * u + v * v) / 2)[..., None]
    if sensor.banding:
        phase = 2 * np.pi * (sensor.bands * np.arange(height) / height + 100 * t_s % 1)
        x *= (1 + sensor.banding * np.sin(phase)).astype(np.float32)[:, None, None]
    if sensor.mean is not None:
        x *= np.clip(sensor.mean / max(float(x.mean()), 1e-3), 0.5, 4.0)
    x *= np.asarray(sensor.balance, np.float32)
    if sensor.motion_px > 1:
        x = np.asarray(cv2.filter2D(x, -1, _smear(sensor.motion_px, sensor.motion_deg)))
    if sensor.blur_px:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), sensor.blur_px))
    x = np.clip(x, 0, 1)
    if sensor.shot_noise or sensor.read_noise:
        grain = rng.standard_normal(x.shape, dtype=np.float32)
        x = np.clip(x + grain * np.sqrt(sensor.shot_noise * x + sensor.read_noise**2), 0, 1)
    if sensor.gamma != 1:
        x = x**sensor.gamma
    image = np.round(255 * x).astype(np.uint8)
    if sensor.jpeg:
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg])
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return image


def _smear(length_px: float, direction_deg: float) -> NDArray[np.float32]:
    side = 2 * int(np.ceil(length_px / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    reach = length_px / 2 * np.array([np.cos(np.radians(direction_deg)), np.sin(np.radians(direction_deg))])
    middle = side // 2
    start, end = (tuple(round(float(middle + s * r)) for r in reach) for s in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)
