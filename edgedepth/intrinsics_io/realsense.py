"""librealsense's rs2_intrinsics as JSON: width, height, ppx, ppy, fx, fy, model, coeffs[5]. Centres at integers.

The models are those of librealsense's include/librealsense2/rsutil.h. brown_conrady is OpenCV's; kannala_brandt4 is
OpenCV's fisheye. The modified one applies the tangential terms to radially distorted points, so it equals
brown_conrady only where those terms are zero. inverse_brown_conrady is documented as mapping distorted to ideal
coordinates while rsutil.h projects with it the other way round, and what D400 colour streams report under that name
was never settled (librealsense issues 6382, 7335, 7734, pull request 13833): read only where all coefficients are
zero, as on the D415 and D435.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from edgedepth.errors import IntrinsicsError
from edgedepth.intrinsics_io.document import (
    Format,
    brown_coefficients,
    distortion,
    number,
    numbers,
    pixels,
    require_key,
)
from edgedepth.types import Distortion, DistortionModel, Intrinsics

__all__ = ["FORMAT"]

# In the order of the C enumeration rs2_distortion, whose numbers some tools write.
_NAMES = (
    "none",
    "modified_brown_conrady",
    "inverse_brown_conrady",
    "ftheta",
    "brown_conrady",
    "kannala_brandt4",
)


def _model_name(value: Any) -> str:
    """``Inverse Brown Conrady``, ``distortion.inverse_brown_conrady``, ``RS2_DISTORTION_...`` or 2: all one name."""
    if isinstance(value, int) and 0 <= value < len(_NAMES):
        return _NAMES[value]
    text = re.sub(r"[\s]+", "_", str(value).strip().lower()).replace("f-theta", "ftheta")
    return text.removeprefix("distortion.").removeprefix("rs2_distortion_").removeprefix("rs2.distortion.")


def _distortion(data: Mapping[str, Any]) -> Distortion:
    name = _model_name(require_key(data, "model"))
    coefficients = numbers(data, "coeffs", count=5)
    if name == "ftheta":
        raise IntrinsicsError("the f-theta lens model is not supported; calibrate with kannala_brandt4 or a pinhole")
    if name == "kannala_brandt4":
        return distortion(DistortionModel.FISHEYE, coefficients[:4])
    if name in ("none", "inverse_brown_conrady") and not any(coefficients):
        return Distortion()
    if name == "inverse_brown_conrady":
        raise IntrinsicsError(
            "inverse_brown_conrady has two readings: librealsense documents it as distorted to ideal and projects with "
            "it as ideal to distorted; write brown_conrady to mean what the SDK computes, or calibrate the camera"
        )
    if name == "modified_brown_conrady" and any(coefficients[2:4]):
        raise IntrinsicsError(
            "modified_brown_conrady with tangential terms is not supported; read the stream of another model"
        )
    models = {
        "modified_brown_conrady": DistortionModel.BROWN_CONRADY,
        "brown_conrady": DistortionModel.BROWN_CONRADY,
    }
    if name not in models:
        found = "none with coefficients that are not zero" if name == "none" else repr(data["model"])
        raise IntrinsicsError(f"distortion model {found}; expected one of {', '.join(_NAMES)}")
    return distortion(models[name], coefficients)


def _read(data: Mapping[str, Any]) -> Intrinsics:
    fx, fy, cx, cy = (number(data, key) for key in ("fx", "fy", "ppx", "ppy"))
    return Intrinsics(pixels(data, "width"), pixels(data, "height"), fx, fy, cx, cy, _distortion(data))


def _write(intrinsics: Intrinsics) -> str:
    lens = intrinsics.distortion
    if lens.model is DistortionModel.FISHEYE:
        name, coefficients = "kannala_brandt4", (*lens.coefficients, 0.0)
    elif lens.is_identity:
        name, coefficients = "none", (0.0,) * 5
    else:
        name, coefficients = "brown_conrady", brown_coefficients(lens, 5, FORMAT.title)
    return (
        json.dumps(
            {
                "width": intrinsics.width,
                "height": intrinsics.height,
                "ppx": intrinsics.cx,
                "ppy": intrinsics.cy,
                "fx": intrinsics.fx,
                "fy": intrinsics.fy,
                "model": name,
                "coeffs": list(coefficients),
            },
            indent=2,
        )
        + "\n"
    )


FORMAT = Format(
    name="realsense",
    title="RealSense JSON",
    matches=lambda document: bool({"ppx", "ppy", "coeffs"} & document.data.keys()),
    cameras=lambda document: {"": document.data},
    read=_read,
    write=_write,
)
