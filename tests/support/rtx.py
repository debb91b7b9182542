"""Builds ONNX graphs with TensorRT-RTX, which needs no GPU for that: the check that NVIDIA's parser takes a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def build_with_rtx(onnx_path: Path, *capabilities: str) -> int:
    """Parse and build for each compute capability (``"SM86"``), strongly typed. Returns the last plan's bytes.

    Skips the test where the library is not installed; fails it, with the parser's words, where the graph is refused.
    """
    trt: Any = pytest.importorskip("tensorrt_rtx")
    size = 0
    for capability in capabilities or ("SM86", "SM120"):
        messages: list[str] = []

        class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
            def log(self, severity: Any, message: str, messages: list[str] = messages) -> None:
                if severity <= trt.ILogger.ERROR:
                    messages.append(message)

        logger = Logger()
        builder = trt.Builder(logger)
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse_from_file(str(onnx_path)):
            pytest.fail(f"{onnx_path.name}: {[parser.get_error(i).desc() for i in range(parser.num_errors)]}")
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            pytest.fail(f"{onnx_path.name} for {capability}: {messages}")
        size = plan.nbytes
    return size
