"""Which samples make which step, and what becomes of those that cannot be read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from training_data import Rooms, rooms

from edgedepth.bundle.spec import InputSpec
from edgedepth.errors import InputError
from edgedepth.training.batches import StepPlan
from edgedepth.training.dataset import TrainingSet, collate
from edgedepth.training.recipe import Augmentation, DataSource

PLAN = StepPlan(sizes=(10, 7), per_epoch=(10, 3), epochs=4, batch_size=4, accumulate=2, seed=5, stage=1)


def test_an_epoch_has_each_sample_once_and_fills_up_from_its_beginning() -> None:
    assert PLAN.steps_per_epoch == 2  # 13 samples, 8 per step
    order = PLAN.order(0)
    assert len(order) == 16
    assert sorted(i for i in order[:13] if i < 10) == list(range(10))
    assert len({i for i in order[:13] if i >= 10}) == 3
    np.testing.assert_array_equal(order[13:], order[:3])
    assert not np.array_equal(order, PLAN.order(1))


def test_a_part_per_epoch_goes_round_before_one_comes_again() -> None:
    drawn = [int(i) for epoch in range(4) for i in PLAN.order(epoch)[:13] if i >= 10]
    assert len(drawn) == 12
    assert set(drawn) == set(range(10, 17)), "all seven within the first three epochs"
    per_epoch = [sorted(int(i) for i in PLAN.order(epoch)[:13] if i >= 10) for epoch in range(2)]
    assert not set(per_epoch[0]) & set(per_epoch[1])


def test_resuming_at_any_step_continues_the_same_batches() -> None:
    whole = list(PLAN.batches(0))
    assert len(whole) == PLAN.total_steps * 2
    for step in range(PLAN.total_steps + 1):
        assert list(PLAN.batches(step)) == whole[2 * step :]


def test_processes_divide_each_batch() -> None:
    one = list(PLAN.batches(3))
    halves = [list(PLAN.batches(3, rank, 2)) for rank in (0, 1)]
    assert [list(itertools.chain(*parts)) for parts in zip(*halves, strict=True)] == one
    with pytest.raises(InputError, match="batch of 4 images cannot be divided over 3 processes"):
        next(PLAN.batches(0, 0, 3))


def made(data: Rooms, *, strict: bool = False) -> TrainingSet:
    source = DataSource(kind="rgbd", min_depth_m=1.0, max_depth_m=3.0)
    spec = InputSpec(height=32, width=48)
    return TrainingSet([(data, source)], (32, 48), Augmentation(), spec, seed=0, stage=0, strict=strict)


def test_items_are_tensors_with_depth_within_the_range() -> None:
    batch = collate([made(Rooms(2, pairs=3))[(0, i)] for i in (0, 1)])
    assert (batch.image.shape, batch.image.dtype) == ((2, 3, 32, 48), torch.uint8)
    assert batch.depth_m.shape == (2, 1, 32, 48)
    known = batch.depth_m[torch.isfinite(batch.depth_m)]
    assert 1.0 <= float(known.min()) <= float(known.max()) <= 3.0
    assert torch.isnan(batch.depth_m).any()
    assert batch.pairs[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert int(batch.pairs[:, [1, 3]].max()) < 48
    f_px = rooms(1).training[0].intrinsics.f_px  # type: ignore[union-attr]
    assert batch.f_px[0] == pytest.approx(f_px / 2, rel=1e-3)  # 96x64 -> 48x32


def test_a_broken_sample_is_replaced_by_the_next_and_told() -> None:
    data = made(Rooms(4, broken=(1,)))
    item = data[(0, 1)]
    assert torch.equal(item.image, data[(0, 2)].image)
    assert len(item.skipped) == 1
    assert "broken on purpose" in item.skipped[0]
    assert item.error is None
    assert "room001" in (made(Rooms(4, broken=(1,)), strict=True)[(0, 1)].error or "")


def test_nothing_but_broken_samples_is_an_error() -> None:
    item = made(Rooms(3, broken=(0, 1, 2)))[(0, 1)]
    assert "3 samples in a row cannot be read" in (collate([item]).error or "")
