"""The values that travel through EdgeDepth: intrinsics, frames, depth maps, poses.

All are frozen and checked when made. Conventions (docs/conventions.md): camera frame x right, y down, z forward;
depth is Z in metres, float32, NaN = invalid; pixel centres at integer coordinates; images uint8 RGB, H x W x 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError, IntrinsicsError, NotMetricError

__all__ = [
    "ASPECT_TOLERANCE",
    "DepthKind",
    "DepthMap",
    "Distortion",
    "DistortionModel",
    "Frame",
    "Intrinsics",
    "Pose",
]

# How far the two aspect ratios of a rescaled stream may differ: one pixel in 480 is rounding, more is a crop.
ASPECT_TOLERANCE = 0.005


class DistortionModel(str, Enum):
    """How a lens bends rays. Coefficient order is OpenCV's."""

    NONE = "none"
    BROWN_CONRADY = "brown_conrady"
    """k1 k2 p1 p2 [k3 [k4 k5 k6]]: ROS plumb_bob and rational_polynomial, Kalibr radtan."""
    INVERSE_BROWN_CONRADY = "inverse_brown_conrady"
    """librealsense: the polynomial k1 k2 p1 p2 k3 maps distorted to ideal coordinates, in closed form."""
    FISHEYE = "fisheye"
    """k1 k2 k3 k4 in the angle: OpenCV fisheye, ROS and Kalibr equidistant, COLMAP OPENCV_FISHEYE."""


_COEFFICIENT_COUNTS = {
    DistortionModel.NONE: (0,),
    DistortionModel.BROWN_CONRADY: (4, 5, 8),
    DistortionModel.INVERSE_BROWN_CONRADY: (5,),
    DistortionModel.FISHEYE: (4,),
}


@dataclass(frozen=True)
class Distortion:
    """A distortion model and its coefficients, in OpenCV's order. Raises IntrinsicsError when inconsistent."""

    model: DistortionModel = DistortionModel.NONE
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", DistortionModel(self.model))
        object.__setattr__(self, "coefficients", tuple(float(c) for c in self.coefficients))
        counts = _COEFFICIENT_COUNTS[self.model]
        if len(self.coefficients) not in counts:
            raise IntrinsicsError(
                f"{self.model.value} distortion takes {' or '.join(map(str, counts))} coefficients, "
                f"found {len(self.coefficients)}; give them in OpenCV's order (k1 k2 p1 p2 k3 ...)"
            )
        if not all(math.isfinite(c) for c in self.coefficients):
            raise IntrinsicsError(
                f"distortion coefficients must be finite, found {list(self.coefficients)}; calibrate the camera again"
            )

    @property
    def is_identity(self) -> bool:
        """True when rays are not bent at all. An all-zero fisheye still bends them (it is equidistant)."""
        if self.model is DistortionModel.NONE:
            return True
        return self.model is not DistortionModel.FISHEYE and not any(self.coefficients)


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera with optional distortion, for one image size.

    Pixel centres sit at integer coordinates: the image spans -0.5 .. width - 0.5.

    Attributes:
        width, height: image size, pixels.
        fx, fy: focal lengths, pixels.
        cx, cy: principal point, pixels.
        distortion: lens distortion, independent of the image size.

    Raises:
        IntrinsicsError: a size or focal length that is not positive, a principal point far outside the image, or
            any value that is not finite.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: Distortion = field(default_factory=Distortion)

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if isinstance(value, bool) or not math.isfinite(value) or int(value) != value or value <= 0:
                raise IntrinsicsError(f"intrinsics {name} must be a positive whole number of pixels, found {value}")
            object.__setattr__(self, name, int(value))
        for name in ("fx", "fy", "cx", "cy"):
            value = float(getattr(self, name))
            if not math.isfinite(value):
                raise IntrinsicsError(f"intrinsics {name} must be a finite number of pixels, found {value}")
            object.__setattr__(self, name, value)
        for name in ("fx", "fy"):
            if getattr(self, name) <= 0:
                raise IntrinsicsError(
                    f"intrinsics {name} must be positive, found {getattr(self, name):g}; "
                    "a focal length is in pixels of this image (0 means the camera is not calibrated)"
                )
        # A crop far from the centre keeps its principal point outside, by up to the tangent of the field of view.
        reach_x, reach_y = max(self.width, 3 * self.fx), max(self.height, 3 * self.fy)
        if not (-reach_x <= self.cx <= self.width + reach_x and -reach_y <= self.cy <= self.height + reach_y):
            raise IntrinsicsError(
                f"principal point ({self.cx:g}, {self.cy:g}) lies far outside the {self.width}x{self.height} image; "
                "are the values normalised, or of another resolution?"
            )

    @classmethod
    def from_fov(cls, width: int, height: int, *, hfov_deg: float) -> Intrinsics:
        """An ideal pinhole with square pixels and a centred principal point from its horizontal field of view.

        f = (width / 2) / tan(hfov / 2); the centre of an image whose pixel centres are integers is (size - 1) / 2.
        """
        if not 0 < hfov_deg < 180:
            raise IntrinsicsError(f"horizontal field of view must lie between 0 and 180 degrees, found {hfov_deg:g}")
        f_px = width / 2 / math.tan(math.radians(hfov_deg) / 2)
        return cls(width, height, f_px, f_px, (width - 1) / 2, (height - 1) / 2)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Image size (width, height), pixels."""
        return self.width, self.height

    @property
    def f_px(self) -> float:
        """Geometric mean of fx and fy, the focal length of rules such as "depth x f_px / 300"."""
        return math.sqrt(self.fx * self.fy)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K, float64 3 x 3, row-major as in OpenCV."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def resized(self, width: int, height: int) -> Intrinsics:
        """The same camera after its image was resized to width x height (any aspect).

        With pixel centres at integers and scale s: f' = f s, c' = (c + 0.5) s - 0.5.
        """
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> Intrinsics:
        """The same camera after cropping to width x height at pixel (x, y). Negative x, y pad: c' = c - offset."""
        return replace(self, width=width, height=height, cx=self.cx - x, cy=self.cy - y)

    def for_size(self, width: int, height: int) -> Intrinsics:
        """These intrinsics for a stream of width x height, when that is a plain rescale.

        Raises:
            IntrinsicsError: the aspect ratios differ, so the stream is a crop and the intrinsics of it are unknown.
        """
        if (width, height) == self.size_wh:
            return self
        if abs((width / height) / (self.width / self.height) - 1) > ASPECT_TOLERANCE:
            raise IntrinsicsError(
                f"the intrinsics are for {self.width}x{self.height} and the image is {width}x{height}: another aspect "
                "ratio, so one is a crop of the other; calibrate at the size you stream"
            )
        return self.resized(width, height)


@dataclass(frozen=True)
class Pose:
    """A rigid transform ``T_world_camera``: float64 4 x 4, p_world = T_world_camera @ p_camera. Metres.

    Raises InputError when the rotation is not orthonormal with determinant +1 (tolerance 1e-4).
    """

    T_world_camera: NDArray[np.float64]

    def __post_init__(self) -> None:
        T = np.array(self.T_world_camera, dtype=np.float64)
        if T.shape != (4, 4) or not np.isfinite(T).all():
            raise InputError(f"a pose is a finite 4x4 matrix, found shape {T.shape}")
        R = T[:3, :3]
        if not np.allclose(R @ R.T, np.eye(3), atol=1e-4) or np.linalg.det(R) < 0:
            raise InputError("a pose needs a rotation matrix (orthonormal, determinant +1) in its upper left 3x3")
        T.flags.writeable = False
        object.__setattr__(self, "T_world_camera", T)


class DepthKind(str, Enum):
    """What the numbers of a depth map mean."""

    METRIC = "metric"
    """Z in metres."""
    RELATIVE_DEPTH = "relative_depth"
    """Z up to one unknown positive factor."""
    DISPARITY = "disparity"
    """Inverse Z up to an unknown factor and an unknown shift (MiDaS, Depth Anything relative)."""
    ORDINAL = "ordinal"
    """Larger is farther, nothing more."""


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth on a pixel grid, with what its numbers mean and the camera of that grid.

    Attributes:
        values: float32 H x W; NaN = invalid. Metres along Z for METRIC; see DepthKind for the rest.
        kind: what ``values`` are.
        intrinsics: the camera of this grid (its size equals the map's), or None when unknown.
        person: float32 H x W, the probability, 0 to 1, that a pixel shows a person; NaN where the network saw nothing.
            None when what gave the depth does not tell people from things.
    """

    values: NDArray[np.float32]
    kind: DepthKind
    intrinsics: Intrinsics | None = None
    person: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", DepthKind(self.kind))
        if self.values.ndim != 2 or self.values.dtype != np.float32:
            raise InputError(f"a depth map is float32 H x W, found {self.values.dtype} {self.values.shape}")
        if self.intrinsics is not None and self.intrinsics.size_wh != self.size_wh:
            raise IntrinsicsError(
                f"a {self.size_wh[0]}x{self.size_wh[1]} depth map needs intrinsics of that size, found "
                f"{self.intrinsics.width}x{self.intrinsics.height}"
            )
        person = self.person
        if person is not None and (person.shape != self.values.shape or person.dtype != np.float32):
            raise InputError(
                f"the person probabilities of a depth map are float32 {self.values.shape} as the depth, found "
                f"{person.dtype} {person.shape}"
            )

    @property
    def size_wh(self) -> tuple[int, int]:
        """Grid size (width, height), pixels."""
        return int(self.values.shape[1]), int(self.values.shape[0])

    @property
    def is_metric(self) -> bool:
        """True when the values are metres."""
        return self.kind is DepthKind.METRIC

    @property
    def depth_m(self) -> NDArray[np.float32]:
        """The values as metres, float32 H x W.

        Raises:
            NotMetricError: this map has no scale.
        """
        if not self.is_metric:
            raise NotMetricError(
                f"metres were asked of a {self.kind.value} map, which has no scale; "
                "give a known camera height or a scale, or use a metric model"
            )
        return self.values

    def scaled(self, factor: float) -> DepthMap:
        """Metres from a metric or relative-depth map times ``factor``.

        Raises:
            NotMetricError: one factor does not make metres of this kind (disparity has an unknown shift as well).
        """
        if self.kind not in (DepthKind.METRIC, DepthKind.RELATIVE_DEPTH):
            raise NotMetricError(
                f"one factor does not turn a {self.kind.value} map into metres; its shift is unknown too: "
                "give scale and shift, or use a metric or relative-depth model"
            )
        if not (math.isfinite(factor) and factor > 0):
            raise InputError(f"a depth scale must be a positive number, found {factor}")
        return replace(self, values=self.values * np.float32(factor), kind=DepthKind.METRIC)


@dataclass(frozen=True, eq=False)
class Frame:
    """One image from a source, with its camera and its time.

    Attributes:
        image: uint8 RGB, H x W x 3. Not to be written to.
        intrinsics: the camera of this image, or None when unknown.
        sequence: counts frames of the source from 0; a gap is a frame the source dropped.
        timestamp_ns: monotonic clock at capture (``time.monotonic_ns``).
        wall_time_ns: Unix time at capture.
        media_time_s: position in a file or recording, seconds; None for a live camera.
        depth_m: sensor depth registered to the image, float32 H x W metres along Z, NaN = invalid; or None.
        up: unit vector opposite to gravity in the camera frame, from an IMU or a known pose; or None.
        pose: camera pose, or None.
        source: the URI the frame came from, without credentials; an image's own path for image sequences.
    """

    image: NDArray[np.uint8]
    intrinsics: Intrinsics | None = None
    sequence: int = 0
    timestamp_ns: int = 0
    wall_time_ns: int = 0
    media_time_s: float | None = None
    depth_m: NDArray[np.float32] | None = None
    up: tuple[float, float, float] | None = None
    pose: Pose | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise InputError(f"a frame's image is uint8 H x W x 3 RGB, found {self.image.dtype} {self.image.shape}")
        w, h = self.size_wh
        if self.intrinsics is not None and self.intrinsics.size_wh != (w, h):
            raise IntrinsicsError(
                f"the image is {w}x{h} and its intrinsics are for {self.intrinsics.width}x{self.intrinsics.height}"
            )
        if self.depth_m is not None:
            if self.depth_m.dtype != np.float32:
                raise InputError(f"sensor depth is float32 metres, found {self.depth_m.dtype}")
            if self.depth_m.shape != (h, w):
                raise InputError(
                    f"the image is {w}x{h} and its depth is {self.depth_m.shape[1]}x{self.depth_m.shape[0]}; "
                    "register the depth to the image first"
                )

    @property
    def size_wh(self) -> tuple[int, int]:
        """Image size (width, height), pixels."""
        return int(self.image.shape[1]), int(self.image.shape[0])
