from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from edgedepth.bundle import ModelSpec, check_spec, parse_spec
from edgedepth.bundle.spec import PersonSpec
from edgedepth.errors import SpecError

FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any] = FLOAT32


def spec(output: dict[str, object] | None = None, **image: object) -> ModelSpec:
    return parse_spec(
        {
            "name": "net",
            "input": {"height": 192, "width": 640, **image},
            "output": {"kind": "metric", **(output or {})},
        }
    )


IMAGE = Tensor("image", (1, 3, 192, 640))
DEPTH = Tensor("depth", (1, 1, 192, 640))


@pytest.mark.parametrize(
    "depth",
    [
        DEPTH,
        Tensor("d", (1, 192, 640)),
        Tensor("d", (1, 192, 640, 1)),
        Tensor("d", (192, 640)),
        Tensor("half", (1, 1, 96, 320)),
        Tensor("free", (1, None, None)),
        Tensor("bytes", (1, 1, 192, 640), np.dtype(np.uint8)),
    ],
)
def test_depth_maps_of_any_usual_shape_agree(depth: Tensor) -> None:
    assert check_spec(spec(), [IMAGE], [depth]) == (IMAGE, depth, None)


@pytest.mark.parametrize("shape", [(1, 3, 192, 640), (None, 3, None, None), (None, 3, 192, None)])
def test_free_dimensions_take_the_size_of_the_spec(shape: tuple[int | None, ...]) -> None:
    assert check_spec(spec(), [Tensor("x", shape)], [DEPTH])[0].name == "x"


def test_named_tensors_are_picked_among_several() -> None:
    outputs = [Tensor("mask", (1, 2, 192, 640)), DEPTH]
    assert check_spec(spec({"name": "depth"}), [IMAGE], outputs)[1] is DEPTH


PERSON = Tensor("person", (1, 1, 192, 640))


def with_person(name: str = "person") -> ModelSpec:
    return spec({"name": "depth"}).model_copy(update={"person": PersonSpec(name=name)})


@pytest.mark.parametrize("person", [PERSON, Tensor("person", (192, 640)), Tensor("person", (1, 1, None, None))])
def test_the_person_output_is_found_beside_the_depth(person: Tensor) -> None:
    assert check_spec(with_person(), [IMAGE], [person, DEPTH]) == (IMAGE, DEPTH, person)
    assert check_spec(spec({"name": "depth"}), [IMAGE], [person, DEPTH])[2] is None  # not in the spec


@pytest.mark.parametrize(
    ("changed", "inputs", "outputs", "expected"),
    [
        (spec(name="img"), [IMAGE], [DEPTH], ["input.name = 'img'", "image (float32 1x3x192x640)"]),
        (spec({"name": "z"}), [IMAGE], [DEPTH], ["output.name = 'z'", "depth (float32 1x1x192x640)"]),
        (spec(), [IMAGE], [DEPTH, Tensor("mask", (1, 2))], ["2 outputs", "output.name", "mask (float32 1x2)"]),
        (spec(name="image"), [IMAGE, Tensor("K", (3, 3))], [DEPTH], ["further inputs (K)"]),
        (
            spec(),
            [Tensor("x", (1, 3, 192, 640), np.dtype(np.float16))],
            [DEPTH],
            ["says float32, the network takes float16"],
        ),
        (spec(layout="NHWC"), [IMAGE], [DEPTH], ["NHWC 1x192x640x3", "takes 1x3x192x640", 'input.layout = "NCHW"']),
        (spec(), [Tensor("x", (1, 3, 640, 192))], [DEPTH], ["1x3x192x640", "1x3x640x192", "set input.height"]),
        (spec(), [Tensor("x", (4, 3, 192, 640))], [DEPTH], ["4x3x192x640"]),
        (spec(), [Tensor("x", (1, 1, 192, 640))], [DEPTH], ["1x1x192x640"]),
        (spec(), [Tensor("x", (3, 192, 640))], [DEPTH], ["3x192x640"]),
        (spec(resize="keep_aspect_multiple"), [IMAGE], [DEPTH], ["height and width are free"]),
        (spec(), [IMAGE], [Tensor("d", (1, 2, 192, 640))], ["one depth map", "1x2x192x640"]),
        (spec(), [IMAGE], [Tensor("d", (1, 1000))], ["one depth map"]),
        (spec(), [IMAGE], [Tensor("d", (1, 1, 640, 192))], ["192x640", "height before width"]),
        (spec(), [IMAGE], [Tensor("d", (1, 192, 640), np.dtype(np.bool_))], ["must be numbers", "bool"]),
        (spec(), [], [DEPTH], ["the network has 0 inputs", "none"]),
        (with_person(), [IMAGE], [DEPTH], ["person.name = 'person'", "depth (float32 1x1x192x640)"]),
        (with_person("depth"), [IMAGE], [DEPTH], ["person output 'depth'", "is the depth's own"]),
        (
            with_person(),
            [IMAGE],
            [DEPTH, Tensor("person", (1, 1, 96, 320))],
            ["1x1x192x640", "1x1x96x320", "person.name"],
        ),
        (
            with_person(),
            [IMAGE],
            [DEPTH, Tensor("person", (1, 1, 192, 640), np.dtype(np.uint8))],
            ["person output", "uint8", "floating point"],
        ),
    ],
)
def test_a_spec_that_disagrees_says_expected_found_and_what_to_change(
    changed: ModelSpec, inputs: list[Tensor], outputs: list[Tensor], expected: list[str]
) -> None:
    with pytest.raises(SpecError) as caught:
        check_spec(changed, inputs, outputs)
    message = str(caught.value)
    assert "\n" not in message
    for part in ["spec net", *expected]:
        assert part in message
