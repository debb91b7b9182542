"""The loop: what is written, frozen, skipped and refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.optim.lr_scheduler import OneCycleLR
from training_data import Rooms, recipe_of, rooms, setup_of, tiny_setup

from edgedepth.bundle.spec import OutputSpec
from edgedepth.data import subset
from edgedepth.errors import DataError, InputError, RecipeError, TrainingError
from edgedepth.training import stage as stage_module
from edgedepth.training.averaged import average_of
from edgedepth.training.logs import read_curve
from edgedepth.training.loop import train
from edgedepth.training.network import parameter_groups, rate, set_mode, start_network
from edgedepth.training.options import TrainingResult, TrainOptions
from edgedepth.training.recipe import DataSource, Schedule
from edgedepth.training.sources import TrainingData


def run(tmp_path: Path, recipe: Any = None, data: TrainingData | None = None, **options: Any) -> TrainingResult:
    keys = {"device": "cpu", "log_steps": 1, **options}
    return train(
        recipe or recipe_of(), tiny_setup(), {"rooms": data or rooms(4)}, tmp_path / "out", TrainOptions(**keys)
    )


def test_what_is_written(tmp_path: Path) -> None:
    told: list[tuple[str, float | None, str]] = []
    recipe = recipe_of(stage={"epochs": 3, "batch_size": 2}, ema=0.5)
    result = train(
        recipe, tiny_setup(), {"rooms": rooms(4)}, tmp_path / "out",
        TrainOptions(device="cpu", log_steps=1, pictures=2),
        lambda step, fraction, note="": told.append((step, fraction, note)),
    )  # fmt: skip
    record = json.loads(result.record.read_text())
    assert record["recipe"]["name"] == "test"
    assert record["data"]["rooms"]["training"] == record["data"]["rooms"]["validation"]
    assert [row["epoch"] for row in record["history"]] == [1, 2, 3]
    assert record["best"]["abs_rel"] == min(row["abs_rel"] for row in record["history"])
    rows = [row for row in read_curve(tmp_path / "out" / "curve.csv") if row["loss"]]
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["epoch"] for row in rows] == ["1", "1", "2", "2", "3", "3"]
    assert told[0][0] == "rooms, epoch 1 of 3"
    assert told[0][2].startswith("loss ")
    assert "all done in 0:" in told[0][2]
    pictures = sorted((tmp_path / "out" / "samples").glob("*.png"))
    assert [path.name for path in pictures] == ["0-room000.png", "1-room001.png"]
    assert cv2.imread(str(pictures[0])).shape == (64, 4 * 96, 3)  # image, truth, prediction, error
    assert list((tmp_path / "out" / "tensorboard").iterdir())
    rights = [path.stat().st_mode for path in (result.weights, result.record)]
    assert rights[0] == rights[1], "weights can be read by whom the rest can"
    assert set(load_file(result.weights)) == set(start_network(tiny_setup(), recipe, "random").state_dict())


def test_the_same_seed_gives_the_same_weights_and_another_others(tmp_path: Path) -> None:
    weights = [
        load_file(run(tmp_path / str(number), recipe_of(seed=seed)).weights) for number, seed in enumerate((0, 0, 1))
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_accumulated_batches_are_one_batch_without_batch_statistics(tmp_path: Path) -> None:
    recipes = (
        recipe_of(stage={"batch_size": size, "accumulate": parts}, freeze_batch_norm=True)
        for size, parts in ((4, 1), (1, 4))
    )
    one, four = (load_file(run(tmp_path / str(n), recipe, rooms(8)).weights) for n, recipe in enumerate(recipes))
    for name in one:
        torch.testing.assert_close(one[name], four[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow  # a worker imports torch anew
def test_workers_change_nothing(tmp_path: Path) -> None:
    recipe = recipe_of(stage={"epochs": 1}, augment={"flip": 0.5, "zoom": 1.3})
    weights = [load_file(run(tmp_path / str(n), recipe, workers=n).weights) for n in (0, 1)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_frozen_encoder_stays_to_the_last_statistic(tmp_path: Path) -> None:
    recipe = recipe_of(stage={"freeze_encoder": True})
    before = start_network(tiny_setup(), recipe, "random").state_dict()
    after = load_file(run(tmp_path, recipe, start="random").weights)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith("down.")} <= same
    assert any(name.startswith("up.") for name in set(before) - same)


def test_learning_rates_by_layer() -> None:
    recipe = recipe_of(stage={"encoder_lr": 0.1, "layer_decay": 0.5, "lr": 1.0})
    stage = recipe.stages[0]
    network = start_network(tiny_setup(), recipe, "random")
    set_mode(network, stage, freeze_batch_norm=False)
    groups = parameter_groups(network, stage, 0.02)
    of = {id(p): group for group in groups for p in group["params"]}
    assert len(of) == len(list(network.parameters()))
    named = dict(network.named_parameters())
    assert of[id(named["down.0.conv_in.weight"])]["lr"] == pytest.approx(0.05)
    assert of[id(named["down.1.conv_in.weight"])]["lr"] == pytest.approx(0.1)
    assert of[id(named["head.layer.weight"])]["lr"] == 1.0
    assert of[id(named["head.layer.weight"])]["weight_decay"] == 0.02
    assert of[id(named["head.layer.bias"])]["weight_decay"] == 0.0


def test_the_rate_that_is_logged_is_the_stage_s(tmp_path: Path) -> None:
    """And not that of the encoder, which learns at a tenth of it."""
    run(tmp_path, recipe_of(stage={"encoder_lr": 0.1, "lr": 2e-3, "epochs": 1, "schedule": {"name": "constant"}}))
    assert {row["lr"] for row in read_curve(tmp_path / "out" / "curve.csv") if row["lr"]} == {"0.002"}


def test_one_cycle_is_torch_s() -> None:
    schedule = Schedule(warmup=0.3, start=0.04, end=1e-3)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    total = 101
    # torch reaches the top at pct_start * total - 1.
    theirs = OneCycleLR(optimizer, 1.0, total_steps=total, pct_start=31 / total, div_factor=25, final_div_factor=40,
                        cycle_momentum=False)  # fmt: skip
    for step in range(total):
        assert rate(schedule, step, total) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        if step + 1 < total:
            theirs.step()
    assert rate(Schedule(name="constant"), 3, 9) == 1.0
    assert rate(schedule, 0, 1) == 1.0, "a stage of one step learns"


def test_the_average_follows_the_weights() -> None:
    network = start_network(tiny_setup(), recipe_of(), "random")
    average = average_of(network, 0.5)
    expected = None
    for step, value in enumerate((1.0, 2.0, 4.0)):
        with torch.no_grad():
            network.head.layer.bias.fill_(value)  # type: ignore[union-attr,operator]
        average.update_parameters(network)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = value if expected is None else decay * expected + (1 - decay) * value
    assert float(average.module.head.layer.bias.detach()) == pytest.approx(expected)


def test_corrupt_samples_are_counted_or_fatal(tmp_path: Path) -> None:
    made = Rooms(6, broken=(2,))
    data = TrainingData(DataSource(kind="rgbd"), made, subset(made, [0, 1, 2]))
    result = run(tmp_path / "a", data=data)
    assert len(result.skipped) == 1, "each once, however often it comes"
    assert "broken on purpose" in result.skipped[0]
    assert json.loads(result.record.read_text())["skipped"]["count"] == 1
    with pytest.raises(DataError, match="broken on purpose"):
        run(tmp_path / "b", data=data, strict=True)


def test_what_validation_could_not_read_or_score_is_told_too(tmp_path: Path) -> None:
    held_out = Rooms(3, first=6, broken=(7,))
    depth_m = held_out[2].depth_m
    assert depth_m is not None
    depth_m[:] = np.nan
    whole = TrainingData(DataSource(kind="rgbd"), Rooms(4), held_out, ("rgb/9.png has no partner of the same name",))
    result = run(tmp_path / "a", data=whole)
    told = result.skipped
    assert len(told) == 3
    assert any("broken on purpose" in line for line in told)
    assert any(line.startswith("validation sample room008: no pixel can be scored") for line in told)
    assert "rgb/9.png has no partner of the same name" in told


def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match=r"--device cuda needs an NVIDIA GPU .*; give --device cpu"):
        train(recipe_of(), tiny_setup(), {"rooms": rooms(4)}, tmp_path / "out", TrainOptions(device="cuda"))
    assert not (tmp_path / "out").exists()


def test_pairs_and_metres_are_mixed(tmp_path: Path) -> None:
    recipe = recipe_of(
        data={"rooms": {"kind": "rgbd"}, "wild": {"kind": "diw", "per_epoch": 2}},
        stages=[{"name": "both", "data": ["rooms", "wild"], "epochs": 2, "batch_size": 3, "height": 32, "width": 48,
                 "lr": 1e-3}],
        losses=({"name": "l1", "space": "log"}, {"name": "ordinal", "space": "log"}),
    )  # fmt: skip
    wild = Rooms(4, pairs=5, has_depth=False, first=20)
    data = {"rooms": rooms(4), "wild": TrainingData(DataSource(kind="diw", per_epoch=2), wild, wild)}
    result = train(recipe, tiny_setup(), data, tmp_path / "out", TrainOptions(device="cpu"))
    assert result.best["pairs"] == 20
    assert result.best["frames"] == 4
    assert result.best["score"] == pytest.approx(result.best["abs_rel"] + result.best["whdr"])


def test_a_loss_that_is_no_number_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "normalise", lambda image, spec: image.float() * np.nan)
    with pytest.raises(TrainingError, match=r"diverged; start again with a smaller --lr"):
        run(tmp_path)


@pytest.mark.parametrize("spoilt", ["the loss is", "a weight is no number"])
def test_what_diverged_is_neither_saved_nor_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str) -> None:
    """Between two rows of the curve, at a step that is saved."""
    inner, steps = stage_module.StageRun._step, []

    def step(running: Any, *arguments: Any, **keys: Any) -> Any:
        done = inner(running, *arguments, **keys)
        steps.append(done)
        if len(steps) == 3:
            if spoilt == "the loss is":
                done.values["loss"].fill_(torch.nan)
            else:
                next(running.network.parameters()).data[0] = torch.nan
        return done

    monkeypatch.setattr(stage_module.StageRun, "_step", step)
    recipe = recipe_of(stage={"epochs": 3, "batch_size": 2})
    with pytest.raises(TrainingError, match=f"{spoilt}.* at step 3: the training diverged"):
        run(tmp_path, recipe, log_steps=100, save_steps=3)
    kept = torch.load(tmp_path / "out" / "checkpoints" / "last.pt", weights_only=True)
    assert kept["step"] == 2
    assert all(torch.isfinite(value).all() for value in kept["network"].values())


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_one_line_of_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(stage_module, "normalise", fail)
    with pytest.raises(TrainingError, match=r"--batch-size 2 --accumulate 2 .* smaller --size"):
        run(tmp_path)


def test_other_errors_are_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(stage_module, "normalise", fail)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run(tmp_path)


def test_what_does_not_fit_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="multiples of 4, found 30x48"):
        run(tmp_path, recipe_of(stage={"height": 30}))
    with pytest.raises(RecipeError, match="multiples of 4"):
        run(tmp_path, recipe_of(augment={"crop": [18, 24]}))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "space", "align"),
    [("disparity", "inverse", "scale-shift-disparity"), ("relative_depth", "depth", "median")],
)
def test_a_network_without_metres_is_validated_aligned_and_says_so(
    tmp_path: Path, kind: str, space: str, align: str
) -> None:
    setup = replace(tiny_setup(), output=OutputSpec(kind=kind))
    recipe = recipe_of(losses=({"name": "scale-shift-invariant", "space": space},), stage={"epochs": 1})
    result = train(recipe, setup, {"rooms": rooms(4)}, tmp_path / "out", TrainOptions(device="cpu"))
    assert result.best["frames"] == 4
    assert 0 < result.best["score"] == result.best["abs_rel"] < 1
    assert json.loads(result.record.read_text())["validation_alignment"] == align


def test_nothing_to_validate_on_is_said(tmp_path: Path) -> None:
    far = TrainingData(DataSource(kind="rgbd", min_depth_m=25.0, max_depth_m=26.0), Rooms(4), Rooms(4))
    with pytest.raises(InputError, match="no frame of the validation data"):
        run(tmp_path, data=far)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["densedepth", "glpn-nyu", "irv2-attention", "unetpp", "lraspp", "resunet"])
def test_every_weight_of_a_network_is_learnt(model: str) -> None:
    """Weights that no gradient reaches make training by several processes fail."""
    network = start_network(setup_of(model), recipe_of(model), "random").train()
    network(torch.rand(2, 3, 64, 96)).mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
