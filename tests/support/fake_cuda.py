"""CUDA in host memory, which finds misuse that a GPU would answer with a wrong number or a crash.

Everything asynchronous waits in its stream's queue until that is waited for. Copies and kernels only reach memory
that is alive when they run. Graphs record and are not run. Whatever is called outside ``current()`` fails.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from edgedepth.backends.tensorrt.cuda import HostMemory
from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.errors import CudaError

Operation = Callable[[], None]
FRESH, FREED = 0xCD, 0xDD


class FakeCuda:
    """A CudaApi.

    Args:
        integrated: the GPU shares the CPU's memory.
        has_graphs: as cuda.bindings; else as pycuda.
        kernels: name -> what runs it; None has no kernel.

    Attributes:
        fail: method name -> the error it raises from now on.
        calls: every method called, in order.
        live: what is allocated, by kind and handle.
        closed: how many times it was closed.
    """

    provider = "fake"

    def __init__(self, *, integrated: bool = False, has_graphs: bool = True, kernels=None) -> None:
        self.has_graphs = has_graphs
        self.device = GpuDevice("Fake GPU", (8, 7), 8, 12060, integrated, 1 << 30)
        self.fail: dict[str, Exception] = {}
        self.calls: list[str] = []
        self.closed = 0
        self.live: dict[str, dict[int, object]] = {
            kind: {} for kind in ("memory", "stream", "event", "graph", "module")
        }
        self._kernels = kernels() if callable(kernels) else kernels or {}
        self._kernel_names: dict[int, str] = {}
        self._host: dict[int, int] = {}  # address -> size, while a view lives
        self._graveyard: list[np.ndarray] = []  # freed device memory stays readable: misuse is reported, not fatal
        self._handles = itertools.count(1)
        self._thread = threading.local()
        self._lock = threading.RLock()
        self._capture: dict[int, list[Operation]] = {}
        self._broken_capture: set[int] = set()

    # What tests and the stub engine use.

    def enqueue(self, stream: int, operation: Operation) -> None:
        """Put an operation on a stream, or into the graph it captures."""
        with self._lock:
            assert stream in self.live["stream"], "enqueued on a stream that is gone"
            if stream in self._capture:
                self._capture[stream].append(operation)
            else:
                self.live["stream"][stream].append(operation)

    def bytes_at(self, address: int, size: int, *, kinds: tuple[str, ...] = ("device", "mapped")) -> np.ndarray:
        """Live memory as a kernel sees it; misuse fails."""
        with self._lock:
            if "device" in kinds:
                for start, array in self.live["memory"].items():
                    if start <= address and address + size <= start + array.nbytes:
                        return array[address - start : address - start + size]
            if "host" in kinds or (self.device.integrated and "mapped" in kinds):
                for start, length in self._host.items():
                    if start <= address and address + size <= start + length:
                        return np.frombuffer((ctypes.c_ubyte * size).from_address(address), np.uint8)
        raise AssertionError(f"{size} bytes at {address:#x} are not in one live {' or '.join(kinds)} allocation")

    @property
    def host_bytes(self) -> int:
        """Page-locked memory that somebody still holds."""
        return sum(self._host.values())

    def leaks(self) -> dict[str, int]:
        """What is still allocated on the device, by kind."""
        return {kind: len(things) for kind, things in self.live.items() if things}

    # CudaApi.

    @contextmanager
    def current(self) -> Iterator[None]:
        assert not self.closed, "used after close"
        self._thread.depth = getattr(self._thread, "depth", 0) + 1
        try:
            yield
        finally:
            self._thread.depth -= 1

    def memory_info(self) -> tuple[int, int]:
        self._called("memory_info")
        used = sum(array.nbytes for array in self.live["memory"].values())
        return self.device.memory_bytes - used, self.device.memory_bytes

    def allocate(self, size: int) -> int:
        self._called("allocate", capturable=False)
        array = np.full(size, FRESH, np.uint8)
        with self._lock:
            self.live["memory"][array.ctypes.data] = array
        return array.ctypes.data

    def free(self, address: int) -> None:
        self._called("free", capturable=False)
        array = self._gone("memory", address)
        array[:] = FREED
        self._graveyard.append(array)

    def host_memory(self, size: int, *, mapped: bool) -> HostMemory:
        self._called("host_memory", capturable=False)
        array = np.ndarray((size,), np.uint8, buffer=bytearray(size))
        address = array.ctypes.data
        self._host[address] = size
        weakref.finalize(array, self._host.pop, address).atexit = False
        return HostMemory(array, address if mapped else None)

    def copy_to_device(self, address: int, source: np.ndarray, stream: int) -> None:
        self._called("copy_to_device")
        self._copy((address, ("device",)), (source.ctypes.data, ("host",)), source, stream)

    def copy_to_host(self, target: np.ndarray, address: int, stream: int) -> None:
        self._called("copy_to_host")
        self._copy((target.ctypes.data, ("host",)), (address, ("device",)), target, stream)

    def stream(self) -> int:
        self._called("stream")
        return self._made("stream", deque())

    def destroy_stream(self, stream: int) -> None:
        self._called("destroy_stream")
        assert not self._gone("stream", stream), "a stream was destroyed with work on it"

    def synchronize(self, stream: int) -> None:
        self._called("synchronize", capturable=False)
        self._drain(stream, None)

    def event(self, *, blocking: bool) -> int:
        self._called("event")
        return self._made("event", None)

    def destroy_event(self, event: int) -> None:
        self._called("destroy_event")
        self._gone("event", event)

    def record(self, event: int, stream: int) -> None:
        self._called("record")
        assert event in self.live["event"]

        def reached() -> None:
            self.live["event"][event] = (stream, next(self._handles))

        self.live["event"][event] = (stream, reached)
        self.enqueue(stream, reached)

    def wait(self, event: int) -> None:
        self._called("wait", capturable=False)
        recorded = self.live["event"][event]
        if recorded is not None and callable(recorded[1]):
            self._drain(recorded[0], recorded[1])

    def elapsed_ms(self, start: int, end: int) -> float:
        self._called("elapsed_ms")
        times = [self.live["event"][event] for event in (start, end)]
        assert all(time is not None and not callable(time[1]) for time in times), "events that were not reached"
        return float(times[1][1] - times[0][1])

    def begin_capture(self, stream: int) -> None:
        self._called("begin_capture")
        assert self.has_graphs
        self._capture[stream] = []
        self._thread.capturing = stream

    def end_capture(self, stream: int) -> int:
        operations = self._capture.pop(stream)
        self._thread.capturing = None
        self._called("end_capture")
        if stream in self._broken_capture:
            self._broken_capture.discard(stream)
            raise CudaError("cudaStreamEndCapture gave cudaErrorStreamCaptureInvalidated")
        return self._made("graph", operations)

    def launch_graph(self, graph: int, stream: int) -> None:
        self._called("launch_graph")
        for operation in self.live["graph"][graph]:
            self.enqueue(stream, operation)

    def destroy_graph(self, graph: int) -> None:
        self._called("destroy_graph")
        self._gone("graph", graph)

    def load_module(self, image: bytes) -> int:
        self._called("load_module")
        assert image
        return self._made("module", image)

    def unload(self, module: int) -> None:
        self._called("unload")
        self._gone("module", module)

    def kernel(self, module: int, name: str) -> int:
        self._called("kernel")
        assert module in self.live["module"]
        handle = next(self._handles)
        self._kernel_names[handle] = name
        return handle

    def launch(self, kernel, grid, block, parameters: ctypes.Structure, stream: int) -> None:
        self._called("launch")
        run = self._kernels[self._kernel_names[kernel]]
        kept = type(parameters).from_buffer_copy(parameters)  # the real one reads it before it returns, too
        pointers = [getattr(kept, name) for name, kind in kept._fields_ if kind is ctypes.c_void_p]

        def operation() -> None:
            for pointer in pointers:
                self.bytes_at(pointer, 1)
            run(grid, block, kept)

        self.enqueue(stream, operation)

    def close(self) -> None:
        self.closed += 1

    # Its own.

    def _called(self, name: str, *, capturable: bool = True) -> None:
        assert not self.closed, f"{name} after close"
        assert getattr(self._thread, "depth", 0) > 0, f"{name} outside current()"
        self.calls.append(name)
        stream = getattr(self._thread, "capturing", None)
        if not capturable and stream is not None:
            self._broken_capture.add(stream)
            raise CudaError(f"{name} gave cudaErrorStreamCaptureUnsupported")
        if name in self.fail:
            raise self.fail[name]

    def _made(self, kind: str, thing: object) -> int:
        with self._lock:
            handle = next(self._handles)
            self.live[kind][handle] = thing
        return handle

    def _gone(self, kind: str, handle: int):
        with self._lock:
            assert handle in self.live[kind], f"{kind} {handle} was released twice, or never was"
            return self.live[kind].pop(handle)

    def _copy(self, target, source, host: np.ndarray, stream: int) -> None:
        assert host.dtype == np.uint8
        assert host.flags.c_contiguous
        size = host.nbytes
        for address, kinds in (target, source):
            self.bytes_at(address, size, kinds=kinds)

        def operation() -> None:
            read = self.bytes_at(source[0], size, kinds=source[1])
            self.bytes_at(target[0], size, kinds=target[1])[:] = read

        self.enqueue(stream, operation)

    def _drain(self, stream: int, until: Operation | None) -> None:
        queue = self.live["stream"][stream]
        while queue:
            operation = queue.popleft()
            operation()
            if operation is until:
                return
