"""A deserialised engine on its device, shared by every replica."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from edgedepth.backends.tensorrt.cuda import CudaApi
from edgedepth.backends.tensorrt.flavour import Flavour
from edgedepth.backends.tensorrt.kernels import KERNELS, compile_kernels
from edgedepth.backends.tensorrt.logger import Captured
from edgedepth.backends.tensorrt.tensors import read_tensors
from edgedepth.errors import BackendError, CudaError, EngineError

__all__ = ["LoadedEngine", "reason"]

_log = logging.getLogger("edgedepth.backends")


class LoadedEngine:
    """A deserialised engine on its device. Replicas share it; the last to ``release`` it closes the device.

    Args:
        cuda: the device; closed with the engine, not when this raises.
        flavour: the TensorRT that deserialises.
        plan: the serialised engine, from a trusted place: TensorRT runs what is in it.
        dla_core: Deep Learning Accelerator core it was built for.

    Raises:
        EngineError: TensorRT refuses the plan (of another version, GPU or damaged), or its tensors cannot be fed.
    """

    def __init__(self, cuda: CudaApi, flavour: Flavour, plan: bytes, *, dla_core: int | None = None) -> None:
        self.cuda, self.flavour = cuda, flavour
        self._lock = threading.RLock()
        self._users = 1
        self._reported: set[str] = set()
        self._kernels: dict[int, int] | None = None
        self._module: int | None = None
        with cuda.current(), flavour.messages.capture() as said:
            self._runtime = flavour.trt.Runtime(flavour.logger)
            if dla_core is not None:
                self._runtime.DLA_core = dla_core
            self.engine = self._runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise EngineError(
                f"{flavour.title} cannot load this engine{reason(said)}; it was built by another version or for "
                "another GPU, or it is damaged: build it again"
            )
        self.tensors = read_tensors(flavour.trt, self.engine)

    @property
    def kernels(self) -> dict[int, int]:
        """Element size -> preprocess kernel, compiled when first asked for.

        Empty, which is reported, when it cannot be: frames are prepared on the CPU then.
        """
        with self._lock:
            if self._kernels is None:
                self._kernels = {}
                try:
                    with self.cuda.current():
                        self._module = self.cuda.load_module(compile_kernels(self.cuda.device.sm))
                        self._kernels = {size: self.cuda.kernel(self._module, name) for size, name in KERNELS.items()}
                except BackendError as error:
                    self.report(f"frames are prepared on the CPU: {error}")
            return self._kernels

    def new_context(self, addresses: Mapping[str, int]) -> Any:
        """An execution context of the engine, with the device memory of every tensor.

        Raises:
            EngineError: there is not enough memory for its activations.
        """
        with self._lock, self.flavour.messages.capture() as said:
            context = self.engine.create_execution_context()
        if context is None:
            raise EngineError(
                f"{self.flavour.title} cannot create an execution context{reason(said)}; the GPU's memory is probably "
                "full: use fewer replicas, or end what else uses the GPU"
            )
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise EngineError(
                    f"{self.flavour.title} refused memory for the tensor {name!r}; build the engine again, or "
                    "report this"
                )
        return context

    def report(self, text: str) -> None:
        """Say it once, whatever the number of replicas."""
        with self._lock:
            known = text in self._reported
            self._reported.add(text)
        if not known:
            _log.warning("%s: %s", self.flavour.title, text)

    def retain(self) -> LoadedEngine:
        """One user more."""
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        """One user less."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
        with suppress(CudaError), self.cuda.current():
            if self._module is not None:
                self.cuda.unload(self._module)
            self.engine = None  # before its runtime
            self._runtime = None
        self.cuda.close()


def reason(said: Captured) -> str:
    """What TensorRT wrote about a failure, for the middle of a message; it often says nothing."""
    errors = said.texts("error")
    return f" ({' '.join(errors[0].split())})" if errors else ""
