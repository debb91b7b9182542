"""COLMAP's cameras.txt: one ``ID MODEL WIDTH HEIGHT PARAMS...`` line a camera.

COLMAP puts the centre of the first pixel at (0.5, 0.5), EdgeDepth and OpenCV at (0, 0): cx = cx_colmap - 0.5.
Models: https://colmap.github.io/cameras.html and src/colmap/sensor/models.h.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgedepth.errors import IntrinsicsError
from edgedepth.intrinsics_io.document import Document, Format, brown_coefficients, distortion, whole
from edgedepth.types import DistortionModel, Intrinsics

__all__ = ["FORMAT"]

_LINE = re.compile(r"^\d+\s+[A-Z][A-Z_]+\s+\d+\s+\d+(\s|$)", re.MULTILINE)
_BROWN, _FISHEYE = DistortionModel.BROWN_CONRADY, DistortionModel.FISHEYE


@dataclass(frozen=True)
class _Model:
    """``shared_focal``: one f instead of fx fy. ``given``: the coefficients in the file, ``count`` in ours."""

    shared_focal: bool
    lens: DistortionModel = DistortionModel.NONE
    given: int = 0
    count: int = 0

    @property
    def parameter_count(self) -> int:
        return (3 if self.shared_focal else 4) + self.given


_MODELS = {
    "SIMPLE_PINHOLE": _Model(True),
    "PINHOLE": _Model(False),
    "SIMPLE_RADIAL": _Model(True, _BROWN, 1, 4),
    "RADIAL": _Model(True, _BROWN, 2, 4),
    "OPENCV": _Model(False, _BROWN, 4, 4),
    "FULL_OPENCV": _Model(False, _BROWN, 8, 8),
    "SIMPLE_RADIAL_FISHEYE": _Model(True, _FISHEYE, 1, 4),
    "RADIAL_FISHEYE": _Model(True, _FISHEYE, 2, 4),
    "OPENCV_FISHEYE": _Model(False, _FISHEYE, 4, 4),
}


def _cameras(document: Document) -> dict[str, list[str]]:
    rows = [line.split() for line in document.text.splitlines() if line.strip() and not line.startswith("#")]
    return {row[0]: row[1:] for row in rows}


def _read(row: list[str]) -> Intrinsics:
    name, *values = row
    model = _MODELS.get(name)
    if model is None:
        raise IntrinsicsError(f"camera model {name} is not supported; one of {', '.join(_MODELS)}")
    try:
        width, height, *parameters = (float(value) for value in values)
    except ValueError as error:
        raise IntrinsicsError(f"a {name} line must hold numbers after the model: {error}") from None
    if len(parameters) != model.parameter_count:
        raise IntrinsicsError(f"{name} takes {model.parameter_count} parameters, found {len(parameters)}")
    if model.shared_focal:
        parameters.insert(0, parameters[0])
    fx, fy, cx, cy, *coefficients = parameters
    coefficients += [0.0] * (model.count - model.given)
    lens = distortion(model.lens, coefficients)
    return Intrinsics(whole(width, "WIDTH"), whole(height, "HEIGHT"), fx, fy, cx - 0.5, cy - 0.5, lens)


def _write(intrinsics: Intrinsics) -> str:
    lens = intrinsics.distortion
    coefficients: tuple[float, ...]
    if lens.model is _FISHEYE:
        name, coefficients = "OPENCV_FISHEYE", lens.coefficients
    elif lens.is_identity:
        name, coefficients = "PINHOLE", ()
    else:
        name = "OPENCV" if len(lens.coefficients) == 4 else "FULL_OPENCV"
        coefficients = brown_coefficients(lens, _MODELS[name].given, FORMAT.title)
    values = (intrinsics.fx, intrinsics.fy, intrinsics.cx + 0.5, intrinsics.cy + 0.5, *coefficients)
    numbers = " ".join(repr(value) for value in values)
    return (
        "# Camera list with one line of data per camera:\n"
        "#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n"
        "# Number of cameras: 1\n"
        f"1 {name} {intrinsics.width} {intrinsics.height} {numbers}\n"
    )


FORMAT = Format(
    name="colmap",
    title="COLMAP cameras.txt",
    matches=lambda document: _LINE.search(document.text) is not None,
    cameras=_cameras,
    read=_read,
    write=_write,
)
