"""Training that was killed, and training by several processes, end where an undisturbed one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from train_process import run, what
from training_data import recipe_of, rooms, tiny_setup

from edgedepth.errors import CheckpointError, OutputError
from edgedepth.training.loop import train
from edgedepth.training.options import TrainOptions
from edgedepth.training.state import read_state

SCRIPT = Path(__file__).resolve().parents[2] / "support" / "train_process.py"
ROOT = SCRIPT.parents[2]


def spawn(*command: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, *map(str, command)], env=environment, capture_output=True, text=True, check=False
    )


def states(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    moments = {
        f"adam.{number}.{name}": value
        for number, row in state["optimizer"]["state"].items()
        for name, value in row.items()
    }
    return {**state["network"], **{f"average.{k}": v for k, v in state["average"].items()}, **moments}


@pytest.mark.parametrize(
    ("network", "kills"),
    [
        ("resunet", (5,)),
        ("glpn", (5, 7)),  # the second in the second stage
        pytest.param("resunet", (3, 4, 6, 1), marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_it_ends_with_the_same_bits(network: str, kills: tuple[int, ...], tmp_path: Path) -> None:
    """SIGKILL within an epoch, after so many steps of the process; the step it was in was not saved."""
    torn = tmp_path / "torn"
    for number, steps in enumerate(kills):
        done = spawn(SCRIPT, torn, network, f"kill={steps}", *(["resume"] if number else []))
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (torn / "training.json").exists()
    resumed = run(torn, network, resume=True)
    whole = run(tmp_path / "whole", network)
    a, b = states(torn), states(tmp_path / "whole")
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    first, second = load_file(resumed.weights), load_file(whole.weights)
    assert all(torch.equal(first[name], second[name]) for name in first | second)
    assert (torn / "curve.csv").read_bytes() == (tmp_path / "whole" / "curve.csv").read_bytes()
    assert resumed.best == whole.best


@pytest.mark.parametrize("network", ["resunet"])
def test_two_processes_are_one_with_the_whole_batch(network: str, tmp_path: Path) -> None:
    """Per process half the batch; batch statistics are joined, gradients averaged. Only the order of sums differs."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = spawn(*launcher, SCRIPT, tmp_path / "two", network)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Warning" not in done.stderr
    run(tmp_path / "one", network)
    one, two = states(tmp_path / "one"), states(tmp_path / "two")
    assert one.keys() == two.keys()
    weights = [name for name in one if not name.startswith("adam") and one[name].is_floating_point()]
    worst = max(float((one[n] - two[n]).abs().max() / one[n].abs().max().clamp_min(1e-3)) for n in weights)
    print("largest difference of a weight, relative to the largest of its tensor:", worst)
    assert worst < 1e-3


def test_a_folder_with_something_in_it_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty; give another --output, or --resume"):
        train(recipe_of(), tiny_setup(), {"rooms": rooms(4)}, tmp_path)


def test_what_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train(recipe_of(), tiny_setup(), {"rooms": rooms(4)}, tmp_path / "none", TrainOptions(resume=True))
    out = tmp_path / "out"
    train(recipe_of(stage={"epochs": 1}), tiny_setup(), {"rooms": rooms(4)}, out, TrainOptions(device="cpu"))
    for recipe, data, words in (
        (recipe_of(stage={"epochs": 2}), rooms(4), r"another training: recipe\.stages\[0\]\.epochs was 1 and is 2"),
        (recipe_of(stage={"epochs": 1}), rooms(5), "another training: data set rooms was"),
    ):
        with pytest.raises(CheckpointError, match=words):
            train(recipe, tiny_setup(), {"rooms": data}, out, TrainOptions(resume=True, device="cpu"))
    last = out / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="is damaged"):
        read_state(out, {})


def test_a_finished_training_resumes_to_itself(tmp_path: Path) -> None:
    recipe, setup = recipe_of(stage={"epochs": 1}), tiny_setup()
    first = train(recipe, setup, {"rooms": rooms(4)}, tmp_path / "o", TrainOptions(device="cpu"))
    weights = first.weights.read_bytes()
    leftover = tmp_path / "o" / "checkpoints" / ".last.0a1b2c3d.part.pt"
    leftover.write_bytes(b"half a checkpoint, as a kill leaves it")
    again = train(recipe, setup, {"rooms": rooms(4)}, tmp_path / "o", TrainOptions(device="cpu", resume=True))
    assert again.best == first.best
    assert again.weights.read_bytes() == weights
    assert sorted(path.name for path in leftover.parent.iterdir()) == ["best.pt", "last.pt"]


def test_the_recipe_of_these_tests_has_two_stages_of_six_steps() -> None:
    recipe, _ = what("resunet")
    assert [stage.epochs * 3 for stage in recipe.stages] == [6, 6]
