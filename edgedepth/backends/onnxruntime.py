"""onnxruntime: runs every network, on the CPU or through its CUDA and TensorRT providers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends.base import BackendOptions, TensorSpec
from edgedepth.backends.feeds import one_line
from edgedepth.backends.loaded import BaseBackend
from edgedepth.device import usable_cpus
from edgedepth.errors import BackendError, BackendUnavailable, InputError

__all__ = ["OnnxRuntimeBackend", "open_onnxruntime"]

_SUFFIX = "ExecutionProvider"
_CPU = "CPUExecutionProvider"
_GPU_HINT = (
    "install the GPU build in its place: pip uninstall onnxruntime && pip install onnxruntime-gpu "
    "(on a Jetson the wheel made for its JetPack), with the CUDA and cuDNN it asks for"
)
_HINTS = {"cuda": _GPU_HINT, "tensorrt": f"{_GPU_HINT}, and TensorRT"}
# Taken without being named. TensorRT is not: it builds an engine first, which takes minutes.
_PREFERRED = ("CUDAExecutionProvider", _CPU)

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def open_onnxruntime(path: Path, options: BackendOptions) -> OnnxRuntimeBackend:
    """Load ``path``. Errors as in ``open_backend``.

    ``options.device`` is a provider without its suffix, in any case (``"cpu"``, ``"cuda"``, ``"tensorrt"``); None takes
    CUDA where it works, else the CPU.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendUnavailable(
            f"onnxruntime could not be imported ({one_line(error)}); install it: pip install onnxruntime"
        ) from error
    providers = _providers(options.device, ort.get_available_providers())
    session_options = ort.SessionOptions()
    session_options.log_severity_level = 3  # errors; they are raised anyway
    session_options.inter_op_num_threads = 1
    throughput = options.mode == "throughput"
    threads = options.threads or (1 if throughput else usable_cpus())
    session_options.intra_op_num_threads = threads
    if throughput:
        # Waiting threads that spin take the cores the other replicas work on.
        session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(path), session_options, providers=providers)
    except Exception as error:
        raise _mapped(error, f"onnxruntime cannot load {path.name}") from error
    active = session.get_providers()[0]
    if options.device is not None and active != providers[0]:
        device = options.device.lower()
        raise BackendUnavailable(
            f"onnxruntime lists {providers[0]} but could not start it and fell back to {active}; "
            f"{_HINTS.get(device, 'check the libraries it needs')}"
        )
    return OnnxRuntimeBackend(session, f"onnxruntime:{active.removesuffix(_SUFFIX).lower()}")


class OnnxRuntimeBackend(BaseBackend):
    """One session. Sessions may run from several threads at once, so replicas share it: the weights are held once.

    Outputs are onnxruntime's own fresh arrays: binding preallocated ones measured no faster on the CPU.
    """

    def __init__(self, session: Any, name: str) -> None:
        inputs, outputs = (
            tuple(_tensor_spec(node) for node in nodes) for nodes in (session.get_inputs(), session.get_outputs())
        )
        super().__init__(name, inputs, outputs)
        self._session = session
        self._output_names = [spec.name for spec in outputs]

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        try:
            values = self._session.run(self._output_names, feeds)
        except Exception as error:
            raise _mapped(error, "onnxruntime failed while running the network") from error
        return dict(zip(self._output_names, values, strict=True))

    def _replica(self) -> OnnxRuntimeBackend:
        return OnnxRuntimeBackend(self._session, self._name)

    def _release(self) -> None:
        self._session = None


def _providers(device: str | None, available: list[str]) -> list[str]:
    """Providers to ask for, the wanted one first, the CPU last: it runs what the others cannot."""
    if device is None:
        return [provider for provider in _PREFERRED if provider in available]
    by_device = {provider.removesuffix(_SUFFIX).lower(): provider for provider in available}
    wanted = device.lower().removesuffix(_SUFFIX.lower())
    if wanted in by_device:
        chain = [by_device[wanted]]
        if wanted == "tensorrt" and "cuda" in by_device:
            chain.append(by_device["cuda"])
        return chain if wanted == "cpu" else [*chain, _CPU]
    if wanted in _HINTS:
        raise BackendUnavailable(
            f"onnxruntime has no {wanted} provider here (it has {', '.join(by_device)}); {_HINTS[wanted]}"
        )
    raise InputError(f"unknown onnxruntime device {device!r}; this build has {', '.join(by_device)}")


def _tensor_spec(node: Any) -> TensorSpec:
    if node.type not in _DTYPES:
        raise BackendError(f"the network's {node.name!r} is a {node.type}; expected a tensor of numbers")
    shape = tuple(n if isinstance(n, int) and n >= 0 else None for n in node.shape)
    return TensorSpec(node.name, np.dtype(_DTYPES[node.type]), shape)


def _mapped(error: Exception, doing: str) -> BackendError:
    """The one place where onnxruntime's exceptions become ours."""
    kind = type(error).__name__
    if kind in ("InvalidProtobuf", "NoModel") or "No graph was found" in str(error):
        return BackendError(f"{doing}: it is not a complete ONNX file (truncated or altered?); get it again")
    if isinstance(error, MemoryError) or "Failed to allocate memory" in str(error):
        return BackendError(f"{doing}: out of memory; use a smaller input size or fewer replicas")
    return BackendError(f"{doing}: {one_line(error)}")
