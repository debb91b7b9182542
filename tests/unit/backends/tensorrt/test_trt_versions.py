"""What is asked of each TensorRT from 8.6 to 11 and RTX, through modules that have exactly that version's names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from graphs import attention, conv, quantised_conv
from trt_stub import PLAN, VERSIONS, World, make_trt

import edgedepth.backends.tensorrt.flavour as flavour_module
from edgedepth.backends.base import EngineOptions
from edgedepth.backends.tensorrt.builder import Build, build_engine
from edgedepth.backends.tensorrt.flavour import PREFERENCE_VARIABLE, Flavour, flavour_of, load_tensorrt
from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.errors import BackendUnavailable, EngineError, InputError

ORIN = GpuDevice("Orin", (8, 7), 16, 12060, True, 32 << 30)
RTX_3060 = GpuDevice("NVIDIA GeForce RTX 3060", (8, 6), 28, 13000, False, 12 << 30)
H100 = GpuDevice("NVIDIA H100", (9, 0), 132, 13000, False, 80 << 30)
TENS = ("10.3", "10.7", "10.13", "10.16")


def stub(version: str) -> tuple[Flavour, World]:
    trt, world = make_trt(version)
    return flavour_of(trt, trt.__name__), world


def build(flavour: Flavour, path: Path, options: EngineOptions | None = None, **more) -> Build:
    return build_engine(path, options or EngineOptions(), flavour=flavour, target=more.pop("target", ORIN), **more)


@pytest.mark.parametrize("version", VERSIONS)
def test_networks_are_strongly_typed_wherever_that_exists(version: str, tmp_path: Path) -> None:
    flavour, world = stub(version)
    built = build(flavour, quantised_conv(tmp_path / "m.onnx", half=True))
    names = {"8.6": "EXPLICIT_BATCH"}
    flags = flavour.trt.NetworkDefinitionCreationFlag
    assert world.flags == 1 << int(flags[names.get(version, "STRONGLY_TYPED")])
    assert built.strongly_typed == (version != "8.6")
    assert built.plan == PLAN


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (conv, []),
        (lambda path: conv(path, np.float16), ["FP16"]),
        (quantised_conv, ["INT8"]),
        (lambda path: quantised_conv(path, half=True), ["FP16", "INT8"]),
    ],
    ids=["fp32", "fp16", "int8", "int8+fp16"],
)
def test_precision_flags_are_set_by_what_is_in_the_file_and_only_where_typing_is_weak(
    tmp_path: Path, write, expected: list[str]
) -> None:
    path = write(tmp_path / "m.onnx")
    flavour, world = stub("8.6")
    build(flavour, path)
    assert world.set_flags == expected
    for version in TENS:
        flavour, world = stub(version)
        build(flavour, path)
        assert world.set_flags == []
        flavour, world = stub(version)
        build(flavour, path, EngineOptions(weakly_typed=True))
        assert world.set_flags == expected
        assert world.flags == 1 << int(flavour.trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)


def test_version_11_knows_no_weak_typing(tmp_path: Path) -> None:
    flavour, _ = stub("11.4")
    with pytest.raises(EngineError, match=r"TensorRT 11\.4\.0\.106 types networks strongly and in no other way"):
        build(flavour, conv(tmp_path / "m.onnx"), EngineOptions(weakly_typed=True))


@pytest.mark.parametrize("version", VERSIONS)
def test_workspace_and_level_reach_the_library(version: str, tmp_path: Path) -> None:
    flavour, world = stub(version)
    build(flavour, conv(tmp_path / "m.onnx"), EngineOptions(workspace_mib=256, level=2))
    assert world.workspace == 256 * 1024 * 1024
    assert world.config["builder_optimization_level"] == 2
    flavour, world = stub(version)
    build(flavour, conv(tmp_path / "m.onnx"))
    assert world.workspace is None
    assert "builder_optimization_level" not in world.config


@pytest.mark.parametrize("version", [version for version in VERSIONS if version != "rtx"])
def test_the_dla_takes_what_it_can_and_the_gpu_the_rest(version: str, tmp_path: Path) -> None:
    flavour, world = stub(version)
    build(flavour, conv(tmp_path / "m.onnx", np.float16), EngineOptions(dla_core=1))
    assert world.config["default_device_type"] == flavour.trt.DeviceType.DLA
    assert world.config["DLA_core"] == 1
    assert "GPU_FALLBACK" in world.set_flags


@pytest.mark.parametrize(
    ("cores", "core", "dtype", "expected"),
    [
        (0, 0, np.float16, r"finds 0 here \(Orin Nano and Thor have none, and TensorRT 10\.8 to 11\.3"),
        (2, 2, np.float16, "DLA core 2 was asked for and TensorRT .* finds 2"),
        (2, -1, np.float16, "DLA core -1"),
        (2, 0, np.float32, "computes in FP16 and INT8 only"),
    ],
)
def test_a_dla_that_is_not_there_is_refused(tmp_path: Path, cores: int, core: int, dtype, expected: str) -> None:
    flavour, world = stub("10.16")
    world.dla_cores = cores
    with pytest.raises(EngineError, match=expected):
        build(flavour, conv(tmp_path / "m.onnx", dtype), EngineOptions(dla_core=core))


def test_named_gpus_are_for_rtx_alone(tmp_path: Path) -> None:
    path = conv(tmp_path / "m.onnx")
    for version in VERSIONS:
        flavour, world = stub(version)
        if version == "rtx":
            build(flavour, path, target=((8, 6), (12, 0)))
            assert world.targets == {0: "SM86", 1: "SM120"}
        else:
            with pytest.raises(EngineError, match="builds for the GPU at hand only"):
                build(flavour, path, target=((8, 6),))


@pytest.mark.parametrize(("device", "expected"), [(RTX_3060, "SM86"), (H100, "CURRENT")])
def test_rtx_builds_for_the_gpu_at_hand(tmp_path: Path, device: GpuDevice, expected: str) -> None:
    flavour, world = stub("rtx")
    build(flavour, conv(tmp_path / "m.onnx"), target=device)
    assert world.targets == {0: expected}


PHASES = [("Building engine", None, 2), ("Timing Layers", "Building engine", 4)]


def test_progress_where_the_library_reports_it_and_a_line_where_not(tmp_path: Path) -> None:
    for version in VERSIONS:
        flavour, world = stub(version)
        world.phases = PHASES
        said: list[tuple[str, float | None]] = []
        build(flavour, conv(tmp_path / "m.onnx"), progress=lambda *args, said=said: said.append(args))
        fractions = [fraction for _, fraction in said if fraction is not None]
        # The stub runs the inner phase's four steps, each an eighth, then the outer one's two.
        assert fractions == ([1.0] if version == "8.6" else [0.0, 0.125, 0.25, 0.375, 0.5, 1.0, 1.0])
        assert f"{flavour.title}: building the engine" in [what for what, _ in said]


def test_timings_are_kept_and_given_to_the_next_build(tmp_path: Path) -> None:
    timings = tmp_path / "timings.cache"
    options = EngineOptions(timing_cache=timings)
    for version in ("8.6", *TENS, "11.4"):
        flavour, world = stub(version)
        timings.unlink(missing_ok=True)
        build(flavour, conv(tmp_path / "m.onnx"), options)
        assert timings.read_bytes() == b"+measured"
        assert timings.stat().st_mode & 0o777 == 0o600
        build(flavour, conv(tmp_path / "m.onnx"), options)
        assert world.timings == [b"", b"+measured"]


def test_timings_of_another_gpu_are_measured_anew(tmp_path: Path) -> None:
    timings = tmp_path / "timings.cache"
    timings.write_bytes(b"another GPU's")
    timings.chmod(0o600)
    flavour, world = stub("10.3")
    world.timing_cache_fits = False
    built = build(flavour, conv(tmp_path / "m.onnx"), EngineOptions(timing_cache=timings))
    assert timings.read_bytes() == b"+measured"
    assert any("another TensorRT or GPU" in warning for warning in built.warnings)


def test_timings_that_others_may_write_are_not_read(tmp_path: Path) -> None:
    timings = tmp_path / "timings.cache"
    timings.write_bytes(b"whose?")
    timings.chmod(0o666)
    flavour, _ = stub("10.3")
    with pytest.raises(EngineError, match=f"may be written by others.*chmod go-w {timings}"):
        build(flavour, conv(tmp_path / "m.onnx"), EngineOptions(timing_cache=timings))


# Messages as TensorRT writes them, from public reports of each failure.
@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (
            [
                ("ERROR", "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)"),
                (
                    "ERROR",
                    "[optimizer.cpp::computeCosts::4048] Error Code 10: Internal Error (Could not find any "
                    "implementation for node /conv.)",
                ),
            ],
            "out of memory; the device ran out of memory.*close other programs.*swap.*--workspace.*--level.*--size",
        ),
        (
            [
                (
                    "WARNING",
                    "Tactic Device request: 4364MB Available: 3788MB. Device memory is insufficient to use tactic.",
                ),
                ("ERROR", "Error Code 10: Internal Error (Could not find any implementation for node MaxPool_4.)"),
            ],
            "the device ran out of memory",
        ),
        (
            [("ERROR", "Error Code 10: Internal Error (Could not find any implementation for node MaxPool_4.)")],
            "Could not find any implementation for node MaxPool_4; no implementation of that layer fits: raise --work",
        ),
        (
            [
                (
                    "ERROR",
                    "[codeGenerator.cpp::createMyelinGraph::1203] Error Code 2: Internal Error (Assertion "
                    "mContext.maxScratchSize > 0 failed. Please increase the workspace memory provided to the "
                    "builder. In createMyelinGraph at /_src/optimizer/codeGenerator.cpp:1203)",
                )
            ],
            "raise --workspace, or leave it out",
        ),
        (
            [
                (
                    "ERROR",
                    "createInferBuilder: Error Code 6: API Usage Error (Target GPU SM 87 is not supported by this "
                    "TensorRT release.)",
                )
            ],
            "on a Jetson use JetPack's own",
        ),
        (
            [
                (
                    "ERROR",
                    "[checkSanity.cpp::checkLinks::218] Error Code 2: Internal Error (Assertion item.second != "
                    "nullptr failed. region should have been removed from Graph::regions)",
                )
            ],
            "known fault of TensorRT 10.3 with INT8",
        ),
        (
            [
                ("WARNING", "Skipping tactic 8 due to insuficient memory on requested size of 4364"),
                ("ERROR", "Error Code 2: Internal Error (Assertion graph.isValid() failed.)"),
            ],
            r"Assertion graph\.isValid\(\) failed; try a lower --level",
        ),
        ([], "it gave no reason; try a lower --level, another precision"),
    ],
    ids=[
        "out-of-memory",
        "memory-in-warnings",
        "no-implementation",
        "workspace",
        "wrong-wheel",
        "int8-10.3",
        "other-error",
        "silence",
    ],
)
def test_a_failed_build_says_what_to_do(tmp_path: Path, messages: list[tuple[str, str]], expected: str) -> None:
    flavour, world = stub("10.3")
    world.build_messages, world.plan = messages, None
    with pytest.raises(EngineError, match=expected) as caught:
        build(flavour, conv(tmp_path / "m.onnx"))
    assert "\n" not in str(caught.value)


def test_a_builder_that_cannot_be_made_is_no_crash(tmp_path: Path) -> None:
    flavour, world = stub("10.3")
    world.builder_fails = True
    with pytest.raises(EngineError, match=r"cannot build .*factory function returned nullptr"):
        build(flavour, conv(tmp_path / "m.onnx"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_parse_error_names_the_node_as_far_as_the_version_can(version: str, tmp_path: Path) -> None:
    flavour, world = stub(version)
    world.parse_errors = [
        {"node": 7, "node_name": "/blk/att", "node_operator": "Attention", "desc": "No importer registered for op"}
    ]
    with pytest.raises(EngineError, match="at node 7") as caught:
        build(flavour, attention(tmp_path / "m.onnx"))
    assert ("'/blk/att' (Attention)" in str(caught.value)) == (version != "8.6")
    assert "does not know the operator" in str(caught.value)


def test_warnings_of_interest_are_kept_once_and_the_others_not(tmp_path: Path) -> None:
    flavour, world = stub("10.3")
    world.build_messages = [
        ("WARNING", "Make sure input image has Int64 binding."),
        *[("WARNING", f"Skipping tactic {n} due to insuficient memory on requested size of 4364") for n in range(3)],
        ("WARNING", "Running layernorm after self-attention with FP16 Reduce or Pow may cause overflow."),
        ("INFO", "Skipping tactic 9 due to insufficient memory"),
    ]
    warnings = build(flavour, conv(tmp_path / "m.onnx")).warnings
    assert len(warnings) == 2
    assert "want of memory" in warnings[0]
    assert "LayerNorm" in warnings[1]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, ModuleType | None], None]]:
    """Makes ``import`` find a module, or, of None, find that it is not there."""
    monkeypatch.delenv(PREFERENCE_VARIABLE, raising=False)
    flavour_module._load.cache_clear()
    yield lambda name, module: monkeypatch.setitem(sys.modules, name, module)
    flavour_module._load.cache_clear()


def test_full_tensorrt_comes_first(install) -> None:
    install("tensorrt", make_trt("10.3")[0])
    install("tensorrt_rtx", make_trt("rtx")[0])
    flavour = load_tensorrt()
    assert (flavour.name, flavour.version, flavour.title) == ("tensorrt", "10.3.0", "TensorRT 10.3.0")
    assert load_tensorrt() is flavour  # the library keeps the first logger it is given


def test_rtx_where_it_is_asked_for_or_alone(install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("tensorrt", make_trt("10.3")[0])
    install("tensorrt_rtx", make_trt("rtx")[0])
    assert load_tensorrt("tensorrt_rtx").title == "TensorRT-RTX 1.7.1.116"
    monkeypatch.setenv(PREFERENCE_VARIABLE, "tensorrt_rtx")
    assert load_tensorrt().is_rtx
    monkeypatch.delenv(PREFERENCE_VARIABLE)
    flavour_module._load.cache_clear()
    install("tensorrt", None)
    assert load_tensorrt().is_rtx


def test_nothing_installed_says_what_installs_it(install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("tensorrt", None)
    install("tensorrt_rtx", None)
    with pytest.raises(BackendUnavailable, match=r"--system-site-packages.*pip install tensorrt; .*tensorrt-rtx-cu13"):
        load_tensorrt()
    with pytest.raises(InputError, match="unknown TensorRT 'trt'"):
        load_tensorrt("trt")
    monkeypatch.setenv(PREFERENCE_VARIABLE, "lean")
    with pytest.raises(InputError, match="unknown TensorRT 'lean'"):
        load_tensorrt()


def test_a_part_of_tensorrt_is_not_enough(install) -> None:
    lean = ModuleType("tensorrt")
    lean.__version__ = "10.16.1"
    install("tensorrt", lean)
    with pytest.raises(BackendUnavailable, match=r"tensorrt 10\.16\.1 lacks Builder.* expected TensorRT 8\.6 or later"):
        load_tensorrt("tensorrt")
