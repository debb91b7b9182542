"""From a network to an engine: the cache, the build and what the user is told, with real TensorRT-RTX builds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import attention, conv
from networks import write_network
from trt_stub import World, make_trt

import edgedepth.backends.tensorrt.engine as engine_module
from edgedepth.backends.base import BackendOptions, EngineOptions
from edgedepth.backends.tensorrt.engine import engine_for
from edgedepth.backends.tensorrt.flavour import Flavour, flavour_of, load_tensorrt
from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.bundle.store import network_sha256
from edgedepth.device import DeviceInfo
from edgedepth.errors import EngineError

RTX_3060 = GpuDevice("NVIDIA GeForce RTX 3060", (8, 6), 28, 13000, False, 12 << 30)
ORIN = GpuDevice("Orin", (8, 7), 16, 12060, True, 32 << 30)
AGX = DeviceInfo("NVIDIA Jetson AGX Orin Developer Kit", "aarch64", 12, "Ubuntu 22.04", "3.10", l4t="36.4.3")


def stub(version: str) -> tuple[Flavour, World]:
    trt, world = make_trt(version)
    return flavour_of(trt, trt.__name__), world


@pytest.fixture(autouse=True)
def on_a_jetson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "describe_device", lambda: AGX)


@pytest.fixture
def options(tmp_path: Path) -> BackendOptions:
    return BackendOptions(engine=EngineOptions(cache_root=tmp_path / "engines"))


def told(options: BackendOptions) -> tuple[BackendOptions, list[str]]:
    said: list[str] = []
    return dataclasses.replace(options, progress=lambda what, _fraction: said.append(what)), said


def test_a_real_engine_is_built_once_and_then_loaded(tmp_path: Path, options: BackendOptions) -> None:
    pytest.importorskip("tensorrt_rtx")
    flavour, path = load_tensorrt("tensorrt_rtx"), conv(tmp_path / "m.onnx", np.float16)
    options, said = told(options)
    first = engine_for(path, options, flavour=flavour, device=RTX_3060)
    assert first.plan[:4] == b"vtrt"
    assert any("building the engine" in what for what in said)
    said.clear()
    again = engine_for(path, options, flavour=flavour, device=RTX_3060)
    assert (again.plan, said) == (first.plan, [])


def test_the_record_says_in_clear_what_the_engine_depends_on(tmp_path: Path, options: BackendOptions) -> None:
    flavour, _ = stub("10.3")
    path = conv(tmp_path / "m.onnx", np.float16)
    parts = engine_for(path, options, flavour=flavour, device=ORIN).record.parts
    assert parts == {
        "format": 1,
        "onnx_sha256": network_sha256(path),
        "precision": "fp16",
        "inputs": {"image": ["float16", 1, 3, 16, 16]},
        "tensorrt": "10.3.0",
        "flavour": "tensorrt",
        "cuda": 12,
        "sm": "SM87",
        "device": "Orin",
        "sm_count": 16,
        "board": "NVIDIA Jetson AGX Orin Developer Kit",
        "l4t": "36.4.3",
        "level": None,
        "workspace_mib": None,
        "dla_core": None,
        "weakly_typed": False,
    }


def test_whatever_an_engine_depends_on_gives_another_engine(
    tmp_path: Path, options: BackendOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = conv(tmp_path / "m.onnx", np.float16), conv(tmp_path / "n.onnx", np.float16, seed=1)
    flavour, _ = stub("10.3")

    def key(*, onnx: Path = path, flavour: Flavour = flavour, device: GpuDevice = ORIN, **engine: Any) -> str:
        changed = dataclasses.replace(options, engine=dataclasses.replace(options.engine, **engine))
        return engine_for(onnx, changed, flavour=flavour, device=device).key

    keys = [
        key(),
        key(onnx=other),
        key(flavour=stub("10.7")[0]),
        key(device=dataclasses.replace(ORIN, sm_count=8)),
        key(device=dataclasses.replace(ORIN, sm=(8, 6))),
        key(device=dataclasses.replace(ORIN, name="Orin (nvgpu)")),
        key(device=dataclasses.replace(ORIN, cuda_driver_version=13020)),
        key(level=1),
        key(workspace_mib=64),
        key(dla_core=0),
        key(weakly_typed=True),
    ]
    for change in ({"l4t": "36.5.0"}, {"name": "NVIDIA Jetson Orin NX"}):
        monkeypatch.setattr(engine_module, "describe_device", lambda change=change: dataclasses.replace(AGX, **change))
        keys.append(key())
    assert len(set(keys)) == len(keys)
    # Neither the memory that is free to use, nor where files are kept, changes an engine.
    monkeypatch.setattr(engine_module, "describe_device", lambda: AGX)
    assert key(device=dataclasses.replace(ORIN, memory_bytes=1)) == keys[0]
    assert key(timing_cache=tmp_path / "timings") == keys[0]


def test_weights_kept_outside_the_file_are_part_of_the_key(tmp_path: Path) -> None:
    path = write_network(tmp_path / "m.onnx", external="m.weights")
    before = network_sha256(path)
    weights = bytearray((tmp_path / "m.weights").read_bytes())
    weights[0] ^= 1
    (tmp_path / "m.weights").write_bytes(weights)
    assert network_sha256(path) != before


def test_an_engine_that_is_not_right_is_built_again_and_the_reason_told(
    tmp_path: Path, options: BackendOptions
) -> None:
    flavour, _ = stub("10.3")
    path = conv(tmp_path / "m.onnx")
    first = engine_for(path, options, flavour=flavour, device=ORIN)
    plan = first.folder / "engine.plan"
    plan.write_bytes(bytes(len(first.plan)))
    options, said = told(options)
    assert engine_for(path, options, flavour=flavour, device=ORIN).plan == first.plan
    assert said[0] == f"{plan} is full of zeros: the disk lost it, as after a power cut; building it again"


def test_known_faults_are_told_before_the_build_and_hinted_after(tmp_path: Path, options: BackendOptions) -> None:
    flavour, world = stub("10.3")
    world.build_messages = [("WARNING", "Skipping tactic 1 due to insufficient memory")]
    options, said = told(options)
    path = attention(tmp_path / "vit.onnx", np.float16)
    engine = engine_for(path, options, flavour=flavour, device=ORIN)
    assert "NVIDIA/TensorRT#4723" in said[0]
    assert said[-1].startswith("TensorRT 10.3.0: some implementations were not tried")
    assert "NVIDIA/TensorRT#4723" in engine.gate_hint
    assert "NVIDIA/TensorRT#4723" in engine_for(path, options, flavour=flavour, device=ORIN).gate_hint
    assert engine_for(conv(tmp_path / "m.onnx"), options, flavour=flavour, device=ORIN).gate_hint == ""


def test_timings_are_kept_beside_the_engines_per_library_and_gpu(tmp_path: Path, options: BackendOptions) -> None:
    path = conv(tmp_path / "m.onnx")
    for version, device in (("10.3", ORIN), ("10.7", ORIN), ("10.3", dataclasses.replace(ORIN, sm_count=8))):
        engine_for(path, options, flavour=stub(version)[0], device=device)
    assert len(list((tmp_path / "engines").glob("timings-*.cache"))) == 3
    flavour, world = stub("10.3")
    engine_for(conv(tmp_path / "n.onnx", seed=1), options, flavour=flavour, device=ORIN)
    assert world.timings == [b"+measured"]


def test_what_cannot_be_built_is_refused_before_the_cache_is_made(tmp_path: Path, options: BackendOptions) -> None:
    flavour, _ = stub("10.3")
    options = dataclasses.replace(options, engine=dataclasses.replace(options.engine, dla_core=0))
    with pytest.raises(EngineError, match="FP16 and INT8 only"):
        engine_for(conv(tmp_path / "m.onnx"), options, flavour=flavour, device=ORIN)
    assert not (tmp_path / "engines").exists()
