"""``edgedepth train`` as a user types it; whole trainings are in tests/unit/training."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import write_diode, write_nyu_csv

from edgedepth.training.recipe import list_training_recipes

Cli = Callable[..., Any]


def test_recipes_are_listed(edgedepth: Cli) -> None:
    ended = edgedepth("train", "--list")
    assert ended.code == 0
    for name in list_training_recipes():
        assert name in ended.out
    rows = json.loads(edgedepth("train", "--list", "--json").out)
    assert [row["name"] for row in rows] == list(list_training_recipes())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("resnet-diode", "--data", "."), ("no training recipe 'resnet-diode'", "did you mean resunet-diode?")),
        (("resunet-diode",), ("no folder of diode", "--data diode=PATH")),
        (("resunet-diode", "--data", "nowhere"), ("nowhere",)),
        (("unetpp-nyu-diw", "--data", "x"), ("trained on nyu and diw", "nyu=...")),
        (("unetpp-nyu-diw", "--data", "nyu=x", "--data", "nyu=y"), ("given twice for nyu",)),
        (("resunet-diode", "--data", ".", "--size", "big"), ("HEIGHTxWIDTH", "'big'")),
        (("resunet-diode", "--data", ".", "--device", "tpu"), ("--device is cpu or cuda", "'tpu'")),
        (("resunet-diode", "--data", ".", "--kind", "dioed"), ("'dioed'",)),
        (("resunet-diode", "--data", "diod=x"), ("no data set 'diod' for --data", "it has diode")),
    ],
)
def test_what_cannot_be_trained(
    edgedepth: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = edgedepth("train", *arguments)
    assert ended.code == 2
    assert ended.err.count("error:") == 1
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err
    assert not list(tmp_path.iterdir())


def test_a_size_the_network_cannot_take_and_a_scene_that_cannot_be_divided(edgedepth: Cli, tmp_path: Path) -> None:
    write_diode(tmp_path / "two", scenes=(0, 1), split="train")
    out = tmp_path / "out"
    ended = edgedepth("train", "resunet-diode", "-d", tmp_path / "two", "--size", "50x64", "-o", out, "--device", "cpu")
    assert ended.code == 2
    assert "multiples of 16, found 50x64" in ended.err
    write_diode(tmp_path / "one", scenes=(0,), split="train")
    ended = edgedepth("train", "resunet-diode", "-d", tmp_path / "one", "-o", out)
    assert ended.code == 2
    assert "1 group(s)" in ended.err
    assert not out.exists()


def test_depth_in_another_unit_is_refused_and_nothing_is_made(edgedepth: Cli, tmp_path: Path) -> None:
    write_diode(tmp_path / "data", scenes=(0, 1), split="train")
    for file in (tmp_path / "data").rglob("*_depth.npy"):
        np.save(file, 1000 * np.load(file))
    out = tmp_path / "out"
    ended = edgedepth("train", "resunet-diode", "-d", tmp_path / "data", "-o", out, "--device", "cpu")
    assert ended.code == 2
    assert "depth seems to be in another unit" in ended.err
    assert "stored as millimetres" in ended.err
    assert not out.exists()


def test_another_kind_and_another_validation_and_json(edgedepth: Cli, tmp_path: Path) -> None:
    write_nyu_csv(tmp_path / "a", scenes=("kitchen_0001", "office_0002"))
    write_nyu_csv(tmp_path / "b", scenes=("kitchen_0001",))
    keys = ("--kind", "nyu-csv", "--epochs", 1, "--batch-size", 2, "--size", "48x64", "--device", "cpu", "--json")
    first, second = (tmp_path / name / "data" / "nyu2_train.csv" for name in "ab")
    ended = edgedepth("train", "resunet-diode", "-d", first, *keys, "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert Path(said["weights"]).is_file()
    assert said["best"]["epoch"] == 1
    record = json.loads(Path(said["record"]).read_text())
    assert record["data"]["diode"]["kind"] == "nyu-csv"
    ended = edgedepth("train", "resunet-diode", "-d", first, "--validation", second, *keys, "-o", tmp_path / "again")
    assert ended.code == 2
    assert "share 1 subjects or scenes, such as kitchen_0001" in ended.err
    ended = edgedepth("train", "resunet-diode", "-d", first, *keys, "-o", tmp_path / "out")
    assert ended.code == 2
    assert "is not empty; give another --output, or --resume" in ended.err


def test_without_torch_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['torch'] = None; sys.modules['accelerate'] = None\n"
        "import edgedepth.cli.train\n"
        "from edgedepth.cli import main\n"
        "sys.argv = ['edgedepth', 'train', 'resunet-diode', '--data', '.']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert 'pip install "edgedepth[train]"' in done.stderr
