"""Splits share no group, are the same everywhere, and keep close to the fractions asked for."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from datasets import write_child
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedepth.data import Entry, Listed, Sample, open_dataset, shared_groups, split_by_group, subset
from edgedepth.errors import DataError


class Plain(Listed[Entry]):
    def load(self, entry):
        return Sample(np.zeros((2, 2, 3), np.uint8), None, None, entry.id, entry.group)


def data_set(sizes):
    entries = [Entry(f"{group}/{i}", f"g{group}") for group, size in enumerate(sizes) for i in range(size)]
    return Plain("plain", "made", entries, None)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=3, max_size=40), st.integers(0, 99))
def test_parts_share_no_group_and_lose_no_sample(sizes, seed):
    whole = data_set(sizes)
    parts = split_by_group(whole, {"train": 0.7, "val": 0.2, "test": 0.1}, seed)
    assert all(len(part) for part in parts.values())
    assert sorted(one for part in parts.values() for one in part.ids) == sorted(whole.ids)
    names = list(parts)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            assert shared_groups(parts[first], parts[second]) == []
    assert all(list(part.indices) == sorted(part.indices) for part in parts.values())


def test_equal_groups_meet_the_fractions():
    parts = split_by_group(data_set([10] * 20), {"train": 0.8, "val": 0.2}, seed=1)
    assert (len(parts["train"]), len(parts["val"])) == (160, 40)


def test_the_order_is_that_of_the_hash():
    whole = data_set([5] * 4)
    order = sorted({*whole.groups}, key=lambda group: hashlib.sha256(f"7:{group}".encode()).digest())
    parts = split_by_group(whole, {"a": 0.5, "b": 0.5}, seed=7)
    # The first goes to a, the second to b, which lacks more by then, and so on.
    assert set(parts["a"].groups) == {order[0], order[2]}
    other = split_by_group(whole, {"a": 0.5, "b": 0.5}, seed=7)
    assert other["a"].ids == parts["a"].ids
    seeds = {split_by_group(whole, {"a": 0.5, "b": 0.5}, seed)["a"].groups for seed in range(20)}
    assert len(seeds) > 1


@pytest.mark.parametrize(
    ("sizes", "fractions", "says"),
    [
        ([3], {"train": 0.8, "val": 0.2}, r"1 group\(s\).* 2 parts are asked for"),
        ([3, 3], {"train": 0.8, "val": 0.1}, "add up to 1"),
        ([3, 3], {"train": 1.5, "val": -0.5}, "add up to 1"),
        ([3, 3], {}, "add up to 1"),
    ],
)
def test_what_cannot_be_split(sizes, fractions, says):
    with pytest.raises(DataError, match=says):
        split_by_group(data_set(sizes), fractions)


def test_children_stay_on_one_side_and_samples_follow(tmp_path):
    write_child(tmp_path, scans=("1a", "2b", "3c", "4d"), frames=2)
    parts = split_by_group(open_dataset(tmp_path, "child"), {"train": 0.5, "val": 0.5})
    for part in parts.values():
        assert len(part) == 4
        for index, identity in enumerate(part.ids):
            assert part[index].id == identity
    few = subset(parts["train"], [0, 2])
    assert few.ids == (parts["train"].ids[0], parts["train"].ids[2])
    assert few[1].id == few.ids[1]
    assert few.depth is parts["train"].depth and few.kind == "child"
