"""What a network in an ONNX file is made of, read without an ONNX library: devices have none."""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgedepth.bundle.onnxfile import GRAPH_INITIALIZER, MODEL_GRAPH, MODEL_OPSET_IMPORT, open_onnx
from edgedepth.bundle.protobuf import fields, varint

__all__ = ["OnnxFacts", "OnnxTensor", "read_facts"]

# onnx.proto3: ModelProto, OperatorSetIdProto, GraphProto, NodeProto, AttributeProto, ValueInfoProto, TypeProto,
# TensorShapeProto, TensorProto, FunctionProto
_MODEL_FUNCTION, _FUNCTION_NODE = 25, 7
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_INPUT = 1, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_I, _ATTRIBUTE_T, _ATTRIBUTE_G, _ATTRIBUTE_GRAPHS = 1, 3, 5, 6, 11
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_ELEM, _TENSOR_SHAPE, _SHAPE_DIM, _DIM_VALUE = 1, 2, 1, 1, 2, 1, 1
_TENSOR_DATA_TYPE, _TENSOR_NAME = 2, 8

_STANDARD = (b"", b"ai.onnx")

# TensorProto.DataType; other numbers are shown as they are.
_TYPE_NAMES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    16: "bfloat16",
    17: "float8e4m3fn",
}


@dataclass(frozen=True)
class OnnxTensor:
    """An input of the graph. Element type as NumPy names it; a None dimension is free."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class OnnxFacts:
    """What a network is made of.

    Attributes:
        opset: version of the standard operator set.
        ops: how many nodes of each operator, subgraphs included; other domains' are ``"domain::Operator"``.
        inputs: what it is fed.
        dtypes: element types of its weights, constants, inputs and casts.
        quantized_dtypes: the integer types its QuantizeLinear and DequantizeLinear nodes work in. A zero point that
            is left out means uint8 (the operator's definition).
    """

    opset: int
    ops: Mapping[str, int]
    inputs: tuple[OnnxTensor, ...]
    dtypes: frozenset[str]
    quantized_dtypes: frozenset[str]

    @property
    def has_float16(self) -> bool:
        """Some of it computes in half precision."""
        return "float16" in self.dtypes

    @property
    def is_quantized(self) -> bool:
        """It carries explicit quantisation (Q/DQ nodes)."""
        return "QuantizeLinear" in self.ops or "DequantizeLinear" in self.ops

    @property
    def precision(self) -> str:
        """``"fp32"``, ``"fp16"``, ``"int8"`` or ``"int8+fp16"``: what stands in the graph."""
        if self.is_quantized:
            return "int8+fp16" if self.has_float16 else "int8"
        return "fp16" if self.has_float16 else "fp32"


def read_facts(onnx_path: Path) -> OnnxFacts:
    """Operators, types and inputs of a network.

    Raises:
        BundleError: not there, not an ONNX file, or cut off.
    """
    with open_onnx(onnx_path) as (data, parts):
        survey = _Survey()
        survey.add_graph(data, *parts[MODEL_GRAPH])
        opset = 0
        for number, start, end in fields(data, 0, len(data)):
            if number == MODEL_OPSET_IMPORT:
                domain, version = _opset(data, start, end)
                opset = version if domain in _STANDARD else opset
            elif number == _MODEL_FUNCTION:
                survey.add_nodes(data, start, end, _FUNCTION_NODE)
        return survey.facts(opset)


@dataclass
class _Survey:
    """What is gathered while walking over a graph and the graphs inside its nodes."""

    ops: Counter[str] = field(default_factory=Counter)
    inputs: list[OnnxTensor] = field(default_factory=list)
    dtypes: set[str] = field(default_factory=set)
    named: dict[bytes, str] = field(default_factory=dict)
    """Initialisers and constants: name -> type."""
    zero_points: set[bytes] = field(default_factory=set)
    """Tensors whose type is the type of a quantisation."""
    dtypes_without_zero_point: set[str] = field(default_factory=set)

    def facts(self, opset: int) -> OnnxFacts:
        weights = {name.decode("utf-8", "replace") for name in self.named}
        quantized = {self.named[name] for name in self.zero_points if name in self.named}
        return OnnxFacts(
            opset=opset,
            ops=dict(self.ops),
            # Old exporters list the weights among the inputs.
            inputs=tuple(tensor for tensor in self.inputs if tensor.name not in weights),
            dtypes=frozenset(self.dtypes),
            quantized_dtypes=frozenset(quantized | self.dtypes_without_zero_point),
        )

    def add_graph(self, data: mmap.mmap, start: int, end: int, *, outermost: bool = True) -> None:
        self.add_nodes(data, start, end, _GRAPH_NODE)
        for number, a, b in fields(data, start, end):
            if number == GRAPH_INITIALIZER:
                self._add_tensor(data, a, b)
            elif number == _GRAPH_INPUT and outermost:
                tensor = _value_info(data, a, b)
                self.inputs.append(tensor)
                self.dtypes.add(tensor.dtype)

    def add_nodes(self, data: mmap.mmap, start: int, end: int, field_number: int) -> None:
        for number, a, b in fields(data, start, end):
            if number == field_number:
                self._add_node(data, a, b)

    def _add_node(self, data: mmap.mmap, start: int, end: int) -> None:
        found: dict[int, list[tuple[int, int]]] = {}
        for number, a, b in fields(data, start, end):
            found.setdefault(number, []).append((a, b))
        inputs, outputs, ops, domains = (
            [data[a:b] for a, b in found.get(number, ())]
            for number in (_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE, _NODE_DOMAIN)
        )
        op, domain = (ops or [b""])[-1].decode("utf-8", "replace"), (domains or [b""])[-1]
        self.ops[op if domain in _STANDARD else f"{domain.decode('utf-8', 'replace')}::{op}"] += 1
        attributes = {}
        for a, b in found.get(_NODE_ATTRIBUTE, ()):
            name, integer = self._add_attribute(data, a, b, outputs[0] if op == "Constant" and outputs else None)
            attributes[name] = integer
        if op == "Cast":
            self.dtypes.add(_type_name(attributes.get(b"to", 0)))
        elif op in ("QuantizeLinear", "DequantizeLinear"):
            self._add_quantization(op, inputs, attributes.get(b"output_dtype", 0))

    def _add_quantization(self, op: str, inputs: list[bytes], output_dtype: int) -> None:
        zero_point = inputs[2] if len(inputs) > 2 else b""
        if zero_point:
            self.zero_points.add(zero_point)
        elif op == "DequantizeLinear":
            self.zero_points.add(inputs[0])  # weights stored as integers; else the Q before it has said the type
        else:
            self.dtypes_without_zero_point.add(_type_name(output_dtype) if output_dtype else "uint8")

    def _add_attribute(self, data: mmap.mmap, start: int, end: int, constant: bytes | None) -> tuple[bytes, int]:
        """Name and integer value of an attribute. ``constant`` is the tensor that a Constant node defines."""
        name, integer = b"", 0
        for number, a, b in fields(data, start, end):
            if number == _ATTRIBUTE_NAME:
                name = data[a:b]
            elif number == _ATTRIBUTE_I:
                integer, _ = varint(data, a, b)
            elif number == _ATTRIBUTE_T:
                dtype = self._add_tensor(data, a, b)
                if constant is not None:
                    self.named[constant] = dtype
            elif number in (_ATTRIBUTE_G, _ATTRIBUTE_GRAPHS):
                self.add_graph(data, a, b, outermost=False)
        return name, integer

    def _add_tensor(self, data: mmap.mmap, start: int, end: int) -> str:
        name, dtype = b"", 0
        for number, a, b in fields(data, start, end):
            if number == _TENSOR_NAME:
                name = data[a:b]
            elif number == _TENSOR_DATA_TYPE:
                dtype, _ = varint(data, a, b)
        type_name = _type_name(dtype)
        self.dtypes.add(type_name)
        if name:
            self.named[name] = type_name
        return type_name


def _type_name(number: int) -> str:
    return _TYPE_NAMES.get(number, f"type{number}")


def _opset(data: mmap.mmap, start: int, end: int) -> tuple[bytes, int]:
    domain, version = b"", 0
    for number, a, b in fields(data, start, end):
        if number == _OPSET_DOMAIN:
            domain = data[a:b]
        elif number == _OPSET_VERSION:
            version, _ = varint(data, a, b)
    return domain, version


def _value_info(data: mmap.mmap, start: int, end: int) -> OnnxTensor:
    name, dtype = "", 0
    shape: list[int | None] = []
    for number, a, b in fields(data, start, end):
        if number == _VALUE_NAME:
            name = data[a:b].decode("utf-8", "replace")
        elif number == _VALUE_TYPE:
            for tensor_number, c, d in _inner(data, a, b, _TYPE_TENSOR):
                if tensor_number == _TENSOR_ELEM:
                    dtype, _ = varint(data, c, d)
                elif tensor_number == _TENSOR_SHAPE:
                    shape += [_dimension(data, e, f) for n, e, f in fields(data, c, d) if n == _SHAPE_DIM]
    return OnnxTensor(name, _type_name(dtype), tuple(shape))


def _dimension(data: mmap.mmap, start: int, end: int) -> int | None:
    for number, a, b in fields(data, start, end):
        if number == _DIM_VALUE:
            return varint(data, a, b)[0]
    return None


def _inner(data: mmap.mmap, start: int, end: int, wanted: int) -> Iterator[tuple[int, int, int]]:
    """Fields of the messages that are field ``wanted`` of the message in data[start:end]."""
    for number, a, b in fields(data, start, end):
        if number == wanted:
            yield from fields(data, a, b)
