"""Does the spec agree with the network that was loaded?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from edgedepth.bundle.spec import InputSpec, ModelSpec
from edgedepth.errors import SpecError

__all__ = ["TensorInfo", "check_spec"]

# An output half or a quarter the input's size is common; one whose two factors differ by more than this is transposed.
OUTPUT_ASPECT_TOLERANCE = 0.1


class TensorInfo(Protocol):
    """What must be known of a network's tensor; ``backends.TensorSpec`` is one. A None dimension is free."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def shape(self) -> tuple[int | None, ...]: ...


T = TypeVar("T", bound=TensorInfo)


def check_spec(spec: ModelSpec, inputs: Sequence[T], outputs: Sequence[T]) -> tuple[T, T, T | None]:
    """The image, depth and person tensors the spec means, after checking that the network has them as it says.

    The last is None where the spec names no person output.

    Raises:
        SpecError: a name, shape, layout or dtype disagrees; says what was expected, what was found, what to change.
    """
    image = _pick(spec, "input", spec.input.name, inputs)
    depth = _pick(spec, "output", spec.output.name, outputs)
    if len(inputs) > 1:
        others = ", ".join(t.name for t in inputs if t.name != image.name)
        raise SpecError(f"spec {spec.name}: the network has further inputs ({others}); export it with the image alone")
    _check_image(spec, image)
    _check_depth(spec, depth)
    person = None
    if spec.person is not None:
        person = _pick(spec, "person", spec.person.name, outputs)
        _check_person(spec, person, depth)
    return image, depth, person


def _pick(spec: ModelSpec, side: str, name: str | None, tensors: Sequence[T]) -> T:
    listing = "; ".join(_show(t) for t in tensors) or "none"
    if name is None and len(tensors) == 1:
        return tensors[0]
    if name is None:
        raise SpecError(
            f"spec {spec.name}: the network has {len(tensors)} {side}s, say which one in {side}.name: {listing}"
        )
    for tensor in tensors:
        if tensor.name == name:
            return tensor
    raise SpecError(f"spec {spec.name}: {side}.name = {name!r} is not in the network; it has: {listing}")


def _show(tensor: TensorInfo) -> str:
    return f"{tensor.name} ({tensor.dtype} {_shape(tensor.shape)})"


def _shape(shape: Sequence[int | None]) -> str:
    return "x".join("?" if d is None else str(d) for d in shape)


def _expected_shape(spec: InputSpec, layout: str) -> tuple[int | None, ...]:
    free = spec.resize == "keep_aspect_multiple"
    height, width = (None, None) if free else (spec.height, spec.width)
    return (1, 3, height, width) if layout == "NCHW" else (1, height, width, 3)


def _fits(expected: Sequence[int | None], found: Sequence[int | None]) -> bool:
    """A free dimension of the network takes any size; a free one of the spec needs a free one of the network."""
    return len(expected) == len(found) and all(f is None or f == e for e, f in zip(expected, found, strict=True))


def _check_image(spec: ModelSpec, image: TensorInfo) -> None:
    where = f"spec {spec.name}: input {image.name!r}"
    if image.dtype != np.dtype(spec.input.dtype):
        raise SpecError(f"{where}: the spec says {spec.input.dtype}, the network takes {image.dtype}; set input.dtype")
    expected = _expected_shape(spec.input, spec.input.layout)
    if _fits(expected, image.shape):
        return
    said = f"{where}: the spec says {spec.input.layout} {_shape(expected)}, the network takes {_shape(image.shape)}"
    other = "NHWC" if spec.input.layout == "NCHW" else "NCHW"
    if _fits(_expected_shape(spec.input, other), image.shape):
        raise SpecError(f'{said}; set input.layout = "{other}"')
    if spec.input.resize == "keep_aspect_multiple":
        raise SpecError(
            f"{said}; keep_aspect_multiple needs a network whose height and width are free: "
            "export it so, or use stretch, letterbox or center_crop"
        )
    raise SpecError(f"{said}; set input.height, input.width and input.layout to the network's")


def _check_depth(spec: ModelSpec, depth: TensorInfo) -> None:
    where = f"spec {spec.name}: output {depth.name!r}"
    if depth.dtype.kind not in "fiu":
        raise SpecError(
            f"{where}: depth must be numbers, the network gives {depth.dtype}; set output.name to the depth"
        )
    sides = [d for d in depth.shape if d != 1]
    if None in depth.shape:
        return  # known only once it has run; the postprocessing checks it then
    if len(sides) != 2:
        raise SpecError(
            f"{where}: expected one depth map (height x width and dimensions of 1), the network gives "
            f"{_shape(depth.shape)}; set output.name to the depth map, or export the network with that output"
        )
    if spec.input.resize == "keep_aspect_multiple":
        return
    down, right = sides[0] / spec.input.height, sides[1] / spec.input.width  # type: ignore[operator]
    if abs(down / right - 1) > OUTPUT_ASPECT_TOLERANCE:
        raise SpecError(
            f"{where}: its {sides[1]}x{sides[0]} does not have the shape of the {spec.input.width}x{spec.input.height} "
            "input; set output.name to the depth map, or export the network with height before width"
        )


def _check_person(spec: ModelSpec, person: TensorInfo, depth: TensorInfo) -> None:
    where = f"spec {spec.name}: person output {person.name!r}"
    if person.name == depth.name:
        raise SpecError(f"{where} is the depth's own; set person.name to the probability, or leave [person] out")
    if person.dtype.kind != "f":
        raise SpecError(
            f"{where}: a probability is floating point, the network gives {person.dtype}; set person.name to the "
            "probability, or leave [person] out"
        )
    if None in person.shape or None in depth.shape:
        return  # as for the depth
    if [d for d in person.shape if d != 1] != [d for d in depth.shape if d != 1]:
        raise SpecError(
            f"{where}: expected the depth's height x width, {_shape(depth.shape)}, the network gives "
            f"{_shape(person.shape)}; set person.name to the probability, or leave [person] out"
        )
