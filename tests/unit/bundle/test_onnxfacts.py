"""Facts of networks that the onnx library wrote, which knows nothing of our reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedepth.bundle.onnxfacts import OnnxTensor, read_facts
from edgedepth.errors import BundleError

IMAGE = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
DEPTH = helper.make_tensor_value_info("depth", TensorProto.FLOAT, None)
SCALE = numpy_helper.from_array(np.array(0.1, np.float32), "s")


def save(path: Path, nodes: list, *, inputs=(IMAGE,), weights=(), opset: int = 18, functions=(), imports=()) -> Path:
    graph = helper.make_graph(nodes, "g", list(inputs), [DEPTH], list(weights))
    opsets = [helper.make_opsetid(*one) for one in imports] + [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=list(functions))
    onnx.save(model, str(path))
    return path


def zero(dtype: type, name: str = "z"):
    return numpy_helper.from_array(np.array(0, dtype), name)


def qdq(zero_point: str | None = "z") -> list:
    more = [zero_point] if zero_point else []
    return [
        helper.make_node("QuantizeLinear", ["image", "s", *more], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", *more], ["depth"]),
    ]


def test_operators_inputs_and_opset(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Blur", ["c"], ["depth"], domain="com.example"),
    ]
    free = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, None, 8])
    facts = read_facts(save(tmp_path / "m.onnx", nodes, inputs=[free], weights=[weight], imports=[("com.example", 3)]))
    assert facts.opset == 18
    assert facts.ops == {"Conv": 1, "Relu": 2, "com.example::Blur": 1}
    assert facts.inputs == (OnnxTensor("image", "float32", (None, 3, None, 8)),)
    assert facts.precision == "fp32"


def test_weights_that_old_exporters_list_among_the_inputs_are_no_inputs(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "w")
    also = helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 3, 1, 1])
    node = helper.make_node("Conv", ["image", "w"], ["depth"])
    facts = read_facts(save(tmp_path / "m.onnx", [node], inputs=[IMAGE, also], weights=[weight]))
    assert [tensor.name for tensor in facts.inputs] == ["image"]


@pytest.mark.parametrize(
    ("nodes", "weights", "inputs"),
    [
        (
            [helper.make_node("Conv", ["image", "w"], ["depth"])],
            [numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float16), "w")],
            [helper.make_tensor_value_info("image", TensorProto.FLOAT16, [1, 3, 8, 8])],
        ),
        ([helper.make_node("Cast", ["image"], ["depth"], to=TensorProto.FLOAT16)], [], [IMAGE]),
        (
            [
                helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(1, np.float16))),
                helper.make_node("CastLike", ["image", "c"], ["depth"]),
            ],
            [],
            [IMAGE],
        ),
        (
            [
                helper.make_node(
                    "If",
                    ["flag"],
                    ["depth"],
                    then_branch=helper.make_graph(
                        [helper.make_node("Cast", ["image"], ["y"], to=TensorProto.FLOAT16)], "then", [], []
                    ),
                    else_branch=helper.make_graph([helper.make_node("Identity", ["image"], ["y"])], "else", [], []),
                )
            ],
            [],
            [IMAGE, helper.make_tensor_value_info("flag", TensorProto.BOOL, [1])],
        ),
    ],
    ids=["weights", "cast", "constant", "subgraph"],
)
def test_half_precision_is_found_wherever_it_is(tmp_path: Path, nodes, weights, inputs) -> None:
    facts = read_facts(save(tmp_path / "m.onnx", nodes, weights=weights, inputs=inputs))
    assert facts.has_float16
    assert facts.precision == "fp16"


def test_operators_inside_functions_count(tmp_path: Path) -> None:
    inner = helper.make_function(
        "local", "Act", ["x"], ["y"], [helper.make_node("Sigmoid", ["x"], ["y"])], [helper.make_opsetid("", 18)]
    )
    node = helper.make_node("Act", ["image"], ["depth"], domain="local")
    facts = read_facts(save(tmp_path / "m.onnx", [node], functions=[inner], imports=[("local", 1)]))
    assert facts.ops == {"local::Act": 1, "Sigmoid": 1}


@pytest.mark.parametrize(("dtype", "name"), [(np.int8, "int8"), (np.uint8, "uint8"), (np.int16, "int16")])
def test_the_type_of_a_quantisation_is_its_zero_points(tmp_path: Path, dtype: type, name: str) -> None:
    facts = read_facts(save(tmp_path / "m.onnx", qdq(), weights=[SCALE, zero(dtype)], opset=21))
    assert facts.quantized_dtypes == {name}
    assert facts.precision == "int8"


def test_without_a_zero_point_a_quantisation_is_uint8_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert read_facts(save(tmp_path / "a.onnx", qdq(None), weights=[SCALE])).quantized_dtypes == {"uint8"}
    typed = qdq(None)
    typed[0].attribute.append(helper.make_attribute("output_dtype", TensorProto.INT8))
    assert read_facts(save(tmp_path / "b.onnx", typed, weights=[SCALE], opset=21)).quantized_dtypes == {"int8"}


def test_a_quantised_bias_is_seen(tmp_path: Path) -> None:
    bias = [numpy_helper.from_array(np.array([1], np.int32), "b"), zero(np.int32, "bz")]
    nodes = [
        *qdq()[:1],
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
        helper.make_node("DequantizeLinear", ["b", "s", "bz"], ["y"]),
        helper.make_node("Add", ["x", "y"], ["depth"]),
    ]
    facts = read_facts(save(tmp_path / "m.onnx", nodes, weights=[SCALE, zero(np.int8), *bias]))
    assert facts.quantized_dtypes == {"int8", "int32"}


def test_weights_stored_as_integers_tell_their_type_without_a_zero_point(tmp_path: Path) -> None:
    stored = numpy_helper.from_array(np.ones(3, np.int8), "w")
    node = helper.make_node("DequantizeLinear", ["w", "s"], ["depth"])
    assert read_facts(save(tmp_path / "m.onnx", [node], weights=[SCALE, stored])).quantized_dtypes == {"int8"}


def test_a_file_cut_off_anywhere_has_no_facts(tmp_path: Path) -> None:
    whole = save(tmp_path / "m.onnx", qdq(), weights=[SCALE, zero(np.int8)]).read_bytes()
    cut = tmp_path / "cut.onnx"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(BundleError, match=r"not a whole ONNX file|is empty"):
            read_facts(cut)


def test_facts_of_a_real_network(realdata: Path) -> None:
    networks = sorted(realdata.rglob("*.onnx"))
    assert networks
    for path in networks:
        model = onnx.load(str(path))
        facts = read_facts(path)
        assert sum(facts.ops.values()) == len(model.graph.node)
        assert facts.opset == next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
        assert facts.is_quantized == any(node.op_type.endswith("QuantizeLinear") for node in model.graph.node)
