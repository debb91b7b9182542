"""Libraries that turn an FP32 graph into FP16, each behind one signature.

It takes the graph, the names of the nodes to keep in FP32, input tensors and a folder for its own files.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import ExportError
from edgedepth.export.onnx_export import quiet
from edgedepth.export.redundant import bypass, drop_unread
from edgedepth.extras import require

__all__ = ["CONVERTERS"]


def _with_onnxruntime(source: Any, kept: Collection[str], feeds: Sequence[NDArray[Any]], folder: Path) -> Any:
    from onnxruntime.transformers import float16

    onnx, ir = require("onnx", "export"), require("onnx_ir", "export")
    # Min and Max are blocked by default because one runtime lacked them; the devices have them.
    blocked = set(float16.DEFAULT_OP_BLOCK_LIST) - {"Min", "Max"}
    try:
        model = float16.convert_float_to_float16(
            copy.deepcopy(source), keep_io_types=True, op_block_list=blocked, node_block_list=kept
        )
    except Exception as error:  # asserts and lookups inside the converter
        raise ExportError(f"the graph could not be converted to FP16: {error}") from error
    _mend(model, onnx)
    ordered = ir.from_proto(model)
    ordered.graph.sort()
    model = ir.to_proto(ordered)
    drop_unread(model)
    return model


def _mend(model: Any, onnx: Any) -> None:
    """Undo what the converter does at borders it does not look across.

    It casts a tensor once per reader under one name, which no graph may have twice; and between two FP32 nodes it casts
    down and up again, which is where the number that FP16 cannot hold would be lost.
    """
    nodes = list({node.output[0]: node for node in model.graph.node}.values())
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    casts = [node for node in nodes if node.op_type == "Cast"]
    down, up = (
        {node.output[0]: node.input[0] for node in casts if onnx.helper.get_node_attr_value(node, "to") == kind}
        for kind in (onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT)
    )
    inputs = {value.name for value in model.graph.input}
    bypass(model, {name: down[source] for name, source in up.items() if source in down and down[source] not in inputs})


def _with_autocast(source: Any, kept: Collection[str], feeds: Sequence[NDArray[Any]], folder: Path) -> Any:
    """AutoCast measures for itself and keeps values above 512 in FP32; the nodes in ``kept`` are excluded besides."""
    require("modelopt", "modelopt", note="It pins onnx and onnxruntime: give it a virtual environment of its own.")
    with quiet():
        autocast = require("modelopt.onnx.autocast", "modelopt")
    onnx = require("onnx", "export")
    given, data = folder / "source.onnx", folder / "feeds"
    onnx.save(source, str(given))
    data.mkdir(exist_ok=True)
    image = source.graph.input[0].name
    for index, feed in enumerate(feeds):
        arrays: dict[str, Any] = {image: feed}
        np.savez(data / f"{index:04d}.npz", **arrays)
    try:
        with quiet():
            return autocast.convert_to_mixed_precision(
                onnx_path=str(given),
                low_precision_type="fp16",
                nodes_to_exclude=[f"^{re.escape(name)}$" for name in sorted(kept)],
                keep_io_types=True,
                calibration_data=str(data),
                providers=["cpu"],
            )
    except Exception as error:  # any of the library's passes
        raise ExportError(f"ModelOpt AutoCast failed: {' '.join(str(error).split())[:300]}") from error


CONVERTERS: dict[str, Callable[[Any, Collection[str], Sequence[NDArray[Any]], Path], Any]] = {
    "graph": _with_onnxruntime,
    "autocast": _with_autocast,
}
