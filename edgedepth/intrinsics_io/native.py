"""EdgeDepth's own JSON: the fields of Intrinsics by name, every distortion model, nothing rounded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgedepth.errors import IntrinsicsError
from edgedepth.intrinsics_io.document import Format, number, numbers, pixels, require_key
from edgedepth.types import Distortion, DistortionModel, Intrinsics

__all__ = ["FORMAT"]


def _read(data: Mapping[str, Any]) -> Intrinsics:
    found = data.get("distortion")
    lens = Distortion()
    if found is not None:
        if not isinstance(found, dict):
            raise IntrinsicsError(f"'distortion' must hold 'model' and 'coefficients', found {found!r}")
        name = require_key(found, "model")
        try:
            model = DistortionModel(name)
        except ValueError:
            known = ", ".join(m.value for m in DistortionModel)
            raise IntrinsicsError(f"unknown distortion model {name!r}; one of {known}") from None
        lens = Distortion(model, numbers(found, "coefficients"))
    fx, fy, cx, cy = (number(data, key) for key in ("fx", "fy", "cx", "cy"))
    return Intrinsics(pixels(data, "width"), pixels(data, "height"), fx, fy, cx, cy, lens)


def _write(intrinsics: Intrinsics) -> str:
    lens = intrinsics.distortion
    values = {key: getattr(intrinsics, key) for key in ("width", "height", "fx", "fy", "cx", "cy")}
    values["distortion"] = {"model": lens.model.value, "coefficients": list(lens.coefficients)}
    return json.dumps(values, indent=2) + "\n"


FORMAT = Format(
    name="edgedepth",
    title="EdgeDepth JSON",
    matches=lambda document: bool({"fx", "fy", "cx", "cy"} & document.data.keys()),
    cameras=lambda document: {"": document.data},
    read=_read,
    write=_write,
)
