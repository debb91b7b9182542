"""The project's own networks: what they give, what they are made of, that they learn and that they export."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from settled_network import scenes, settled_network
from torch import nn
from torch.nn import functional
from torchvision.models import DenseNet169_Weights, ResNet34_Weights
from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights

from edgedepth.depth.conversion import Conversion
from edgedepth.errors import CheckpointError, MissingExtraError, RecipeError
from edgedepth.export.onnx_export import export_onnx
from edgedepth.export.recipe import Recipe, load_recipe
from edgedepth.models import build_network
from edgedepth.models.base import DepthNetwork
from edgedepth.models.blocks import BoundedHead
from edgedepth.models.irv2_attention import AttentionGate
from edgedepth.models.measure import count_parameters, gflops
from edgedepth.models.resunet import DownscaleBlock

OWN = ("densedepth", "irv2-attention", "unetpp", "lraspp", "resunet", "fastdepth")
IMAGENET_CLASSES = 1000


def of(recipe: Recipe) -> DepthNetwork:
    torch.manual_seed(0)
    return build_network(recipe.model.family, recipe.model.config)


def on_meta(family: str) -> DepthNetwork:
    with torch.device("meta"):
        return build_network(family)


@pytest.mark.parametrize("name", OWN)
def test_gives_one_plane_of_plausible_metres(name: str) -> None:
    recipe = load_recipe(name)
    network = of(recipe).eval()
    step = network.size_multiple
    with torch.inference_mode():
        raw = network(scenes(2, 2 * step, 3 * step))  # odd multiples too, and wider than high
        wild = network(1e3 * scenes(1, 2 * step, 3 * step))
        half = network.half()(scenes(1, 2 * step, 3 * step).half())
    scale = 2 if name == "densedepth" else 1
    assert raw.shape == (2, 1, 2 * step // scale, 3 * step // scale)
    assert raw.dtype == torch.float32
    assert half.dtype == torch.float16
    assert torch.isfinite(half).all()
    # The network's limit and the recipe's are one number.
    low, high = recipe.output.valid_range_m or (0, 0)
    limit = 1 / low if recipe.output.reciprocal else high
    for values in (raw, wild):
        assert values.min() >= 0
        assert values.max() <= limit * (1 + 1e-6)
    # What the runtime makes of it: before any training a room's distances.
    conversion = Conversion.of(recipe.output)
    plane = raw[0, 0].numpy()
    depth_m = conversion.apply(plane, 1.0, np.empty_like(plane), np.empty((2, *plane.shape), np.bool_))
    assert 1.0 < np.nanmedian(depth_m) < 5.0


@pytest.mark.parametrize("name", OWN)
def test_learns_one_batch(name: str) -> None:
    recipe = load_recipe(name)
    network = of(recipe).train()
    images = scenes(2, 32, 64)
    plane = network(images)
    height, width = plane.shape[-2:]
    # Depth grows upwards, from 1 m to 6 m, as a floor's does.
    depth_m = torch.linspace(6, 1, height)[:, None].expand(2, 1, height, width)
    target = 1 / depth_m if recipe.output.reciprocal else depth_m
    # Metres may take large steps; a reciprocal of a few tenths may not.
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4 if recipe.output.reciprocal else 1e-3)
    losses = []
    for _ in range(4):
        loss = functional.l1_loss(network(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    unused = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert not unused, "weights that do nothing"
    first = next(module for module in network.encoder.modules() if isinstance(module, nn.Conv2d))
    assert first.in_channels == 3
    assert first.weight.grad is not None
    assert 0 < first.weight.grad.abs().max() < torch.inf


def graph_agrees(name: str, height: int, width: int, folder: Path) -> Path:
    recipe = load_recipe(name)
    network = settled_network(recipe.model.family, height, width, **recipe.model.config)
    path = folder / f"{name}.onnx"
    export_onnx(network, height, width, path)
    image = scenes(1, height, width, seed=2)
    with torch.inference_mode():
        expected = network(image).numpy()
    (found,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, {"image": image.numpy()}
    )
    assert expected.std() > 0.02 * expected.mean(), "an answer that does not depend on the image proves nothing"
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    return path


@pytest.mark.parametrize("name", OWN)
def test_onnx_gives_the_network_s_numbers(name: str, tmp_path: Path) -> None:
    graph_agrees(name, 64, 96, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_full_size_onnx_gives_the_network_s_numbers_and_builds(name: str, tmp_path: Path) -> None:
    rtx = pytest.importorskip("rtx")
    recipe = load_recipe(name)
    path = graph_agrees(name, recipe.input.height, recipe.input.width, tmp_path)
    assert rtx.build_with_rtx(path) > 0


# Numbers of weights, from where they were published.


def test_densedepth_has_the_paper_s_weights() -> None:
    network = on_meta("densedepth")
    classifier = (1664 + 1) * IMAGENET_CLASSES
    assert count_parameters(network.encoder) == DenseNet169_Weights.IMAGENET1K_V1.meta["num_params"] - classifier
    assert count_parameters(network) == pytest.approx(42.6e6, abs=0.1e6)  # arXiv 1812.11941, table 1


def test_densedepth_taps_every_stride() -> None:
    network = of(load_recipe("densedepth"))
    seen: list[tuple[int, ...]] = []
    for block in network.get_submodule("decoder").children():
        block.register_forward_hook(lambda _m, inputs, _y: seen.append(tuple(inputs[1].shape[1:])))
    network(torch.zeros(2, 3, 64, 96))
    # Table 6 of the paper, at 64x96: pool3, pool2, pool1, conv1.
    assert seen == [(256, 4, 6), (128, 8, 12), (64, 16, 24), (64, 32, 48)]


def test_lraspp_has_torchvision_s_weights() -> None:
    published = LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1.meta["num_params"]  # 21 classes, ours is 1
    assert count_parameters(on_meta("lraspp")) == published - 20 * (40 + 1) - 20 * (128 + 1)


def test_unetpp_has_resnet34_s_weights() -> None:
    classifier = (512 + 1) * IMAGENET_CLASSES
    published = ResNet34_Weights.IMAGENET1K_V1.meta["num_params"] - classifier
    assert count_parameters(on_meta("unetpp").encoder) == published


def test_fastdepth_has_the_paper_s_weights_and_arithmetic() -> None:
    network = on_meta("fastdepth")
    # MobileNetV1 1.0 has 4 231 976 trainable numbers (Keras Applications), its classifier 1024 x 1000 + 1000 of them.
    assert count_parameters(network.encoder) == 4_231_976 - 1_025_000
    assert count_parameters(network) == pytest.approx(3.96e6, rel=0.01)
    assert gflops(network, 224, 224) / 2 == pytest.approx(0.74, rel=0.01)  # arXiv 1903.03273: 0.74 G multiply-adds


def test_irv2_takes_the_classifier_s_weights() -> None:
    ours = on_meta("irv2_attention").encoder.state_dict()
    with torch.device("meta"):
        classifier = timm.create_model("inception_resnet_v2").state_dict()
    assert {name: value.shape for name, value in ours.items()}.items() <= {
        name: value.shape for name, value in classifier.items()
    }.items()


def test_resunet_has_the_weights_of_its_plan() -> None:
    def conv(a: int, b: int, k: int = 3, bias: bool = True) -> int:
        return a * b * k * k + bias * b

    def norm(c: int) -> int:
        return 2 * c

    f = (16, 32, 64, 128, 256)
    down = sum(conv(a, b) + norm(b) + conv(b, b, bias=False) + norm(b) for a, b in zip((3, *f), f[:4], strict=False))
    bottleneck = conv(128, 256) + conv(256, 256)
    up = sum(conv(2 * b + b, b, bias=False) + conv(b, b, bias=False) + 2 * norm(b) for b in f[:4])
    assert count_parameters(on_meta("resunet")) == down + bottleneck + up + conv(16, 1, k=1)


# What each is made of.


def test_the_shortcut_of_a_downscale_block_adds() -> None:
    torch.manual_seed(0)
    block = DownscaleBlock(3, 4).eval()
    image = scenes(1, 8, 8)
    nn.init.zeros_(block.conv_out[0].weight)  # type: ignore[arg-type]
    skip, pooled = block(image)
    shortcut = functional.conv2d(image, block.conv_in.weight, block.conv_in.bias, padding=1)
    assert shortcut.abs().max() > 0.1
    torch.testing.assert_close(skip, shortcut)
    torch.testing.assert_close(pooled[0, :, 0, 0], shortcut[0, :, :2, :2].amax((1, 2)))


def test_an_attention_gate_opens_and_shuts() -> None:
    torch.manual_seed(0)
    gate = AttentionGate(6, 10)
    skip, signal = torch.randn(1, 6, 4, 5), torch.randn(1, 10, 4, 5)
    share = gate(skip, signal) / skip
    assert 0 < share.min() < share.max() < 1
    torch.testing.assert_close(share, share[:, :1].expand_as(share))  # one coefficient per pixel
    assert not torch.equal(gate(skip, signal), gate(skip, -signal)), "the decoder has its say"
    for bias, expected in ((40.0, skip), (-200.0, torch.zeros_like(skip))):
        nn.init.constant_(gate.psi.bias, bias)  # type: ignore[arg-type]
        torch.testing.assert_close(gate(skip, signal), expected)


def test_fastdepth_adds_encoder_features_at_three_scales() -> None:
    network = of(load_recipe("fastdepth")).eval()
    features: list[torch.Tensor] = []
    network.encoder.register_forward_hook(lambda _m, _x, y: features.extend(y))
    entered: list[torch.Tensor] = []
    left: list[torch.Tensor] = []
    for step in network.get_submodule("decoder").children():
        step.register_forward_pre_hook(lambda _m, x: entered.append(x[0]))
        step.register_forward_hook(lambda _m, _x, y: left.append(y))
    with torch.inference_mode():
        network(scenes(1, 64, 96))
    half, quarter, eighth, _, deepest = features
    torch.testing.assert_close(entered[0], deepest)
    for step, skip in ((1, None), (2, eighth), (3, quarter), (4, half)):
        nearest = left[step - 1].repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(entered[step], nearest if skip is None else nearest + skip)


def test_irv2_features_halve_exactly() -> None:
    network = of(load_recipe("irv2-attention")).eval()
    with torch.inference_mode():
        features = network.encoder(torch.zeros(1, 3, 48, 80))
    assert [tuple(f.shape[1:]) for f in features] == [(64, 24, 40), (192, 12, 20), (320, 6, 10), (1088, 3, 5)]


def test_noise_before_the_head_costs_a_bounded_relative_error() -> None:
    head = BoundedHead(nn.Identity(), 10.0)
    logits = torch.linspace(-8, 8, 1001, dtype=torch.float64)
    before, after = head(logits), head(logits + 0.01)
    assert ((after - before) / before).max() <= np.expm1(0.01)
    assert head(torch.tensor([-200.0, 200.0])).tolist() == [0.0, 10.0]


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("densedepth", {"encoder": "resnet34"}, "takes the encoders densenet121, .*, found 'resnet34'"),
        ("densedepth", {"min_depth_m": 0.0}, "min_depth_m is between 0 and 2 m, found 0.0"),
        ("resunet", {"channels": [16]}, r"at least two positive numbers, found \[16\]"),
        ("fastdepth", {"max_depth_m": -1.0}, "a positive number of metres, found -1.0"),
        ("fastdepth", {"encoder": "mobilenetv0"}, "encoder = 'mobilenetv0' cannot be built .*Unknown model"),
        ("fastdepth", {"encoder": "vit_tiny_patch16_224"}, r"strides 2, 4, 8, 16 and 32; vit_tiny\S+ has them at \[16"),
        ("unetpp", {"encoder": "resnet33"}, "encoder = 'resnet33' cannot be built .*Wrong encoder name"),
    ],
)
def test_an_argument_that_cannot_be_is_refused(family: str, config: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_network(family, config)


@pytest.mark.parametrize(("family", "library"), [("fastdepth", "timm"), ("unetpp", "segmentation_models_pytorch")])
def test_a_missing_library_is_named(family: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, f"edgedepth.models.{family}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf'{library}.*pip install "edgedepth\[export\]"'):
        build_network(family)


@pytest.mark.parametrize("family", ["densedepth", "irv2_attention", "unetpp", "lraspp", "fastdepth"])
def test_weights_no_library_knows_are_refused(family: str) -> None:
    with pytest.raises(CheckpointError, match=r"encoder_weights = 'nonesuch' .* cannot be had .*; expected"):
        build_network(family, {"encoder_weights": "nonesuch"})
