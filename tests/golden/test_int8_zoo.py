"""Every convolutional network that can be exported becomes an INT8 graph that TensorRT builds; random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rtx import build_with_rtx

from edgedepth.backends import BackendOptions, open_backend
from edgedepth.bundle import ModelSpec
from edgedepth.export.blocks import MOST_BLOCKS, blocks_of
from edgedepth.export.onnx_export import export_onnx
from edgedepth.export.quantize import load_float_model, quantizable_nodes, quantize_int8
from edgedepth.export.recipe import list_recipes
from edgedepth.export.simplify import simplify
from edgedepth.models import build_network

RECIPES = {name: recipe for name, recipe in list_recipes().items() if recipe.precision.int8}
FAST = "fastdepth"


@pytest.mark.parametrize(
    "name", [name if name == FAST else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES]
)
def test_tensorrt_builds_its_int8_graph(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    torch.manual_seed(0)
    side = 2 * recipe.model.size_multiple
    network = build_network(recipe.model.family, dict(recipe.model.config)).eval()
    source, target = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    export_onnx(network, side, side, source)
    simplify(source)
    size = {"height": side, "width": side}
    spec = ModelSpec(name=name, input=recipe.input.model_copy(update=size), output=recipe.output)
    rng = np.random.default_rng(0)
    feeds = [rng.normal(0, 1, (1, 3, side, side)).astype(np.float32) for _ in range(4)]
    result = quantize_int8(source, target, spec, feeds, calibrator="minmax")
    model = load_float_model(source, name)
    blocks = blocks_of(model, quantizable_nodes(model))
    assert 1 < len(blocks) <= MOST_BLOCKS
    assert sorted(node for block in blocks.values() for node in block) == sorted(result.quantized)
    assert target.stat().st_size < 0.3 * source.stat().st_size
    answers = []
    for path in (source, target):
        with open_backend(path, BackendOptions(threads=1)) as backend:
            answers.append(next(iter(backend.run({backend.inputs[0].name: feeds[0]}).values())).copy())
    # Random weights and noise: no more than a sign that the graph is the same network.
    assert np.abs(answers[1] - answers[0]).mean() < 0.25 * answers[0].std()
    assert build_with_rtx(target) > 0
