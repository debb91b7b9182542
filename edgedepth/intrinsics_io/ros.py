"""ROS camera_info YAML: what camera_calibration saves, and what ``topic echo`` prints of sensor_msgs/CameraInfo.

K and D describe the raw image at the sensor's full resolution; roi and binning then cut and shrink it
(sensor_msgs/CameraInfo.msg, REP 104). K[0] = 0 means that the camera is not calibrated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from edgedepth.errors import IntrinsicsError
from edgedepth.intrinsics_io.document import (
    Format,
    brown_coefficients,
    cannot_hold,
    distortion,
    focal_and_centre,
    number,
    numbers,
    pixels,
    require_key,
    whole,
)
from edgedepth.types import Distortion, DistortionModel, Intrinsics

__all__ = ["FORMAT"]

_BROWN_COUNTS = {"plumb_bob": 5, "rational_polynomial": 8}


def _read(data: Mapping[str, Any]) -> Intrinsics:
    matrix = _array(data, "camera_matrix", "K", "k")
    if len(matrix) != 9:
        raise IntrinsicsError(f"'camera_matrix' must hold 9 numbers, found {len(matrix)}")
    if matrix[0] == 0:
        raise IntrinsicsError("K[0] is 0: this camera is not calibrated; run a calibration and save it again")
    width, height = pixels(data, "image_width", "width"), pixels(data, "image_height", "height")
    full = Intrinsics(width, height, *focal_and_centre(matrix, "camera_matrix"), _distortion(data))
    return _binned(_region(full, data), data)


def _array(data: Mapping[str, Any], *names: str) -> tuple[float, ...]:
    """A matrix as the calibrator saves it (rows, cols, data) or as a message prints it (a plain list)."""
    value = require_key(data, *names)
    return numbers(value, "data") if isinstance(value, dict) else numbers(data, *names)


def _distortion(data: Mapping[str, Any]) -> Distortion:
    coefficients = _array(data, "distortion_coefficients", "D", "d")
    name = str(data.get("distortion_model") or "")
    if name == "equidistant":
        return distortion(DistortionModel.FISHEYE, coefficients)
    if not any(coefficients) and name in ("", "none", *_BROWN_COUNTS):
        return Distortion()
    if name not in _BROWN_COUNTS:
        raise IntrinsicsError(
            f"distortion_model {name!r} is not supported; one of plumb_bob, rational_polynomial, equidistant"
        )
    if any(coefficients[8:]):
        raise IntrinsicsError("thin prism and tilt coefficients are not supported; calibrate with 8 or fewer")
    return distortion(DistortionModel.BROWN_CONRADY, coefficients[:8])


def _region(full: Intrinsics, data: Mapping[str, Any]) -> Intrinsics:
    roi = data.get("roi")
    if not isinstance(roi, dict):
        return full
    x, y, width, height = (
        whole(number(roi, k), f"roi {k}", minimum=0) for k in ("x_offset", "y_offset", "width", "height")
    )
    if (x, y, width, height) == (0, 0, 0, 0):
        return full  # the message's way of saying the whole image
    if x + width > full.width or y + height > full.height:
        raise IntrinsicsError(
            f"roi {width}x{height} at ({x}, {y}) does not lie in the {full.width}x{full.height} image; "
            "camera_info gives the roi at full resolution"
        )
    return full.cropped(x, y, width, height)


def _binned(region: Intrinsics, data: Mapping[str, Any]) -> Intrinsics:
    """``binning`` full-resolution pixels make one; 0 means 1. The centre of a super-pixel is that of its block."""
    bx, by = (whole(number(data, k), k, minimum=0) or 1 if data.get(k) else 1 for k in ("binning_x", "binning_y"))
    if bx == by == 1:
        return region
    width, height = region.width // bx, region.height // by
    return region.cropped(0, 0, width * bx, height * by).resized(width, height)


def _write(intrinsics: Intrinsics) -> str:
    lens = intrinsics.distortion
    if lens.model is DistortionModel.FISHEYE:
        name, coefficients = "equidistant", lens.coefficients
    elif lens.model is DistortionModel.INVERSE_BROWN_CONRADY and not lens.is_identity:
        raise cannot_hold(lens, FORMAT.title)
    else:
        brown = Distortion() if lens.is_identity else lens
        name = "rational_polynomial" if len(brown.coefficients) == 8 else "plumb_bob"
        coefficients = brown_coefficients(brown, _BROWN_COUNTS[name], FORMAT.title)
    K = intrinsics.matrix
    P = [*K[0], 0.0, *K[1], 0.0, *K[2], 0.0]
    return yaml.safe_dump(
        {
            "image_width": intrinsics.width,
            "image_height": intrinsics.height,
            "camera_name": "camera",
            "camera_matrix": {"rows": 3, "cols": 3, "data": K.ravel().tolist()},
            "distortion_model": name,
            "distortion_coefficients": {"rows": 1, "cols": len(coefficients), "data": list(coefficients)},
            "rectification_matrix": {"rows": 3, "cols": 3, "data": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]},
            "projection_matrix": {"rows": 3, "cols": 4, "data": [float(value) for value in P]},
        },
        sort_keys=False,
        default_flow_style=None,
        width=1000,
    )


FORMAT = Format(
    name="ros",
    title="ROS camera_info",
    matches=lambda document: bool(
        {"camera_matrix", "image_width", "distortion_model", "K", "k"} & document.data.keys()
    ),
    cameras=lambda document: {"": document.data},
    read=_read,
    write=_write,
)
