"""Which numbers inside a network FP16 cannot hold: measured on real inputs, not guessed from layer types.

Every floating tensor of the graph gets three reductions to a scalar beside it, so one run measures all of them and no
more than the network's own memory is needed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import ExportError
from edgedepth.export.onnx_export import SCOPES_KEY
from edgedepth.export.redundant import Graph
from edgedepth.extras import require

__all__ = ["FP16_MAX", "Overflow", "Underflow", "find_overflow", "find_underflow", "module_path", "name_nodes"]

FP16_MAX = 65504.0

_PROBES = {"max": "ReduceMax", "min": "ReduceMin", "sum": "ReduceL1"}
_FLOAT_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Overflow:
    """One tensor that goes beyond the limit.

    Attributes:
        tensor: its name in the graph.
        magnitude: largest absolute value over all inputs; infinite when it is no number at all.
        producer: the node that makes it; None for a constant.
        consumers: the nodes that read it. Both sides must be FP32 for the number to survive.
        module: the smallest module of the torch network that holds both, ``""`` the network itself; None when the
            graph does not say where it comes from.
    """

    tensor: str
    magnitude: float
    producer: str | None
    consumers: tuple[str, ...]
    module: str | None


@dataclass(frozen=True)
class Underflow:
    """A weight whose numbers are too small for FP16. ``lost``: what rounding takes of the sum of its magnitudes.

    About 0.0002 is usual. Some zeros among larger numbers are nothing; a weight that is small as a whole is.
    """

    tensor: str
    lost: float


def find_overflow(onnx_path: Path, feeds: Sequence[NDArray[Any]], limit: float = FP16_MAX / 2) -> tuple[Overflow, ...]:
    """Tensors whose magnitude exceeds ``limit`` on any feed, in the order in which they are computed.

    Args:
        onnx_path: a graph with one input; FP32; or FP16 with ``limit=inf``, which finds what FP16 made NaN or infinite.
        feeds: input tensors, batch included; at least one.
        limit: half of FP16's largest number, because the next image may be brighter. Constants are held against that
            number itself.

    Raises:
        ExportError: no feeds, or the graph cannot be read or run.
    """
    onnx = require("onnx", "export")
    if not len(feeds):
        raise ExportError("nothing to measure the network's numbers on; give at least one input tensor")
    try:
        model = onnx.shape_inference.infer_shapes(onnx.load(str(onnx_path)))
    except Exception as error:  # protobuf's, the file system's, or onnx's own
        raise ExportError(f"{onnx_path} cannot be read as ONNX: {error}") from error
    name_nodes(model)
    graph = Graph(model)
    probed = _add_probes(model, onnx)
    magnitudes = dict.fromkeys(probed, 0.0)
    for values in _run(model, onnx_path, feeds, [f"{name}/{probe}" for name in probed for probe in _PROBES]):
        for name, (high, low, total) in zip(probed, np.reshape(values, (-1, len(_PROBES))), strict=True):
            # The sum of magnitudes is NaN or infinite as soon as one value is; maxima may pass over NaN.
            size = max(abs(high), abs(low)) if np.isfinite(total) else np.inf
            magnitudes[name] = max(magnitudes[name], float(size))
    constants = {} if np.isinf(limit) else _constants(model, onnx)
    found = {name: size for name, size in constants.items() if FP16_MAX < size < _FLOAT_MAX}
    # onnxruntime's CPU computes FP16 operators in FP32 and may leave out the rounding between two of them, so that an
    # FP16 tensor shows what it would have held, not the infinity a GPU makes of it.
    ceilings = {name: min(limit, FP16_MAX if is_half else _FLOAT_MAX) for name, is_half in probed.items()}
    found |= {name: size for name, size in magnitudes.items() if size > ceilings[name]}
    scopes = _Scopes(graph)
    return tuple(
        Overflow(
            tensor=name,
            magnitude=size,
            producer=None if name in constants else graph.producers[name].name,
            consumers=tuple(node.name for node in graph.consumers.get(name, ())),
            module=scopes.around(name, constant=name in constants),
        )
        for name, size in found.items()
    )


def find_underflow(onnx_path: Path, share: float = 0.01) -> tuple[Underflow, ...]:
    """Weights, of two and more dimensions, that lose more than ``share`` of their magnitude to FP16's rounding."""
    onnx = require("onnx", "export")
    found = []
    for tensor in onnx.load(str(onnx_path)).graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        held = np.clip(values, -FP16_MAX, FP16_MAX)  # what is beyond is overflow, and found as such
        lost = float(np.abs(held - held.astype(np.float16)).sum() / max(np.abs(held).sum(), np.finfo(np.float32).tiny))
        if lost > share:
            found.append(Underflow(tensor.name, lost))
    return tuple(found)


def name_nodes(model: Any) -> None:
    """Give every node a name of its own, the same on every call, so that nodes can be spoken of."""
    seen: set[str] = set()
    for node in model.graph.node:
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}:{node.output[0]}"
        seen.add(node.name)


def _add_probes(model: Any, onnx: Any) -> dict[str, bool]:
    """Reductions of every floating tensor that is computed, as further outputs. Returns whether each is FP16.

    They stand right behind what makes the tensor, so that it can be let go.
    """
    types = {
        value.name: value.type.tensor_type
        for value in (*model.graph.value_info, *model.graph.output)
        if value.type.HasField("tensor_type")
    }
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    probed: dict[str, bool] = {}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        model.graph.node.append(node)
        if node.op_type == "Constant":
            continue
        for name in node.output:
            kind = types.get(name)
            empty = kind is not None and any(d.HasField("dim_value") and d.dim_value == 0 for d in kind.shape.dim)
            if kind is None or kind.elem_type not in kinds or empty:
                continue
            source = name
            probed[name] = kind.elem_type == onnx.TensorProto.FLOAT16
            if probed[name]:
                source = f"{name}/fp32"
                model.graph.node.append(onnx.helper.make_node("Cast", [name], [source], to=onnx.TensorProto.FLOAT))
            for probe, operator in _PROBES.items():
                output = f"{name}/{probe}"
                model.graph.node.append(onnx.helper.make_node(operator, [source], [output], keepdims=0))
                model.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, []))
    return probed


def _run(model: Any, path: Path, feeds: Sequence[NDArray[Any]], outputs: list[str]) -> list[list[NDArray[Any]]]:
    """The probes' values for every feed, each operator on its own: a fused one would hide what is between."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # In the graph's own order. Otherwise the probes come last, and every tensor is kept for them: 22 GB for ZoeDepth.
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        image = session.get_inputs()[0].name
        return [session.run(outputs, {image: feed}) for feed in feeds]
    except Exception as error:  # onnxruntime's own classes share no public base
        text = " ".join(str(error).split())[:300]
        raise ExportError(f"{path.name} could not be run to measure its numbers: {text}") from error


def _constants(model: Any, onnx: Any) -> dict[str, float]:
    """Largest finite magnitude of every float32 constant. Infinities mask, and FP16 has them too."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t
    sizes = {}
    for name, tensor in tensors.items():
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = np.abs(onnx.numpy_helper.to_array(tensor))
            sizes[name] = float(np.max(values, initial=0.0, where=np.isfinite(values)))
    return sizes


class _Scopes:
    """From nodes to the modules of the torch network that made them."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._own: Mapping[str, tuple[str, ...]] = {
            node.name: path for node in graph.model.graph.node if (path := module_path(node)) is not None
        }

    def around(self, tensor: str, *, constant: bool) -> str | None:
        """The smallest module that holds the maker and all readers of a tensor."""
        if not self._own:
            return None
        nodes = list(self._graph.consumers.get(tensor, ()))
        if tensor in self._graph.producers:
            nodes.append(self._graph.producers[tensor])
        paths = [self._of(node) for node in nodes] or [("",)]
        if constant:
            # A weight may have been folded into its neighbour's, whose module then signs for both.
            paths = [path[:-1] or path for path in paths]
        common = []
        for level in zip(*paths, strict=False):
            if len(set(level)) > 1:
                break
            common.append(level[0])
        return common[-1] if common else ""

    def _of(self, node: Any) -> tuple[str, ...]:
        """A node's modules, outermost first; nodes that rewriting put in take those of what they read."""
        while node is not None:
            if node.name in self._own:
                return self._own[node.name]
            node = next((self._graph.producers[name] for name in node.input if name in self._graph.producers), None)
        return ("",)


def module_path(node: Any) -> tuple[str, ...] | None:
    """Names of the torch modules a node lies in, outermost (``""``) first; None when the graph does not say."""
    for entry in node.metadata_props:
        if entry.key == SCOPES_KEY:
            return tuple(ast.literal_eval(entry.value)[:-1]) or ("",)  # the last one is the operation
    return None
