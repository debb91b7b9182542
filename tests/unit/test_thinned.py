from __future__ import annotations

from array import array

import numpy as np
import pytest

from edgedepth.thinned import Thinned


@pytest.mark.parametrize("into", [None, array("q")], ids=["list", "array"])
def test_a_bounded_sample_is_spread_evenly_over_all_of_it(into: array[int] | None) -> None:
    sample = Thinned(64, into)
    for value in range(100_000):
        sample.add(value)
        assert len(sample.items) <= 64
    assert sample.count == 100_000
    # 64 * 1024 < 100 000 <= 64 * 2048
    assert list(sample.items) == list(range(0, 100_000, 2048))


def test_up_to_the_capacity_everything_is_kept() -> None:
    sample = Thinned[str](3)
    for value in "abc":
        sample.add(value)
    assert list(sample.items) == ["a", "b", "c"]
    sample.add("d")
    assert (list(sample.items), sample.count) == (["a", "c"], 4)


def test_at_every_moment_the_distances_are_equal() -> None:
    sample = Thinned[int](10)
    for value in range(1000):
        sample.add(value)
        assert len(set(np.diff(np.asarray(sample.items)))) <= 1
