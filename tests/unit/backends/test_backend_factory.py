from __future__ import annotations

import ctypes
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgedepth.backends import (
    BackendOptions,
    EngineOptions,
    FakeBackend,
    TensorSpec,
    available_backends,
    factory,
    open_backend,
)
from edgedepth.backends import openvino as openvino_backend
from edgedepth.device import usable_cpus
from edgedepth.errors import BackendError, BackendUnavailable, InputError, MissingExtraError

FLOAT = np.dtype(np.float32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"any")
    return path


class FakeEntry:
    value = "plugin:open"

    def __init__(self, name: str, load) -> None:
        self.name, self.load = name, load


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no network at .*gone\.onnx"):
        open_backend(tmp_path / "gone.onnx")


def test_unknown_name_lists_the_known(file: Path) -> None:
    with pytest.raises(InputError, match=r"unknown backend 'tflite'.*onnxruntime, openvino, tensorrt, fake"):
        open_backend(file, name="tflite")


def test_plugin_gets_path_and_options(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    fake = FakeBackend((), (TensorSpec("y", FLOAT, (1,)),))

    def opener(path, options):
        asked.append((path, options))
        return fake

    monkeypatch.setattr(factory, "entry_points", lambda group: [FakeEntry("npu", lambda: opener)])
    options = BackendOptions(mode="throughput", threads=3, replicas=2)
    assert open_backend(file, options, name="npu:0") is fake
    assert asked == [(file, BackendOptions("throughput", 3, 2, "0"))]
    assert available_backends()["npu"]


def test_broken_plugin_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("no libnpu.so")

    monkeypatch.setattr(factory, "entry_points", lambda group: [FakeEntry("npu", fail)])
    with pytest.raises(BackendError, match=r"'npu'.*no libnpu\.so"):
        open_backend(file, name="npu")


def test_two_devices_are_refused(file: Path) -> None:
    with pytest.raises(InputError, match="two devices"):
        open_backend(file, BackendOptions(device="cpu"), name="onnxruntime:cuda")


def test_default_is_onnxruntime_else_openvino_else_says_what_installs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"onnxruntime", "openvino"}
    monkeypatch.setattr(factory, "find_spec", lambda library: library in installed or None)
    assert factory._default_name() == "onnxruntime"
    installed.remove("onnxruntime")
    assert factory._default_name() == "openvino"
    installed.clear()
    with pytest.raises(BackendUnavailable, match="pip install onnxruntime"):
        factory._default_name()


def test_missing_provider_says_what_installs_it(file: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    for device in ("cuda", "tensorrt", "CUDAExecutionProvider"):
        with pytest.raises(BackendUnavailable, match="pip install onnxruntime-gpu"):
            open_backend(file, BackendOptions(device=device), name="onnxruntime")


def test_unknown_provider_lists_what_there_is(file: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match=r"'abacus'.*cpu"):
        open_backend(file, name="onnxruntime:abacus")


def test_provider_that_does_not_start_is_not_replaced_silently(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime falls back to the CPU with a line on stderr; a device that was named must not."""
    ort = pytest.importorskip("onnxruntime")

    class Session:
        def __init__(self, path, options, providers) -> None:
            assert providers == ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def get_providers(self):
            return ["CPUExecutionProvider"]

        def get_inputs(self):
            return []

        get_outputs = get_inputs

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", Session)
    with pytest.raises(BackendUnavailable, match=r"CUDAExecutionProvider.*fell back to CPU.*onnxruntime-gpu"):
        open_backend(file, name="onnxruntime:cuda")
    assert open_backend(file, name="onnxruntime").name == "onnxruntime:cpu"  # not named: the CPU will do


def test_openvino_device_that_is_absent(file: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(BackendUnavailable, match="no device NPU7"):
        open_backend(file, name="openvino:npu7")


def test_openvino_absent_names_the_extra(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(openvino_backend, "_core", openvino_backend._core.__wrapped__)
    with pytest.raises(MissingExtraError, match=r"edgedepth\[openvino\]"):
        open_backend(file, name="openvino")


def test_openvino_computes_in_float32(realdata: Path) -> None:
    """On CPUs with bfloat16 arithmetic OpenVINO would use it unasked: 8 mm of difference here, against 0.1 mm."""
    pytest.importorskip("openvino")
    path = realdata / "nets/fastdepth/fastdepth_224_dequantised_fp32.onnx"
    image = {"image": np.random.default_rng(0).random((1, 224, 224, 3), dtype=np.float32)}
    depth = []
    for name in ("onnxruntime", "openvino"):
        with open_backend(path, name=name) as backend:
            depth.append(backend.run(image)["depth_m"].copy())
    np.testing.assert_allclose(depth[1], depth[0], atol=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="alternate signal stacks are looked up in glibc")
def test_networks_that_come_and_go_leave_the_signal_stack_alone(realdata: Path) -> None:
    """Two OpenVINO cores that do not die in reverse order leave a freed one: the next signal crashes the process."""
    pytest.importorskip("openvino")

    class Stack(ctypes.Structure):
        _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))

    def signal_stack() -> tuple[int | None, int]:
        stack = Stack()
        assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
        return stack.start, stack.size

    path = realdata / "nets/fastestdet/FastestDet.onnx"
    first = open_backend(path, name="openvino")
    seen = [signal_stack()]
    second = open_backend(path, name="openvino")
    seen.append(signal_stack())
    first.close()
    second.close()
    seen.append(signal_stack())
    assert len(set(seen)) == 1


def test_openvino_does_not_call_home(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    script = """
import sys
from edgedepth.backends import open_backend
try:
    open_backend(sys.argv[1], name="openvino")
finally:
    assert "openvino" in sys.modules
    print([name for name in sys.modules if "telemetry" in name and "ovc" not in name])
"""
    path = tmp_path / "damaged.onnx"
    path.write_bytes(b"damaged")
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_cores_are_the_quota_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    limit = tmp_path / "sys/fs/cgroup/cpu.max"
    assert usable_cpus(tmp_path) == 8
    limit.parent.mkdir(parents=True)
    for text, cores in (("max 100000", 8), ("200000 100000", 2), ("10000 100000", 1), ("garbage", 8)):
        limit.write_text(text)
        assert usable_cpus(tmp_path) == cores


def test_device_in_the_name_keeps_every_other_option(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    fake = FakeBackend((), (TensorSpec("y", FLOAT, (1,)),))
    entry = FakeEntry("npu", lambda: lambda path, options: asked.append(options) or fake)
    monkeypatch.setattr(factory, "entry_points", lambda group: [entry])
    options = BackendOptions(engine=EngineOptions(level=2), progress=lambda what, fraction: None)
    open_backend(file, options, name="npu:0")
    assert asked == [replace(options, device="0")]


def test_tensorrt_is_known_by_either_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setattr(factory, "find_spec", lambda name, library=library: name == library or None)
        assert available_backends()["tensorrt"]
    monkeypatch.setattr(factory, "find_spec", lambda name: None)
    assert not available_backends()["tensorrt"]
