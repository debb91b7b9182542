"""The one seam to CUDA: memory, streams, events, graphs and kernels, through cuda-python or pycuda.

Addresses, streams, events, graphs, modules and kernels are integers. Whatever is asynchronous is enqueued on a stream
and happens before ``wait`` or ``synchronize`` returns, not before. CUDA is called with the device's primary context
current, which this process shares with whatever else uses the GPU: it is retained, never reset.
"""

from __future__ import annotations

import ctypes
import re
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.errors import BackendUnavailable, CudaError, InputError

__all__ = ["CudaApi", "HostMemory", "Provider", "cuda_error", "open_cuda", "pinned_array"]

Provider = Literal["cuda.bindings", "pycuda"]

# provider -> where it is opened. The order is the order of preference: pycuda's release has no CUDA graphs.
_PROVIDERS: dict[str, str] = {
    "cuda.bindings": "edgedepth.backends.tensorrt.cuda_bindings:open_bindings",
    "pycuda": "edgedepth.backends.tensorrt.cuda_pycuda:open_pycuda",
}


@dataclass(frozen=True)
class HostMemory:
    """Page-locked host memory: copies from and to it are asynchronous.

    Attributes:
        array: uint8, one-dimensional. The memory lives as long as it or any view of it does.
        address: what a kernel reads it at when it was mapped into the GPU's address space; None when not.
    """

    array: NDArray[np.uint8]
    address: int | None = None


class CudaApi(Protocol):
    """CUDA on one device. Any thread may call, inside ``current()``; calls raise CudaError.

    What releases something (``free``, ``destroy_*``, ``unload``) never raises: after a lost context there is nothing
    left to release.
    """

    @property
    def provider(self) -> str:
        """The library behind it: ``"cuda.bindings"``, ``"pycuda"``."""
        ...

    @property
    def has_graphs(self) -> bool: ...

    @property
    def device(self) -> GpuDevice: ...

    def current(self) -> AbstractContextManager[None]:
        """Make the device current in this thread; the thread's own choice comes back at the end."""
        ...

    def memory_info(self) -> tuple[int, int]:
        """Free and total device memory, bytes."""
        ...

    def allocate(self, size: int) -> int:
        """The address of ``size`` bytes of device memory."""
        ...

    def free(self, address: int) -> None: ...

    def host_memory(self, size: int, *, mapped: bool) -> HostMemory: ...

    def copy_to_device(self, address: int, source: NDArray[np.uint8], stream: int) -> None:
        """Enqueue: all of ``source``, a view of HostMemory."""
        ...

    def copy_to_host(self, target: NDArray[np.uint8], address: int, stream: int) -> None:
        """Enqueue: fill ``target``, a view of HostMemory."""
        ...

    def stream(self) -> int:
        """A stream that does not wait for the default one."""
        ...

    def destroy_stream(self, stream: int) -> None: ...

    def synchronize(self, stream: int) -> None: ...

    def event(self, *, blocking: bool) -> int:
        """An event that can be timed. ``blocking``: who waits for it sleeps; otherwise spins, which is faster."""
        ...

    def destroy_event(self, event: int) -> None: ...

    def record(self, event: int, stream: int) -> None: ...

    def wait(self, event: int) -> None: ...

    def elapsed_ms(self, start: int, end: int) -> float: ...

    def begin_capture(self, stream: int) -> None:
        """From here to ``end_capture``, what this thread enqueues on ``stream`` is recorded and not done."""
        ...

    def end_capture(self, stream: int) -> int:
        """The recorded graph, ready to launch. Ends the capture also when it raises."""
        ...

    def launch_graph(self, graph: int, stream: int) -> None: ...

    def destroy_graph(self, graph: int) -> None: ...

    def load_module(self, image: bytes) -> int:
        """A cubin, or PTX that the driver compiles."""
        ...

    def unload(self, module: int) -> None: ...

    def kernel(self, module: int, name: str) -> int: ...

    def launch(
        self,
        kernel: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        parameters: ctypes.Structure,
        stream: int,
    ) -> None:
        """Enqueue a kernel that takes one structure by value."""
        ...

    def close(self) -> None:
        """Let the device go. Safe to call twice; everything made of it is released before."""
        ...


def open_cuda(prefer: Provider | None = None, *, ordinal: int = 0) -> CudaApi:
    """CUDA device ``ordinal``, through ``prefer`` or else the first provider that is installed.

    Raises:
        BackendUnavailable: no library for CUDA, no driver, or no such device; says what to do.
        CudaError: the driver reports anything else.
    """
    if prefer is not None and prefer not in _PROVIDERS:
        raise InputError(f"unknown CUDA library {prefer!r}; known are {', '.join(_PROVIDERS)}")
    reasons = []
    for provider in [prefer] if prefer else list(_PROVIDERS):
        if not _is_installed(provider):
            continue
        module, function = _PROVIDERS[provider].split(":")
        try:
            opener = cast(Callable[[int], CudaApi], getattr(import_module(module), function))
            return opener(ordinal)
        except ImportError as error:  # installed, and a library it links is missing
            reasons.append(f"{provider}: {' '.join(str(error).split())}")
    found = f" ({'; '.join(reasons)})" if reasons else ""
    raise BackendUnavailable(
        f"no library for CUDA could be imported{found}; install one that fits the driver: pip install cuda-python"
        ' (on a Jetson with CUDA 12: "cuda-python>=12.6,<13")'
    )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the parent of a dotted name
        return False


# CUDA's own name or text of an error -> what to do. The driver, the runtime and pycuda name the same thing three ways.
_ADVICE = (
    (
        r"MemoryAllocation|OUT_OF_MEMORY|out of memory",
        "the GPU's memory is full: use fewer replicas or a smaller input size, or end what else uses the GPU",
    ),
    (
        r"Illegal|ILLEGAL|illegal|Misaligned|MISALIGNED|misaligned|LaunchFailure|LAUNCH_FAILED|launch fail|"
        r"Uncorrectable|UNCORRECTABLE|HardwareStack|InvalidPc|DeviceUninitialized|ContextIsDestroyed|CONTEXT_IS_DESTROYED",
        "this process's CUDA context is lost: start the program again; should it return, rebuild the engine",
    ),
    (
        r"InsufficientDriver|SystemDriverMismatch|SYSTEM_DRIVER_MISMATCH|StubLibrary|STUB_LIBRARY",
        "the NVIDIA driver is missing or older than the CUDA library: install or update it, or install an older "
        "cuda-python; without an NVIDIA GPU use another backend",
    ),
    (
        r"NoDevice|NO_DEVICE|no CUDA-capable|DevicesUnavailable",
        "no GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES",
    ),
    (r"InvalidDevice\b|INVALID_DEVICE\b|invalid device ordinal", "there is no GPU of that number: check nvidia-smi"),
    (
        r"KernelImage|InvalidDeviceFunction|NO_BINARY|INVALID_IMAGE|kernel image|UnsupportedPtx|UNSUPPORTED_PTX|"
        r"InvalidPtx|INVALID_PTX",
        "the kernel was compiled for another GPU or a newer driver: install the NVRTC of the driver's CUDA version",
    ),
    (r"StreamCapture|STREAM_CAPTURE", "something in the frame cannot be captured in a CUDA graph: run it without one"),
)
_NO_GPU = re.compile(
    r"InsufficientDriver|NoDevice\b|NO_DEVICE\b|InvalidDevice\b|INVALID_DEVICE\b|StubLibrary|STUB_LIBRARY|"
    r"no CUDA-capable|invalid device ordinal"
)


def cuda_error(call: str, name: str, text: str = "") -> CudaError | BackendUnavailable:
    """The one place where CUDA's statuses become ours.

    Args:
        call: the function that failed.
        name: CUDA's name of the status, or pycuda's words for it.
        text: CUDA's description.
    """
    advice = next(
        (todo for pattern, todo in _ADVICE if re.search(pattern, name)), "this is unexpected; please report it"
    )
    kind: type[CudaError] | type[BackendUnavailable] = BackendUnavailable if _NO_GPU.search(name) else CudaError
    description = f" ({text})" if text else ""
    return kind(f"{call} gave {name}{description}; {advice}")


def pinned_array(address: int, size: int, release: Callable[[Any], object], handle: object) -> NDArray[np.uint8]:
    """Page-locked memory as an array; ``release(handle)`` when the array and every view of it are gone."""
    # Views refer to the lowest array; over memory that is no array, that is this one: see edgedepth.pool.
    array = np.ndarray((size,), np.uint8, buffer=memoryview((ctypes.c_ubyte * size).from_address(address)))
    weakref.finalize(array, release, handle).atexit = False
    return array
