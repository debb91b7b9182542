"""Small ONNX graphs of each precision and with each fault, made with the onnx library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def tensor(name: str, values: Any, dtype: type = np.float32) -> onnx.TensorProto:
    """A weight."""
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def save_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: Sequence[onnx.TensorProto] = (),
    *,
    kind: int = FLOAT,
    output_kind: int | None = None,
    shape: Sequence[int | str] = (1, 3, 16, 16),
    output_shape: Sequence[int] | None = None,
    opset: int = 18,
) -> Path:
    """``image`` to ``depth``."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("depth", output_kind or kind, output_shape)],
        list(weights),
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), str(path))
    return path


def conv(path: Path, dtype: type = np.float32, *, channels: int = 4, seed: int = 0) -> Path:
    """Two convolutions with a ReLU between."""
    draw = np.random.default_rng(seed)
    weights = [
        tensor("w", draw.normal(size=(channels, 3, 3, 3)), dtype),
        tensor("v", draw.normal(size=(1, channels, 1, 1)), dtype),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="act"),
        helper.make_node("Conv", ["b", "v"], ["depth"], name="head"),
    ]
    return save_graph(path, nodes, weights, kind=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def quantised_conv(path: Path, *, zero_point: int = 0, dtype: type = np.int8, half: bool = False) -> Path:
    """Q/DQ around a convolution as TensorRT wants it, unless a zero point or another type is asked for."""
    draw = np.random.default_rng(0)
    floating = np.float16 if half else np.float32
    weights = [
        tensor("w", draw.integers(-127, 128, (4, 3, 3, 3)), np.int8),
        tensor("ws", np.full(4, 0.01), floating),
        tensor("wz", np.zeros(4), np.int8),
        tensor("s", 0.05, floating),
        tensor("z", zero_point, dtype),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"], name="quantise"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"], name="dequantise"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], name="weights", axis=0),
        helper.make_node("Conv", ["x", "wf"], ["depth"], name="conv"),
    ]
    return save_graph(path, nodes, weights, kind=HALF if half else FLOAT, opset=19)


def attention(path: Path, dtype: type = np.float32) -> Path:
    """Self-attention as exporters write it: MatMul, Softmax, MatMul."""
    nodes = [
        helper.make_node("Transpose", ["image"], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["image", "t"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"], axis=-1),
        helper.make_node("MatMul", ["b", "image"], ["depth"]),
    ]
    return save_graph(path, nodes, kind=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
