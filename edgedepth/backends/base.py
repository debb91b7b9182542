"""The Backend seam: tensors in, tensors out. Backends know nothing of images or depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Backend", "BackendOptions", "Mode", "TensorSpec"]

Mode = Literal["latency", "throughput"]
"""latency: one frame uses every thread. throughput: one thread a frame, several frames at once (replicas)."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, element type and shape of one tensor. A None dimension is free."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class BackendOptions:
    """How to load a network.

    Attributes:
        mode: see Mode.
        threads: CPU threads for one run; None chooses by mode (all cores, or one).
        replicas: how many runs will be in flight at once; a hint for libraries that plan streams ahead.
        device: library-specific device or provider (``"cuda"``, ``"tensorrt"``, ``"cpu"``, ``"GPU.0"``); None = best.
    """

    mode: Mode = "latency"
    threads: int | None = None
    replicas: int = 1
    device: str | None = None


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
