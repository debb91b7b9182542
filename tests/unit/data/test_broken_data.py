"""Data sets that are not whole, not of the kind said, or not of the unit said: refused or told, never guessed."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
from datasets import write_child, write_diode, write_kitti, write_open3d, write_rgbd, write_scannet, write_tum

from edgedepth.data import KINDS, guess_kind, open_dataset, parse_options
from edgedepth.errors import DataError


def second(root, pattern):
    return sorted(root.rglob(pattern))[1]


# Which files of the second sample can break, by kind.
FILES = {
    "diode": (write_diode, ("*_010.png", "*_depth.npy", "*_depth_mask.npy")),
    "kitti": (write_kitti, ("**/data/*.png", "**/groundtruth/**/*.png")),
    "tum": (write_tum, ("rgb/*.png", "depth/*.png")),
    "scannet": (write_scannet, ("color/*.jpg", "depth/*.png")),
    "open3d": (write_open3d, ("color/*.jpg", "depth/*.png")),
    "rgbd": (write_rgbd, ("room_*/rgb.png", "room_*/depth.png")),
    "child": (write_child, ("**/rgb/*", "**/depth/*")),
}
CASES = [(kind, pattern) for kind, (_, patterns) in FILES.items() for pattern in patterns]


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
@pytest.mark.parametrize(("kind", "pattern"), CASES)
def test_a_corrupt_file_costs_its_sample_alone(tmp_path, kind, pattern, damage):
    written = FILES[kind][0](tmp_path)
    file = second(tmp_path, pattern)
    content = file.read_bytes()
    file.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "noise": bytes(range(256)) * 4}[damage])
    dataset = open_dataset(tmp_path, kind)
    assert len(dataset) == len(written)
    refused = []
    for index in range(len(dataset)):
        try:
            dataset[index]
        except DataError as error:
            assert str(file) in str(error)
            assert "\n" not in str(error)
            refused.append(index)
    assert refused == [1]


@pytest.mark.parametrize(
    ("kind", "pattern"), [case for case in CASES if "mask" not in case[1] and "truth" not in case[1]]
)
def test_a_missing_partner_is_refused_or_told(tmp_path, kind, pattern):
    # Not of KITTI's truth: most raw images have none.
    written = FILES[kind][0](tmp_path)
    second(tmp_path, pattern).unlink()
    with pytest.raises(DataError, match=r"\d of \d+ samples are not whole: .*(complete it|lenient)"):
        open_dataset(tmp_path, kind)
    rest = open_dataset(tmp_path, kind, lenient=True)
    assert len(rest) == len(written) - 1
    assert len(rest.left_out) == 1


def test_an_unreadable_file_is_a_data_error(tmp_path):
    write_diode(tmp_path)
    file = second(tmp_path, "*_010.png")
    dataset = open_dataset(tmp_path, "diode")
    file.unlink()  # gone since it was opened
    with pytest.raises(DataError, match="cannot be read"):
        dataset[1]
    file.mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        dataset[1]


def test_wrong_kind_says_what_it_looks_like(tmp_path):
    write_tum(tmp_path)
    with pytest.raises(DataError, match=r"is not a diode data set: expected .*scene_.*; it looks like kind tum"):
        open_dataset(tmp_path, "diode")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="it looks like no kind that is known"):
        open_dataset(tmp_path / "empty", "kitti")
    assert guess_kind(tmp_path / "empty") is None
    file = tmp_path / "notes.txt"
    file.write_text("no data set")
    assert guess_kind(file) is None
    for kind in KINDS:
        with pytest.raises(DataError, match=f"is not a {kind} data set"):
            open_dataset(file, kind)
        with pytest.raises(DataError, match="no data set at"):
            open_dataset(tmp_path / "nowhere", kind)


def test_names_are_checked(tmp_path):
    write_diode(tmp_path)
    with pytest.raises(DataError, match=r"no data set kind 'diod'; did you mean diode\?"):
        open_dataset(tmp_path, "diod")
    with pytest.raises(DataError, match="no split 'test'; it has train, val"):
        open_dataset(tmp_path, "diode", "test")
    with pytest.raises(DataError, match="takes no option 'depth'; it takes where"):
        open_dataset(tmp_path, "diode", depth="raw")
    with pytest.raises(DataError, match="where is indoors or outdoor"):
        open_dataset(tmp_path, "diode", where="outdoors")


@pytest.mark.parametrize(
    ("kind", "write", "pattern", "factor", "says"),
    [
        ("open3d", write_open3d, "depth/*.png", 20, "expected 0.15 to 30 m"),
        ("tum", write_tum, "depth/*.png", 0.05, "median depth is 0.1"),
        ("kitti", write_kitti, "**/groundtruth/**/*.png", 3.9, "stored as millimetres"),
        ("scannet", write_scannet, "depth/*.png", 0.05, "median depth is"),
    ],
)
def test_another_unit_is_told_by_range(tmp_path, kind, write, pattern, factor, says):
    write(tmp_path)
    for file in tmp_path.rglob(pattern):
        units = cv2.imread(str(file), cv2.IMREAD_UNCHANGED).astype(float) * factor
        cv2.imwrite(str(file), np.clip(units, 0, 65535).astype(np.uint16))
    with pytest.raises(DataError, match=rf"depth seems to be in another unit: .*{says}"):
        open_dataset(tmp_path, kind)


def test_one_close_up_is_no_other_unit(tmp_path):
    write_open3d(tmp_path)
    cv2.imwrite(str(tmp_path / "depth/000000.png"), np.full((48, 64), 100, np.uint16))
    assert len(open_dataset(tmp_path, "open3d")) == 3


def test_options_from_text():
    assert parse_options("nyu-mat", ["depth=filled"]) == {"depth": "filled"}
    assert parse_options("child", ["min_confidence=0.5", "subject_level=1", "grid=image"]) == {
        "min_confidence": 0.5,
        "subject_level": 1,
        "grid": "image",
    }
    assert parse_options("scannet", ["posed_only=true"]) == {"posed_only": True}
    assert parse_options("rgbd", ["depth_scale_m = 0.0002"]) == {"depth_scale_m": 0.0002}
    assert parse_options("kitti", []) == {}
    for kind, text, says in [
        ("nyu-mat", "depth=full", "option depth is raw or filled, found 'full'"),
        ("nyu-mat", "depth", "is name=value"),
        ("nyu-mat", "dept=raw", "takes no option 'dept'"),
        ("child", "subject_level=x", "is a number"),
        ("scannet", "posed_only=1", "true or false"),
        ("nyu", "depth=raw", "did you mean nyu-"),
    ]:
        with pytest.raises(DataError, match=says):
            parse_options(kind, [text])


def test_data_errors_travel_between_processes():
    assert str(pickle.loads(pickle.dumps(DataError("a/b.png: cut short")))) == "a/b.png: cut short"
