from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgedepth.bundle import parse_spec, read_spec
from edgedepth.bundle.specfile import SPEC_EXAMPLE
from edgedepth.errors import SpecError
from edgedepth.types import DepthKind

SPECS = Path(__file__).resolve().parents[2] / "specs"


def spec_data(**changes: object) -> dict[str, object]:
    data: dict[str, object] = {"name": "n", "input": {"height": 4, "width": 6}, "output": {"kind": "metric"}}
    return data | changes


def test_toml_and_json_with_the_same_keys_are_the_same_spec(tmp_path: Path) -> None:
    toml = tmp_path / "a.toml"
    toml.write_text('name = "n"\n[input]\nheight = 4\nwidth = 6\n[output]\nkind = "metric"\n')
    as_json = tmp_path / "a.json"
    as_json.write_text(json.dumps(spec_data()))
    assert read_spec(toml) == read_spec(as_json)


def test_the_example_in_the_error_message_is_a_valid_spec(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(SPEC_EXAMPLE)
    assert read_spec(path).output.kind is DepthKind.METRIC


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.toml")), ids=lambda p: p.stem)
def test_every_spec_of_the_tests_loads(path: Path) -> None:
    assert read_spec(path).provenance.training_data


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"output": {"kind": "metric", "metres_per_units": 0.01}},
            ["output.metres_per_units = 0.01", "did you mean output.metres_per_unit?"],
        ),
        (
            {"input": {"height": 4, "width": 6, "lay_out": "NHWC"}},
            ["input.lay_out = 'NHWC'", "did you mean input.layout?"],
        ),
        ({"mean": [0, 0, 0]}, ["unknown key mean", "did you mean input.mean?"]),
        ({"zzz": 1}, ["unknown key zzz = 1", "valid keys here: schema_version, name, input"]),
        ({"input": {"height": 4, "width": 6, "layout": "NHCW"}}, ["input.layout", "'NCHW' or 'NHWC'", "found 'NHCW'"]),
        ({"input": {"height": 4}}, ["input.width is missing"]),
        ({"input": {"height": -4, "width": 6}}, ["input.height", "greater than 0", "found -4"]),
        ({"input": {"height": 4, "width": 6, "dtype": "uint8"}}, ["input: a uint8 input takes pixels as they are"]),
        ({"output": {"kind": "metric", "metres_per_unit": float("nan")}}, ["output.metres_per_unit", "found nan"]),
        ({"output": {"kind": "disparity", "reciprocal": True}}, ["output: focal and reciprocal make metres"]),
        ({"output": {"kind": "metric", "focal": {"canonical": 300}}}, ["output.focal.canonical", "(and 1 more)"]),
        (
            {"provenance": {"license": {"nam": "MIT"}}},
            ["provenance.license.nam", "did you mean provenance.license.name?"],
        ),
    ],
)
def test_a_wrong_spec_is_refused_in_one_line_naming_key_value_and_remedy(
    changes: dict[str, object], expected: list[str]
) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(spec_data(**changes), where="x.toml")
    message = str(caught.value)
    assert message.startswith("x.toml: ")
    assert "\n" not in message
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.toml", b"name = \n", "not valid TOML"),
        ("a.json", b'{"name": ', "not valid JSON"),
        ("a.json", b"[1, 2]", "expected keys and values"),
        ("a.toml", b"\xff\xfe\x00", "cannot be read as UTF-8"),
        ("a.yaml", b"name: n", "is a .toml or .json file"),
        ("a.toml", None, "no model spec at"),
    ],
)
def test_an_unreadable_spec_file_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes | None, expected: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError, match=expected) as caught:
        read_spec(path)
    assert str(path) in str(caught.value)
