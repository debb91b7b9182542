"""A tiny depth network, made with the onnx library, which knows nothing of our reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_network(
    path: Path,
    *,
    size_wh: tuple[int, int] = (8, 8),
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    external: str | None = None,
    person: tuple[float, float, float] | None = None,
) -> Path:
    """``image`` (1x3xHxW) to ``depth`` (1x1xHxW): the weighted sum of the channels.

    ``external`` keeps the weights in a file of that name. ``person`` adds an output of that name: the
    channels weighted by these, held within 0 and 1.
    """
    width, height = size_wh
    nodes = [helper.make_node("Conv", ["image", "w"], ["depth"])]
    outputs = [helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, 1, height, width])]
    constants = [numpy_helper.from_array(np.array(weights, np.float32).reshape(1, 3, 1, 1), "w")]
    if person is not None:
        nodes += [
            helper.make_node("Conv", ["image", "p"], ["sum"]),
            helper.make_node("Clip", ["sum", "zero", "one"], ["person"]),
        ]
        outputs.append(helper.make_tensor_value_info("person", TensorProto.FLOAT, [1, 1, height, width]))
        constants += [
            numpy_helper.from_array(np.array(person, np.float32).reshape(1, 3, 1, 1), "p"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
            numpy_helper.from_array(np.array(1, np.float32), "one"),
        ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])],
        outputs,
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, str(path), save_as_external_data=external is not None, location=external, size_threshold=0)
    return path
