"""Simplified graphs give the same numbers with fewer operators, and what a Jetson refuses is refused here."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from rtx import build_with_rtx

from edgedepth.errors import ExportError
from edgedepth.export.redundant import remove_redundant
from edgedepth.export.simplify import simplify

SHAPE = (1, 4, 6, 8)


def node(kind: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def graph_of(*nodes: onnx.NodeProto, opset: int = 18, **constants: object) -> onnx.ModelProto:
    """``x`` to ``y`` through the nodes."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32) * 3
    return session.run(None, {"x": x})[0]


F = np.float32
# Relu may go: what it reads is never negative.
IDLE = {
    "Clip 0..6": ([node("Clip", "x zero six", "a")], {"zero": F(0), "six": F(6)}),
    "Relu": ([node("Relu", "x", "a")], {}),
    "Sigmoid": ([node("Sigmoid", "x", "a")], {}),
    "Pad with 0": ([node("Sigmoid", "x", "s"), node("Pad", "s pads", "a")], {"pads": np.array([0, 0, 1, 1] * 2)}),
    "Pad reflecting": (
        [node("Sigmoid", "x", "s"), node("Pad", "s pads minus", "a", mode="reflect")],
        {"pads": np.array([0, 0, 1, 1] * 2), "minus": F(-1)},
    ),
    "MaxPool": ([node("Sigmoid", "x", "s"), node("MaxPool", "s", "a", kernel_shape=[2, 2])], {}),
    "AveragePool": (
        [node("Sigmoid", "x", "s"), node("AveragePool", "s", "a", kernel_shape=[3, 3], pads=[1] * 4)],
        {},
    ),
    "linear Resize": (
        [node("Sigmoid", "x", "s"), helper.make_node("Resize", ["s", "", "scales"], ["a"], mode="linear")],
        {"scales": np.array([1, 1, 2, 2], F)},
    ),
    "nearest Resize": (
        [node("Sigmoid", "x", "s"), helper.make_node("Resize", ["s", "", "scales"], ["a"], mode="nearest")],
        {"scales": np.array([1, 1, 2, 2], F)},
    ),
    "Transpose": ([node("Sigmoid", "x", "s"), node("Transpose", "s", "a", perm=[0, 2, 3, 1])], {}),
    "Reshape": ([node("Sigmoid", "x", "s"), node("Reshape", "s shape", "a")], {"shape": np.array([1, -1])}),
    "Concat of both": ([node("Sigmoid", "x", "s"), node("Relu", "x", "r"), node("Concat", "s r", "a", axis=1)], {}),
    "Add of both": ([node("Sigmoid", "x", "s"), node("Relu", "x", "r"), node("Add", "s r", "a")], {}),
    "Mul by a constant": ([node("Sigmoid", "x", "s"), node("Mul", "s ten", "a")], {"ten": F(10)}),
    "Max of one": ([node("Sigmoid", "x", "s"), node("Max", "x s", "a")], {}),
}
# Relu must stay: each differs from one above in one thing.
BUSY = {
    "the input": ([node("Identity", "x", "a")], {}),
    "Clip -1..6": ([node("Clip", "x low six", "a")], {"low": F(-1), "six": F(6)}),
    "Clip 0..-1": ([node("Clip", "x zero low", "a")], {"zero": F(0), "low": F(-1)}),
    "Clip with a computed bound": (
        [node("ReduceMin", "x", "low", keepdims=0), node("Clip", "x low six", "a")],
        {"six": F(6)},
    ),
    "Pad with -1": (
        [node("Sigmoid", "x", "s"), node("Pad", "s pads minus", "a")],
        {"pads": np.array([0, 0, 1, 1] * 2), "minus": F(-1)},
    ),
    "cubic Resize": (
        [node("Relu", "x", "s"), helper.make_node("Resize", ["s", "", "scales"], ["a"], mode="cubic")],
        {"scales": np.array([1, 1, 2, 2], F)},
    ),
    "Resize that fills": (
        [
            node("Sigmoid", "x", "s"),
            helper.make_node(
                "Resize",
                ["s", "roi", "scales"],
                ["a"],
                mode="linear",
                coordinate_transformation_mode="tf_crop_and_resize",
                extrapolation_value=-1.0,
            ),
        ],
        {"roi": np.array([0, 0, -0.5, -0.5, 1, 1, 1.5, 1.5], F), "scales": np.array([1, 1, 2, 2], F)},
    ),
    "Concat with the input": ([node("Sigmoid", "x", "s"), node("Concat", "s x", "a", axis=1)], {}),
    "Add of the input": ([node("Sigmoid", "x", "s"), node("Add", "s x", "a")], {}),
    "Add of a negative constant": ([node("Sigmoid", "x", "s"), node("Add", "s minus", "a")], {"minus": F(-0.5)}),
    "Mul by a negative constant": ([node("Sigmoid", "x", "s"), node("Mul", "s minus", "a")], {"minus": F(-1)}),
    "Min with the input": ([node("Sigmoid", "x", "s"), node("Min", "x s", "a")], {}),
    "Sub of both": ([node("Sigmoid", "x", "s"), node("Relu", "x", "r"), node("Sub", "s r", "a")], {}),
    "LeakyRelu": ([node("LeakyRelu", "x", "a")], {}),
}


def with_relu(nodes: list[onnx.NodeProto], constants: dict[str, object]) -> onnx.ModelProto:
    # The last operator keeps the Relu from being the output, whose name must stay.
    return graph_of(*nodes, node("Relu", "a", "b"), node("Abs", "b", "y"), **constants)


@pytest.mark.parametrize("case", IDLE)
def test_idle_relu_goes_and_no_number_changes(case: str) -> None:
    model = with_relu(*IDLE[case])
    expected = run(model)
    assert remove_redundant(model)["Relu"] == 1
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model), full_check=True)
    np.testing.assert_array_equal(run(model), expected)


@pytest.mark.parametrize("case", BUSY)
def test_relu_that_matters_stays(case: str) -> None:
    nodes, constants = BUSY[case]
    # The case is worth its name only if something negative does arrive.
    assert run(graph_of(*nodes, node("Identity", "a", "y"), **constants)).min() < 0
    model = with_relu(nodes, constants)
    before = [each.op_type for each in model.graph.node]
    assert not remove_redundant(model)
    assert [each.op_type for each in model.graph.node] == before


def test_chains_go_at_once_and_outputs_keep_their_name() -> None:
    model = graph_of(node("Relu", "x", "a"), node("Relu", "a", "b"), node("Relu", "b", "c"), node("Relu", "c", "y"))
    expected = run(model)
    assert remove_redundant(model) == {"Relu": 2}
    assert [list(each.output) for each in model.graph.node] == [["a"], ["y"]]
    np.testing.assert_array_equal(run(model), expected)


def test_clip_bounds_that_are_attributes() -> None:
    model = graph_of(node("Clip", "x", "a", min=0.0), node("Relu", "a", "b"), node("Abs", "b", "y"), opset=10)
    assert remove_redundant(model) == {"Relu": 1}


def test_branches_are_left_alone() -> None:
    inner = helper.make_graph(
        [node("Relu", "s", "i")], "inner", [], [helper.make_tensor_value_info("i", TensorProto.FLOAT, None)]
    )
    model = graph_of(
        node("Sigmoid", "x", "s"), node("Relu", "s", "r"), node("Abs", "r", "t"),
        helper.make_node("If", ["yes"], ["u"], then_branch=inner, else_branch=inner), node("Add", "t u", "y"),
        yes=np.array(True),
    )  # fmt: skip
    assert not remove_redundant(model)


def attention(scores: onnx.NodeProto) -> onnx.ModelProto:
    return graph_of(
        node("Transpose", "x", "k", perm=[0, 1, 3, 2]), scores, node("Softmax", "a", "s"), node("IsNaN", "s", "n"),
        node("Where", "n zero s", "w"), node("MatMul", "w x", "y"), zero=F(0), mask=np.full((1, 1, 6, 6), -np.inf, F),
    )  # fmt: skip


def test_softmax_guard_goes_where_no_row_can_be_masked() -> None:
    model = attention(node("MatMul", "x k", "a"))
    expected = run(model)
    assert remove_redundant(model) == {"IsNaN": 1, "Where": 1}
    np.testing.assert_array_equal(run(model), expected)


def test_softmax_guard_of_masked_attention_stays() -> None:
    masked = graph_of(
        node("Transpose", "x", "k", perm=[0, 1, 3, 2]), node("MatMul", "x k", "q"), node("Add", "q mask", "a"),
        node("Softmax", "a", "s"), node("IsNaN", "s", "n"), node("Where", "n zero s", "w"), node("MatMul", "w x", "y"),
        zero=F(0), mask=np.full((1, 1, 6, 6), -np.inf, F),
    )  # fmt: skip
    assert not remove_redundant(masked)
    assert (run(masked) == 0).all()


# --- simplify ---------------------------------------------------------------------------------------------------------


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "n.onnx")
    return folder / "n.onnx"


def test_folds_constants_and_counts(tmp_path: Path) -> None:
    model = graph_of(
        node("Mul", "two three", "six"), node("Add", "six one", "seven"), node("Mul", "x seven", "y"),
        one=F(1), two=F(2), three=F(3),
    )  # fmt: skip
    expected = run(model)
    path = saved(model, tmp_path)
    done = simplify(path)
    assert (done.nodes_before, done.nodes_after, done.constants_folded, done.removed) == (3, 1, 2, {})
    np.testing.assert_array_equal(run(onnx.load(path)), expected)
    assert list(tmp_path.iterdir()) == [path]


def test_linear_layers_and_norms_stay_as_they_are(tmp_path: Path) -> None:
    model = graph_of(
        node("LayerNormalization", "x g b", "n"), node("MatMul", "n w", "m"), node("Add", "m b2", "y"),
        g=np.ones(8, F), b=np.zeros(8, F), w=np.ones((8, 5), F), b2=np.ones(5, F),
    )  # fmt: skip
    path = saved(model, tmp_path)
    simplify(path)
    assert [each.op_type for each in onnx.load(path).graph.node] == ["LayerNormalization", "MatMul", "Add"]


def test_weights_beside_the_file_come_into_it(tmp_path: Path) -> None:
    model = graph_of(node("Mul", "x w", "y"), w=np.arange(8, dtype=F))
    expected = run(model)
    elsewhere = tmp_path / "given"
    elsewhere.mkdir()
    onnx.save(model, elsewhere / "n.onnx", save_as_external_data=True, location="n.data", size_threshold=0)
    path = tmp_path / "n.onnx"
    shutil.copyfile(elsewhere / "n.onnx", path)
    simplify(path, folder=elsewhere)
    shutil.rmtree(elsewhere)
    np.testing.assert_array_equal(run(onnx.load(path)), expected)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            graph_of(
                helper.make_node("Resize", ["x", "", "s"], ["y"], name="shrink", mode="linear", antialias=1),
                s=np.array([1, 1, 0.5, 0.5], F),
            ),
            r"Resize 'shrink' is antialiased, which TensorRT does not support",
        ),
        (graph_of(node("Relu", "x", "y"), opset=21), "operator set 21; TensorRT on JetPack 6 reads up to 20"),
        (graph_of(node("Rulu", "x", "y")), "n.onnx"),
        (graph_of(node("MatMul", "x w", "y"), w=np.ones((5, 5), F)), "n.onnx"),
    ],
    ids=["antialias", "opset", "unknown operator", "shapes"],
)
def test_what_a_device_would_refuse_is_refused(model: onnx.ModelProto, words: str, tmp_path: Path) -> None:
    path = saved(model, tmp_path)
    content = path.read_bytes()
    with pytest.raises(ExportError, match=words) as caught:
        simplify(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(ExportError, match="cannot be read as ONNX"):
        simplify(path)


# --- a real network ---------------------------------------------------------------------------------------------------


def test_fastdepth_loses_its_idle_relus_bit_for_bit(realdata: Path, tmp_path: Path) -> None:
    original = realdata / "nets" / "fastdepth" / "fastdepth_224_dequantised_fp32.onnx"
    path = tmp_path / "fastdepth.onnx"
    shutil.copyfile(original, path)
    done = simplify(path)
    assert done.removed == {"Relu": 54}
    kinds = Counter(each.op_type for each in onnx.load(path).graph.node)
    assert (kinds["Relu"], kinds["Clip"], kinds["Conv"]) == (12, 27, 38)
    images = sorted(realdata.rglob("*.jpg"))[:3] or sorted(realdata.rglob("*.png"))[:3]
    assert images
    sessions = [
        onnxruntime.InferenceSession(str(each), providers=["CPUExecutionProvider"]) for each in (original, path)
    ]
    for image in images:
        pixels = cv2.resize(cv2.imread(str(image)), (224, 224), interpolation=cv2.INTER_AREA)[..., ::-1]
        feed = {"image": np.ascontiguousarray(pixels[None], np.float32) / 255}
        before, after = (session.run(None, feed)[0] for session in sessions)
        np.testing.assert_array_equal(after, before)
        assert after.std() > 0.05
    assert build_with_rtx(path, "SM86") > 0
