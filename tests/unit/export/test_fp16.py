"""FP16 keeps in FP32 exactly what FP16 cannot hold, found by measurement, in torch networks and in bare graphs."""

from __future__ import annotations

import ast
import copy
import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from rtx import build_with_rtx
from torch import nn
from torch_networks import Attention, LoudBlock, TinyDepth, loud_network, tiny_depth

from edgedepth.errors import ExportError, MissingExtraError
from edgedepth.export.fp16 import convert_fp16, export_fp16
from edgedepth.export.onnx_export import SCOPES_KEY, export_onnx
from edgedepth.export.overflow import FP16_MAX, find_overflow, find_underflow
from edgedepth.export.parity import check_parity
from edgedepth.export.simplify import simplify

HEIGHT, WIDTH = 32, 48
LOUD = 3e7


def images(count: int = 2, brightness: float = 1.0) -> list[np.ndarray]:
    values = np.random.default_rng(0).random((count, 1, 3, HEIGHT, WIDTH), np.float32)
    return list(values * np.float32(brightness))


def graph_of(network: nn.Module, path: Path) -> Path:
    export_onnx(network, HEIGHT, WIDTH, path)
    simplify(path)
    return path


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyDepth, Path]:
    """``middle.1`` reaches a million and comes back."""
    network = loud_network(LOUD)
    return network, graph_of(network, tmp_path_factory.mktemp("loud") / "fp32.onnx")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyDepth, Path]:
    network = loud_network(1.0)
    return network, graph_of(network, tmp_path_factory.mktemp("quiet") / "fp32.onnx")


def values_of(path: Path, tensor: str, feed: np.ndarray) -> np.ndarray:
    """A tensor inside a graph, through onnx's own reference implementation."""
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    return np.asarray(onnx.reference.ReferenceEvaluator(model).run([tensor], {"image": feed})[0])


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def weights_by_node(path: Path) -> dict[str, np.ndarray]:
    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    return {
        node.name: numpy_helper.to_array(tensors[node.input[1]])
        for node in model.graph.node
        if node.op_type in ("Conv", "MatMul") and node.input[1] in tensors
    }


def modules_in_fp32(path: Path) -> set[str]:
    """Modules, two levels deep, with a convolution or linear layer whose weights are FP32."""
    model = onnx.load(path)
    wide = {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) > 1}
    return {
        ".".join(ast.literal_eval(entry.value)[-2].split(".")[:2])
        for node in model.graph.node
        if wide.intersection(node.input)
        for entry in node.metadata_props
        if entry.key == SCOPES_KEY
    }


# --- what is beyond FP16 ----------------------------------------------------------------------------------------------


def test_overflow_is_found_with_its_size_and_its_module(loud: tuple[TinyDepth, Path]) -> None:
    found = find_overflow(loud[1], images())
    assert {each.module for each in found} == {"middle.1"}
    worst = max(found, key=lambda each: each.magnitude)
    expected = max(float(np.abs(values_of(loud[1], worst.tensor, image)).max()) for image in images())
    assert worst.magnitude == pytest.approx(expected, rel=1e-4)
    assert worst.magnitude > 5e5
    assert worst.producer
    assert worst.consumers


def test_the_largest_frame_counts(quiet: tuple[TinyDepth, Path]) -> None:
    assert find_overflow(quiet[1], images()) == ()
    assert find_overflow(quiet[1], [*images(), *images(1, brightness=1e6)])


def test_half_of_the_range_is_kept_in_reserve(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["image", "k"], ["a"]), helper.make_node("Relu", ["a"], ["depth"])],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 2, 2])],
        [helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, 3, 2, 2])],
        [numpy_helper.from_array(np.float32(1), "k")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "n.onnx")
    for value, names in ((32000, []), (33000, ["a", "depth"]), (-33000, ["a"])):
        found = find_overflow(tmp_path / "n.onnx", [np.full((1, 3, 2, 2), value, np.float32)])
        assert [each.tensor for each in found] == names
        assert {each.module for each in found} <= {None}  # nothing says where it comes from
    assert find_overflow(tmp_path / "n.onnx", [np.full((1, 3, 2, 2), 33000, np.float32)], limit=FP16_MAX) == ()


def test_weights_that_vanish_are_reported(tmp_path: Path) -> None:
    network = tiny_depth(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1))
    with torch.no_grad():
        small, mixed = network.middle[0].weight, network.middle[1].weight
        small[:4] = 2.9e-8  # below half of 2**-24, the smallest FP16 number: becomes 0
        small[4:] = 2.0**-24  # exactly that number
        mixed[:4] = 2.9e-8  # lost beside much larger ones
        mixed[4:] = 0.5
    found = find_underflow(graph_of(network, tmp_path / "n.onnx"))
    assert [each.tensor for each in found] == ["middle.0.weight"]
    assert found[0].lost == pytest.approx(2.9e-8 / (2.9e-8 + 2.0**-24))


# --- from torch -------------------------------------------------------------------------------------------------------


def test_plain_half_is_infinite_ours_keeps_exactly_the_loud_block(loud: tuple[TinyDepth, Path], tmp_path: Path) -> None:
    network, fp32 = loud
    with torch.inference_mode():
        plain = copy.deepcopy(network).half()(torch.from_numpy(images()[0]).half())
    assert not torch.isfinite(plain).all()
    path = tmp_path / "fp16.onnx"
    result = export_fp16(network, HEIGHT, WIDTH, path, feeds=images(), fp32_onnx=fp32)
    assert (result.method, result.kept_fp32, result.reason) == ("half", ("middle.1",), None)
    assert modules_in_fp32(path) == {"middle.1"}
    assert kinds(path).count("Cast") == 4  # at the doors and around the block
    parity = check_parity(fp32, path, images(4), tolerance=0.01)
    assert parity.mean_relative < 1e-3
    assert build_with_rtx(path) > 0


def test_nothing_is_kept_where_nothing_overflows(quiet: tuple[TinyDepth, Path], tmp_path: Path) -> None:
    path = tmp_path / "fp16.onnx"
    result = export_fp16(quiet[0], HEIGHT, WIDTH, path, feeds=images(), fp32_onnx=quiet[1])
    assert (result.method, result.kept_fp32, result.overflow) == ("half", (), ())
    assert kinds(path).count("Cast") == 2
    assert "LayerNormalization" in kinds(path)
    assert path.stat().st_size < quiet[1].stat().st_size
    check_parity(quiet[1], path, images(4), tolerance=0.01)


def test_weights_are_rounded_once(quiet: tuple[TinyDepth, Path], tmp_path: Path) -> None:
    """Batch statistics are folded into FP32 weights, not into rounded ones."""
    export_fp16(quiet[0], HEIGHT, WIDTH, tmp_path / "fp16.onnx", feeds=images(), fp32_onnx=quiet[1])
    half, fp32 = (weights_by_node(path) for path in (tmp_path / "fp16.onnx", quiet[1]))
    assert len(half) == len(fp32) == 12
    for name, weight in half.items():
        np.testing.assert_array_equal(weight, fp32[name].astype(np.float16))


def test_an_operation_that_is_no_module_is_found(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = tiny_depth(LoudBlock(8, 1.0), LoudBlock(8, 1.0), Attention(8, gain=400.0))
    fp32 = graph_of(network, tmp_path / "fp32.onnx")
    assert {each.module for each in find_overflow(fp32, images())} == {"middle.2"}
    result = export_fp16(network, HEIGHT, WIDTH, tmp_path / "fp16.onnx", feeds=images(), fp32_onnx=fp32)
    assert (result.method, result.kept_fp32) == ("half", ("middle.2",))
    check_parity(fp32, tmp_path / "fp16.onnx", images(4), tolerance=0.01)
    assert build_with_rtx(tmp_path / "fp16.onnx", "SM86") > 0


def test_what_no_module_can_hold_is_kept_node_by_node(tmp_path: Path) -> None:
    network = tiny_depth(LoudBlock(8, 1.0), out_gain=1e6)  # in the network's own forward
    fp32 = graph_of(network, tmp_path / "fp32.onnx")
    result = export_fp16(network, HEIGHT, WIDTH, tmp_path / "fp16.onnx", feeds=images(), fp32_onnx=fp32)
    assert result.method == "graph"
    assert result.reason is not None
    assert "the network itself" in result.reason
    made = {node.name: node.op_type for node in onnx.load(fp32).graph.node}
    assert sorted(made[name] for name in result.kept_fp32) == ["Div", "Mul"]
    check_parity(fp32, tmp_path / "fp16.onnx", images(4), tolerance=0.01)


def test_what_the_caller_names_is_kept_besides(quiet: tuple[TinyDepth, Path], tmp_path: Path) -> None:
    path = tmp_path / "fp16.onnx"
    result = export_fp16(
        quiet[0], HEIGHT, WIDTH, path, feeds=images(), fp32_onnx=quiet[1], keep_fp32=["middle.2.qkv", "head"]
    )
    assert result.kept_fp32 == ("head", "middle.2.qkv")


def test_islands_are_widened_until_the_graph_is_finite(
    loud: tuple[TinyDepth, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured on frames that are too dark, the overflow is only seen in the FP16 graph itself."""
    real = find_overflow

    def blind(path: Path, feeds: Sequence[np.ndarray], limit: float = FP16_MAX / 2) -> tuple[object, ...]:
        return real(path, feeds, limit) if np.isinf(limit) else ()

    monkeypatch.setattr("edgedepth.export.fp16.find_overflow", blind)
    network, fp32 = loud
    result = export_fp16(network, HEIGHT, WIDTH, tmp_path / "half.onnx", feeds=images(), fp32_onnx=fp32)
    assert (result.method, result.kept_fp32) == ("half", ("middle.1",))
    result = convert_fp16(fp32, tmp_path / "graph.onnx", feeds=images())
    assert result.kept_fp32
    for name in ("half.onnx", "graph.onnx"):
        check_parity(fp32, tmp_path / name, images(4), tolerance=0.01)


# --- from a graph -----------------------------------------------------------------------------------------------------


def test_graph_converter_keeps_the_loud_operators(loud: tuple[TinyDepth, Path], tmp_path: Path) -> None:
    path = tmp_path / "fp16.onnx"
    result = convert_fp16(loud[1], path, feeds=images())
    touched = {name for each in result.overflow for name in (each.producer, *each.consumers)}
    assert set(result.kept_fp32) == touched
    assert modules_in_fp32(path) == {"middle.1"}
    check_parity(loud[1], path, images(4), tolerance=0.01)
    onnx.checker.check_model(str(path), full_check=True)
    assert build_with_rtx(path) > 0


def test_graph_converter_on_a_foreign_file(tmp_path: Path) -> None:
    """No module names, no node names, one loud tensor with two readers."""
    network = loud_network(1.0)
    fp32 = graph_of(network, tmp_path / "fp32.onnx")
    model = onnx.load(fp32)
    for node in model.graph.node:
        node.ClearField("name")
        del node.metadata_props[:]
    source = model.graph.output[0].name
    model.graph.node[-1].output[0] = "plain"
    extra = [("Mul", ["plain", "big"], "loud"), ("Div", ["loud", "big"], "a"), ("Div", ["loud", "bigger"], "b")]
    model.graph.node.extend(helper.make_node(kind, names, [out]) for kind, names, out in extra)
    model.graph.node.append(helper.make_node("Add", ["a", "b"], [source]))
    constants = (("big", 1e5), ("bigger", 2e5))
    model.graph.initializer.extend(numpy_helper.from_array(np.float32(value), name) for name, value in constants)
    onnx.save(model, fp32)
    result = convert_fp16(fp32, tmp_path / "fp16.onnx", feeds=images())
    assert set(result.kept_fp32) == {"Mul:loud", "Div:a", "Div:b"}
    check_parity(fp32, tmp_path / "fp16.onnx", images(4), tolerance=0.01)
    assert build_with_rtx(tmp_path / "fp16.onnx", "SM86") > 0


def test_graph_converter_keeps_what_is_named(quiet: tuple[TinyDepth, Path], tmp_path: Path) -> None:
    path = tmp_path / "fp16.onnx"
    result = convert_fp16(quiet[1], path, feeds=images(), keep_fp32=["head"])
    assert modules_in_fp32(path) == {"head"}
    assert len(result.kept_fp32) == 1
    with pytest.raises(ExportError, match="no node or module 'tail'"):
        convert_fp16(quiet[1], path, feeds=images(), keep_fp32=["tail"])


def test_a_network_that_is_infinite_in_any_precision_is_refused(tmp_path: Path) -> None:
    network = loud_network(1.0)
    with torch.no_grad():
        network.head.bias.fill_(float("nan"))
    fp32 = graph_of(network, tmp_path / "fp32.onnx")
    for write in (
        lambda path: convert_fp16(fp32, path, feeds=images()),
        lambda path: export_fp16(network, HEIGHT, WIDTH, path, feeds=images(), fp32_onnx=fp32),
    ):
        with pytest.raises(ExportError, match="gives NaN or infinities") as caught:
            write(tmp_path / "fp16.onnx")
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [fp32]


def test_no_frames_no_fp16(quiet: tuple[TinyDepth, Path], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="at least one input tensor"):
        convert_fp16(quiet[1], tmp_path / "fp16.onnx", feeds=[])


@pytest.mark.skipif(importlib.util.find_spec("modelopt") is not None, reason="modelopt is installed")
def test_autocast_without_modelopt_says_how_to_get_it(quiet: tuple[TinyDepth, Path], tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r'pip install "edgedepth\[modelopt\]".*environment of its own'):
        convert_fp16(quiet[1], tmp_path / "fp16.onnx", feeds=images(), method="autocast")


def test_autocast(loud: tuple[TinyDepth, Path], tmp_path: Path) -> None:
    pytest.importorskip("modelopt", reason="ModelOpt has pins of its own; run in an environment that has it")
    path = tmp_path / "fp16.onnx"
    convert_fp16(loud[1], path, feeds=images(), method="autocast")
    check_parity(loud[1], path, images(4), tolerance=0.01)


def test_a_trained_network_in_fp16_gives_its_metres(realdata: Path, tmp_path: Path) -> None:
    original = realdata / "nets" / "fastdepth" / "fastdepth_224_dequantised_fp32.onnx"
    fp32, path = tmp_path / "fp32.onnx", tmp_path / "fp16.onnx"
    shutil.copyfile(original, fp32)
    simplify(fp32)
    pictures = sorted((realdata / "rgbd").rglob("rgb.*"))[:6]
    feeds = [
        cv2.resize(cv2.imread(str(picture)), (224, 224), interpolation=cv2.INTER_AREA)[None, ..., ::-1]
        / np.float32(255)
        for picture in pictures
    ]
    assert len(feeds) == 6
    result = convert_fp16(fp32, path, feeds=feeds[:3])
    assert (result.kept_fp32, result.underflow) == ((), ())
    # Against the file as it came, simplification included. FP16 numbers are 0.1 % apart.
    check_parity(original, path, feeds, tolerance=2e-3, kind="mean")
    assert path.stat().st_size < 0.55 * original.stat().st_size
    assert kinds(path).count("Cast") == 2
    assert build_with_rtx(path, "SM86") > 0
