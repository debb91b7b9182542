"""Every reader gives what was stored: image, depth to the unit, holes, camera, groups, order."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from datasets import (
    Written,
    write_child,
    write_diode,
    write_diw,
    write_kitti,
    write_nyu_csv,
    write_nyu_mat,
    write_open3d,
    write_rgbd,
    write_scannet,
    write_sunrgbd,
    write_tum,
)

from edgedepth.data import KINDS, guess_kind, open_dataset
from edgedepth.data.files import folders_where

WRITERS = {
    "nyu-mat": write_nyu_mat,
    "nyu-csv": lambda root: [one for part in write_nyu_csv(root) for one in part],
    "diode": write_diode,
    "diw": write_diw,
    "kitti": write_kitti,
    "tum": write_tum,
    "scannet": write_scannet,
    "open3d": write_open3d,
    "sunrgbd": write_sunrgbd,
    "child": write_child,
    "rgbd": write_rgbd,
}
# What is reduced to the grid of the depth is not what was stored to the grey level.
RESAMPLED = ("scannet", "child")


@pytest.fixture(params=WRITERS)
def made(request, tmp_path):
    root = tmp_path / "data_set"
    root.mkdir()
    return request.param, root, WRITERS[request.param](root)


def check(sample, expected: Written, kind: str) -> None:
    assert (sample.id, sample.group) == (expected.id, expected.group)
    assert sample.image.shape == expected.image.shape
    tolerance = 40 if kind in RESAMPLED else 0
    off = np.abs(sample.image.astype(int) - expected.image)
    assert np.median(off) <= 2 and (off.max() <= tolerance or kind in RESAMPLED)
    if expected.depth_m is None:
        assert sample.depth_m is None
    else:
        assert sample.depth_m.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(sample.depth_m), np.isnan(expected.depth_m))
        np.testing.assert_allclose(sample.depth_m, expected.depth_m, rtol=2e-7)
        assert np.isnan(sample.depth_m).any()  # the scenes have holes
        assert sample.intrinsics.size_wh == sample.size_wh


def test_gives_what_was_stored(made):
    kind, root, written = made
    dataset = open_dataset(root, kind)
    assert dataset.kind == kind
    assert not dataset.left_out
    assert list(dataset.ids) == [one.id for one in written]
    assert list(dataset.groups) == [one.group for one in written]
    assert len(dataset) == len(written)
    for index, expected in enumerate(written):
        check(dataset[index], expected, kind)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_kind_is_recognised(made):
    kind, root, _ = made
    assert guess_kind(root) == kind


def test_survives_pickling_as_loader_workers_do(made):
    kind, root, written = made
    dataset = open_dataset(root, kind)
    dataset[0]
    check(pickle.loads(pickle.dumps(dataset))[1], written[1], kind)


def test_samples_are_not_shared(made):
    kind, root, written = made
    dataset = open_dataset(root, kind)
    first = dataset[0]
    first.image[:] = 0
    if first.depth_m is not None:
        first.depth_m[:] = 0
    check(dataset[0], written[0], kind)


def test_every_kind_is_tested():
    assert set(WRITERS) == set(KINDS)


def test_a_recording_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    for name in ("whole", ".half.x1y2"):
        (tmp_path / name / "rgb").mkdir(parents=True)
        (tmp_path / name / "depth").mkdir()
    assert folders_where(tmp_path, lambda folder: (folder / "rgb").is_dir()) == [tmp_path / "whole"]
