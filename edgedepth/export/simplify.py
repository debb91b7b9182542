"""Cleans an ONNX file: constants folded, what changes nothing removed, then checked for what the devices refuse."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedepth.errors import ExportError
from edgedepth.export.onnx_export import SCOPES_KEY, quiet
from edgedepth.export.redundant import Graph, remove_redundant
from edgedepth.extras import require
from edgedepth.output import atomic_output

__all__ = ["Simplification", "simplify"]

NEWEST_OPSET = 20
"""The newest operator set TensorRT 10.3 (JetPack 6) reads."""

# Linear layers stay MatMul + Add: as Gemm they would be wrapped in reshapes, which hide attention from compilers.
_SKIPPED = ["FusionGemm"]

# Bytes. Folding more makes the file larger than what it computes saves: the position biases of BEiT (ZoeDepth) are
# gathered from 24 tables of 200 kB into 24 constants of 38 MB.
_LARGEST_CONSTANT = 1 << 24


@dataclass(frozen=True)
class Simplification:
    """What happened to a graph.

    Attributes:
        nodes_before: operators, constants not counted. ``nodes_after`` likewise.
        constants_folded: operators that computed the same numbers on every run.
        removed: operators that could not change anything, by type.
    """

    nodes_before: int
    nodes_after: int
    constants_folded: int
    removed: dict[str, int]


def simplify(path: Path, *, folder: Path | None = None, input_shape: tuple[int, ...] | None = None) -> Simplification:
    """Simplify the ONNX file ``path`` in place.

    Args:
        input_shape: of the only input, where the graph leaves it free; it is fixed then.
        folder: where weights that are kept outside the file lie; None is beside it. They are taken into the file.

    Raises:
        ExportError: the file is not valid ONNX before or after, a LayerNormalization was taken apart, or it has what
            TensorRT on a Jetson refuses: an antialiased Resize, or a newer operator set.
        MissingExtraError: onnx or onnxslim is not installed.
        OutputError: ``path`` cannot be written.
    """
    onnx = require("onnx", "export")
    onnxslim = require("onnxslim", "export")
    try:
        model = onnx.load(str(path), load_external_data=False)
        onnx.load_external_data_for_model(model, str(folder or path.parent))
    except Exception as error:  # protobuf's, the file system's, or onnx's own
        raise ExportError(f"{path} cannot be read as ONNX: {_line(error)}; export it again") from error
    if input_shape is not None:
        _fix_shape(model, input_shape)
    before = Counter(node.op_type for node in model.graph.node)
    folded = _constant_nodes(Graph(model))
    scopes = _scopes(model)
    removed = remove_redundant(model)
    try:
        with quiet():
            model = onnxslim.slim(model, skip_fusion_patterns=_SKIPPED, size_threshold=_LARGEST_CONSTANT)
    except Exception as error:  # any of the library's passes
        raise ExportError(f"{path.name} could not be simplified: {_line(error)}; is it a valid network?") from error
    removed += remove_redundant(model)  # what folding has made plain
    for node in model.graph.node:
        if node.output[0] in scopes and not node.metadata_props:
            node.metadata_props.add(key=SCOPES_KEY, value=scopes[node.output[0]])
    after = Counter(node.op_type for node in model.graph.node)
    _refuse(path.name, model, before, after)
    with atomic_output(path) as part:
        onnx.save(model, str(part))
        try:
            onnx.checker.check_model(str(part), full_check=True)
        except Exception as error:  # checker.ValidationError and shape inference's
            raise ExportError(f"{path.name} is not valid ONNX once simplified: {_line(error)}") from error
    return Simplification(
        nodes_before=before.total() - before["Constant"],
        nodes_after=after.total() - after["Constant"],
        constants_folded=folded,
        removed=dict(removed),
    )


def _fix_shape(model: Any, shape: tuple[int, ...]) -> None:
    """Sizes follow from the input's; what the file says of the output is dropped where it is free, and inferred."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, shape, strict=False):
        dim.dim_value = size  # a name that was there goes with it
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim:
            if not dim.dim_value:
                dim.Clear()
    del model.graph.value_info[:]


def _constant_nodes(graph: Graph) -> int:
    """Operators, Constant not counted, with nothing but constants above them."""
    fixed: set[str] = set()
    count = 0
    for node in graph.model.graph.node:
        inputs = [name for name in node.input if name]
        if inputs and all(name in fixed or graph.is_constant(name) for name in inputs):
            fixed.update(node.output)
            count += 1
    return count


def _scopes(model: Any) -> dict[str, str]:
    """Module names by the tensor a node makes; onnxslim drops them."""
    return {
        node.output[0]: entry.value
        for node in model.graph.node
        for entry in node.metadata_props
        if entry.key == SCOPES_KEY
    }


def _refuse(name: str, model: Any, before: Counter[str], after: Counter[str]) -> None:
    if after["LayerNormalization"] < before["LayerNormalization"]:
        raise ExportError(
            f"{name}: {before['LayerNormalization'] - after['LayerNormalization']} LayerNormalization operators were "
            "taken apart, which overflows in FP16; use another version of onnxslim"
        )
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    if opset > NEWEST_OPSET:
        raise ExportError(
            f"{name} uses ONNX operator set {opset}; TensorRT on JetPack 6 reads up to {NEWEST_OPSET}: export it again "
            "with opset 18"
        )
    graph = Graph(model)
    for node in model.graph.node:
        if node.op_type == "Resize" and graph.attribute(node, "antialias", 0):
            raise ExportError(
                f"{name}: Resize {node.name!r} is antialiased, which TensorRT does not support; "
                "use antialias=False in the network"
            )


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
