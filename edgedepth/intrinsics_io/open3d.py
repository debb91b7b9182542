"""Open3D's PinholeCameraIntrinsic (and PinholeCameraParameters) JSON.

``intrinsic_matrix`` holds K COLUMN by column: [fx 0 0 0 fy 0 cx cy 1]. Pixel centres at integers
(Open3D's PrimeSense default is 640x480 with c = 319.5, 239.5). No distortion.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgedepth.errors import IntrinsicsError
from edgedepth.intrinsics_io.document import Document, Format, cannot_hold, focal_and_centre, numbers, pixels
from edgedepth.types import Intrinsics

__all__ = ["FORMAT"]


def _camera(document: Document) -> Mapping[str, Any]:
    inner = document.data.get("intrinsic")
    return inner if isinstance(inner, dict) else document.data


def _read(data: Mapping[str, Any]) -> Intrinsics:
    values = numbers(data, "intrinsic_matrix", count=9)
    if values[2] != 0 and values[6] == 0:
        raise IntrinsicsError(
            "'intrinsic_matrix' is stored row by row; Open3D stores it column by column: "
            "[fx, 0, 0, 0, fy, 0, cx, cy, 1]"
        )
    by_rows = [values[3 * column + row] for row in range(3) for column in range(3)]
    return Intrinsics(pixels(data, "width"), pixels(data, "height"), *focal_and_centre(by_rows, "intrinsic_matrix"))


def _write(intrinsics: Intrinsics) -> str:
    if not intrinsics.distortion.is_identity:
        raise cannot_hold(intrinsics.distortion, FORMAT.title)
    matrix = [intrinsics.fx, 0.0, 0.0, 0.0, intrinsics.fy, 0.0, intrinsics.cx, intrinsics.cy, 1.0]
    return (
        json.dumps({"width": intrinsics.width, "height": intrinsics.height, "intrinsic_matrix": matrix}, indent=2)
        + "\n"
    )


FORMAT = Format(
    name="open3d",
    title="Open3D JSON",
    matches=lambda document: "intrinsic_matrix" in _camera(document),
    cameras=lambda document: {"": _camera(document)},
    read=_read,
    write=_write,
)
