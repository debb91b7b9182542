"""Builds ONNX graphs with TensorRT-RTX, which needs no GPU for that: the check that NVIDIA's parser takes a graph.

And what the engine takes and gives by then, read from the plan.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edgedepth.backends.base import EngineOptions, TensorSpec
from edgedepth.backends.tensorrt.builder import build_engine
from edgedepth.backends.tensorrt.flavour import load_tensorrt

_GPUS = {"SM86": (8, 6), "SM120": (12, 0)}


def build_with_rtx(onnx_path: Path, *capabilities: str) -> int:
    """Parse and build for each compute capability (``"SM86"``), strongly typed. Returns the last plan's bytes.

    Skips the test where the library is not installed; an EngineError has the parser's words where it is refused.
    """
    pytest.importorskip("tensorrt_rtx")
    rtx = load_tensorrt("tensorrt_rtx")
    size = 0
    for capability in capabilities or tuple(_GPUS):
        built = build_engine(onnx_path, EngineOptions(), flavour=rtx, target=(_GPUS[capability],))
        assert built.strongly_typed
        size = len(built.plan)
    return size


_ENDS = re.compile(rb'\n  (inputs|outputs)=\{ ((?:"[^"\n]+" )+)\}')
_TENSOR = re.compile(rb'\n  tensor=\{[^\n{}]* dims=\{ ([\d ]+) \}[^\n{}]* name="([^"\n]+)"[^\n]* type=(\w+) \}')
_DTYPES = {b"float": np.float32, b"half": np.float16}


def tensors_of(plan: bytes) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
    """Inputs and outputs by name, as they stand in a plan of TensorRT-RTX, whose runtime tells them on a GPU alone."""
    tensors: dict[bytes, TensorSpec] = {}
    for dims, name, kind in _TENSOR.findall(plan):
        plain = name.decode().rpartition(".")[0]  # the compiler numbers the names
        spec = TensorSpec(plain, np.dtype(_DTYPES.get(kind, np.void)), tuple(map(int, dims.split())))
        tensors.setdefault(name, spec)
    ends: dict[bytes, dict[str, TensorSpec]] = {}
    for side, names in _ENDS.findall(plan):
        if side not in ends:  # the whole graph comes first, the parts it was cut into later
            ends[side] = {tensors[name].name: tensors[name] for name in re.findall(rb'"([^"]+)"', names)}
    return ends[b"inputs"], ends[b"outputs"]
