"""pycuda as its sources have it: it cannot even be imported without a driver."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


class FakePyCuda:
    """What of pycuda.driver is used. Without a context nothing works, and nothing may be freed twice."""

    class Error(Exception):
        pass

    class MemoryError(Error):
        pass

    device_attribute = SimpleNamespace(MULTIPROCESSOR_COUNT=1, INTEGRATED=2)
    host_alloc_flags = SimpleNamespace(PORTABLE=1, DEVICEMAP=2)
    event_flags = SimpleNamespace(BLOCKING_SYNC=1)

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.detached = 0
        self.freed: list[str] = []
        self.launched: list[tuple[object, ...]] = []
        self.out_of_memory = False
        fake = self

        class Context:
            def push(self) -> None:
                fake.stack.append(self)

            @staticmethod
            def pop() -> None:
                fake.stack.pop()

            def detach(self) -> None:
                fake.detached += 1

        class Allocation:
            def __int__(self) -> int:
                return 0x1000

            def free(self) -> None:
                fake.need("free")
                assert "device" not in fake.freed
                fake.freed.append("device")

        class HostAllocation:
            def __init__(self, flags: int) -> None:
                self.flags = flags

            def get_device_pointer(self) -> int:
                assert self.flags & 2
                return 0x2000

            def free(self) -> None:
                fake.need("free")
                fake.freed.append("host")

        class Stream:
            def __init__(self, flags: int = 0) -> None:
                fake.need("stream")
                assert flags == 1  # CU_STREAM_NON_BLOCKING
                self.handle = 0x77

            def synchronize(self) -> None:
                fake.need("synchronize")

        class Event:
            def __init__(self, flags: int = 0) -> None:
                fake.need("event")

            def record(self, stream: Stream) -> None:
                assert isinstance(stream, Stream)

            def synchronize(self) -> None:
                fake.need("synchronize")

            def time_since(self, other: Event) -> float:
                return 1.5

        class Function:
            def prepare(self, types: list[str]) -> Function:
                self.format = types
                return self

            def prepared_async_call(self, grid, block, stream, *arguments) -> None:
                assert isinstance(stream, Stream)
                fake.launched.append((grid, block, self.format, arguments))

        class Device:
            def __init__(self, ordinal: int) -> None:
                if ordinal:
                    raise fake.Error("cuDeviceGet failed: invalid device ordinal")

            def retain_primary_context(self) -> Context:
                return Context()

            def name(self) -> str:
                return "Orin"

            def compute_capability(self) -> tuple[int, int]:
                return 8, 7

            def total_memory(self) -> int:
                return 8 << 30

            def get_attribute(self, attribute: int) -> int:
                return {1: 16, 2: 1}[attribute]

        self.Context, self.Stream, self.Event, self.Device = Context, Stream, Event, Device
        self._allocation, self._host, self._function = Allocation, HostAllocation, Function

    def need(self, what: str) -> None:
        assert self.stack, f"{what} without a context"

    def init(self) -> None: ...

    def get_driver_version(self) -> int:
        return 12060

    def mem_get_info(self) -> tuple[int, int]:
        self.need("mem_get_info")
        return 1000, 2000

    def mem_alloc(self, size: int):
        self.need("mem_alloc")
        if self.out_of_memory:
            raise self.MemoryError("cuMemAlloc failed: out of memory")
        return self._allocation()

    def pagelocked_empty(self, shape, dtype, order="C", mem_flags=0):
        self.need("pagelocked_empty")

        class Pinned(np.ndarray):
            base = self._host(mem_flags)

        return np.empty(shape, dtype, order).view(Pinned)

    def memcpy_htod_async(self, dest: int, src: np.ndarray, stream) -> None:
        assert isinstance(dest, int)
        assert isinstance(stream, self.Stream)

    def memcpy_dtoh_async(self, dest: np.ndarray, src: int, stream) -> None:
        assert isinstance(src, int)
        assert isinstance(stream, self.Stream)

    def module_from_buffer(self, buffer: bytes):
        self.need("module")
        return SimpleNamespace(get_function=lambda name: self._function())
