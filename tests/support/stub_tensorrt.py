"""TensorRT's runtime API over onnxruntime and a FakeCuda: an "engine" is an ONNX file behind a magic word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
from fake_cuda import FakeCuda

from edgedepth.backends.tensorrt.flavour import Flavour
from edgedepth.backends.tensorrt.logger import MessageLog

MAGIC = b"STUB"

DataType = Enum("DataType", ["FLOAT", "HALF", "INT8", "UINT8", "INT32", "INT64", "BOOL", "BF16"])
TensorIOMode = Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
_TYPES = {
    "tensor(float)": (DataType.FLOAT, np.float32),
    "tensor(float16)": (DataType.HALF, np.float16),
    "tensor(uint8)": (DataType.UINT8, np.uint8),
    "tensor(int8)": (DataType.INT8, np.int8),
    "tensor(int64)": (DataType.INT64, np.int64),
    "tensor(bfloat16)": (DataType.BF16, np.uint16),
}


@dataclass
class StubEntry:
    """A cached engine, as the cache gives it."""

    plan: bytes
    proof: Mapping[str, Any] | None = None
    gate_hint: str = ""
    reports: list[Mapping[str, Any]] = field(default_factory=list)

    def record_proof(self, report: Mapping[str, Any]) -> None:
        self.reports.append(report)
        self.proof = report


class StubBuilder:
    """Stands for ``engine_for``: counts its builds, and gives a ``stale`` plan unless it is told to rebuild."""

    def __init__(self, *, stale: bytes | None = None, fresh: bytes | None = None) -> None:
        self.stale, self.fresh = stale, fresh
        self.rebuilds: list[bool] = []

    def __call__(self, path: Path, options: Any, *, flavour: Flavour, device: Any) -> StubEntry:
        self.rebuilds.append(options.engine.rebuild)
        if self.stale is not None and not options.engine.rebuild:
            return StubEntry(self.stale)
        return StubEntry(self.fresh or MAGIC + path.read_bytes())


def stub_flavour(cuda: FakeCuda, **faults: Any) -> Flavour:
    """A Flavour whose engines run on ``cuda``.

    Faults: ``execute_fails`` (at which execution, from 0, over all contexts), ``context_fails`` (from which context
    on), ``uncapturable`` (whether it says so, as TensorRT-RTX), ``allocates`` (device memory while running, which
    breaks a capture), ``refuses_address``.
    """
    messages = MessageLog()
    state = SimpleNamespace(cuda=cuda, messages=messages, executions=0, contexts=0, alive=[], faults=faults)
    trt = ModuleType("stub_tensorrt_module")
    trt.DataType, trt.TensorIOMode = DataType, TensorIOMode
    trt.Runtime = lambda logger: _Runtime(state)
    if "uncapturable" in faults:  # as TensorRT-RTX has it, and TensorRT does not
        trt.IExecutionContext = SimpleNamespace(is_stream_capturable=None)
    trt.state = state
    return Flavour("tensorrt", trt, "10.3.0", None, messages)


class _Runtime:
    def __init__(self, state: SimpleNamespace) -> None:
        assert getattr(state.cuda._thread, "depth", 0), "a runtime made without a device ends the process"
        self._state = state
        self.DLA_core: int | None = None

    def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
        if not plan.startswith(MAGIC):
            self._state.messages.add("error", "Serialization assertion magicTag failed.\n  Version tag does not match")
            return None
        return _Engine(self._state, self, plan[len(MAGIC) :])


class _Engine:
    def __init__(self, state: SimpleNamespace, runtime: _Runtime, onnx: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self._state, self._runtime = state, runtime
        self.inputs = {node.name: node for node in self.session.get_inputs()}
        self.nodes = {**self.inputs, **{node.name: node for node in self.session.get_outputs()}}
        self.num_io_tensors = len(self.nodes)

    def get_tensor_name(self, index: int) -> str:
        return list(self.nodes)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(n if isinstance(n, int) else -1 for n in self.nodes[name].shape)

    def get_tensor_dtype(self, name: str) -> DataType:
        return _TYPES[self.nodes[name].type][0]

    def create_execution_context(self) -> _Context | None:
        state = self._state
        state.contexts += 1
        if state.contexts > state.faults.get("context_fails", 1 << 30):
            state.messages.add("error", "CUDA error 2 allocating 4096 bytes: out of memory")
            return None
        return _Context(state, self)


class _Context:
    def __init__(self, state: SimpleNamespace, engine: _Engine) -> None:
        self._state, self._engine = state, engine
        self._addresses: dict[str, int] = {}
        if "uncapturable" in state.faults:
            self.is_stream_capturable = lambda stream: not state.faults["uncapturable"]

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert name in self._engine.nodes
        assert address % 16 == 0 or self._engine.nodes[name].shape == []
        self._addresses[name] = address
        return not self._state.faults.get("refuses_address")

    def execute_async_v3(self, stream: int) -> bool:
        state, engine = self._state, self._engine
        assert set(self._addresses) == set(engine.nodes), "a tensor without memory"
        index, state.executions = state.executions, state.executions + 1
        if index == state.faults.get("execute_fails"):
            state.messages.add("error", "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (invalid argument)")
            return False
        if state.faults.get("allocates"):
            try:
                state.cuda.free(state.cuda.allocate(16))
            except Exception:  # as TensorRT: no exception, a False
                return False
        addresses = dict(self._addresses)

        def operation() -> None:
            feeds = {name: self._tensor(name, addresses[name]) for name in engine.inputs}
            outputs = [name for name in engine.nodes if name not in engine.inputs]
            for name, value in zip(outputs, engine.session.run(outputs, feeds), strict=True):
                self._tensor(name, addresses[name])[...] = value

        state.cuda.enqueue(stream, operation)
        return True

    def _tensor(self, name: str, address: int) -> np.ndarray:
        node = self._engine.nodes[name]
        dtype = np.dtype(_TYPES[node.type][1])
        count = int(np.prod(node.shape))
        return self._state.cuda.bytes_at(address, count * dtype.itemsize).view(dtype).reshape(node.shape)
