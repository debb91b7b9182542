"""Every model of the zoo, with random weights, in every precision: TensorRT-RTX reads and builds its graph.

It needs no GPU for that. What passes here may still fail with another TensorRT, whose builder is another.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from zoo import small

from edgedepth.backends.base import EngineOptions
from edgedepth.backends.tensorrt.builder import build_engine
from edgedepth.backends.tensorrt.flavour import Flavour, load_tensorrt
from edgedepth.bundle.onnxfacts import read_facts
from edgedepth.calibration.int8_set import network_feeds
from edgedepth.export.frames import rendered_frames
from edgedepth.export.quantize import quantize_int8
from edgedepth.export.recipe import Recipe, list_recipes

GPUS = ((8, 6), (12, 0))
IN_EVERY_RUN = ("fastdepth", "lraspp", "depth-anything-v2-small")
"""A small convolutional network, one with squeeze-and-excitation, and a vision transformer."""
ZOO = sorted(list_recipes())


@pytest.fixture(scope="module")
def rtx() -> Flavour:
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("torch")
    return load_tensorrt("tensorrt_rtx")


def check(rtx: Flavour, folder: Path, recipe: Recipe) -> None:
    from edgedepth.export.sources import NetworkSource

    source = NetworkSource.of_recipe(recipe, None, random_init=True)
    feeds = list(network_feeds(source.spec.input, list(islice(rendered_frames(), 2))))
    paths = {precision: folder / f"{precision}.onnx" for precision in ("fp32", "fp16", "int8")}
    source.write_fp32(paths["fp32"], feeds[:1])
    source.write_fp16(paths["fp32"], paths["fp16"], feeds[:1], method="half", keep_fp32=())
    quantize_int8(paths["fp32"], paths["int8"], source.spec, feeds)
    sizes = {}
    for precision, path in paths.items():
        assert read_facts(path).precision == precision
        for gpu in GPUS:
            built = build_engine(path, EngineOptions(), flavour=rtx, target=(gpu,))
            assert built.strongly_typed
            assert built.warnings == ()
            sizes[precision] = len(built.plan)
    # Weights are in the plan as they are in the file; kernels and padding weigh on small networks.
    assert sizes["fp16"] < sizes["fp32"]


@pytest.mark.parametrize("name", IN_EVERY_RUN)
def test_models_build_small(rtx: Flavour, tmp_path: Path, name: str) -> None:
    check(rtx, tmp_path, small(name))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ZOO)
def test_every_model_builds_at_its_own_size(rtx: Flavour, tmp_path: Path, name: str) -> None:
    check(rtx, tmp_path, list_recipes()[name])
