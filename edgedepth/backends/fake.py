"""A backend without a network, for tests: fixed or computed outputs, delays and failures on demand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends.base import BackendOptions, TensorSpec
from edgedepth.backends.loaded import BaseBackend
from edgedepth.errors import BackendError

__all__ = ["FakeBackend", "open_fake"]

Feeds = Mapping[str, NDArray[Any]]


class FakeBackend(BaseBackend):
    """Behaves as a Backend does: checks its feeds, reuses its output buffers, refuses to run when closed.

    Args:
        inputs, outputs: the tensors; every output dimension must be known unless ``function`` is given.
        function: computes the outputs from the feeds; None gives ``fill`` everywhere.
        fill: the value of fixed outputs.
        delay_s: how long each run sleeps (releasing the GIL, as a library does).
        fail_at: the run, counted from 0 over all replicas, that raises ``error``; None never fails.
        error: what to raise; None raises a BackendError.

    Attributes:
        runs: how many runs were started, over all replicas.
        open_count: how many of it and its replicas are not closed.
    """

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        function: Callable[[Feeds], Feeds] | None = None,
        *,
        fill: float = 1.0,
        delay_s: float = 0.0,
        fail_at: int | None = None,
        error: Exception | None = None,
    ) -> None:
        super().__init__("fake", inputs, outputs)
        self._function, self._fill, self._delay_s = function, fill, delay_s
        self._fail_at, self._error = fail_at, error
        self._shared = _Shared()
        self._open()

    def _open(self) -> None:
        self._buffers: dict[str, NDArray[Any]] = {}
        if self._function is None:
            self._buffers = {s.name: np.full([n or 1 for n in s.shape], self._fill, s.dtype) for s in self._outputs}
        with self._shared.lock:
            self._shared.open_count += 1

    @property
    def runs(self) -> int:
        return self._shared.runs

    @property
    def open_count(self) -> int:
        return self._shared.open_count

    def _run(self, feeds: Feeds) -> Feeds:
        with self._shared.lock:
            index = self._shared.runs
            self._shared.runs += 1
        if self._delay_s:
            time.sleep(self._delay_s)
        if index == self._fail_at:
            raise self._error or BackendError(f"the fake backend was told to fail at run {index}")
        if self._function is None:
            return self._buffers
        for name, value in self._function(feeds).items():
            buffer = self._buffers.get(name)
            if buffer is None or buffer.shape != value.shape:
                self._buffers[name] = value.copy()
            else:
                np.copyto(buffer, value)
        return self._buffers

    def _replica(self) -> FakeBackend:
        copy = object.__new__(FakeBackend)
        copy.__dict__.update(self.__dict__)  # the counters and the failure plan are shared
        copy._open()
        return copy

    def _release(self) -> None:
        with self._shared.lock:
            self._shared.open_count -= 1


class _Shared:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.runs = 0
        self.open_count = 0


def open_fake(path: Path, options: BackendOptions) -> FakeBackend:
    """A FakeBackend with the tensors of a real network, which is not run: what everything around it costs."""
    from edgedepth.backends.onnxruntime import open_onnxruntime

    with open_onnxruntime(path, BackendOptions(threads=1, device="cpu")) as real:
        return FakeBackend(real.inputs, real.outputs)
