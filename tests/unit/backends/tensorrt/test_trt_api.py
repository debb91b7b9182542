"""The names of TensorRT in use exist in every version they are used with.

The names of each version were read from its real Python bindings. Three checks close the ring: the table against the
names, the sources against the table (``ast``), and what is touched during a build against the table.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from trt_stub import VERSIONS, api_names, make_trt, names_of

import edgedepth.backends.tensorrt as package
from edgedepth.backends.base import EngineOptions
from edgedepth.backends.tensorrt.api import CAPABILITIES, REQUIRED, missing_names
from edgedepth.backends.tensorrt.builder import build_engine
from edgedepth.backends.tensorrt.flavour import flavour_of
from edgedepth.backends.tensorrt.gpu import GpuDevice

SOURCES = sorted(Path(package.__file__).parent.glob("*.py"))
DUMPS = Path(__file__).resolve().parents[5] / "shared" / "reference" / "trt_api"
ORIN = GpuDevice("Orin", (8, 7), 16, 12060, True, 32 << 30)

# What each version can do, as NVIDIA's release notes have it: strong typing and progress came with 10.0, the precision
# flags went with 11.0, and building for named GPUs is TensorRT-RTX's own.
_TEN = {"strong_typing", "explicit_batch", "fp16_flag", "int8_flag", "progress", "node_names"}
EXPECTED = {
    "8.6": {"explicit_batch", "fp16_flag", "int8_flag"},
    "10.3": _TEN,
    "10.7": _TEN,
    "10.13": _TEN,
    "10.16": _TEN,
    "11.4": {"strong_typing", "progress", "node_names"},
    "rtx": {"strong_typing", "progress", "node_names", "ahead_of_time", "stream_capture"},
}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_required_name_is_in_every_version(version: str) -> None:
    lacking = {f"{owner}.{name}" for owner, names in REQUIRED.items() for name in names} - {
        f"{owner}.{name}" for owner in REQUIRED for name in names_of(version, owner)
    }
    assert not lacking


@pytest.mark.parametrize("version", VERSIONS)
def test_capabilities_are_found_by_name(version: str) -> None:
    trt, _ = make_trt(version)
    assert {capability for capability, names in CAPABILITIES.items() if not missing_names(trt, names)} == EXPECTED[
        version
    ]


def test_the_names_are_those_of_the_full_record() -> None:
    if not DUMPS.is_dir():
        pytest.skip("needs ../shared/reference/trt_api beside the checkout (the whole API of each version)")
    for version in VERSIONS:
        full = json.loads((DUMPS / f"{version}.json").read_text())
        ours = api_names()[version]
        assert ours["version"] == full["v"]
        for owner, members in ours["api"].items():
            for kind, names in members.items():
                left_out = "add_" if owner == "INetworkDefinition" else "\n"  # the layers, which the parser adds
                assert [n for n in full["api"][owner][kind] if not n.startswith(left_out)] == names


def _table() -> dict[str, set[str]]:
    table: dict[str, set[str]] = {}
    for names in (REQUIRED, *CAPABILITIES.values()):
        for owner, members in names.items():
            table.setdefault(owner, set()).update(members)
    return table


def _all_names() -> set[str]:
    return {name for version in VERSIONS for owner in api_names()[version]["api"] for name in names_of(version, owner)}


def _attributes(source: Path) -> list[tuple[str, str, int]]:
    """(receiver, attribute, line) of each attribute access, receiver as it is written."""
    tree = ast.parse(source.read_text())
    return [(ast.unparse(n.value), n.attr, n.lineno) for n in ast.walk(tree) if isinstance(n, ast.Attribute)]


# Attributes of this package's own objects, of NumPy's and of Python's that are called as something in TensorRT.
OURS = {"dtype", "engine", "logger", "name", "shape", "update"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_sources_use_only_names_of_the_table(source: Path) -> None:
    """An attribute that is called as something in some TensorRT must be in the table, unless it is another's."""
    table, known = _table(), _all_names()
    allowed = set().union(*table.values())
    for receiver, name, line in _attributes(source):
        assert name not in known or name in allowed | OURS, f"{source.name}:{line}: {receiver}.{name} is not in api.py"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_enumerations_and_classes_are_used_by_names_of_the_table(source: Path) -> None:
    table = _table()
    for receiver, name, line in _attributes(source):
        if receiver.split(".")[-1] == "trt" and name[:1].isupper():
            assert name in {*table, "OnnxParser", "Runtime"}, f"{source.name}:{line}: trt.{name} is not in the table"
        owner = receiver.split(".")[-1]
        if owner in table and receiver.split(".")[-2:-1] == ["trt"] and not name.startswith("_"):
            assert name in table[owner], f"{source.name}:{line}: trt.{owner}.{name} is not in the table"


def test_the_table_holds_nothing_that_is_not_used() -> None:
    text = "".join(source.read_text() for source in SOURCES if source.name != "api.py")
    assert {name for names in _table().values() for name in names if not re.search(rf"\b{name}\b", text)} == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_build_touches_only_names_of_the_table(version: str, tmp_path: Path) -> None:
    from networks import write_network

    trt, world = make_trt(version)
    flavour = flavour_of(trt, trt.__name__)
    world.used.clear()
    options = EngineOptions(workspace_mib=64, level=1, timing_cache=tmp_path / "timings")
    build_engine(write_network(tmp_path / "model.onnx"), options, flavour=flavour, target=ORIN)
    table = _table()
    assert {(owner, name) for owner, name in world.used if name not in table.get(owner, ())} == set()
    assert ("Builder", "build_serialized_network") in world.used


def test_a_name_that_a_version_lacks_is_an_error_as_in_the_real_one() -> None:
    trt, _ = make_trt("11.4")
    with pytest.raises(AttributeError):
        _ = trt.BuilderFlag.FP16
    with pytest.raises(AttributeError):
        trt.IBuilderConfig().int8_calibrator = None
    with pytest.raises(AttributeError):
        _ = trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH
