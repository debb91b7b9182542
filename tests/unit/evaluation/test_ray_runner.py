"""Over Ray Data: the numbers of the plain path, also when a worker is killed."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import scored_rooms
from scored_rooms import Crooked, Mortal, write_rooms

from edgedepth.data import open_dataset
from edgedepth.errors import DataError, NotMetricError
from edgedepth.evaluation.runner import evaluate
from edgedepth.types import DepthKind

ray = pytest.importorskip("ray", reason="needs the extra scale (ray[data])")

from edgedepth.evaluation.ray_runner import evaluate_with_ray  # noqa: E402

# Ray warns of its own defaults' names while it copies them.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One for the module: starting it takes seconds."""
    ray.cloudpickle.register_pickle_by_value(scored_rooms)  # workers cannot import the tests
    before = signal.getsignal(signal.SIGTERM)  # Ray takes it
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    signal.signal(signal.SIGTERM, before)


def test_the_same_numbers_although_a_worker_is_killed(tmp_path: Path) -> None:
    manifest = write_rooms(tmp_path, 8, poses=True, scenes=2)
    (tmp_path / "5_depth.png").write_bytes(b"broken")
    dataset = open_dataset(manifest, "rgbd")
    marker = tmp_path / "killed"
    plain = evaluate(Crooked(), dataset, "rgbd")
    seen: list[float | None] = []
    spread = evaluate_with_ray(
        functools.partial(Mortal, marker, "room_4"),
        dataset,
        "rgbd",
        workers=2,
        frames_per_task=3,
        progress=lambda step, fraction: seen.append(fraction),
    )
    assert int(marker.read_text()) != os.getpid(), "a worker of Ray's was killed in the middle"
    assert spread.frames == plain.frames
    assert spread.skipped == plain.skipped
    assert (spread.mean, spread.interval95, spread.by_range) == (plain.mean, plain.interval95, plain.by_range)
    assert plain.mean["tae_percent"] > 0
    assert seen[-1] == 1


def test_errors_are_those_of_the_plain_path(tmp_path: Path) -> None:
    manifest = write_rooms(tmp_path, 2)
    (tmp_path / "1_depth.png").write_bytes(b"broken")
    dataset = open_dataset(manifest, "rgbd")
    with pytest.raises(NotMetricError, match="disparity map"):
        evaluate_with_ray(functools.partial(Crooked, 1.0, DepthKind.DISPARITY), dataset, "rgbd")
    with pytest.raises(DataError, match=r"1_depth\.png"):
        evaluate_with_ray(Crooked, dataset, "rgbd", workers=1, strict=True)
