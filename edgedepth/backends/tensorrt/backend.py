"""TensorRT and TensorRT-RTX as a Backend: the engine comes from the cache or is built, then runs in CUDA graphs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends.base import BackendOptions, ImageFeed
from edgedepth.backends.feeds import check_feeds
from edgedepth.backends.loaded import BaseBackend
from edgedepth.backends.tensorrt.cache import CachedEngine
from edgedepth.backends.tensorrt.cuda import CudaApi, open_cuda
from edgedepth.backends.tensorrt.engine import engine_for
from edgedepth.backends.tensorrt.flavour import Flavour, load_tensorrt
from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.backends.tensorrt.loaded import LoadedEngine
from edgedepth.backends.tensorrt.runtime import DeviceTensor, Execution
from edgedepth.errors import EngineError, InputError

__all__ = ["TensorRTBackend", "open_on", "open_tensorrt"]


class EngineOf(Protocol):
    """As ``engine_for``."""

    def __call__(
        self, onnx_path: Path, options: BackendOptions, *, flavour: Flavour, device: GpuDevice
    ) -> CachedEngine: ...


def open_tensorrt(path: Path, options: BackendOptions) -> TensorRTBackend:
    """Load ``path``: its engine for this GPU is taken from the cache, or built, which may take minutes.

    ``options.device`` is the GPU's number (``"0"``, ``"cuda:1"``); None is the first. Which TensorRT: see
    ``load_tensorrt``. Errors as in ``open_backend``, and EngineError, CudaError.
    """
    ordinal = _ordinal(options.device)
    flavour = load_tensorrt()
    # Before anything of TensorRT runs: without a device, its runtime ends the process.
    return open_on(open_cuda(ordinal=ordinal), flavour, path, options)


def open_on(
    cuda: CudaApi, flavour: Flavour, path: Path, options: BackendOptions, *, engine_of: EngineOf = engine_for
) -> TensorRTBackend:
    """As ``open_tensorrt``, with the device and the TensorRT given. The device is closed with the last replica."""
    try:
        cached = engine_of(path, options, flavour=flavour, device=cuda.device)
        dla_core = options.engine.dla_core
        try:
            loaded = LoadedEngine(cuda, flavour, cached.plan, dla_core=dla_core)
        except EngineError:
            if options.engine.rebuild:
                raise
            # What the cache's key does not see has changed. Once: should a fresh engine be refused too, that is final.
            again = replace(options, engine=replace(options.engine, rebuild=True))
            cached = engine_of(path, again, flavour=flavour, device=cuda.device)
            loaded = LoadedEngine(cuda, flavour, cached.plan, dla_core=dla_core)
    except BaseException:
        cuda.close()
        raise
    # TensorRT has its own copy of the plan by now, of perhaps a hundred megabytes.
    return TensorRTBackend(loaded, replace(cached, plan=b""), options)


class TensorRTBackend(BaseBackend):
    """One execution context with its buffers, stream and CUDA graph; replicas share the engine, hence the weights.

    A ProvableBackend and an ImageBackend. ``run`` returns page-locked arrays that the next ``run`` overwrites.

    Args:
        loaded: the engine; this is one user of it.
        cached: the engine's entry in the cache, where the gate's pass is kept.
        options: in throughput mode several replicas wait at once, so waiting sleeps instead of spinning.
    """

    def __init__(self, loaded: LoadedEngine, cached: CachedEngine, options: BackendOptions) -> None:
        inputs, outputs = (tuple(t.spec for t in loaded.tensors if t.is_input is wanted) for wanted in (True, False))
        super().__init__(f"tensorrt:{loaded.cuda.device.name}", inputs, outputs)
        self._loaded, self._cached, self._options = loaded, cached, options
        self._execution = Execution(loaded, blocking=options.mode == "throughput")

    @property
    def proof(self) -> Mapping[str, Any] | None:
        """See ProvableBackend.proof."""
        return self._cached.proof

    @property
    def engine(self) -> CachedEngine:
        """The engine's entry in the cache, without the plan, which TensorRT has by now."""
        return self._cached

    @property
    def gate_hint(self) -> str:
        """See ProvableBackend.gate_hint."""
        return self._cached.gate_hint

    def record_proof(self, report: Mapping[str, Any]) -> None:
        """See ProvableBackend.record_proof."""
        self._cached.record_proof(report)

    @property
    def takes_images(self) -> bool:
        """See ImageBackend.takes_images."""
        self._require_open()
        return len(self._inputs) == 1 and len(self._inputs[0].shape) == 4 and bool(self._loaded.kernels)

    @property
    def has_graph(self) -> bool:
        """Whether the last kind of frame is a captured CUDA graph by now: from its second frame on."""
        return self._execution.has_graph

    @property
    def last_device_ms(self) -> float:
        """Time of the last frame on the device by CUDA events, copies included, milliseconds."""
        self._require_open()
        return self._execution.last_ms

    def run_image(self, image: NDArray[np.uint8], feed: ImageFeed) -> Mapping[str, NDArray[Any]]:
        """See ImageBackend.run_image."""
        self._require_images()
        return self._execution.run_image(image, feed)

    def run_device(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, DeviceTensor]:
        """As ``run``, and the outputs stay on the device until they are asked for. Does not wait for them."""
        self._require_open()
        check_feeds(self._inputs, feeds)
        return self._execution.run_device(feeds)

    def run_image_device(self, image: NDArray[np.uint8], feed: ImageFeed) -> Mapping[str, DeviceTensor]:
        """As ``run_image``, and the outputs stay on the device until they are asked for. Does not wait for them."""
        self._require_images()
        return self._execution.run_image_device(image, feed)

    def _require_images(self) -> None:
        if not self.takes_images:
            raise InputError(
                "this network is not fed frames here, which takes one image input and a compiled kernel; feed it "
                "tensors (run)"
            )

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        return self._execution.run(feeds)

    def _replica(self) -> TensorRTBackend:
        return TensorRTBackend(self._loaded.retain(), self._cached, self._options)

    def _release(self) -> None:
        self._execution.close()


def _ordinal(device: str | None) -> int:
    if device is None:
        return 0
    match = re.fullmatch(r"(?:(?:cuda|gpu):?)?(\d*)", device.lower())
    if match is None:
        raise InputError(f"unknown TensorRT device {device!r}; expected the GPU's number: tensorrt:0, tensorrt:cuda:1")
    return int(match[1] or 0)
