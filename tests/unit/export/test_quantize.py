"""The INT8 graph: what TensorRT wants is there, what it refuses is not, and the arithmetic is that of the formula."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper, parser
from rtx import build_with_rtx

from edgedepth.backends import BackendOptions, available_backends, open_backend
from edgedepth.bundle.specfile import parse_spec
from edgedepth.errors import ExportError, InputError
from edgedepth.export.quantize import load_float_model, quantize_int8

SPEC = parse_spec({"name": "net", "input": {"height": 16, "width": 16}, "output": {"name": "depth", "kind": "metric"}})
SHAPE = (1, 3, 16, 16)

# A residual block with a grouped convolution, an upsampling, a linear layer in the channels, a product of activations
# (as in attention), and a head that ends with a Sigmoid.
NETWORK = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 3, 16, 16] image) => (float[1, 1, 16, 16] depth)
<float[8, 3, 3, 3] w1, float[8] b1, float[8, 1, 3, 3] w2, float[8, 8, 1, 1] w3, float[8, 4, 2, 2] w4, float[4, 4] w5,
 float[1, 4, 1, 1] w6>
{
  [stem] x1 = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (image, w1, b1)
  x2 = Relu(x1)
  [deep] y1 = Conv <group = 8, pads = [1, 1, 1, 1]> (x2, w2)
  y2 = Relu(y1)
  [wide] y3 = Conv(y2, w3)
  [join] z = Add(y3, x2)
  [up] u1 = ConvTranspose <strides = [2, 2]> (z, w4)
  u2 = Transpose <perm = [0, 2, 3, 1]> (u1)
  [linear] u3 = MatMul(u2, w5)
  u4 = Transpose <perm = [0, 3, 1, 2]> (u3)
  [attention] u5 = MatMul(u4, u4)
  [head] h = Conv(u5, w6)
  depth = Sigmoid(h)
}
"""


def network(tmp_path: Path, text: str = NETWORK, seed: int = 0) -> Path:
    """The text's network; what it declares without a value gets random weights."""
    rng = np.random.default_rng(seed)
    model = parser.parse_model(text)
    for declared in model.graph.value_info:
        shape = [dim.dim_value for dim in declared.type.tensor_type.shape.dim]
        values = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, declared.name))
    del model.graph.value_info[:]
    path = tmp_path / "fp32.onnx"
    onnx.save(model, str(path))
    return path


def feeds(count: int = 8) -> Iterator[NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    return (rng.uniform(0, 1, SHAPE).astype(np.float32) for _ in range(count))


def run(path: Path, image: NDArray[np.float32], backend: str = "onnxruntime") -> NDArray[Any]:
    with open_backend(path, BackendOptions(threads=1), name=backend) as opened:
        return opened.run({"image": image})["depth"].copy()


class Read:
    """A saved graph, looked up by name."""

    def __init__(self, path: Path) -> None:
        self.model = onnx.load(str(path))
        self.nodes = {node.name: node for node in self.model.graph.node}
        self.maker = {name: node for node in self.model.graph.node for name in node.output}
        self.arrays = {one.name: numpy_helper.to_array(one) for one in self.model.graph.initializer}

    def kinds(self, node: str) -> list[str]:
        """What each input of a node comes from."""
        return [
            self.maker[name].op_type if name in self.maker else ("constant" if name in self.arrays else "input")
            for name in self.nodes[node].input
        ]


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Read]:
    folder = tmp_path_factory.mktemp("int8")
    source = network(folder)
    result = quantize_int8(source, folder / "int8.onnx", SPEC, feeds(), calibrator="minmax")
    assert result.quantized == ("stem", "deep", "wide", "up", "linear", "head")
    assert result.excluded == ()
    assert result.images == 8
    return source, Read(result.path)


def test_activations_and_weights_enter_through_pairs(quantised: tuple[Path, Read]) -> None:
    graph = quantised[1]
    assert graph.kinds("stem") == ["DequantizeLinear", "DequantizeLinear", "constant"]
    for name in ("deep", "wide", "up", "linear", "head"):
        assert graph.kinds(name) == ["DequantizeLinear", "DequantizeLinear"], name
    assert graph.kinds("attention") == ["Transpose", "Transpose"], "a product of two activations stays float32"


def test_everything_is_symmetric_int8(quantised: tuple[Path, Read]) -> None:
    graph = quantised[1]
    pairs = [node for node in graph.model.graph.node if node.op_type.endswith("izeLinear")]
    assert pairs
    for node in pairs:
        zero, scale = graph.arrays[node.input[2]], graph.arrays[node.input[1]]
        assert zero.dtype == np.int8
        assert not zero.any()
        assert scale.dtype == np.float32
        assert (scale > 0).all()
    assert {str(array.dtype) for array in graph.arrays.values()} == {"int8", "float32"}, "no uint8, no int32 biases"
    np.testing.assert_array_equal(graph.arrays["b1"], Read(quantised[0]).arrays["b1"])


@pytest.mark.parametrize(
    ("node", "weight", "axis"), [("stem", "w1", 0), ("deep", "w2", 0), ("up", "w4", 1), ("linear", "w5", 1)]
)
def test_weights_have_a_scale_for_every_output_channel(
    quantised: tuple[Path, Read], node: str, weight: str, axis: int
) -> None:
    source, graph = quantised
    pair = graph.maker[graph.nodes[node].input[1]]
    steps, scale = graph.arrays[pair.input[0]], graph.arrays[pair.input[1]]
    values = Read(source).arrays[weight]
    assert [entry.i for entry in pair.attribute if entry.name == "axis"] == [axis]
    assert scale.shape == (values.shape[axis],)
    largest = [np.abs(channel).max() for channel in np.moveaxis(values, axis, 0)]
    np.testing.assert_allclose(scale, np.array(largest) / 127, rtol=1e-6)
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    assert np.abs(steps * scale.reshape(shape) - values).max() <= scale.max() / 2 * 1.001
    assert weight not in graph.arrays, "the float32 copy is gone"


def test_outputs_stay_float_and_a_residual_sum_takes_the_quantised_branch(quantised: tuple[Path, Read]) -> None:
    graph = quantised[1]
    assert [graph.maker[name].name for name in graph.nodes["join"].input] == ["wide", "x2_DequantizeLinear"]
    sigmoid = graph.maker["depth"]
    assert sigmoid.op_type == "Sigmoid"
    assert graph.maker[sigmoid.input[0]].name == "head"
    for value in (*graph.model.graph.input, *graph.model.graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_it_gives_nearly_the_network_s_numbers_everywhere(quantised: tuple[Path, Read], tmp_path: Path) -> None:
    source, graph = quantised
    path = tmp_path / "int8.onnx"
    onnx.save(graph.model, str(path))
    image = next(feeds())
    expected = run(source, image)
    for backend in [name for name in ("onnxruntime", "openvino") if available_backends()[name]]:
        assert np.abs(run(path, image, backend) - expected).mean() < 0.02 * np.ptp(expected)


def test_tensorrt_builds_it(quantised: tuple[Path, Read], tmp_path: Path) -> None:
    path = tmp_path / "int8.onnx"
    onnx.save(quantised[1].model, str(path))
    assert build_with_rtx(path, "SM86", "SM120") > 0


def test_a_node_that_is_left_out_is_untouched(tmp_path: Path) -> None:
    source = network(tmp_path)
    result = quantize_int8(source, tmp_path / "int8.onnx", SPEC, feeds(), exclude={"deep", "head"})
    graph = Read(result.path)
    assert result.excluded == ("deep", "head")
    assert graph.kinds("deep") == ["Relu", "constant"]
    assert graph.kinds("head") == ["MatMul", "constant"]
    np.testing.assert_array_equal(graph.arrays["w2"], Read(source).arrays["w2"])
    # x2 is no longer quantised for anybody, so the sum takes it as it is.
    assert graph.kinds("join") == ["Conv", "Relu"]


SHARED = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 3, 16, 16] image) => (float[1, 1, 16, 16] depth)
<float[1, 3, 1, 1] w>
{
  [one] a = Conv(image, w)
  [two] b = Conv(image, w)
  depth = Add(a, b)
}
"""


def test_a_tensor_shared_with_a_node_that_is_left_out_stays_float_for_it(tmp_path: Path) -> None:
    source = network(tmp_path, SHARED)
    both = Read(quantize_int8(source, tmp_path / "both.onnx", SPEC, feeds()).path)
    assert both.nodes["one"].input == both.nodes["two"].input
    assert [node.op_type for node in both.model.graph.node].count("QuantizeLinear") == 1
    one = Read(quantize_int8(source, tmp_path / "one.onnx", SPEC, feeds(), exclude=["two"]).path)
    assert one.kinds("one") == ["DequantizeLinear", "DequantizeLinear"]
    assert list(one.nodes["two"].input) == ["image", "w"]


def test_the_numbers_are_those_of_the_formula(tmp_path: Path) -> None:
    text = SHARED.replace("[two] b = Conv(image, w)", "b = ReduceSum(image)").replace("Add(a, b)", "Relu(a)")
    source = network(tmp_path, text)
    path = quantize_int8(source, tmp_path / "int8.onnx", SPEC, feeds(), calibrator="minmax").path
    image = next(feeds())
    scale = max(float(feed.max()) for feed in feeds()) / 127
    weights = Read(source).arrays["w"].reshape(3)
    steps = np.rint(weights / (np.abs(weights).max() / 127)) * (np.abs(weights).max() / 127)
    fake = np.clip(np.rint(image / scale), -128, 127) * scale
    expected = np.maximum(np.einsum("nchw,c->nhw", fake, steps), 0)
    np.testing.assert_allclose(run(path, image)[:, 0], expected, atol=1e-5)


def test_a_channel_of_zeros_stays_zero(tmp_path: Path) -> None:
    source = network(tmp_path, SHARED)
    model = onnx.load(str(source))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), "w"))
    onnx.save(model, str(source))
    path = quantize_int8(source, tmp_path / "int8.onnx", SPEC, feeds()).path
    assert not run(path, next(feeds())).any()


def test_what_cannot_become_int8_says_why(tmp_path: Path) -> None:
    source = network(tmp_path, SHARED)
    out = tmp_path / "int8.onnx"
    with pytest.raises(InputError, match="no node 'three' that could be quantised"):
        quantize_int8(source, out, SPEC, feeds(), exclude={"three"})
    assert not out.exists()
    done = quantize_int8(source, out, SPEC, feeds()).path
    with pytest.raises(ExportError, match="quantised already"):
        quantize_int8(done, tmp_path / "again.onnx", SPEC, feeds())
    (tmp_path / "text.onnx").write_bytes(b"hello")
    with pytest.raises(ExportError, match="cannot be read as ONNX"):
        load_float_model(tmp_path / "text.onnx", "net")
    old = network(tmp_path, SHARED.replace('"" : 17', '"" : 11'))
    with pytest.raises(ExportError, match="operator set 13, found 11"):
        load_float_model(old, "net")
    bare = network(tmp_path, SHARED.replace("Conv(image, w)", "ReduceMean(image)"))
    with pytest.raises(ExportError, match="INT8 brings nothing"):
        load_float_model(bare, "net")


def test_nodes_without_a_name_get_one(tmp_path: Path) -> None:
    source = network(tmp_path, SHARED.replace("[one] ", "").replace("[two] ", ""))
    names = [node.name for node in load_float_model(source, "net").graph.node]
    assert len(set(names)) == 3
    assert all(names)
