"""CUDA through pycuda. Its release has no CUDA graphs: frames are enqueued operation by operation."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends.tensorrt.cuda import CudaApi, HostMemory, cuda_error, pinned_array
from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.errors import CudaError

__all__ = ["open_pycuda"]


def open_pycuda(ordinal: int) -> CudaApi:
    """CUDA device ``ordinal``. Errors as in ``open_cuda``."""
    from pycuda import driver

    return _PyCuda(driver, ordinal)


class _PyCuda:
    """See CudaApi. pycuda's objects are released with their last reference; they are kept by the integer they go by."""

    provider = "pycuda"
    has_graphs = False

    def __init__(self, driver: Any, ordinal: int) -> None:
        self._drv = driver
        self._held: dict[int, Any] = {}
        self._functions: dict[int, list[int]] = {}  # of each module
        with self._mapped():
            driver.init()
            device = driver.Device(ordinal)
            self._context = device.retain_primary_context()
        try:
            with self.current():
                self._device = self._describe(device)
        except BaseException:
            self.close()
            raise

    @property
    def device(self) -> GpuDevice:
        return self._device

    @contextmanager
    def current(self) -> Iterator[None]:
        if self._context is None:
            raise CudaError("CUDA was closed; open the network again")
        with self._mapped():
            self._context.push()
        try:
            yield
        finally:
            with suppress(self._drv.Error):
                self._drv.Context.pop()

    def memory_info(self) -> tuple[int, int]:
        with self._mapped():
            free, total = self._drv.mem_get_info()
        return int(free), int(total)

    def allocate(self, size: int) -> int:
        with self._mapped():
            return self._hold(self._drv.mem_alloc(size))

    def free(self, address: int) -> None:
        self._release(address, "free")

    def host_memory(self, size: int, *, mapped: bool) -> HostMemory:
        flags = self._drv.host_alloc_flags
        with self._mapped():
            pinned = self._drv.pagelocked_empty(
                (size,), np.uint8, mem_flags=flags.PORTABLE | (flags.DEVICEMAP if mapped else 0)
            )
            address = int(pinned.base.get_device_pointer()) if mapped else None
        return HostMemory(pinned_array(pinned.ctypes.data, size, self._free_host, pinned.base), address)

    def copy_to_device(self, address: int, source: NDArray[np.uint8], stream: int) -> None:
        with self._mapped():
            self._drv.memcpy_htod_async(address, source, self._held[stream])

    def copy_to_host(self, target: NDArray[np.uint8], address: int, stream: int) -> None:
        with self._mapped():
            self._drv.memcpy_dtoh_async(target, address, self._held[stream])

    def stream(self) -> int:
        with self._mapped():
            stream = self._drv.Stream(1)  # CU_STREAM_NON_BLOCKING, which pycuda does not name
            self._held[stream.handle] = stream
            return int(stream.handle)

    def destroy_stream(self, stream: int) -> None:
        self._release(stream)

    def synchronize(self, stream: int) -> None:
        with self._mapped():
            self._held[stream].synchronize()

    def event(self, *, blocking: bool) -> int:
        with self._mapped():
            event = self._drv.Event(self._drv.event_flags.BLOCKING_SYNC if blocking else 0)
        self._held[id(event)] = event
        return id(event)

    def destroy_event(self, event: int) -> None:
        self._release(event)

    def record(self, event: int, stream: int) -> None:
        with self._mapped():
            self._held[event].record(self._held[stream])

    def wait(self, event: int) -> None:
        with self._mapped():
            self._held[event].synchronize()

    def elapsed_ms(self, start: int, end: int) -> float:
        with self._mapped():
            return float(self._held[end].time_since(self._held[start]))

    def begin_capture(self, stream: int) -> NoReturn:
        raise CudaError("pycuda has no CUDA graphs; install cuda-python for them")

    def end_capture(self, stream: int) -> NoReturn:
        self.begin_capture(stream)

    def launch_graph(self, graph: int, stream: int) -> None:
        self.begin_capture(stream)

    def destroy_graph(self, graph: int) -> None:
        """There is none."""

    def load_module(self, image: bytes) -> int:
        with self._mapped():
            module = self._drv.module_from_buffer(image + b"\0")
        self._held[id(module)] = module
        return id(module)

    def unload(self, module: int) -> None:
        for function in self._functions.pop(module, []):
            self._release(function)
        self._release(module)

    def kernel(self, module: int, name: str) -> int:
        with self._mapped():
            function = self._held[module].get_function(name)
        self._held[id(function)] = function
        self._functions.setdefault(module, []).append(id(function))
        return id(function)

    def launch(
        self,
        kernel: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        parameters: ctypes.Structure,
        stream: int,
    ) -> None:
        # A structure by value is so many bytes to pycuda.
        with self._mapped():
            function = self._held[kernel].prepare([f"{ctypes.sizeof(parameters)}s"])
            function.prepared_async_call(grid, block, self._held[stream], bytes(parameters))

    def close(self) -> None:
        """Release the primary context, which other libraries may go on using."""
        if self._context is not None:
            with suppress(self._drv.Error, CudaError):
                with self.current():
                    self._functions.clear()
                    self._held.clear()
                self._context.detach()
            self._context = None

    def _describe(self, device: Any) -> GpuDevice:
        fact = self._drv.device_attribute
        with self._mapped():
            return GpuDevice(
                name=device.name(),
                sm=tuple(device.compute_capability()),
                sm_count=device.get_attribute(fact.MULTIPROCESSOR_COUNT),
                cuda_driver_version=self._drv.get_driver_version(),
                integrated=bool(device.get_attribute(fact.INTEGRATED)),
                memory_bytes=device.total_memory(),
            )

    def _hold(self, thing: Any) -> int:
        self._held[int(thing)] = thing
        return int(thing)

    def _release(self, handle: int, method: str | None = None) -> None:
        thing = self._held.pop(handle, None)
        if thing is not None and method is not None:
            with suppress(self._drv.Error):
                getattr(thing, method)()

    def _free_host(self, allocation: Any) -> None:
        with suppress(self._drv.Error, CudaError), self.current():
            allocation.free()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """pycuda's exceptions ("cuMemAlloc failed: out of memory") become ours."""
        try:
            yield
        except self._drv.Error as error:
            call, _, text = " ".join(str(error).split()).partition(" failed: ")
            raise cuda_error(call, text or type(error).__name__) from error
