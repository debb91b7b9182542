"""Intrinsics as one typed line: ``fx,fy,cx,cy[,k1,k2,p1,p2[,k3[,k4,k5,k6]]]``, or a field of view."""

from __future__ import annotations

import math
import re

from edgedepth.errors import IntrinsicsError
from edgedepth.intrinsics_io.document import distortion
from edgedepth.types import DistortionModel, Intrinsics

__all__ = ["looks_plain", "read_plain"]

_FOV = re.compile(r"\s*(hfov|fov|dfov)\s*[=:]\s*(\S+)\s*", re.IGNORECASE)
_COUNTS = (4, 8, 9, 12)


def looks_plain(text: str) -> bool:
    """Whether ``text`` is numbers and commas or a field of view, and no file name or file content."""
    first, comma, _ = text.partition(",")
    return _FOV.fullmatch(text) is not None or bool(comma and _number(first) is not None and "\n" not in text.strip())


def read_plain(text: str, size_wh: tuple[int, int] | None) -> Intrinsics:
    """Intrinsics for an image of ``size_wh`` pixels.

    ``hfov=`` (or ``fov=``) is the horizontal field of view in degrees, ``dfov=`` the diagonal one that data sheets
    of web cameras print; both mean an ideal pinhole. Numbers are pixels of that image, pixel centres at integers.
    """
    if size_wh is None:
        raise IntrinsicsError(f"'{text.strip()}' needs the size of the image it is for; give the size or use a file")
    width, height = size_wh
    fov = _FOV.fullmatch(text)
    if fov is not None:
        degrees = _number(fov[2])
        if degrees is None or not 0 < degrees < 180:
            raise IntrinsicsError(f"a field of view lies between 0 and 180 degrees, found '{fov[2]}'")
        if fov[1].lower() == "dfov":
            half_width = math.tan(math.radians(degrees) / 2) * width / math.hypot(width, height)
            degrees = math.degrees(2 * math.atan(half_width))
        return Intrinsics.from_fov(width, height, hfov_deg=degrees)
    values = [_number(part) for part in text.split(",")]
    if None in values:
        bad = text.split(",")[values.index(None)].strip()
        raise IntrinsicsError(f"expected fx,fy,cx,cy[,k1,k2,p1,p2[,k3]] as numbers, found '{bad}'")
    fx, fy, cx, cy, *coefficients = _checked([value for value in values if value is not None])
    lens = distortion(DistortionModel.BROWN_CONRADY if coefficients else DistortionModel.NONE, coefficients)
    return Intrinsics(width, height, fx, fy, cx, cy, lens)


def _checked(values: list[float]) -> list[float]:
    if len(values) not in _COUNTS:
        raise IntrinsicsError(
            f"expected fx,fy,cx,cy[,k1,k2,p1,p2[,k3]] (4, 8, 9 or 12 numbers), found {len(values)} numbers"
        )
    return values


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
