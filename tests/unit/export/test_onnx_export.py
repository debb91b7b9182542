"""torch to ONNX: one static file that gives torch's numbers, and one line when it cannot be made."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from rtx import build_with_rtx
from torch import Tensor, nn
from torch_networks import Attention, LoudBlock, TinyDepth, tiny_depth

from edgedepth.backends import open_backend
from edgedepth.errors import ExportError
from edgedepth.export.onnx_export import export_onnx

HEIGHT, WIDTH = 32, 48


def feed(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, HEIGHT, WIDTH), np.float32)


def answer(path: Path, image: np.ndarray, backend: str = "onnxruntime") -> np.ndarray:
    with open_backend(path, name=backend) as opened:
        return np.array(opened.run({"image": image})["depth"])


def torch_answer(network: nn.Module, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(image)).numpy()


@pytest.fixture(scope="module")
def network() -> TinyDepth:
    torch.manual_seed(0)
    return tiny_depth(LoudBlock(8, 1.0), Attention(8))


@pytest.fixture(scope="module")
def fp32(network: TinyDepth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "fp32.onnx"
    export_onnx(network, HEIGHT, WIDTH, path)
    return path


def test_one_static_file_with_float32_doors(fp32: Path) -> None:
    model = onnx.load(fp32)
    tensors = {value.name: value.type.tensor_type for value in (*model.graph.input, *model.graph.output)}
    shapes = {name: [d.dim_value for d in tensor.shape.dim] for name, tensor in tensors.items()}
    assert shapes == {"image": [1, 3, HEIGHT, WIDTH], "depth": [1, 1, HEIGHT, WIDTH]}
    assert {tensor.elem_type for tensor in tensors.values()} == {onnx.TensorProto.FLOAT}
    assert [each.version for each in model.opset_import] == [18]
    assert model.ir_version == 8  # of ONNX 1.13, which brought operator set 18
    assert [path.name for path in fp32.parent.iterdir()] == [fp32.name]
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("LayerNormalization") == 1
    assert "BatchNormalization" not in kinds


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_gives_torchs_numbers(network: TinyDepth, fp32: Path, backend: str) -> None:
    np.testing.assert_allclose(answer(fp32, feed(), backend), torch_answer(network, feed()), rtol=1e-4)


def test_half_is_half_inside_and_float32_at_the_doors(network: TinyDepth, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    before = copy.deepcopy(network.state_dict())
    export_onnx(network, HEIGHT, WIDTH, path, half=True)
    model = onnx.load(path)
    weights = {t.data_type for t in model.graph.initializer if t.dims and t.data_type != onnx.TensorProto.INT64}
    assert onnx.TensorProto.FLOAT16 in weights
    assert [node.op_type for node in model.graph.node].count("Cast") == 2
    np.testing.assert_allclose(answer(path, feed()), torch_answer(network, feed()), rtol=5e-3)
    assert not np.array_equal(answer(path, feed()), torch_answer(network, feed()))
    # The caller's network is as it was.
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_training_network_is_exported_as_for_use_and_stays_in_training(tmp_path: Path) -> None:
    network = tiny_depth(LoudBlock(8, 1.0), nn.Dropout(0.9)).train()
    export_onnx(network, HEIGHT, WIDTH, tmp_path / "n.onnx")
    assert all(module.training for module in network.modules())
    np.testing.assert_allclose(answer(tmp_path / "n.onnx", feed()), torch_answer(network.eval(), feed()), rtol=1e-4)


class UnnormalisedNorm(nn.Module):
    """Statistics of an image of 0..255 through a wide convolution: no FP16 number is as large as the variance."""

    def __init__(self, read_twice: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.read_twice = read_twice
        with torch.no_grad():
            self.conv.weight *= 1000
            self.norm.running_var.fill_(1e6)
            self.norm.running_mean.fill_(30.0)
            self.norm.weight[0] = 0.0  # a channel that training has switched off

    def forward(self, x: Tensor) -> Tensor:
        wide = self.conv(x)
        narrow = self.norm(wide)
        return narrow + wide * 1e-3 if self.read_twice else narrow


@pytest.mark.parametrize("read_twice", [False, True])
def test_large_batch_statistics_survive_half(read_twice: bool, tmp_path: Path) -> None:
    torch.manual_seed(3)
    # tiny_depth would replace the statistics.
    network = TinyDepth(UnnormalisedNorm(read_twice)).eval()
    export_onnx(network, HEIGHT, WIDTH, tmp_path / "n.onnx", half=True)
    np.testing.assert_allclose(answer(tmp_path / "n.onnx", feed()), torch_answer(network, feed()), rtol=2e-3)
    plain = copy.deepcopy(network).half()
    with torch.inference_mode():
        wrong = plain(torch.from_numpy(feed()).half()).float().numpy()
    assert not np.allclose(wrong, torch_answer(network, feed()), rtol=2e-2)


def test_nothing_of_this_machine_is_in_the_file(fp32: Path) -> None:
    content = fp32.read_bytes()
    for private in (str(Path(__file__).parent), "torch_networks.py", "site-packages", "stack_trace"):
        assert private.encode() not in content


def test_says_nothing(network: TinyDepth, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    steps: list[str] = []
    export_onnx(network, HEIGHT, WIDTH, tmp_path / "n.onnx", progress=lambda step, fraction: steps.append(step))
    assert capfd.readouterr() == ("", "")
    assert steps


def test_tensorrt_builds_it(fp32: Path) -> None:
    assert build_with_rtx(fp32) > 0


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.zeros(5, 5)


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


class DataDependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        (Broken(), ("5x5", "in middle.0")),
        (Unknown(), ("bessel_j0",)),
        (DataDependent(), ("data-dependent", "middle.0")),
    ],
    ids=["broken", "unknown operator", "data-dependent"],
)
def test_failures_name_the_culprit_in_one_line(middle: nn.Module, words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        export_onnx(tiny_depth(middle), HEIGHT, WIDTH, tmp_path / "n.onnx")
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    for word in words:
        assert word in message
    assert not list(tmp_path.iterdir())


def test_another_shape_than_one_plane_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"1 x 1 x h x w tensor, found \(1, 8, 16, 24\)"):
        export_onnx(nn.Conv2d(3, 8, 3, 2, 1), HEIGHT, WIDTH, tmp_path / "n.onnx")


def test_weights_beyond_one_file_are_refused_before_any_work(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = nn.Linear(1024, 600 * 1024)  # 2.3 GiB
    with pytest.raises(ExportError, match=r"weights take 2\.3 GiB and an ONNX file holds 2 GiB"):
        export_onnx(network, HEIGHT, WIDTH, tmp_path / "n.onnx")


def test_unknown_island_is_refused(network: TinyDepth, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no module 'middle\.7'"):
        export_onnx(network, HEIGHT, WIDTH, tmp_path / "n.onnx", half=True, fp32_modules=["middle.7"])
