"""Kalibr's camchain YAML: cam0, cam1, ... each with camera_model, intrinsics, distortion and resolution.

https://github.com/ethz-asl/kalibr/wiki/yaml-formats. Pinhole only: the intrinsics of omni, eucm and ds cameras
are not a pinhole's, whatever distortion is added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from edgedepth.errors import IntrinsicsError
from edgedepth.intrinsics_io.document import (
    Document,
    Format,
    brown_coefficients,
    distortion,
    numbers,
    require_key,
    whole,
)
from edgedepth.types import Distortion, DistortionModel, Intrinsics

__all__ = ["FORMAT"]

_MODELS = {"radtan": DistortionModel.BROWN_CONRADY, "equidistant": DistortionModel.FISHEYE}


def _cameras(document: Document) -> dict[str, Any]:
    return {
        str(name): camera
        for name, camera in document.data.items()
        if isinstance(camera, dict) and (re.fullmatch(r"cam\d+", str(name)) or "camera_model" in camera)
    }


def _read(data: Mapping[str, Any]) -> Intrinsics:
    camera_model = require_key(data, "camera_model")
    if camera_model != "pinhole":
        raise IntrinsicsError(
            f"camera_model {camera_model!r} is not a pinhole; calibrate with --models pinhole-radtan or pinhole-equi"
        )
    fx, fy, cx, cy = numbers(data, "intrinsics", count=4)
    width, height = (whole(value, "resolution") for value in numbers(data, "resolution", count=2))
    name = require_key(data, "distortion_model")
    if name == "none":
        lens = Distortion()
    elif name in _MODELS:
        lens = distortion(_MODELS[name], numbers(data, "distortion_coeffs", count=4))
    else:
        raise IntrinsicsError(f"distortion_model {name!r} is not supported; one of {', '.join(_MODELS)}, none")
    return Intrinsics(width, height, fx, fy, cx, cy, lens)


def _write(intrinsics: Intrinsics) -> str:
    lens = intrinsics.distortion
    if lens.model is DistortionModel.FISHEYE:
        name, coefficients = "equidistant", lens.coefficients
    elif lens.is_identity:
        name, coefficients = "none", ()
    else:
        name, coefficients = "radtan", brown_coefficients(lens, 4, FORMAT.title)
    camera = {
        "camera_model": "pinhole",
        "intrinsics": [intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy],
        "distortion_model": name,
        "distortion_coeffs": list(coefficients),
        "resolution": list(intrinsics.size_wh),
    }
    return yaml.safe_dump({"cam0": camera}, sort_keys=False, default_flow_style=None, width=1000)


FORMAT = Format(
    name="kalibr",
    title="Kalibr camchain",
    matches=lambda document: bool(_cameras(document)),
    cameras=_cameras,
    read=_read,
    write=_write,
)
