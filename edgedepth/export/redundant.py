"""Removes operators that provably change nothing, which exporters leave behind and general tools keep.

They cost more than their own time: a Relu between Clip and Pad keeps the runtime from fusing Clip into the convolution
before it and Pad into the one after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.extras import require

__all__ = ["Graph", "bypass", "drop_unread", "remove_redundant"]


class Graph:
    """A view of an ONNX model: who makes a tensor, who reads it, what is constant.

    Attributes:
        model: the ModelProto.
        producers: node by the name of each of its outputs.
        consumers: nodes by the name of each of their inputs.
        outputs: names of the graph's outputs.
    """

    def __init__(self, model: Any) -> None:
        onnx = require("onnx", "export")
        self.model = model
        self.producers: dict[str, Any] = {name: node for node in model.graph.node for name in node.output if name}
        self.consumers: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in dict.fromkeys(node.input):
                if name:
                    self.consumers.setdefault(name, []).append(node)
        self.outputs = {output.name for output in model.graph.output}
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._decode: Callable[[Any], NDArray[Any]] = onnx.numpy_helper.to_array
        self._value: Callable[[Any], Any] = onnx.helper.get_attribute_value

    def constant(self, name: str) -> NDArray[Any] | None:
        """The value of a constant tensor, or None."""
        if name in self._initializers:
            return self._decode(self._initializers[name])
        node = self.producers.get(name)
        if node is not None and node.op_type == "Constant":
            tensor = self.attribute(node, "value")
            return None if tensor is None else self._decode(tensor)
        return None

    def is_constant(self, name: str) -> bool:
        """True for initializers and Constant nodes."""
        node = self.producers.get(name)
        return name in self._initializers or (node is not None and node.op_type == "Constant")

    def attribute(self, node: Any, name: str, default: Any = None) -> Any:
        """The value of an attribute; bytes are decoded."""
        for each in node.attribute:
            if each.name == name:
                value = self._value(each)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def scalar(self, node: Any, index: int, attribute: str, default: float) -> float | None:
        """A number that is an input since some operator set and was an attribute before. None: not constant."""
        if len(node.input) > index and node.input[index]:
            value = self.constant(node.input[index])
            return None if value is None or value.size != 1 else float(value.reshape(()))
        return float(self.attribute(node, attribute, default))


# What is known of an operator's result: never negative by itself, ...
_NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Softplus", "Abs", "Exp", "Sqrt"})
# ... never negative when its first input is not (it selects, moves or averages values), ...
_KEEPS_SIGN = frozenset(
    {
        "AveragePool", "Cast", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather", "GlobalAveragePool",
        "GlobalMaxPool", "Identity", "MaxPool", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Reshape",
        "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
# ... or when none of its inputs is.
_KEEPS_SIGNS = frozenset({"Add", "Concat", "Min", "Mul", "Sum"})


def _clip(graph: Graph, node: Any, known: Callable[[str], bool]) -> bool:
    """min(max(x, low), high): high wins where the two cross."""
    low = graph.scalar(node, 1, "min", -np.inf)
    high = graph.scalar(node, 2, "max", np.inf)
    return high is not None and high >= 0 and ((low is not None and low >= 0) or known(node.input[0]))


def _pad(graph: Graph, node: Any, known: Callable[[str], bool]) -> bool:
    if not known(node.input[0]):
        return False
    if graph.attribute(node, "mode", "constant") != "constant":
        return True
    fill = graph.scalar(node, 2, "value", 0.0)
    return fill is not None and fill >= 0


def _resize(graph: Graph, node: Any, known: Callable[[str], bool]) -> bool:
    """Nearest and linear weights are not negative; cubic ones are, and overshoot."""
    inside = graph.attribute(node, "coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
    fill = graph.attribute(node, "extrapolation_value", 0.0)
    weights = graph.attribute(node, "mode", "nearest") in ("nearest", "linear")
    return weights and (inside or fill >= 0) and known(node.input[0])


_RULES: Mapping[str, Callable[[Graph, Any, Callable[[str], bool]], bool]] = {
    **dict.fromkeys(_NEVER_NEGATIVE, lambda graph, node, known: True),
    **dict.fromkeys(_KEEPS_SIGN, lambda graph, node, known: known(node.input[0])),
    **dict.fromkeys(_KEEPS_SIGNS, lambda graph, node, known: all(known(name) for name in node.input)),
    "Max": lambda graph, node, known: any(known(name) for name in node.input),
    "Clip": _clip,
    "Pad": _pad,
    "Resize": _resize,
}


def _non_negative(graph: Graph) -> set[str]:
    """Names of tensors that hold no negative number whatever the input. Nodes are in topological order."""
    proven: set[str] = set()

    def known(name: str) -> bool:
        if name in proven:
            return True
        value = graph.constant(name)
        return value is not None and value.dtype.kind in "fiub" and bool((value >= 0).all())

    for node in graph.model.graph.node:
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is not None and rule(graph, node, known):
            proven.update(node.output)
    return proven


def _idle_relus(graph: Graph) -> dict[str, str]:
    """Relu on what is never negative. Output name to the input that equals it."""
    proven = _non_negative(graph)
    return {
        node.output[0]: node.input[0]
        for node in graph.model.graph.node
        if node.op_type == "Relu" and node.input[0] in proven
    }


def _idle_guards(graph: Graph) -> dict[str, str]:
    """Where(IsNaN(s), 0, s) on s = Softmax(product): the guard of fused attention against rows that are masked out.

    A product of numbers is a number, so there is no such row; left in, it would turn an overflow into silent zeros.
    """
    idle = {}
    for node in graph.model.graph.node:
        if node.op_type != "Where":
            continue
        test, softmax = (graph.producers.get(node.input[i]) for i in (0, 2))
        if test is None or softmax is None or test.op_type != "IsNaN" or softmax.op_type != "Softmax":
            continue
        scores = graph.producers.get(softmax.input[0])
        if test.input[0] == node.input[2] and scores is not None and scores.op_type in ("MatMul", "Mul", "Div"):
            idle[node.output[0]] = node.input[2]
    return idle


def remove_redundant(model: Any) -> Counter[str]:
    """Remove them from ``model`` in place. Returns how many of each operator type went.

    The result is the same number for number on every input without NaN. Graphs with branches or loops are left alone.
    """
    if any(attribute.HasField("g") or attribute.graphs for node in model.graph.node for attribute in node.attribute):
        return Counter()
    before = Counter(node.op_type for node in model.graph.node)
    for find in (_idle_relus, _idle_guards):
        graph = Graph(model)
        inputs = {each.name for each in model.graph.input}
        idle = find(graph)
        # An output keeps its name, so the operator that makes it stays.
        bypass(model, {name: source for name, source in idle.items() if name not in graph.outputs | inputs})
    drop_unread(model)
    return before - Counter(node.op_type for node in model.graph.node)


def bypass(model: Any, equal: Mapping[str, str]) -> None:
    """Whoever reads a tensor in ``equal`` reads the one it maps to instead."""

    def origin(name: str) -> str:
        while name in equal:
            name = equal[name]
        return name

    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = origin(name)


def drop_unread(model: Any) -> None:
    """Remove nodes whose results nobody reads, and weights nobody needs. Nodes must be in topological order."""
    read = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if read.intersection(node.output):
            kept.append(node)
            read.update(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    used = {name for node in kept for name in node.input} | read
    for values in (model.graph.initializer, model.graph.value_info):
        names = used if values is model.graph.initializer else used | {n for node in kept for n in node.output}
        stay = [value for value in values if value.name in names]
        if len(stay) != len(values):
            del values[:]
            values.extend(stay)
