"""Which TensorRT is here: TensorRT 8.6 to 11 or TensorRT-RTX, and what it can do. The one place that imports it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from edgedepth.backends.feeds import one_line
from edgedepth.backends.tensorrt.api import CAPABILITIES, REQUIRED, missing_names
from edgedepth.backends.tensorrt.logger import MessageLog, make_logger
from edgedepth.errors import BackendUnavailable, InputError

__all__ = ["FLAVOURS", "PREFERENCE_VARIABLE", "Flavour", "flavour_of", "load_tensorrt"]

FLAVOURS = ("tensorrt", "tensorrt_rtx")
"""Python modules, in order of preference: full TensorRT runs on every board, RTX on desktop GPUs."""

PREFERENCE_VARIABLE = "EDGEDEPTH_TENSORRT"

_INSTALL = {
    "tensorrt": (
        "on a Jetson JetPack brings it (sudo apt install python3-libnvinfer, in an environment made with "
        "python3 -m venv --system-site-packages); elsewhere: pip install tensorrt"
    ),
    "tensorrt_rtx": "pip install tensorrt-rtx-cu13",
}


@dataclass(frozen=True)
class Flavour:
    """A TensorRT that was found.

    Attributes:
        name: ``"tensorrt"`` or ``"tensorrt_rtx"``: the Python module.
        trt: the module.
        version: its full version, as it says itself.
        logger: the one logger of this process to hand to its builder, parser and runtime: it keeps the first it gets.
        messages: what went through that logger.
    """

    name: str
    trt: ModuleType = field(repr=False)
    version: str
    logger: Any = field(repr=False)
    messages: MessageLog = field(repr=False)

    @property
    def title(self) -> str:
        """For messages: ``"TensorRT 10.3.0"``, ``"TensorRT-RTX 1.7.1.116"``."""
        return f"{'TensorRT-RTX' if self.is_rtx else 'TensorRT'} {self.version}"

    @property
    def is_rtx(self) -> bool:
        """True for TensorRT-RTX."""
        return self.has("ahead_of_time")

    @property
    def version_tuple(self) -> tuple[int, ...]:
        """For the table of known faults only; features are asked of ``has``."""
        return tuple(int(part) for part in self.version.split(".") if part.isdigit())

    def has(self, capability: str) -> bool:
        """Whether this library has all names of a capability of ``api.CAPABILITIES``."""
        return not missing_names(self.trt, CAPABILITIES[capability])

    @property
    def compute_capabilities(self) -> tuple[tuple[int, int], ...]:
        """GPUs it can build for with none at hand, as (major, minor); empty when it cannot."""
        if not self.has("ahead_of_time"):
            return ()
        names = (name for name in dir(self.trt.ComputeCapability) if name.startswith("SM") and name[2:].isdigit())
        return tuple(sorted((int(name[2:-1]), int(name[-1])) for name in names))


def load_tensorrt(prefer: str | None = None) -> Flavour:
    """Import the TensorRT that is installed.

    Args:
        prefer: ``"tensorrt"`` or ``"tensorrt_rtx"`` takes that one or fails; None takes the environment variable
            ``EDGEDEPTH_TENSORRT``, else the first that is installed.

    Raises:
        InputError: ``prefer`` is neither.
        BackendUnavailable: not installed, cannot be loaded, or lacks names every supported version has; says what
            installs it.
    """
    prefer = prefer or os.environ.get(PREFERENCE_VARIABLE) or None
    if prefer is not None and prefer not in FLAVOURS:
        raise InputError(f"unknown TensorRT {prefer!r} ({PREFERENCE_VARIABLE}); expected {' or '.join(FLAVOURS)}")
    return _load((prefer,) if prefer else FLAVOURS)


@cache
def _load(names: tuple[str, ...]) -> Flavour:
    reasons = []
    for name in names:
        try:
            return flavour_of(import_module(name), name)
        except ImportError as error:  # not installed, or its libraries are missing
            reasons.append(f"{name}: {one_line(error)}")
    installs = "; ".join(_INSTALL[name] for name in names)
    raise BackendUnavailable(f"TensorRT could not be imported ({'; '.join(reasons)}); install it: {installs}")


def flavour_of(trt: ModuleType, name: str) -> Flavour:
    """The Flavour of an imported module.

    Raises:
        BackendUnavailable: it lacks names every supported version has: older than 8.6, or only a part of TensorRT.
    """
    lacking = missing_names(trt, REQUIRED)
    if lacking:
        version = getattr(trt, "__version__", "of unknown version")
        raise BackendUnavailable(
            f"{name} {version} lacks {', '.join(lacking[:3])}{' ...' if len(lacking) > 3 else ''}; expected TensorRT "
            f"8.6 or later with its builder and parser: {_INSTALL[name]}"
        )
    messages = MessageLog()
    return Flavour(name, trt, trt.__version__, make_logger(trt, messages), messages)
