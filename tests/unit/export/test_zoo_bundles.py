"""Every model of the zoo, with random weights, becomes an FP16 bundle that onnxruntime and OpenVINO both honour.

On the way the FP32 graph is compared with torch (0.1 % at the worst pixel) and the FP16 graph with that (1 % mean).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from zoo import small

from edgedepth.backends import open_backend
from edgedepth.bundle import load_model, read_golden
from edgedepth.depth import check_backend
from edgedepth.export.recipe import Recipe, list_recipes

IN_EVERY_RUN = ("resunet", "depth-anything-v2-metric-indoor-small")
"""A convolutional network and a vision transformer."""


def check(recipe: Recipe, root: Path) -> None:
    pytest.importorskip("torch")
    from edgedepth.export.exporter import ExportOptions, export_bundle
    from edgedepth.export.sources import NetworkSource

    source = NetworkSource.of_recipe(recipe, None, random_init=True)
    written = export_bundle(source, root, ExportOptions(precision="fp16"))
    model = load_model(root)
    assert model.spec == written.model.spec
    assert not model.spec.provenance.trained
    assert model.report is not None
    fp32, fp16 = model.report.rows
    assert fp32.relative_error == 0
    assert fp16.relative_error is not None
    assert fp16.relative_error <= 0.01
    assert fp16.nan_inf == 0
    assert 1.8 < fp32.size_mb / fp16.size_mb < 2.2
    assert model.golden_path is not None
    golden = read_golden(model.golden_path)
    for backend in ("onnxruntime:cpu", "openvino"):
        if backend == "openvino":
            pytest.importorskip("openvino")
        with open_backend(model.onnx_path, name=backend) as opened:
            assert check_backend(model.spec, golden, opened).frames == 4


@pytest.mark.parametrize("name", IN_EVERY_RUN)
def test_small_bundles(tmp_path: Path, name: str) -> None:
    check(small(name), tmp_path / "bundle")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(list_recipes()))
def test_every_bundle_at_its_own_size(tmp_path: Path, name: str) -> None:
    recipe = list_recipes()[name]
    check(recipe, tmp_path / "bundle")
    assert load_model(tmp_path / "bundle").spec.parameters == recipe.model.parameters
