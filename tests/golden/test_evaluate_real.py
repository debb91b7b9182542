"""FastDepth, trained by others, on rooms that others recorded: the error published with the files, TAE of a sensor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgedepth.backends import BackendOptions, available_backends
from edgedepth.data import Dataset, open_dataset
from edgedepth.depth import DepthEstimator, SensorDepth
from edgedepth.evaluation.runner import evaluate

SPECS = Path(__file__).resolve().parents[1] / "specs"
BACKENDS = [name for name in ("onnxruntime", "openvino") if available_backends()[name]]


@pytest.fixture(scope="module")
def rooms(realdata: Path) -> Dataset:
    return open_dataset(realdata / "manifest.json", "rgbd")


def open_fastdepth(realdata: Path, backend: str | None = None) -> DepthEstimator:
    onnx = realdata / "nets" / "fastdepth" / "fastdepth_224_dequantised_fp32.onnx"
    return DepthEstimator.open(onnx, SPECS / "fastdepth_fp32.toml", backend=backend, options=BackendOptions(threads=1))


@pytest.fixture(scope="module")
def fastdepth(realdata: Path) -> Iterator[DepthEstimator]:
    with open_fastdepth(realdata) as estimator:
        yield estimator


def test_the_published_error_and_every_frame(rooms: Dataset, fastdepth: DepthEstimator) -> None:
    report = evaluate(fastdepth, rooms, "rgbd")
    assert report.alignment == "none"
    found = {record.id: record for record in report.frames}
    assert found["pcl_five_people"].absrel == pytest.approx(0.215, abs=0.01)
    assert found["pcl_five_people"].delta1 == pytest.approx(0.59, abs=0.01)
    assert (len(report.frames), report.samples) == (13, 14)
    (skipped,) = report.skipped
    assert skipped.id == "arkit_promptda"
    assert "256x192" in skipped.reason
    assert "1920x1440" in skipped.reason
    assert report.resampled == "groups", "the five Redwood frames are one scene"
    aligned = evaluate(fastdepth, rooms, "rgbd", "median")
    assert len(aligned.frames) == 13
    assert aligned.mean["absrel"] < report.mean["absrel"]


def test_a_backend_changes_next_to_nothing(realdata: Path, rooms: Dataset, fastdepth: DepthEstimator) -> None:
    reference = evaluate(fastdepth, rooms, "rgbd", limit=4).mean
    for backend in BACKENDS:
        with open_fastdepth(realdata, backend) as estimator:
            assert evaluate(estimator, rooms, "rgbd", limit=4).mean == pytest.approx(reference, rel=1e-3), backend


@pytest.fixture(scope="module")
def redwood(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The five consecutive frames with the poses of their trajectory."""
    lines = (realdata / "rgbd" / "redwood_trajectory.log").read_text().splitlines()
    poses = [
        np.array([[float(x) for x in line.split()] for line in lines[n + 1 : n + 5]]) for n in range(0, len(lines), 5)
    ]
    entries = json.loads((realdata / "manifest.json").read_text())
    rows = []
    for entry in entries:
        if entry["id"].startswith("redwood"):
            pose = poses[int(entry["id"][-5:])]
            files = {name: str(realdata / entry[name]) for name in ("rgb", "depth")}
            rows.append({**entry, **files, "group": "redwood", "T_world_camera": pose.tolist()})
    manifest = tmp_path_factory.mktemp("redwood") / "manifest.json"
    manifest.write_text(json.dumps(rows))
    return open_dataset(manifest, "rgbd")


def test_the_sensor_agrees_with_itself_from_frame_to_frame_and_the_network_less(
    redwood: Dataset, fastdepth: DepthEstimator
) -> None:
    sensor = evaluate(SensorDepth(), redwood, "rgbd")
    network = evaluate(fastdepth, redwood, "rgbd")
    assert sum(record.tae_percent is not None for record in sensor.frames) == 4
    # Rounding to pixels and to millimetres leaves half a per cent; a wrong pose or axis leaves tens.
    assert sensor.mean["tae_percent"] < 1
    assert sensor.mean["tae_percent"] < network.mean["tae_percent"] < 30


def test_poses_taken_the_wrong_way_round_show(redwood: Dataset) -> None:
    from edgedepth.evaluation.temporal import temporal_alignment_error
    from edgedepth.types import DepthKind, DepthMap, Pose

    first, second = redwood[0], redwood[4]
    maps = [DepthMap(one.depth_m, DepthKind.METRIC, one.intrinsics) for one in (first, second)]
    right = temporal_alignment_error(maps[0], first.pose, maps[1], second.pose)
    inverse = [Pose(np.linalg.inv(one.pose.T_world_camera)) for one in (first, second)]
    wrong = temporal_alignment_error(maps[0], inverse[0], maps[1], inverse[1])
    assert right is not None
    assert wrong is not None
    assert right < wrong / 2
