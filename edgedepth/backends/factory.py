"""One way to open a network: ``open_backend``. A new runtime is a file here and a line in ``_BUILTIN``, or a plugin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from edgedepth.backends.base import Backend, BackendOptions
from edgedepth.errors import BackendError, BackendUnavailable, InputError

__all__ = ["available_backends", "open_backend"]

Opener = Callable[[Path, BackendOptions], Backend]

ENTRY_POINT_GROUP = "edgedepth.backends"

# name -> (where its opener is, the libraries of which it needs one). The order is the order of preference when no name
# is given: onnxruntime comes with the package and runs everything. openvino is several times faster on AVX-512 CPUs and
# is taken only when asked for, so that installing an extra does not change anybody's numbers.
_BUILTIN: dict[str, tuple[str, tuple[str, ...]]] = {
    "onnxruntime": ("edgedepth.backends.onnxruntime:open_onnxruntime", ("onnxruntime",)),
    "openvino": ("edgedepth.backends.openvino:open_openvino", ("openvino",)),
    "tensorrt": ("edgedepth.backends.tensorrt.backend:open_tensorrt", ("tensorrt", "tensorrt_rtx")),
    "fake": ("edgedepth.backends.fake:open_fake", ("onnxruntime",)),
}
_DEFAULTS = ("onnxruntime", "openvino")


def available_backends() -> dict[str, bool]:
    """Every backend by name, plugins included, and whether its library is installed."""
    known = {name: _is_installed(name) for name in _BUILTIN}
    return known | {entry.name: True for entry in entry_points(group=ENTRY_POINT_GROUP)}


def open_backend(onnx_path: str | Path, options: BackendOptions | None = None, *, name: str | None = None) -> Backend:
    """Load the network ``onnx_path``.

    Args:
        onnx_path: an ``.onnx`` file (external data beside it).
        options: threads, replicas, device; None takes the defaults (latency mode).
        name: ``"onnxruntime"``, ``"openvino"``, ``"tensorrt"`` (TensorRT or TensorRT-RTX), ``"fake"`` or a plugin's
            name (entry points ``edgedepth.backends``, each a callable ``(path, options) -> Backend``), optionally with
            a device: ``"onnxruntime:cuda"``. None takes the first installed of onnxruntime, openvino.

    Raises:
        InputError: no such file, an unknown name, or two different devices.
        BackendUnavailable, MissingExtraError: the library, provider or device is missing; says what installs it.
        BackendError: the file is not a network this library can load.
    """
    path = Path(onnx_path)
    if not path.is_file():
        raise InputError(f"no network at {path}: expected an .onnx file; check the path")
    options = options or BackendOptions()
    kind = name
    if kind is not None and ":" in kind:
        kind, device = kind.split(":", 1)
        if options.device not in (None, device):
            raise InputError(f"two devices were asked for, {name!r} and {options.device!r}; give one")
        options = replace(options, device=device)
    return _opener(kind or _default_name())(path, options)


def _default_name() -> str:
    for name in _DEFAULTS:
        if _is_installed(name):
            return name
    raise BackendUnavailable(
        f"none of {', '.join(_DEFAULTS)} is installed, so no network can run; install one: pip install onnxruntime"
    )


def _is_installed(name: str) -> bool:
    return any(find_spec(library) is not None for library in _BUILTIN[name][1])


def _opener(name: str) -> Opener:
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            try:
                return cast(Opener, entry.load())
            except Exception as error:  # a plugin may fail in any way
                raise BackendError(f"the backend plugin {name!r} ({entry.value}) cannot be loaded: {error}") from error
    if name not in _BUILTIN:
        raise InputError(f"unknown backend {name!r}; known are {', '.join(available_backends())}")
    module, function = _BUILTIN[name][0].split(":")
    return cast(Opener, getattr(import_module(module), function))
