"""The tensors of an engine: what they are, and the memory each has on the host and on the device."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends.base import TensorSpec
from edgedepth.backends.tensorrt.cuda import CudaApi
from edgedepth.errors import EngineError

__all__ = ["Buffer", "IoTensor", "allocate_buffer", "read_tensors", "upload"]

# TensorRT's name of an element type -> NumPy's. BF16, FP8, INT4 and FP4 have none and never are a depth map.
_DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}
ALIGNMENT = 256  # bytes; what CUDA's own allocations have


@dataclass(frozen=True)
class IoTensor:
    """One input or output of an engine."""

    spec: TensorSpec
    is_input: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(n for n in self.spec.shape if n is not None)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.spec.dtype.itemsize


def read_tensors(trt: Any, engine: Any) -> tuple[IoTensor, ...]:
    """The inputs and outputs of a deserialised engine, in its order.

    Raises:
        EngineError: a shape that is not fixed, or an element type NumPy does not have.
    """
    tensors = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        shape = tuple(int(n) for n in engine.get_tensor_shape(name))
        kind = engine.get_tensor_dtype(name).name
        if any(n < 0 for n in shape):
            raise EngineError(
                f"the network's {name!r} has shape {shape}: an engine is run at one fixed size; export the network "
                "with a fixed height, width and batch"
            )
        if kind not in _DTYPES:
            raise EngineError(
                f"the network's {name!r} is of type {kind}; expected one of {', '.join(_DTYPES)}: export it so"
            )
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        tensors.append(IoTensor(TensorSpec(name, np.dtype(_DTYPES[kind]), shape), is_input))
    return tuple(tensors)


@dataclass(frozen=True)
class Buffer:
    """Memory for one array, in both worlds.

    Attributes:
        host: the array, in page-locked memory.
        raw: the same bytes.
        address: where the device has it.
        is_shared: host and device memory are one, so nothing is copied.
    """

    host: NDArray[Any]
    raw: NDArray[np.uint8]
    address: int
    is_shared: bool

    def send(self, cuda: CudaApi, stream: int) -> None:
        """Enqueue: host to device."""
        if not self.is_shared:
            cuda.copy_to_device(self.address, self.raw, stream)

    def fetch(self, cuda: CudaApi, stream: int) -> None:
        """Enqueue: device to host."""
        if not self.is_shared:
            cuda.copy_to_host(self.raw, self.address, stream)


def allocate_buffer(cuda: CudaApi, keep: ExitStack, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
    """A Buffer whose device memory goes with ``keep``, and whose host memory with the last view of it.

    A GPU that shares the CPU's memory (Jetson) works on the host's pages; another gets memory of its own.
    """
    size = math.prod(shape) * dtype.itemsize
    memory = cuda.host_memory(max(size, 1), mapped=cuda.device.integrated)
    raw = memory.array[:size]
    host = raw.view(dtype).reshape(shape)
    if memory.address is not None:
        return Buffer(host, raw, memory.address, is_shared=True)
    address = cuda.allocate(max(size, 1))
    keep.callback(cuda.free, address)
    return Buffer(host, raw, address, is_shared=False)


def upload(cuda: CudaApi, keep: ExitStack, arrays: dict[str, NDArray[Any]], stream: int) -> dict[str, int]:
    """Bring arrays to the device, once and for all; their addresses there. Waits until they are there."""
    offsets, size = {}, 0
    for name, array in arrays.items():
        offsets[name] = size
        size += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    buffer = allocate_buffer(cuda, keep, (size,), np.dtype(np.uint8))
    if buffer.is_shared:
        keep.callback(lambda memory: None, buffer.raw)  # it is what the device reads
    for name, array in arrays.items():
        buffer.raw[offsets[name] : offsets[name] + array.nbytes] = (
            np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        )
    buffer.send(cuda, stream)
    cuda.synchronize(stream)
    return {name: buffer.address + offset for name, offset in offsets.items()}
