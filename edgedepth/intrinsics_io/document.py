"""What every format of intrinsics needs: a parsed text, access to its keys that names what is missing, a Format."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from edgedepth.errors import IntrinsicsError
from edgedepth.types import Distortion, DistortionModel, Intrinsics

__all__ = [
    "Document",
    "Format",
    "brown_coefficients",
    "cannot_hold",
    "distortion",
    "focal_and_centre",
    "number",
    "numbers",
    "parse",
    "pixels",
    "require_key",
    "whole",
]


@dataclass(frozen=True)
class Document:
    """The text of a file and, when it is JSON or YAML, the mapping it holds."""

    text: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Format:
    """One way of writing intrinsics down.

    Attributes:
        name: what ``save_intrinsics(format=...)`` calls it.
        title: what messages call it.
        matches: whether a document looks like this format, complete or not.
        cameras: the raw cameras of a document by name; a format with one camera names it "".
        read: one raw camera to Intrinsics.
        write: the text of a file with one camera; IntrinsicsError when the format cannot hold it.
    """

    name: str
    title: str
    matches: Callable[[Document], bool]
    cameras: Callable[[Document], Mapping[str, Any]]
    read: Callable[[Any], Intrinsics]
    write: Callable[[Intrinsics], str]


def parse(text: str) -> Document:
    """Read JSON or YAML; text that is neither has an empty mapping. Raises IntrinsicsError when it is broken."""
    if text.lstrip().startswith("{"):
        try:
            return Document(text, json.loads(text))
        except json.JSONDecodeError as error:
            raise IntrinsicsError(f"not valid JSON at line {error.lineno}: {error.msg}; repair the file") from error
    if text.startswith("%YAML:"):
        raise IntrinsicsError(
            "this is an OpenCV FileStorage file, which does not say which lens model its coefficients are of; "
            "save the calibration as ROS camera_info YAML (with distortion_model) instead"
        )
    try:
        # A `ros2 topic echo` ends every message with `---`: take the first.
        data = next(iter(yaml.safe_load_all(text)), None)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise IntrinsicsError(
            f"not valid YAML{where}: {getattr(error, 'problem', None) or 'cannot be read'}"
        ) from error
    return Document(text, data if isinstance(data, dict) else {})


def require_key(data: Mapping[str, Any], *names: str) -> Any:
    """The value under the first of ``names`` that is there; the error names the first."""
    for name in names:
        if name in data and data[name] is not None:
            return data[name]
    raise IntrinsicsError(f"key '{names[0]}' is missing; found {sorted(map(str, data)) or 'nothing'}")


def number(data: Mapping[str, Any], *names: str) -> float:
    """A number under a key. YAML reads ``1e-5`` as text, so text that is a number is one."""
    return _to_float(require_key(data, *names), names[0])


def numbers(data: Mapping[str, Any], *names: str, count: int | None = None) -> tuple[float, ...]:
    """A list of numbers under a key, flat or nested by rows, ``count`` of them when given."""
    value = require_key(data, *names)
    if not isinstance(value, (list, tuple)):
        raise IntrinsicsError(f"'{names[0]}' must be a list of numbers, found {value!r}")
    flat = [item for row in value for item in (row if isinstance(row, (list, tuple)) else [row])]
    if count is not None and len(flat) != count:
        raise IntrinsicsError(f"'{names[0]}' must hold {count} numbers, found {len(flat)}")
    return tuple(_to_float(item, names[0]) for item in flat)


def pixels(data: Mapping[str, Any], *names: str) -> int:
    """A whole, positive number of pixels under a key."""
    return whole(number(data, *names), names[0])


def whole(value: float, name: str, *, minimum: int = 1) -> int:
    """``value`` as a number of pixels, ``minimum`` or more."""
    if not (math.isfinite(value) and value == int(value) and value >= minimum):
        raise IntrinsicsError(f"'{name}' must be a whole number of pixels from {minimum} up, found {value:g}")
    return int(value)


def _to_float(value: Any, name: str) -> float:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    raise IntrinsicsError(f"'{name}' must be a number, found {value!r}")


def focal_and_centre(matrix: Sequence[float], name: str) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy of a row-major 3 x 3 camera matrix; refuses what is not [fx 0 cx; 0 fy cy; 0 0 1]."""
    fx, skew, cx, zero, fy, cy, *bottom = matrix
    if not all(map(math.isfinite, matrix)):
        raise IntrinsicsError(f"'{name}' must hold finite numbers, found {list(matrix)}")
    if abs(skew) > 1e-6 * abs(fx):
        raise IntrinsicsError(f"'{name}' has a skew of {skew:g}; only cameras with square pixel axes are supported")
    if zero != 0 or bottom != [0.0, 0.0, 1.0]:
        raise IntrinsicsError(f"'{name}' must be [fx 0 cx; 0 fy cy; 0 0 1] row by row, found {list(matrix)}")
    return fx, fy, cx, cy


def distortion(model: DistortionModel, coefficients: Sequence[float]) -> Distortion:
    """A checked Distortion; coefficients that bend nothing become "none"."""
    checked = Distortion(model, tuple(coefficients))
    return Distortion() if checked.is_identity else checked


def brown_coefficients(found: Distortion, count: int, title: str) -> tuple[float, ...]:
    """k1 k2 p1 p2 ... padded with zeros to ``count``; refuses to lose one that is not zero."""
    if found.model not in (DistortionModel.NONE, DistortionModel.BROWN_CONRADY):
        raise cannot_hold(found, title)
    padded = (*found.coefficients, *(0.0,) * 8)
    if any(padded[count:]):
        raise cannot_hold(found, title)
    return padded[:count]


def cannot_hold(found: Distortion, title: str) -> IntrinsicsError:
    """The error of a writer whose format has no place for a distortion."""
    return IntrinsicsError(
        f"{title} cannot hold {found.model.value} distortion with {len(found.coefficients)} coefficients; "
        "write the edgedepth format, which holds all"
    )
