"""The families of transformers behind DepthNetwork: the same numbers, graphs that devices take, and their recipes."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from rtx import build_with_rtx
from tiny_hub import OVERRIDES, SIZES, answer, picture, reference, saved
from torch import nn
from transformers.models.beit.modeling_beit import BeitRelativePositionBias

from edgedepth.errors import RecipeError
from edgedepth.export.onnx_export import export_onnx
from edgedepth.export.recipe import load_recipe
from edgedepth.export.simplify import simplify
from edgedepth.models import build_network
from edgedepth.models.base import DepthNetwork
from edgedepth.models.checkpoint import load_checkpoint, load_network
from edgedepth.models.zoedepth import _relative_positions

FAMILIES = tuple(OVERRIDES)
IDLE_NORMS = {"dpt": 1}
"""Normalisations at the end of an encoder whose answer the decoder does not read."""
RECIPES = (
    "glpn-nyu",
    "depth-anything-v1-small",
    "depth-anything-v2-small",
    "depth-anything-v2-metric-indoor-small",
    "depth-anything-v2-metric-outdoor-small",
    "zoedepth-nyu",
    "dpt-hybrid-midas",
)


def tiny(family: str, **config: Any) -> DepthNetwork:
    return load_network(family, {"overrides": OVERRIDES[family], **config}, None)[0]


def graph_of(network: DepthNetwork, size: tuple[int, int], folder: Path) -> tuple[Path, onnx.ModelProto]:
    """Exported and simplified, and compared with the network."""
    path = folder / "network.onnx"
    export_onnx(network, *size, path)
    simplify(path)
    image = picture(*size)
    with torch.inference_mode():
        expected = network(image).numpy()
    (found,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, {"image": image.numpy()}
    )
    assert expected.std() > 1e-3 * expected.mean(), "an answer that does not depend on the image proves nothing"
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * 0.1 * float(expected.max()))
    return path, onnx.load(path)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def layer_norms_that_run(network: DepthNetwork, size: tuple[int, int]) -> int:
    ran: list[nn.Module] = []
    norms = [module for module in network.modules() if isinstance(module, nn.LayerNorm)]
    hooks = [module.register_forward_hook(lambda module, *_: ran.append(module)) for module in norms]
    with torch.inference_mode():
        network(picture(*size))
    for hook in hooks:
        hook.remove()
    return len(ran)


@pytest.mark.parametrize("family", FAMILIES)
def test_gives_the_numbers_of_transformers(family: str, tmp_path: Path) -> None:
    folder, model = saved(family, tmp_path)
    network, info = load_network(family, {"overrides": OVERRIDES[family]}, folder)
    assert info is not None
    assert info.weights == len(model.state_dict())
    height, width = SIZES[family]
    for size in {(height, width), (width, height)}:
        image = picture(*size, batch=2).double()  # transformers fuses its attention, ours is written out
        expected = answer(model.double(), image)
        with torch.inference_mode():
            found = network.double()(image)
        assert expected.std() > 1e-3 * expected.mean()
        assert found.shape == (2, 1, *expected.shape[1:])
        torch.testing.assert_close(found[:, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_graph_agrees_with_the_network(family: str, tmp_path: Path) -> None:
    network, size = tiny(family), SIZES[family]
    path, model = graph_of(network, size, tmp_path)
    found = operators(model)
    (output,) = model.graph.output
    assert [axis.dim_value for axis in output.type.tensor_type.shape.dim][:2] == [1, 1]
    assert found["LayerNormalization"] == layer_norms_that_run(network, size) - IDLE_NORMS.get(family, 0)
    assert not {"Einsum", "If", "Loop", "Scan", "ScatterND", "ScatterElements", "GatherND", "IsNaN"} & set(found)
    if importlib.util.find_spec("tensorrt_rtx"):
        build_with_rtx(path, "SM86")


@pytest.mark.parametrize(
    "family", [name if name == "depth_anything" else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
def test_half_precision_stays_near(family: str, tmp_path: Path) -> None:
    network, size = tiny(family), SIZES[family]
    path = tmp_path / "half.onnx"
    export_onnx(network, *size, path, half=True)
    simplify(path)
    image = picture(*size)
    with torch.inference_mode():
        expected = network(image).numpy()
    (found,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, {"image": image.numpy()}
    )
    assert np.mean(np.abs(found - expected) / np.maximum(np.abs(expected), 1e-2 * expected.max())) < 1e-2
    if importlib.util.find_spec("tensorrt_rtx"):
        build_with_rtx(path, "SM86")


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_written_out(family: str) -> None:
    configs = {id(c): c for m in tiny(family).modules() if (c := getattr(m, "config", None)) is not None}
    assert {config._attn_implementation for config in configs.values()} == {"eager"}


@pytest.mark.parametrize("family", FAMILIES)
def test_learns_and_names_its_encoder(family: str) -> None:
    network = tiny(family).train()
    height, width = SIZES[family]
    network(picture(height, width, batch=2)).log1p().mean().backward()
    of_encoder = {name for name, weight in network.encoder.named_parameters() if weight.grad is not None}
    assert any("patch_embed" in name or "convolution" in name for name in of_encoder)
    outside = {id(weight) for weight in network.parameters()} - {id(weight) for weight in network.encoder.parameters()}
    assert outside, "a network is more than its encoder"


@pytest.mark.parametrize("family", FAMILIES)
def test_random_weights_are_the_same_every_time(family: str) -> None:
    torch.manual_seed(1)
    first = tiny(family).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = tiny(family).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(before, torch.get_rng_state()), "the caller's own draws go on undisturbed"


@pytest.mark.parametrize(
    ("family", "config", "limit"),
    [("glpn", {"max_depth_m": 10.0}, 10.0), ("depth_anything", {"max_depth_m": 80.0}, 80.0)],
)
def test_metres_stay_below_the_largest_depth(family: str, config: dict[str, Any], limit: float) -> None:
    network = tiny(family, **config)
    with torch.inference_mode():
        depth_m = network(30 * picture(*SIZES[family]))
    assert depth_m.min() >= 0
    assert 0.2 * limit < depth_m.max() <= limit


def test_position_embeddings_of_other_sizes_are_constants(tmp_path: Path) -> None:
    _, model = graph_of(tiny("depth_anything"), (28, 98), tmp_path)
    modes = [
        attribute.s
        for node in model.graph.node
        if node.op_type == "Resize"
        for attribute in node.attribute
        if attribute.name == "mode"
    ]
    assert modes
    assert b"cubic" not in modes


@pytest.mark.parametrize("grid", [(1, 1), (3, 3), (2, 5), (5, 2)])
def test_relative_positions_are_those_of_transformers(grid: tuple[int, int]) -> None:
    expected = BeitRelativePositionBias.generate_relative_position_index(grid)
    assert torch.equal(_relative_positions(*grid, torch.device("cpu")), expected)


def test_relative_positions_survive_a_trace_at_another_size() -> None:
    network = tiny("zoedepth")
    with torch.inference_mode():
        before = network(picture(64, 64))
    torch.export.export(network, (picture(64, 96),))
    with torch.inference_mode():
        assert torch.equal(network(picture(64, 64)), before)
        wide = network(picture(64, 96))
    assert torch.isfinite(wide).all()


def test_zoedepth_with_two_heads_is_refused() -> None:
    two = [
        {"name": name, "n_bins": 8, "min_depth": 1e-3, "max_depth": far} for name, far in (("nyu", 10), ("kitti", 80))
    ]
    with pytest.raises(RecipeError, match="one head, found 2"):
        build_network("zoedepth", {"overrides": {**OVERRIDES["zoedepth"], "bin_configurations": two}})


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("depth_anything", {"variant": "tiny"}, "no variant 'tiny'; there are: small, base, large"),
        ("depth_anything", {"version": 3}, "versions 1 and 2, found 3"),
        ("dpt", {"variant": "small"}, "there are: hybrid, large"),
        ("glpn", {"overrides": {"depths": "many"}}, "cannot build a glpn network of this config"),
        ("glpn", {"max_depth_m": 9.5}, "cannot build a glpn network of this config: .*max_depth"),
    ],
)
def test_a_wrong_configuration_is_refused(family: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        build_network(family, config)
    assert "\n" not in str(caught.value)


def test_versions_of_depth_anything_read_other_layers() -> None:
    with torch.device("meta"):
        layers = {
            (version, variant): list(
                build_network(
                    "depth_anything", {"version": version, "variant": variant}
                ).hub_config.backbone_config.out_indices
            )
            for version in (1, 2)
            for variant in ("small", "large")
        }
    assert layers == {
        (1, "small"): [9, 10, 11, 12],
        (1, "large"): [21, 22, 23, 24],
        (2, "small"): [3, 6, 9, 12],
        (2, "large"): [5, 12, 18, 24],
    }


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_say_what_a_vision_transformer_needs(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.precision.default == "fp16"
    assert not recipe.precision.int8
    assert "10.3" in str(recipe.precision.reason)
    assert recipe.weights.hub_id
    assert recipe.weights.license.name != "unknown"


def test_the_transformers_reference_of_these_tests_depends_on_its_weights() -> None:
    image = picture(*SIZES["glpn"])
    assert not torch.allclose(answer(reference("glpn", 1), image), answer(reference("glpn", 2), image), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(900)  # ZoeDepth: 344 M weights, and a folder of 1.4 GB
@pytest.mark.parametrize("name", RECIPES)
def test_full_size_folder_and_graph(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    network, _ = load_network(recipe.model.family, recipe.model.config, None)
    network.model.save_pretrained(tmp_path)
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    info = load_checkpoint(network, tmp_path)
    assert info.weights == len(weights)
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())
    for file in tmp_path.iterdir():
        file.unlink()
    size = (recipe.input.height, recipe.input.width)
    path, model = graph_of(network, size, tmp_path)
    idle = IDLE_NORMS.get(recipe.model.family, 0)
    assert operators(model)["LayerNormalization"] == layer_norms_that_run(network, size) - idle
    # No constant is folded into the file that is larger than the weights it comes from.
    assert path.stat().st_size < 4.1 * sum(weight.numel() for weight in network.parameters())
    if importlib.util.find_spec("tensorrt_rtx"):
        build_with_rtx(path)
