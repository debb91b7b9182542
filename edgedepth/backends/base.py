"""The Backend seam: tensors in, tensors out. Backends know nothing of images or depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgedepth.bundle.spec import ColorOrder, Interpolation, Layout

__all__ = [
    "Backend",
    "BackendOptions",
    "EngineOptions",
    "ImageBackend",
    "ImageFeed",
    "Mode",
    "ProvableBackend",
    "TensorSpec",
]

Mode = Literal["latency", "throughput"]
"""latency: one frame uses every thread. throughput: one thread a frame, several frames at once (replicas)."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, element type and shape of one tensor. A None dimension is free."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class EngineOptions:
    """How libraries that compile a network first (TensorRT) compile it, and where they keep it.

    What changes the compiled network is part of its cache key: workspace, level, DLA core and typing.

    Attributes:
        workspace_mib: most scratch memory a layer may use, MiB; None leaves it to the library.
        level: builder optimisation level 0..5 (higher: slower build, perhaps a faster engine); None is the library's.
        dla_core: Deep Learning Accelerator core to use, with GPU fall-back; None is the GPU.
        cache_root: where engines are kept; None is ``$XDG_CACHE_HOME/edgedepth/engines``.
        timing_cache: file of layer timings, read and updated; None keeps one beside the engines.
        rebuild: build even when a valid engine is cached.
        weakly_typed: let the builder choose among the precisions of the file instead of following them to the letter,
            for versions of TensorRT 10 whose strong typing fails on a network.
    """

    workspace_mib: int | None = None
    level: int | None = None
    dla_core: int | None = None
    cache_root: Path | None = None
    timing_cache: Path | None = None
    rebuild: bool = False
    weakly_typed: bool = False


@dataclass(frozen=True)
class BackendOptions:
    """How to load a network.

    Attributes:
        mode: see Mode.
        threads: CPU threads for one run; None chooses by mode (all cores, or one).
        replicas: how many runs will be in flight at once; a hint for libraries that plan streams ahead.
        device: library-specific device or provider (``"cuda"``, ``"tensorrt"``, ``"cpu"``, ``"GPU.0"``); None = best.
        engine: for libraries that compile the network first.
        progress: called with (what is being done, fraction 0..1 or None) during long work such as a build.
    """

    mode: Mode = "latency"
    threads: int | None = None
    replicas: int = 1
    device: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    progress: Callable[[str, float | None], None] | None = None


@runtime_checkable
class Backend(Protocol):
    """A loaded network. One thread at a time may use one Backend; other threads take a ``replica``."""

    @property
    def name(self) -> str:
        """Library and device, for reports: ``"onnxruntime:cpu"``."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Run once. Output arrays may be reused by the next ``run``: copy what must outlive it.

        Raises:
            InputError: a feed is missing, unknown, or of another dtype or shape than ``inputs``.
            BackendError: the library failed; the message carries its own.
        """
        ...

    def replica(self) -> Backend:
        """A Backend over the same loaded weights with buffers of its own, for use from another thread."""
        ...

    def close(self) -> None:
        """Release it. Safe to call twice; ``run`` afterwards raises BackendError."""
        ...

    def __enter__(self) -> Backend: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...


@runtime_checkable
class ProvableBackend(Protocol):
    """A Backend whose compiled network is kept, with the report of the numeric gate that passed it on this device."""

    @property
    def proof(self) -> Mapping[str, Any] | None:
        """The gate's report that is on record for exactly this compiled network; None when there is none."""
        ...

    @property
    def gate_hint(self) -> str:
        """The known cause of wrong numbers from this library, network and device, and its remedy; or empty."""
        ...

    def record_proof(self, report: Mapping[str, Any]) -> None:
        """Keep the gate's report beside the compiled network, so that the next load need not run it again."""
        ...


@dataclass(frozen=True, eq=False)
class ImageFeed:
    """How frames of one size become a network's image tensor: numbers only, as a kernel wants them.

    Attributes:
        frame_wh: the frame's size, pixels.
        network_wh: the tensor's image size, pixels.
        source: x, y, width, height of the frame's part that the network sees.
        content: x, y, width, height of where it lies in the tensor's image; the rest is padding.
        interpolation: how it is resampled.
        layout: ``"NCHW"`` or ``"NHWC"``, batch of one.
        color: channel order of the tensor; frames are RGB.
        pad_value: the byte outside the content.
        values: (256, 3) in the tensor's dtype: what each byte becomes, for each channel in the tensor's order.
    """

    frame_wh: tuple[int, int]
    network_wh: tuple[int, int]
    source: tuple[int, int, int, int]
    content: tuple[int, int, int, int]
    interpolation: Interpolation
    layout: Layout
    color: ColorOrder
    pad_value: int
    values: NDArray[Any]


@runtime_checkable
class ImageBackend(Protocol):
    """A Backend that can make the image tensor of the frame itself, on its device."""

    @property
    def takes_images(self) -> bool:
        """False when what it needs for that is missing here; tensors are fed then."""
        ...

    def run_image(self, image: NDArray[np.uint8], feed: ImageFeed) -> Mapping[str, NDArray[Any]]:
        """As ``Backend.run`` of a network with one input. Frames of one size share one ``feed`` object.

        Args:
            image: uint8 RGB, (height, width, 3) of ``feed.frame_wh``.
            feed: how it becomes the tensor.

        Raises:
            InputError: image, feed and network do not fit one another.
            BackendError: the library failed.
        """
        ...
