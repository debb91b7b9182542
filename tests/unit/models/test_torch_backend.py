"""A network in torch behind the Backend seam: the contract, and the numbers of its exported graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scored_rooms import write_rooms
from torch import Tensor, nn

from edgedepth.backends import BackendOptions, open_backend
from edgedepth.data import open_dataset
from edgedepth.depth import DepthEstimator
from edgedepth.errors import BackendError, InputError
from edgedepth.evaluation.runner import evaluate
from edgedepth.export.estimator import open_checkpoint
from edgedepth.export.recipe import load_recipe
from edgedepth.export.sources import NetworkSource
from edgedepth.models.backend import TorchBackend
from edgedepth.models.base import DepthNetwork


class Tiny(DepthNetwork):
    """The mean of the channels at half the size, plus a dropout that must not act."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 2, stride=2, bias=False)
        nn.init.constant_(self.conv.weight, 1 / 12)
        self.drop, self.fails = nn.Dropout(0.9), fails

    @property
    def encoder(self) -> nn.Module:
        return self.conv

    def forward(self, image: Tensor) -> Tensor:
        if self.fails:
            raise RuntimeError("CUDA out of memory")
        return self.drop(self.conv(image))


def test_it_is_a_backend() -> None:
    network = Tiny().train()
    image = np.random.default_rng(0).random((1, 3, 4, 6), dtype=np.float32)
    expected = image.reshape(1, 3, 2, 2, 3, 2).mean(axis=(1, 3, 5))[:, None]
    with TorchBackend(network, 4, 6) as backend, backend.replica() as replica:
        assert backend.name == "torch:cpu"
        for one in (backend, replica):
            depth = one.run({"image": image})["depth"]
            np.testing.assert_allclose(depth, expected, rtol=1e-6)
            assert depth.dtype == np.float32
        assert not network.training
        assert network.conv.weight.grad is None
        with pytest.raises(InputError, match="image"):
            backend.run({"image": image[..., :5]})
    with pytest.raises(BackendError, match="closed"):
        backend.run({"image": image})
    with pytest.raises(BackendError, match=r"failed in torch on cpu: CUDA out of memory; another size"):
        TorchBackend(Tiny(fails=True), 4, 6).run({"image": image})


class TwoHeads(Tiny):
    """The mean, and how bright the first channel is."""

    output_names = ("depth", "person")

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.conv(image), image[:, :1, ::2, ::2]


def test_every_output_of_the_network_is_one_of_the_backend() -> None:
    image = np.random.default_rng(0).random((1, 3, 4, 6), dtype=np.float32)
    with TorchBackend(TwoHeads(), 4, 6) as backend, backend.replica() as replica:
        assert [tensor.name for tensor in backend.outputs] == ["depth", "person"]
        found = replica.run({"image": image})
    np.testing.assert_array_equal(found["person"], image[:, :1, ::2, ::2])
    np.testing.assert_allclose(found["depth"][0, 0, 0, 0], image[..., :2, :2].mean(), rtol=1e-6)


def test_torch_and_onnx_are_evaluated_alike(tmp_path: Path) -> None:
    recipe = load_recipe("fastdepth").at_size(64, 96)
    source = NetworkSource.of_recipe(recipe, None, random_init=True)
    weights = tmp_path / "weights.pth"
    torch.save(source.network.state_dict(), weights)
    onnx = tmp_path / "fp32.onnx"
    source.write_fp32(onnx, [np.random.default_rng(1).random((1, 3, 64, 96), dtype=np.float32)])
    dataset = open_dataset(write_rooms(tmp_path, 3), "rgbd")
    with (
        open_checkpoint("fastdepth", weights, size_hw=(64, 96)) as in_torch,
        DepthEstimator(source.spec, open_backend(onnx, BackendOptions(threads=1)), allow_untrained=True) as in_onnx,
    ):
        first, second = evaluate(in_torch, dataset, "rgbd"), evaluate(in_onnx, dataset, "rgbd")
    assert first.estimator.name == "fastdepth on torch:cpu"
    assert first.estimator.sha256
    assert second.mean == pytest.approx(first.mean, rel=1e-3, abs=1e-6)
    assert first.mean["absrel"] > 0.05, "random weights: a real comparison"
