"""Planes in the camera frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError

__all__ = ["UP_SIGMA_DEG", "FloorPlane", "up_of"]

UP_SIGMA_DEG = 0.2
"""How well an accelerometer at rest, or a measured pose, tells pitch and roll: one standard deviation of each."""


@dataclass(frozen=True)
class FloorPlane:
    """The floor, as seen from the camera: n . p + d = 0 with the unit normal n pointing up. Metres, camera frame.

    Attributes:
        normal: unit normal, up, in the camera frame (x right, y down, z forward).
        offset_m: d; the camera's own height above the plane, since n . 0 + d = d.
        inlier_rms_m: root mean square distance of the inliers from the plane.
        inlier_count: how many points support it.
        inlier_fraction: their share of the image's pixels.
        source: ``"depth"`` (fitted), ``"given"`` or ``"gravity"``.
        covariance: upper triangle (xx, xy, xz, yy, yz, zz) of the covariance of n / d, 1/m^2; None when unknown.
    """

    normal: tuple[float, float, float]
    offset_m: float
    inlier_rms_m: float = 0.0
    inlier_count: int = 0
    inlier_fraction: float = 0.0
    source: str = "given"
    covariance: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        n = np.asarray(self.normal, dtype=np.float64)
        length = float(np.linalg.norm(n)) if n.shape == (3,) else math.nan
        if not abs(length - 1) < 1e-6 or not math.isfinite(self.offset_m):
            raise InputError(f"a plane needs a unit normal and a finite offset, found {self.normal}, {self.offset_m}")
        if self.covariance is not None and len(self.covariance) != 6:
            raise InputError(f"a plane's covariance is its six upper triangle entries, found {len(self.covariance)}")

    @property
    def camera_height_m(self) -> float:
        """Height of the camera centre above the floor."""
        return self.offset_m

    @property
    def pitch_deg(self) -> float:
        """Downward tilt of the optical axis below the horizontal; positive looks down. asin(-n_z)."""
        return math.degrees(math.asin(max(-1.0, min(1.0, -self.normal[2]))))

    @property
    def roll_deg(self) -> float:
        """Rotation about the optical axis; positive when the camera is turned clockwise (seen from behind).

        atan2(-n_x, -n_y).
        """
        return math.degrees(math.atan2(-self.normal[0], -self.normal[1]))

    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Unit vectors along the floor in the camera frame: to the right, and ahead (where the camera looks)."""
        x, y, z = self.normal
        return _axes((x, y, z))

    def height_of(self, points_m: NDArray[np.floating]) -> NDArray[np.float64]:
        """Signed height of points (..., 3) above the floor, metres."""
        return np.asarray(points_m @ np.asarray(self.normal, dtype=np.float64) + self.offset_m, dtype=np.float64)

    def height_sigma_m(self, points_m: NDArray[np.floating]) -> NDArray[np.float64]:
        """Standard deviation of ``height_of`` at points (..., 3) from the plane's own uncertainty, metres.

        Zero when the covariance is unknown. With m = n / d, h = (m . p + 1) / |m| and dh/dm = (p - h n) / |m|: the
        error grows with the distance of the point's foot from the floor that was seen.
        """
        p = np.asarray(points_m, dtype=np.float64)
        if self.covariance is None or self.offset_m == 0:
            return np.zeros(p.shape[:-1])
        upper = np.zeros((3, 3))
        upper[np.triu_indices(3)] = self.covariance
        covariance = upper + np.triu(upper, 1).T
        n = np.asarray(self.normal, dtype=np.float64)
        gradient = (p - self.height_of(p)[..., None] * n) * abs(self.offset_m)
        variance = np.einsum("...i,ij,...j->...", gradient, covariance, gradient)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)), np.float64)  # of a plane known but for its turn: rounding


def up_of(pitch_deg: float, roll_deg: float = 0.0) -> tuple[float, float, float]:
    """Unit vector opposite to gravity in the frame of a camera so tilted; the angles are those of FloorPlane."""
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    return -math.cos(pitch) * math.sin(roll), -math.cos(pitch) * math.cos(roll), -math.sin(pitch)


@lru_cache(maxsize=16)
def _axes(normal: tuple[float, float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """See FloorPlane.axes: asked for many times a frame."""
    up = np.asarray(normal, dtype=np.float64)
    # The optical axis gives "ahead" except for a camera that looks straight down, where the image's up does.
    look = np.array([0.0, 0.0, 1.0]) if abs(up[2]) < 0.95 else np.array([0.0, -1.0, 0.0])
    ahead = look - up * (look @ up)
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, up)
    ahead.flags.writeable = right.flags.writeable = False
    return right, ahead
