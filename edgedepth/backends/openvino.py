"""OpenVINO (optional extra): the fastest way to run small convolutional networks on Intel and AMD CPUs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends.base import BackendOptions, TensorSpec
from edgedepth.backends.feeds import one_line
from edgedepth.backends.loaded import BaseBackend
from edgedepth.device import usable_cpus
from edgedepth.errors import BackendError, BackendUnavailable
from edgedepth.extras import require

__all__ = ["OpenVinoBackend", "open_openvino"]


def open_openvino(path: Path, options: BackendOptions) -> OpenVinoBackend:
    """Load ``path``. Errors as in ``open_backend``; MissingExtraError when openvino is not installed.

    ``options.device`` is OpenVINO's (``"CPU"``, ``"GPU.0"``, in any case); None is the CPU. Arithmetic is float32
    whatever the CPU offers: left to itself OpenVINO computes in bfloat16 on CPUs with AMX, which is faster and changes
    the depth. Nothing is cached on disk.
    """
    core = _core()
    device = (options.device or "CPU").upper()
    if device.split(".")[0] not in {name.split(".")[0] for name in core.available_devices}:
        raise BackendUnavailable(
            f"OpenVINO finds no device {device} (it has {', '.join(core.available_devices)}); "
            "install that device's driver, or leave the device out"
        )
    throughput = options.mode == "throughput"
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "CACHE_DIR": "",
    }
    if throughput:
        config["NUM_STREAMS"] = str(options.replicas)
    if device == "CPU":
        # INFERENCE_NUM_THREADS is the total over all streams.
        cores = usable_cpus()
        config["INFERENCE_NUM_THREADS"] = (
            options.replicas * (options.threads or 1) if throughput else options.threads or cores
        )
    try:
        # Not core.read_model: given a damaged file it tries the readers of other formats, which write to stderr.
        reader = require("openvino.frontend", "openvino").FrontEndManager().load_by_framework("onnx")
        network = reader.convert(reader.load(str(path)))
        # Taken now: where the compiler drops a cast, the tensor has its name as well as the file's afterwards.
        names = [port.get_any_name() for port in (*network.inputs, *network.outputs)]
        return OpenVinoBackend(core.compile_model(network, device, config), names, f"openvino:{device.lower()}")
    except Exception as error:
        raise _mapped(error, f"OpenVINO cannot load {path.name} (damaged, or not a network it supports)") from error


@cache
def _core() -> Any:
    """The process's one Core, never let go.

    The CPU plugin gives the thread that makes a Core an alternate signal stack, and puts back the one before when the
    Core dies. With two Cores that do not die in reverse order the thread is left with freed memory as its signal
    stack, and the next signal (Ctrl-C) is a segmentation fault. Seen with OpenVINO 2026.4.
    """
    with _no_telemetry():
        return require("openvino", "openvino").Core()


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """Importing openvino sends a usage event over the network, from a fork, unasked. Nobody expects that of a camera.

    It does without where its telemetry package is not installed, so here it seems not to be.
    """
    if "openvino_telemetry" in sys.modules:  # the program uses it by itself
        yield
        return
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["openvino_telemetry"]


class OpenVinoBackend(BaseBackend):
    """One compiled network; each replica has its own infer request, whose memory the outputs are.

    Args:
        compiled: the network.
        names: of its inputs, then of its outputs.
        name: of the backend.
    """

    def __init__(self, compiled: Any, names: Sequence[str], name: str) -> None:
        if not compiled.outputs:
            raise BackendError("there is no network in it")  # what it reads in an empty file
        ports = [_tensor_spec(*pair) for pair in zip(names, (*compiled.inputs, *compiled.outputs), strict=True)]
        count = len(compiled.inputs)
        super().__init__(name, tuple(ports[:count]), tuple(ports[count:]))
        self._compiled, self._names = compiled, names
        self._request = compiled.create_infer_request()

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        try:
            values = self._request.infer(
                {index: np.ascontiguousarray(feeds[spec.name]) for index, spec in enumerate(self._inputs)},
                share_inputs=True,
                share_outputs=True,
            )
            return {spec.name: values[index] for index, spec in enumerate(self._outputs)}
        except Exception as error:
            raise _mapped(error, "OpenVINO failed while running the network") from error

    def _replica(self) -> OpenVinoBackend:
        return OpenVinoBackend(self._compiled, self._names, self._name)

    def _release(self) -> None:
        self._compiled = self._request = None


def _tensor_spec(name: str, port: Any) -> TensorSpec:
    shape = tuple(d.get_length() if d.is_static else None for d in port.get_partial_shape())
    return TensorSpec(name, np.dtype(port.get_element_type().to_dtype()), shape)


def _mapped(error: Exception, doing: str) -> BackendError:
    """The one place where OpenVINO's exceptions become ours. They carry source file lines; the last line says it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else one_line(error)
    return BackendError(f"{doing}: {text}")
