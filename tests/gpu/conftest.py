"""What the tests on a GPU need; each says why it is skipped. Run them with ``pytest -m gpu tests/gpu``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgedepth.backends import Backend, BackendOptions, EngineOptions
from edgedepth.backends.tensorrt import backend as tensorrt_backend
from edgedepth.backends.tensorrt.cuda import CudaApi, Provider, open_cuda
from edgedepth.backends.tensorrt.flavour import FLAVOURS, Flavour, load_tensorrt
from edgedepth.errors import BackendUnavailable

SIZE = 64


def cuda_or_skip(provider: Provider | None = None) -> CudaApi:
    try:
        return open_cuda(provider)
    except BackendUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(params=["cuda.bindings", "pycuda"])
def cuda(request: pytest.FixtureRequest) -> Iterator[CudaApi]:
    """The GPU, through each library for CUDA."""
    opened = cuda_or_skip(request.param)
    yield opened
    opened.close()


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Each TensorRT that is here and can run on this GPU."""
    opened = cuda_or_skip()
    device = opened.device
    opened.close()
    try:
        found = load_tensorrt(request.param)
    except BackendUnavailable as error:
        pytest.skip(str(error))
    oldest = min(found.compute_capabilities, default=(0, 0))
    if device.sm < oldest:
        pytest.skip(f"{found.title} runs on SM{oldest[0]}{oldest[1]} and later, this is {device.sm_name}")
    return found


Opener = Callable[..., Backend]


@pytest.fixture
def open_it(flavour: Flavour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens a network with this TensorRT; engines are built into the test's own cache, quickly rather than well."""
    monkeypatch.setattr(tensorrt_backend, "load_tensorrt", lambda: flavour)

    def opener(path: Path, **options: object) -> tensorrt_backend.TensorRTBackend:
        engine = EngineOptions(level=0, cache_root=tmp_path / "engines")
        return tensorrt_backend.open_tensorrt(path, BackendOptions(engine=engine, **options))

    return opener


@pytest.fixture(params=["float32", "float16"])
def small_net(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three convolutions and an upsampling, 1x3x64x64 to 1x1x64x64, in FP32 and in FP16 from input to output."""
    dtype = np.dtype(request.param)
    random = np.random.default_rng(5)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        values = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        return numpy_helper.from_array(values.astype(dtype), name)

    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], strides=[2, 2], **conv),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], **conv),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Resize", ["d", "", "scales"], ["e"], mode="linear"),
        helper.make_node("Conv", ["e", "w3", "bias"], ["depth"], **conv),
    ]
    weights = [
        weight("w1", 16, 3, 3, 3),
        weight("w2", 16, 16, 3, 3),
        weight("w3", 1, 16, 3, 3),
        numpy_helper.from_array(np.array([5], dtype), "bias"),  # away from 0, where relative errors mean nothing
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
    ]
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", kind, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("depth", kind, [1, 1, SIZE, SIZE])],
        weights,
    )
    path = tmp_path / f"small_{request.param}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path
