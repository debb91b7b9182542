"""Small ONNX files made with the onnx library, which knows nothing of our reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

MakeOnnx = Callable[..., Path]


@pytest.fixture
def make_onnx(tmp_path: Path) -> MakeOnnx:
    """make_onnx("a.onnx", external="a.weights") -> path of a 1x3x8x8 -> 1x1x8x8 convolution."""

    def make(name: str = "net.onnx", *, external: str | None = None) -> Path:
        weights = numpy_helper.from_array(np.full((1, 3, 1, 1), 1 / 3, np.float32), "w")
        graph = helper.make_graph(
            [helper.make_node("Conv", ["image", "w"], ["depth"])],
            "g",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
            [helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, 1, 8, 8])],
            [weights],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = tmp_path / "made" / name
        path.parent.mkdir(exist_ok=True)
        onnx.save(model, str(path), save_as_external_data=external is not None, location=external, size_threshold=0)
        return path

    return make
