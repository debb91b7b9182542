"""CUDA through cuda-python (``cuda.bindings``), versions 12 and 13: the runtime API, and the driver's for kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends.tensorrt.cuda import CudaApi, HostMemory, cuda_error, pinned_array
from edgedepth.backends.tensorrt.gpu import GpuDevice

__all__ = ["open_bindings"]


def open_bindings(ordinal: int) -> CudaApi:
    """CUDA device ``ordinal``. Errors as in ``open_cuda``."""
    from cuda.bindings import driver, runtime

    return _Bindings(runtime, driver, ordinal)


class _Bindings:
    """See CudaApi. Functions of cuda.bindings return (status, value...)."""

    provider = "cuda.bindings"
    has_graphs = True

    def __init__(self, runtime: Any, driver: Any, ordinal: int) -> None:
        self._rt, self._drv, self._ordinal = runtime, driver, ordinal
        count = self._call(runtime.cudaGetDeviceCount)
        if not 0 <= ordinal < count:
            raise cuda_error("cudaSetDevice", "cudaErrorInvalidDevice", f"GPU {ordinal} of {count}")
        with self.current():
            self._call(runtime.cudaFree, 0)  # makes the primary context
            self._device = self._describe()

    @property
    def device(self) -> GpuDevice:
        return self._device

    @contextmanager
    def current(self) -> Iterator[None]:
        before = int(self._call(self._rt.cudaGetDevice))
        if before != self._ordinal:
            self._call(self._rt.cudaSetDevice, self._ordinal)
        else:
            # The first call of a thread says 0 and has no context bound; the driver API needs one.
            self._call(self._rt.cudaSetDevice, before)
        try:
            yield
        finally:
            if before != self._ordinal:
                with suppress(Exception):
                    self._call(self._rt.cudaSetDevice, before)

    def memory_info(self) -> tuple[int, int]:
        free, total = self._call(self._rt.cudaMemGetInfo)
        return int(free), int(total)

    def allocate(self, size: int) -> int:
        return int(self._call(self._rt.cudaMalloc, size))

    def free(self, address: int) -> None:
        self._rt.cudaFree(address)

    def host_memory(self, size: int, *, mapped: bool) -> HostMemory:
        flags = self._rt.cudaHostAllocPortable | (self._rt.cudaHostAllocMapped if mapped else 0)
        pointer = int(self._call(self._rt.cudaHostAlloc, size, flags))
        array = pinned_array(pointer, size, self._rt.cudaFreeHost, pointer)
        address = int(self._call(self._rt.cudaHostGetDevicePointer, pointer, 0)) if mapped else None
        return HostMemory(array, address)

    def copy_to_device(self, address: int, source: NDArray[np.uint8], stream: int) -> None:
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._rt.cudaMemcpyAsync, address, source.ctypes.data, source.nbytes, kind, stream)

    def copy_to_host(self, target: NDArray[np.uint8], address: int, stream: int) -> None:
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._rt.cudaMemcpyAsync, target.ctypes.data, address, target.nbytes, kind, stream)

    def stream(self) -> int:
        return int(self._call(self._rt.cudaStreamCreateWithFlags, self._rt.cudaStreamNonBlocking))

    def destroy_stream(self, stream: int) -> None:
        self._rt.cudaStreamDestroy(stream)

    def synchronize(self, stream: int) -> None:
        self._call(self._rt.cudaStreamSynchronize, stream)

    def event(self, *, blocking: bool) -> int:
        flags = self._rt.cudaEventBlockingSync if blocking else self._rt.cudaEventDefault
        return int(self._call(self._rt.cudaEventCreateWithFlags, flags))

    def destroy_event(self, event: int) -> None:
        self._rt.cudaEventDestroy(event)

    def record(self, event: int, stream: int) -> None:
        self._call(self._rt.cudaEventRecord, event, stream)

    def wait(self, event: int) -> None:
        self._call(self._rt.cudaEventSynchronize, event)

    def elapsed_ms(self, start: int, end: int) -> float:
        return float(self._call(self._rt.cudaEventElapsedTime, start, end))

    def begin_capture(self, stream: int) -> None:
        # Thread-local: other threads may allocate meanwhile, as replicas do.
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(self._rt.cudaStreamBeginCapture, stream, mode)

    def end_capture(self, stream: int) -> int:
        graph = self._call(self._rt.cudaStreamEndCapture, stream)
        try:
            return int(self._call(self._rt.cudaGraphInstantiate, graph, 0))
        finally:
            self._rt.cudaGraphDestroy(graph)

    def launch_graph(self, graph: int, stream: int) -> None:
        self._call(self._rt.cudaGraphLaunch, graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._rt.cudaGraphExecDestroy(graph)

    def load_module(self, image: bytes) -> int:
        # PTX is text that ends with a zero byte; a cubin does not mind one.
        return int(self._call(self._drv.cuModuleLoadData, image + b"\0"))

    def unload(self, module: int) -> None:
        self._drv.cuModuleUnload(module)

    def kernel(self, module: int, name: str) -> int:
        return int(self._call(self._drv.cuModuleGetFunction, module, name.encode()))

    def launch(
        self,
        kernel: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        parameters: ctypes.Structure,
        stream: int,
    ) -> None:
        # An array of pointers to the arguments: understood by every version, and read before the call returns.
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(parameters))
        self._call(self._drv.cuLaunchKernel, kernel, *grid, *block, 0, stream, ctypes.addressof(pointers), 0)

    def close(self) -> None:
        """Nothing is held: the primary context belongs to the process."""

    def _describe(self) -> GpuDevice:
        rt, number = self._rt, self._ordinal

        def fact(attribute: str) -> int:
            return int(self._call(rt.cudaDeviceGetAttribute, getattr(rt.cudaDeviceAttr, attribute), number))

        properties = self._call(rt.cudaGetDeviceProperties, number)
        name = properties.name
        return GpuDevice(
            name=(name.decode(errors="replace") if isinstance(name, bytes) else str(name)).strip("\0 "),
            sm=(fact("cudaDevAttrComputeCapabilityMajor"), fact("cudaDevAttrComputeCapabilityMinor")),
            sm_count=fact("cudaDevAttrMultiProcessorCount"),
            cuda_driver_version=int(self._call(rt.cudaDriverGetVersion)),
            integrated=bool(fact("cudaDevAttrIntegrated")),
            memory_bytes=int(properties.totalGlobalMem),
        )

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The value of a CUDA function, or the error it reports."""
        status, *values = function(*arguments)
        if int(status) != 0:
            raise self._error(function.__name__, status)
        return values[0] if len(values) == 1 else tuple(values)

    def _error(self, call: str, status: Any) -> Exception:
        if isinstance(status, self._rt.cudaError_t):
            name, text = self._rt.cudaGetErrorName(status)[1], self._rt.cudaGetErrorString(status)[1]
            self._rt.cudaGetLastError()  # it would else be reported again, to whoever asks next
        else:
            name, text = self._drv.cuGetErrorName(status)[1], self._drv.cuGetErrorString(status)[1]
        return cuda_error(call, *(part.decode() if isinstance(part, bytes) else str(part) for part in (name, text)))
