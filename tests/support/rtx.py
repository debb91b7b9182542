"""Builds ONNX graphs with TensorRT-RTX, which needs no GPU for that: the check that NVIDIA's parser takes a graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgedepth.backends.base import EngineOptions
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
