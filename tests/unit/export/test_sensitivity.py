"""The search finds the block that INT8 ruins, and says when there is nothing to be found."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from networks import write_network
from numpy.typing import NDArray
from onnx import numpy_helper, parser

from edgedepth.backends import BackendOptions, open_backend
from edgedepth.bundle.specfile import parse_spec
from edgedepth.calibration.int8_set import ImageSet, load_image_set
from edgedepth.errors import BudgetError, CalibrationSetError
from edgedepth.export.blocks import blocks_of
from edgedepth.export.int8_judge import Int8Budget
from edgedepth.export.onnx_export import SCOPES_KEY
from edgedepth.export.quantize import quantizable_nodes
from edgedepth.export.sensitivity import Int8Result, search_int8
from edgedepth.types import Frame

SPEC = parse_spec(
    {
        "name": "net",
        "input": {"name": "image", "height": 24, "width": 32},
        "output": {"name": "depth", "kind": "metric", "valid_range_m": [0.1, 10.0]},
    }
)

# "bad" takes two channels of which one is a thousand times as large, and undoes that: its activation has one scale, so
# the small channel, which makes half the depth, is rounded away.
NETWORK = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 3, 24, 32] image) => (float[1, 1, 24, 32] depth)
<float[2, 3, 1, 1] w1, float[1, 2, 1, 1] w2, float[1, 2, 1, 1] w3,
 float[1, 2, 1, 1] loud = {1000.0, 1.0}, float[1, 1, 1, 1] far = {0.5}>
{
  [first] x = Conv(image, w1)
  y = Mul(x, loud)
  [bad] a = Conv(y, w2)
  [good] b = Conv(x, w3)
  c = Add(a, b)
  depth = Add(c, far)
}
"""
WEIGHTS = {
    "w1": [[0.3, 0.3, 0.3], [0.5, 0.2, 0.2]],
    "w2": [[0.001, 1.0]],
    "w3": [[0.5, 0.5]],
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = parser.parse_model(NETWORK)
    del model.graph.value_info[:]
    for name, rows in WEIGHTS.items():
        array = np.array(rows, np.float32)[:, :, None, None]
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    path = tmp_path_factory.mktemp("net") / "fp32.onnx"
    onnx.save(model, str(path))
    return path


def picture(seed: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (32, 24), interpolation=cv2.INTER_LINEAR)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory, network: Path) -> ImageSet:
    """RGB-D frames whose sensor is 10 % off the network, either way from pixel to pixel."""
    root = tmp_path_factory.mktemp("rooms")
    (root / "rgb").mkdir()
    (root / "depth").mkdir()
    with open_backend(network, BackendOptions(threads=1)) as backend:
        for seed in range(24):
            image = picture(seed)
            cv2.imwrite(str(root / "rgb" / f"{seed}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            feed = (image.astype(np.float32) / 255).transpose(2, 0, 1)[None]
            factor = 1 + 0.1 * np.random.default_rng(seed).choice([-1, 1], (24, 32))
            depth_m = backend.run({"image": np.ascontiguousarray(feed)})["depth"][0, 0] * factor
            cv2.imwrite(str(root / "depth" / f"{seed}.png"), np.rint(1000 * depth_m).astype(np.uint16))
    return load_image_set(root)


def search(network: Path, tmp_path: Path, image_set: ImageSet, **changes: Any) -> Int8Result:
    return search_int8(network, tmp_path / "int8.onnx", changes.pop("spec", SPEC), image_set, **changes)


def test_the_block_that_does_the_damage_is_left_out(network: Path, tmp_path: Path, rooms: ImageSet) -> None:
    steps: list[str] = []
    found = search(network, tmp_path, rooms, progress=lambda step, fraction: steps.append(step))
    assert found.fp32.abs_rel == pytest.approx(0.1, abs=0.005)
    assert found.fp32.deviation == 0
    assert found.damage[0].block == "layer 2 of 3"
    assert found.excluded == ("layer 2 of 3",)
    assert found.excluded_nodes == ("bad",)
    assert found.blocks == 3
    assert found.faults == ()
    assert found.int8.abs_rel == pytest.approx(found.fp32.abs_rel, rel=0.02)
    assert set(found.by_calibrator) == {"minmax", "percentile", "entropy"}
    assert found.damage[0].accuracy.deviation > 10 * found.damage[1].accuracy.deviation
    names = [node.name for node in onnx.load(str(found.path)).graph.node if node.op_type == "QuantizeLinear"]
    assert names == ["image_QuantizeLinear", "x_QuantizeLinear"]
    assert steps[0] == "calibrating"
    assert steps[-1] == "leaving out layer 2 of 3"
    assert found.calibration["sha256"] == rooms.sha256
    assert found.calibration["images"] == len(rooms.calibration)


def test_a_budget_that_holds_at_once_leaves_nothing_out(network: Path, tmp_path: Path, rooms: ImageSet) -> None:
    found = search(network, tmp_path, rooms, budget=Int8Budget(abs_rel=10, delta1=1, deviation=10))
    assert found.excluded == found.excluded_nodes == found.damage == ()


def test_a_budget_nothing_meets_is_an_error_or_is_said(network: Path, tmp_path: Path, rooms: ImageSet) -> None:
    impossible = Int8Budget(abs_rel=1e-9)
    with pytest.raises(BudgetError, match=r"however many of its 3 blocks .* at best it changes AbsRel by .*"):
        search(network, tmp_path, rooms, budget=impossible)
    assert not (tmp_path / "int8.onnx").exists()
    kept = search(network, tmp_path, rooms, budget=impossible, keep=True)
    assert kept.path.exists()
    assert kept.faults
    assert "bad" in kept.excluded_nodes
    assert len(kept.excluded_nodes) < 3


@pytest.mark.parametrize("change", ["no depth", "untrained", "disparity"])
def test_without_a_truth_fp32_is_the_truth(network: Path, tmp_path: Path, rooms: ImageSet, change: str) -> None:
    spec, image_set = SPEC, rooms
    if change == "no depth":
        folder = Path(rooms.held_out[0].source).parent
        image_set = load_image_set(folder)
    elif change == "untrained":
        spec = spec.model_copy(update={"provenance": spec.provenance.model_copy(update={"trained": False})})
    else:
        spec = parse_spec({**spec.model_dump(mode="json"), "output": {"name": "depth", "kind": "disparity"}})
    found = search(network, tmp_path, image_set, spec=spec)
    assert found.fp32.abs_rel is None
    assert found.excluded_nodes == ("bad",)
    assert found.int8.deviation < 0.03
    assert max(one.deviation for one in found.by_calibrator.values()) > 0.03


def test_held_out_frames_the_network_cannot_be_scored_on(network: Path, tmp_path: Path, rooms: ImageSet) -> None:
    near = SPEC.output.model_copy(update={"valid_range_m": (50.0, 60.0)})
    with pytest.raises(CalibrationSetError, match="cannot be scored on every held-out frame"):
        search(network, tmp_path, rooms, spec=SPEC.model_copy(update={"output": near}))


def chain(length: int, joins: int = 0) -> Any:
    """Convolutions in a row, an Add of two activations after every ``joins``."""
    lines = []
    for index in range(length):
        lines.append(f"[c{index}] x{index + 1} = Conv(x{index}, w)")
        if joins and (index + 1) % joins == 0:
            lines[-1] = f"[c{index}] y{index} = Conv(x{index}, w)"
            lines.append(f"[a{index}] x{index + 1} = Add(y{index}, x{index})")
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> '
        f"g (float[1, 1, 4, 4] x0) => (float[1, 1, 4, 4] x{length}) {{ {' '.join(lines)} }}"
    )
    model = parser.parse_model(text)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w"))
    return model


def grouped(model: Any, most: int) -> dict[str, tuple[str, ...]]:
    return blocks_of(model, quantizable_nodes(model), most)


def test_without_modules_blocks_are_stretches_between_joins() -> None:
    assert list(grouped(chain(6, joins=3), 2).values()) == [("c0", "c1", "c2"), ("c3", "c4", "c5")]
    assert list(map(len, grouped(chain(6, joins=3), 3).values())) == [2, 1, 3]
    assert list(map(len, grouped(chain(12, joins=2), 3).values())) == [4, 4, 4]
    assert list(map(len, grouped(chain(3), 24).values())) == [1, 1, 1]
    assert list(grouped(chain(6, joins=3), 3)) == ["layers 1-2 of 6", "layer 3 of 6", "layers 4-6 of 6"]


def test_modules_are_taken_apart_as_far_as_there_may_be_blocks() -> None:
    model = chain(6)
    paths = ["encoder.stem", "encoder.layer.0", "encoder.layer.0", "encoder.layer.1", "decoder", "head"]
    for node, path in zip(model.graph.node, paths, strict=True):
        parts = path.split(".")
        scopes = ["", *(".".join(parts[: i + 1]) for i in range(len(parts))), "conv2d"]
        node.metadata_props.add(key=SCOPES_KEY, value=str(scopes))
    assert grouped(model, 3) == {"encoder": ("c0", "c1", "c2", "c3"), "decoder": ("c4",), "head": ("c5",)}
    assert list(grouped(model, 4)) == ["encoder.stem", "encoder.layer", "decoder", "head"]
    assert list(grouped(model, 24)) == ["encoder.stem", "encoder.layer.0", "encoder.layer.1", "decoder", "head"]
    assert list(grouped(model, 2)) == ["network"]


def test_infinity_is_beyond_every_budget(network: Path, rooms: ImageSet) -> None:
    from edgedepth.export.int8_judge import Judge

    judge = Judge(SPEC, network, tuple(rooms.held_out), Int8Budget())
    lost = replace(judge.fp32, abs_rel=math.inf, delta1=0.0, deviation=math.inf, agreement=0.0, coverage=0.0)
    assert judge.excess(lost) == math.inf
    assert len(judge.faults(lost)) == 4
    assert judge.faults(judge.fp32) == ()


def test_masks_are_compared_with_those_of_fp32_over_all_frames(tmp_path: Path) -> None:
    from edgedepth.export.int8_judge import Judge

    spec = parse_spec(
        {
            "name": "two",
            "input": {"height": 8, "width": 8},
            "output": {"name": "depth", "kind": "metric"},
            "person": {"name": "person", "threshold": 0.6},
        }
    )
    image = np.full((8, 8, 3), 128, np.uint8)
    frames = []
    for columns in (4, 2):  # people are red; green is more
        more = image.copy()
        more[:, :columns, 0] = 255
        more[:, 4:6, 1] = 255
        frames.append(Frame(more))
    fp32 = write_network(tmp_path / "fp32.onnx", person=(1, 0, 0))
    judge = Judge(spec, fp32, frames, Int8Budget())
    assert judge.fp32.mask_iou == 1
    wider = write_network(tmp_path / "wider.onnx", person=(0.5, 0.5, 0))  # half of either is 0.75
    assert judge.accuracy(wider).mask_iou == pytest.approx((4 + 2) / (6 + 4))
    nobody = parse_spec(spec.model_dump(exclude={"person"}))
    assert Judge(nobody, fp32, frames, Int8Budget()).fp32.mask_iou is None
