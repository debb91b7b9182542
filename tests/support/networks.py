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
) -> Path:
    """``image`` (1x3xHxW) to ``depth`` (1x1xHxW): the weighted sum of the channels.

    ``external`` keeps the weights in a file of that name.
    """
    width, height = size_wh
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["depth"])],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, 1, height, width])],
        [numpy_helper.from_array(np.array(weights, np.float32).reshape(1, 3, 1, 1), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, str(path), save_as_external_data=external is not None, location=external, size_threshold=0)
    return path
