"""Each seed recipe as a user types it: trained on a tiny data set in the true format, exported, compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from datasets import write_child, write_diode, write_diw, write_nyu_csv, write_nyu_mat

from edgedepth.bundle import load_model
from edgedepth.cli import main
from edgedepth.data import Dataset, open_dataset
from edgedepth.depth.postprocess import postprocess
from edgedepth.depth.preprocess import preprocess
from edgedepth.depth.resize import ResizePlan
from edgedepth.evaluation.metrics import depth_scores, mean_scores
from edgedepth.export.recipe import load_recipe
from edgedepth.models.checkpoint import load_network
from edgedepth.training.logs import read_curve
from edgedepth.training.recipe import list_training_recipes


def nyu_csv(root: Path) -> Dataset:
    write_nyu_csv(root, scenes=("kitchen_0001", "office_0002", "bath_0003"), per_scene=3)
    return open_dataset(root / "data", "nyu-csv", "test")


def nyu_mat(root: Path) -> Dataset:
    scenes = ("kitchen_0001a", "office_0002", "bath_0003", "den_0004", "hall_0005", "hall_0006")
    write_nyu_mat(root, scenes, train=(1, 2, 3, 4), test=(5, 6))
    return open_dataset(root, "nyu-mat", "test")


def diode(root: Path) -> Dataset:
    write_diode(root, scenes=(0, 1, 2), scans=3, split="train")
    write_diode(root, scenes=(7,), split="val")
    return open_dataset(root, "diode", "val")


def child(root: Path) -> Dataset:
    write_child(root, scans=tuple(f"scan{number}" for number in range(10)))
    return open_dataset(root, "child")


def nyu_and_diw(root: Path) -> Dataset:
    write_diw(root / "diw", count=6, split="train_val")
    return nyu_csv(root / "nyu")


NYU_DIW = ("--data", "nyu={0}/nyu/data", "--data", "diw={0}/diw")
CASES: dict[str, tuple[Callable[[Path], Dataset], tuple[str, ...], tuple[str, ...]]] = {
    "resunet-diode": (diode, ("--data", "{0}"), ("--lr", "3e-3", "--epochs", "6")),
    "lraspp-nyu-diw": (nyu_and_diw, NYU_DIW, ("--lr", "2e-3", "--epochs", "6")),
    "unetpp-nyu-diw": (nyu_and_diw, NYU_DIW, ("--lr", "1e-3", "--epochs", "4")),
    "densedepth-transfer": (nyu_csv, ("--data", "{0}/data"), ("--epochs", "4")),
    "glpn-finetune-child": (child, ("--data", "{0}"), ("--lr", "6e-4", "--epochs", "4")),
    "irv2-attention-nyu": (nyu_mat, ("--data", "{0}"), ("--lr", "1e-3", "--epochs", "4")),
}
FAST = ("resunet-diode",)


def test_every_packaged_recipe_is_tried_here() -> None:
    # The project's own model is no seed: its curve is committed, and test_edgedepth_s.py shows that it learns.
    assert set(CASES) == set(list_training_recipes()) - {"edgedepth-s"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in CASES])
@pytest.mark.timeout(900)
def test_it_trains_exports_and_torch_and_onnx_agree(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write, data, keys = CASES[name]
    test_data = write(tmp_path / "data")
    out = tmp_path / "out"

    def edgedepth(*arguments: Any) -> None:
        monkeypatch.setattr(sys, "argv", ["edgedepth", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0, capfd.readouterr().err

    paths = [text.format(tmp_path / "data") for text in data]
    edgedepth("train", name, *paths, *keys, "--batch-size", 3, "--size", "96x96", "--start", "random", "--device",
              "cpu", "-q", "-o", out)  # fmt: skip
    record = json.loads((out / "training.json").read_text())
    stages = {row["stage"] for row in record["history"]}
    for stage in stages:
        loss = [float(row["loss"]) for row in read_curve(out / "curve.csv") if row["stage"] == stage and row["loss"]]
        print(name, stage, "loss", loss)
        third = len(loss) // 3  # batches differ: without learning the ratio was 0.95 to 1.11
        assert sum(loss[-third:]) < 0.9 * sum(loss[:third])
    assert list((out / "samples").glob("*.png"))

    edgedepth("export", record["model"], "--fp32", "--checkpoint", out / "weights.safetensors", "--size", "96x96",
              "-q", "-o", tmp_path / "bundle")  # fmt: skip
    model = load_model(tmp_path / "bundle")
    assert model.spec.provenance.checkpoint_sha256 == record["weights"]["sha256"]
    compare(record["model"], out / "weights.safetensors", tmp_path / "bundle" / "model.onnx", model.spec, test_data)


def compare(name: str, weights: Path, onnx: Path, spec: Any, data: Dataset) -> None:
    """The network in torch and the exported graph: the same depth, and the same scores within 1e-3."""
    recipe = load_recipe(name)
    network, _ = load_network(recipe.model.family, recipe.model.config, weights)
    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    scores: dict[str, list[Any]] = {"torch": [], "onnx": []}
    for index in range(len(data)):
        sample = data[index]
        plan = ResizePlan.for_frame(spec.input, sample.size_wh)
        feed = np.array(preprocess(spec.input, plan)(sample.image))
        with torch.inference_mode():
            raw = {"torch": network(torch.from_numpy(feed)).numpy(), "onnx": session.run(None, {"image": feed})[0]}
        np.testing.assert_allclose(raw["onnx"], raw["torch"], rtol=1e-3)
        for kind, values in raw.items():
            depth = postprocess(spec.output, plan, values.shape[:1:-1])(values, sample.intrinsics)
            assert sample.depth_m is not None
            scores[kind].append(depth_scores(depth.values, sample.depth_m))
    found, expected = mean_scores(scores["onnx"]), mean_scores(scores["torch"])
    assert found.abs_rel == pytest.approx(expected.abs_rel, abs=1e-3)
    assert found.delta1 == pytest.approx(expected.delta1, abs=1e-3)
