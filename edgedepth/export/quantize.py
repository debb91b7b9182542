"""FP32 ONNX to explicit INT8: QuantizeLinear / DequantizeLinear pairs where TensorRT wants them.

- Everything is symmetric int8 with zero point 0; TensorRT takes nothing else. Half the range behind a ReLU is unused,
  which costs one bit there.
- Convolutions and products with constant weights are quantised: weights per output channel, kept as int8 with a
  DequantizeLinear (a quarter of the size); the activation that enters, per tensor. Biases stay float32: TensorRT
  refuses int32 ones.
- Outputs are not quantised: TensorRT fuses what follows (bias, activation) into the convolution and quantises at the
  next one's input; and the depth itself keeps its precision.
- Where a convolution's output is added to a tensor that is quantised for another convolution already (a residual
  block), the sum takes the quantised tensor too: TensorRT then adds within the convolution's own kernel.
- A node that is left out takes float32, also where its input is quantised for others. onnxruntime's quantiser rewires
  every consumer of a tensor, so that leaving one out keeps only its weights; that is why it is not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.bundle import ModelSpec
from edgedepth.errors import ExportError, InputError
from edgedepth.export.calibrators import DEFAULT_PERCENTILE, Calibrator, collect_ranges
from edgedepth.extras import require
from edgedepth.output import atomic_output

__all__ = [
    "QUANTIZED_OPS",
    "QuantizationResult",
    "insert_qdq",
    "load_float_model",
    "quantizable_nodes",
    "quantize_int8",
    "save_model",
]

QUANTIZED_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
LARGEST_INT8 = 127
OPSET = 13
"""The first with a scale per channel."""


@dataclass(frozen=True)
class QuantizationResult:
    """What became INT8.

    Attributes:
        path: the INT8 network.
        quantized, excluded: names of the nodes that are INT8, and of those that could be and are not.
        calibrator: how ranges were chosen.
        images: how many calibrated.
    """

    path: Path
    quantized: tuple[str, ...]
    excluded: tuple[str, ...]
    calibrator: Calibrator
    images: int


def quantize_int8(
    onnx_path: Path,
    out_path: Path,
    spec: ModelSpec,
    feeds: Iterable[NDArray[Any]],
    *,
    calibrator: Calibrator = "percentile",
    percentile: float = DEFAULT_PERCENTILE,
    exclude: Collection[str] = (),
) -> QuantizationResult:
    """Quantise a network with one calibrator. ``search_int8`` finds the calibrator and what to exclude.

    Args:
        onnx_path: the float32 network. Its inputs and outputs stay float32.
        out_path: the INT8 network to write.
        spec: for messages; what it says of the tensors holds for both.
        feeds: input tensors to calibrate with, made by the runtime's own preprocess (``network_feeds``).
        exclude: names of nodes to leave in float32.

    Raises:
        ExportError: it is not float32, too old, has nothing to quantise, or its activations overflow.
        InputError: ``exclude`` names a node that is not there.
    """
    model = load_float_model(onnx_path, spec.name)
    nodes = quantizable_nodes(model)
    unknown = sorted(set(exclude) - {node.name for node in nodes})
    if unknown:
        raise InputError(f"{spec.name}: no node {unknown[0]!r} that could be quantised; leave it out of exclude")
    seen = collect_ranges(model, sorted({node.input[0] for node in nodes}), feeds)
    save_model(insert_qdq(model, seen.by(calibrator, percentile), exclude), out_path)
    return QuantizationResult(
        path=out_path,
        quantized=tuple(node.name for node in nodes if node.name not in exclude),
        excluded=tuple(node.name for node in nodes if node.name in exclude),
        calibrator=calibrator,
        images=seen.images,
    )


def load_float_model(onnx_path: Path, name: str) -> Any:
    """The ModelProto in a file, its weights included; every node has a name of its own.

    Raises:
        ExportError: not ONNX, an operator set before 13, quantised already, or nothing that could be.
    """
    onnx = require("onnx", "export")
    try:
        model = onnx.load(str(onnx_path))
    except Exception as error:  # protobuf, the file system, external data
        raise ExportError(f"{name}: {onnx_path} cannot be read as ONNX ({error}); export the network again") from error
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < OPSET:
        raise ExportError(f"{name}: INT8 needs ONNX operator set {OPSET}, found {opset}; export it again, with 18")
    taken = Counter(node.name for node in model.graph.node)
    for index, node in enumerate(model.graph.node):
        if not node.name or taken[node.name] > 1:
            node.name = f"{node.op_type}_{index}"
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear", "QLinearConv") for node in model.graph.node):
        raise ExportError(f"{name}: the network is quantised already; start from its float32 original")
    if not quantizable_nodes(model):
        raise ExportError(
            f"{name} has no {', '.join(QUANTIZED_OPS)} with constant float32 weights, so INT8 brings nothing; "
            "use --fp16"
        )
    return model


def quantizable_nodes(model: Any) -> list[Any]:
    """Nodes with constant float32 weights, in the order of the graph. Products of two activations (attention) are not
    among them: INT8 costs them accuracy and TensorRT's fused attention."""
    weights = _constants(model)
    found = []
    for node in model.graph.node:
        if node.op_type in QUANTIZED_OPS and node.input[0] not in weights:
            weight = weights.get(node.input[1])
            if weight is not None and weight.data_type == weight.FLOAT and len(weight.dims) > 1:
                found.append(node)
    return found


def _constants(model: Any) -> dict[str, Any]:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants.update((node.output[0], entry.t) for entry in node.attribute if entry.name == "value")
    return constants


def insert_qdq(model: Any, ranges: Mapping[str, float], exclude: Collection[str] = ()) -> Any:
    """A copy of ``model`` in INT8.

    Args:
        model: from ``load_float_model``.
        ranges: magnitude that 127 stands for, of each tensor that enters a quantised node.
        exclude: names of nodes that stay float32.
    """
    onnx = require("onnx", "export")
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    graph = _Graph(quantised, onnx)
    targets = [node for node in quantizable_nodes(quantised) if node.name not in exclude]
    for node in targets:
        node.input[1] = graph.weight(node.input[1], _channel_axis(node, len(graph.constants[node.input[1]].dims)))
        node.input[0] = graph.activation(node.input[0], ranges[node.input[0]])
    _quantize_residuals(quantised, {node.output[0] for node in targets if node.op_type == "Conv"}, graph)
    graph.finish()
    return quantised


def _channel_axis(node: Any, rank: int) -> int | None:
    """The axis of the weights that is the output channel; None where TensorRT takes one scale for all."""
    attributes = {entry.name: entry.i for entry in node.attribute}
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1 if attributes.get("group", 1) == 1 else None
    if node.op_type == "Gemm":
        return 0 if attributes.get("transB", 0) else 1
    return 1 if rank == 2 else None


def _quantize_residuals(model: Any, convolved: Collection[str], graph: _Graph) -> None:
    """See the module docstring. Sums of two convolutions stay: one of them is fused, the other is the branch."""
    for node in model.graph.node:
        if node.op_type != "Add":
            continue
        for mine, other in ((0, 1), (1, 0)):
            if node.input[mine] in convolved and node.input[other] in graph.dequantised:
                node.input[other] = graph.dequantised[node.input[other]]


class _Graph:
    """Collects what is added to a graph, each scale and pair once."""

    def __init__(self, model: Any, onnx: Any) -> None:
        self._model, self._onnx = model, onnx
        self.constants = _constants(model)
        self.dequantised: dict[str, str] = {}
        self._weights: dict[tuple[str, int | None], str] = {}
        self._before: dict[str, list[Any]] = {}
        self._head: list[Any] = []
        self._initializers: list[Any] = []

    def activation(self, name: str, largest: float) -> str:
        """The name of the tensor after a pair."""
        if name not in self.dequantised:
            scale = np.float32(largest / LARGEST_INT8) if largest > 0 else np.float32(1)
            parameters = self._parameters(name, np.array(scale), np.array(0, np.int8))
            make = self._onnx.helper.make_node
            pair = [
                make("QuantizeLinear", [name, *parameters], [f"{name}_int8"], f"{name}_QuantizeLinear"),
                make("DequantizeLinear", [f"{name}_int8", *parameters], [f"{name}_q"], f"{name}_DequantizeLinear"),
            ]
            self._before[name] = pair
            self.dequantised[name] = f"{name}_q"
        return self.dequantised[name]

    def weight(self, name: str, axis: int | None) -> str:
        """The name of the constant kept as int8."""
        if (name, axis) not in self._weights:
            values = self._onnx.numpy_helper.to_array(self.constants[name])
            others = None if axis is None else tuple(i for i in range(values.ndim) if i != axis)
            largest = np.abs(values).max(axis=others, keepdims=True).astype(np.float32)
            scale = np.where(largest > 0, largest / np.float32(LARGEST_INT8), np.float32(1)).astype(np.float32)
            steps = np.clip(np.rint(values / scale), -LARGEST_INT8, LARGEST_INT8).astype(np.int8)
            again = any(known == name for known, _ in self._weights)  # along another axis
            base = f"{name}_axis{axis}" if again else name
            flat = scale.reshape(-1) if axis is not None else scale.reshape(())
            parameters = self._parameters(base, flat, np.zeros(flat.shape, np.int8))
            self._initializers.append(self._onnx.numpy_helper.from_array(steps, f"{base}_int8"))
            attributes = {} if axis is None else {"axis": axis}
            self._head.append(
                self._onnx.helper.make_node(
                    "DequantizeLinear",
                    [f"{base}_int8", *parameters],
                    [f"{base}_q"],
                    f"{base}_DequantizeLinear",
                    **attributes,
                )
            )
            self._weights[name, axis] = f"{base}_q"
        return self._weights[name, axis]

    def _parameters(self, base: str, scale: NDArray[np.float32], zero: NDArray[np.int8]) -> list[str]:
        names = [f"{base}_scale", f"{base}_zero_point"]
        arrays: tuple[NDArray[Any], ...] = (scale, zero)
        self._initializers += [
            self._onnx.numpy_helper.from_array(array, name) for array, name in zip(arrays, names, strict=True)
        ]
        return names

    def finish(self) -> None:
        """Put the nodes in, each pair behind what makes its tensor, and drop weights nobody reads any more."""
        graph = self._model.graph
        inputs = {value.name for value in graph.input}
        nodes = [*self._head, *(node for name in self._before if name in inputs for node in self._before[name])]
        for node in graph.node:
            nodes.append(node)
            nodes += [added for name in node.output for added in self._before.get(name, ())]
        read = {name for node in nodes for name in node.input} | {value.name for value in graph.output}
        kept = [node for node in nodes if node.op_type != "Constant" or node.output[0] in read]
        initializers = [tensor for tensor in (*graph.initializer, *self._initializers) if tensor.name in read]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(kept)
        graph.initializer.extend(initializers)


def save_model(model: Any, path: Path) -> None:
    """Check a ModelProto and write it, whole or not at all. Raises ExportError, OutputError."""
    onnx = require("onnx", "export")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"the INT8 graph is not valid ONNX ({' '.join(str(error).split())}); report this") from error
    with atomic_output(path) as temporary:
        onnx.save(model, str(temporary))
