from __future__ import annotations

import numpy as np
import pytest

from edgedepth.backends import FakeBackend, TensorSpec
from edgedepth.errors import BackendError

IN = (TensorSpec("x", np.dtype(np.float32), (2,)),)
OUT = (TensorSpec("y", np.dtype(np.float32), (1, 3)),)
FEED = {"x": np.zeros(2, np.float32)}


def test_fixed_outputs_have_the_shape_and_value_asked_for() -> None:
    y = FakeBackend(IN, OUT, fill=2.5).run(FEED)["y"]
    np.testing.assert_array_equal(y, np.full((1, 3), 2.5, np.float32))


def test_outputs_are_reused_as_the_seam_allows() -> None:
    """So that a user's test notices code that keeps them without copying."""
    backend = FakeBackend(IN, OUT, lambda feeds: {"y": feeds["x"] + 1})
    first = backend.run(FEED)["y"]
    backend.run({"x": np.full(2, 5, np.float32)})
    np.testing.assert_array_equal(first, [6, 6])


def test_fails_at_the_run_it_is_told_over_all_replicas() -> None:
    backend = FakeBackend(IN, OUT, fail_at=2)
    replica = backend.replica()
    backend.run(FEED)
    replica.run(FEED)
    with pytest.raises(BackendError, match="run 2"):
        backend.run(FEED)
    replica.run(FEED)
    assert backend.runs == replica.runs == 4
    with pytest.raises(ZeroDivisionError):
        FakeBackend(IN, OUT, fail_at=0, error=ZeroDivisionError()).run(FEED)


def test_counts_what_is_open() -> None:
    backend = FakeBackend(IN, OUT)
    with backend.replica() as replica:
        assert backend.open_count == 2
    replica.close()
    assert backend.open_count == 1
    backend.close()
    assert backend.open_count == 0
