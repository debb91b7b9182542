"""What is particular to each format: units, axes, orders, cameras, with values worked out by hand."""

from __future__ import annotations

import json
import zipfile

import cv2
import h5py
import numpy as np
import pytest
import scipy.io
from datasets import (
    scene,
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
from scipy.spatial.transform import Rotation

from edgedepth.data import open_dataset, sunrgbd
from edgedepth.data.child import read_depth_file
from edgedepth.data.diode import DIODE_INTRINSICS
from edgedepth.data.kitti import read_kitti_camera
from edgedepth.data.nyu_mat import NYU_INTRINSICS
from edgedepth.data.tum import TUM_INTRINSICS, associate
from edgedepth.errors import DataError
from edgedepth.evaluation.protocols import PROTOCOLS
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.png import PngSink
from edgedepth.types import DepthKind, DepthMap, Distortion, DistortionModel, Frame, Intrinsics


def numbers(camera):
    return camera.fx, camera.fy, camera.cx, camera.cy


def test_published_cameras():
    # camera_params.m of the NYU toolbox; diode_meta; the calibration page of TUM RGB-D.
    assert numbers(NYU_INTRINSICS) == pytest.approx((518.8579, 519.4696, 325.5824, 253.7362), abs=1e-4)
    assert NYU_INTRINSICS.size_wh == (640, 480)
    assert numbers(DIODE_INTRINSICS) == (886.81, 927.06, 512, 384)
    assert DIODE_INTRINSICS.size_wh == (1024, 768)
    assert numbers(TUM_INTRINSICS["freiburg1"]) == (517.3, 516.5, 318.6, 255.3)
    assert numbers(TUM_INTRINSICS["freiburg2"]) == (520.9, 521.0, 325.1, 249.7)
    assert numbers(TUM_INTRINSICS["freiburg3"]) == (535.4, 539.2, 320.1, 247.6)
    assert TUM_INTRINSICS["freiburg1"].distortion.coefficients == (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)
    assert TUM_INTRINSICS["freiburg3"].distortion.model is DistortionModel.NONE


# --- NYU, labelled


def test_nyu_axes_are_turned_back(tmp_path):
    write_nyu_mat(tmp_path)
    sample = open_dataset(tmp_path, "nyu-mat")[2]
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat") as file:
        assert file["images"].shape == (4, 3, 64, 48)  # N x 3 x W x H
        for u, v in ((5, 40), (60, 3)):
            assert sample.image[v, u].tolist() == file["images"][2, :, u, v].tolist()
            assert sample.depth_m[v, u] == file["rawDepths"][2, u, v]


def test_nyu_split_counts_from_one(tmp_path):
    write_nyu_mat(tmp_path, train=(2, 4), test=(1, 3))
    assert open_dataset(tmp_path, "nyu-mat", "train").ids == ("00001", "00003")
    assert open_dataset(tmp_path, "nyu-mat", "test").ids == ("00000", "00002")


def test_nyu_filled_depth_has_no_holes(tmp_path):
    write_nyu_mat(tmp_path)
    raw, filled = (open_dataset(tmp_path, "nyu-mat", depth=depth)[0].depth_m for depth in ("raw", "filled"))
    assert np.isnan(raw[0, 0]) and filled[0, 0] == 2.5
    assert np.isfinite(filled).all()


def test_nyu_parts_of_a_recording_are_one_scene(tmp_path):
    write_nyu_mat(tmp_path)  # kitchen_0001a, kitchen_0001b, ...
    assert open_dataset(tmp_path, "nyu-mat").groups[:2] == ("kitchen_0001", "kitchen_0001")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda root: (root / "splits.mat").unlink(), "no splits.mat at"),
        (lambda root: (root / "splits.mat").write_bytes(b"nothing of MATLAB" * 20), "MATLAB v5"),
        (lambda root: scipy.io.savemat(root / "splits.mat", {"other": 1}), "has no trainNdxs"),
        (lambda root: scipy.io.savemat(root / "splits.mat", {"trainNdxs": [[1, 5]]}), "frame 5 of 4"),
        (lambda root: scipy.io.savemat(root / "splits.mat", {"trainNdxs": [[0, 1]]}), "frame 0 of 4"),
        (lambda root: (root / "nyu_depth_v2_labeled.mat").write_bytes(b"x" * 5000), "v7.3"),
        (lambda root: cut(root / "nyu_depth_v2_labeled.mat"), "cut short"),
        (lambda root: drop(root / "nyu_depth_v2_labeled.mat", "rawDepths"), "no rawDepths"),
    ],
)
def test_nyu_broken(tmp_path, break_it, says):
    write_nyu_mat(tmp_path)
    break_it(tmp_path)
    with pytest.raises(DataError, match=says):
        open_dataset(tmp_path, "nyu-mat", "train")


def cut(file, keep=0.5):
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep)])


def drop(file, name):
    with h5py.File(file, "r+") as h5:
        del h5[name]


# --- NYU, csv


def test_csv_has_no_header_and_two_units(tmp_path):
    train, test = write_nyu_csv(tmp_path)
    assert len(open_dataset(tmp_path, "nyu-csv", "train")) == len(train) == 4  # a header would cost one
    units = np.zeros((48, 64), np.uint8)
    units[0, :3] = (255, 1, 51)
    cv2.imwrite(str(tmp_path / "data/nyu2_train/kitchen_0001_out/1.png"), units)
    depth_m = open_dataset(tmp_path, "nyu-csv", "train", lenient=True)[0].depth_m
    assert depth_m[0, :3].tolist() == pytest.approx([10.0, 10 / 255, 2.0])  # steps of 3.9 cm
    assert np.isnan(depth_m[1, 0])
    millimetres = np.full((48, 64), 2345, np.uint16)
    cv2.imwrite(str(tmp_path / "data/nyu2_test/00000_depth.png"), millimetres)
    assert open_dataset(tmp_path, "nyu-csv", "test")[0].depth_m[5, 5] == pytest.approx(2.345)
    assert len(test) == 2


def test_csv_with_a_header_or_a_coloured_depth_is_refused(tmp_path):
    write_nyu_csv(tmp_path)
    depth = tmp_path / "data/nyu2_train/kitchen_0001_out/1.png"
    cv2.imwrite(str(depth), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(DataError, match=r"1\.png: expected depth of 8 or 16 bits and one channel"):
        open_dataset(tmp_path, "nyu-csv", "train")[0]
    table = tmp_path / "data/nyu2_train.csv"
    table.write_text("image,depth\n" + table.read_text())
    with pytest.raises(DataError, match=r"nyu2_train.csv, row 1: expected image,depth"):
        open_dataset(tmp_path, "nyu-csv", "train")


def test_csv_parts_of_a_recording_are_one_scene_as_in_the_labelled_set(tmp_path):
    write_nyu_csv(tmp_path, scenes=("kitchen_0028a", "kitchen_0028b", "office_0002"), per_scene=1)
    groups = open_dataset(tmp_path, "nyu-csv", "train").groups
    assert groups == ("kitchen_0028", "kitchen_0028", "office_0002")


def test_csv_split_that_is_not_there(tmp_path):
    write_nyu_csv(tmp_path)
    with pytest.raises(DataError, match=r"nyu2_train\.csv is the list of train, and test was asked for"):
        open_dataset(tmp_path / "data/nyu2_train.csv", "nyu-csv", "test")
    (tmp_path / "data/nyu2_test.csv").unlink()
    with pytest.raises(DataError, match=r"no list of image pairs at .*nyu2_test.csv"):
        open_dataset(tmp_path, "nyu-csv", "test")


# --- DIODE


def test_diode_does_not_take_masks_for_depth(tmp_path):
    written = write_diode(tmp_path)
    dataset = open_dataset(tmp_path, "diode", "val", where="indoors")
    assert len(dataset) == len(written) == 4  # *_depth*.npy finds eight files
    assert dataset.groups == ("scene_00000", "scene_00000", "scene_00001", "scene_00001")
    sample = dataset[0]
    assert np.isnan(sample.depth_m[1, 2])  # masked, although a number is stored there
    assert numbers(sample.intrinsics) == pytest.approx((886.81 / 16, 927.06 / 16, 512.5 / 16 - 0.5, 384.5 / 16 - 0.5))
    with pytest.raises(DataError, match="no scan of train in"):
        open_dataset(tmp_path, "diode", "train")
    with pytest.raises(DataError, match="no scan of val/outdoor in"):
        open_dataset(tmp_path, "diode", "val", where="outdoor")


@pytest.mark.parametrize("above", ["plain", "train/diode", "indoors"])
def test_diode_parts_are_told_by_the_folders_of_the_set_alone(tmp_path, above, monkeypatch):
    """A folder called train or indoors above the data set says nothing of its scans."""
    root = tmp_path / above
    for split, number in (("train", 1), ("val", 2)):
        for where, indoors in (("indoors", 0), ("outdoor", 10)):
            write_diode(root, scenes=(number + indoors,), scans=1, split=split, where=where)
    assert open_dataset(root, "diode", "train").groups == ("scene_00001", "scene_00011")
    assert open_dataset(root, "diode", where="indoors").groups == ("scene_00001", "scene_00002")
    assert open_dataset(root / "val", "diode", "val", where="outdoor").groups == ("scene_00012",)
    assert open_dataset(root / "val/indoors", "diode").groups == ("scene_00002",)
    with pytest.raises(DataError, match="no scan of train in"):
        open_dataset(root / "val", "diode", "train")
    # The range of the protocol follows the scan, from wherever the data set was opened.
    rules = PROTOCOLS["diode"]
    for folder, part, far_m in (("val/indoors", "indoors", 10), ("val/outdoor", "outdoor", 80)):
        monkeypatch.chdir(root / folder)
        for path in (".", str(root), str(root / folder)):
            dataset = open_dataset(path, "diode", "val", where=part)
            assert rules.range_m(f"{dataset.name}/{dataset.ids[0]}") == (1e-3, far_m)


def test_diode_in_millimetres_is_told(tmp_path):
    write_diode(tmp_path)
    for file in tmp_path.rglob("*_depth.npy"):
        np.save(file, np.load(file) * 1000)
    with pytest.raises(DataError, match=r"median depth is \d+ m, expected 0.3 to 200 m .*stored as millimetres"):
        open_dataset(tmp_path, "diode")
    assert len(open_dataset(tmp_path, "diode", lenient=True)) == 4


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.ones((48, 64), np.int32), "floating point, found int32"),
        (np.ones((48, 64, 3), np.float32), r"found float32 \(48, 64, 3\)"),
        (np.ones((24, 32, 1), np.float32), "mask is"),
        (np.full((48, 64, 1), np.inf, np.float32), "positive and finite"),
        (np.array([{"a": 1}]), "not a whole .npy"),
    ],
)
def test_diode_depth_of_another_form(tmp_path, array, says):
    write_diode(tmp_path)
    file = next(tmp_path.rglob("*_depth.npy"))
    np.save(file, array)
    dataset = open_dataset(tmp_path, "diode", lenient=True)
    index = next(i for i, name in enumerate(dataset.ids) if file.name.startswith(name.rpartition("/")[2]))
    with pytest.raises(DataError, match=says):
        dataset[index]


def test_diode_header_that_is_damaged(tmp_path):
    write_diode(tmp_path)
    file = sorted(tmp_path.rglob("*_depth.npy"))[0]
    whole = file.read_bytes()
    dataset = open_dataset(tmp_path, "diode")
    for place, byte in ((8, 20), (30, 40), (60, 39), (10, 0)):
        file.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
        with pytest.raises(DataError, match=r"not a whole \.npy|found"):
            dataset[0]


# --- DIW


def write_pair(root, line, size_wh=(640, 480)):
    (root / "DIW_test").mkdir(exist_ok=True)
    ok, content = cv2.imencode(".jpg", np.full((size_wh[1], size_wh[0], 3), 90, np.uint8))
    assert ok
    (root / "DIW_test" / "a.thumb").write_bytes(content.tobytes())
    (root / "DIW_test.csv").write_text(f"./DIW_test/a.thumb\n{line}\n")
    return open_dataset(root, "diw", "test")


def test_diw_is_y_x_from_one_and_greater_is_farther(tmp_path):
    pairs = write_pair(tmp_path, "60,80,150,300,>,640,480")[0].pairs
    assert pairs.first_xy.tolist() == [[79, 59]]
    assert pairs.second_xy.tolist() == [[299, 149]]
    assert pairs.relation.tolist() == [1]  # A is farther
    assert write_pair(tmp_path, "60,80,150,300,<,640,480")[0].pairs.relation.tolist() == [-1]


def test_diw_points_follow_an_image_of_another_size(tmp_path):
    pairs = write_pair(tmp_path, "1,1,480,640,>,640,480", size_wh=(320, 240))[0].pairs
    # c' = (c + 0.5) s - 0.5: the corners of the image stay its corners.
    np.testing.assert_allclose(pairs.first_xy, [[-0.25, -0.25]])
    np.testing.assert_allclose(pairs.second_xy, [[319.25, 239.25]])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("80,60,300,150,>,480", "expected y_A,x_A"),
        ("60,80,150,300,?,640,480", "expected y_A,x_A"),
        ("60,x,150,300,>,640,480", "line 2: expected y_A"),
        ("80,600,300,150,>,480,640", "lies outside of 1..480 x 1..640; the order is y, x"),
        ("0,80,150,300,>,640,480", "lies outside"),
    ],
)
def test_diw_broken_lines(tmp_path, line, says):
    with pytest.raises(DataError, match=says):
        write_pair(tmp_path, line)


def test_diw_lists(tmp_path):
    write_diw(tmp_path)
    write_diw(tmp_path, split="train")
    with pytest.raises(DataError, match="has the lists train, test; choose a split"):
        open_dataset(tmp_path, "diw")
    assert len(open_dataset(tmp_path / "DIW_test.csv", "diw")) == 4
    with pytest.raises(DataError, match=r"DIW_train\.csv is the list of train, and test was asked for"):
        open_dataset(tmp_path / "DIW_train.csv", "diw", "test")
    with pytest.raises(DataError, match="no list of ordinal pairs at"):
        open_dataset(tmp_path, "diw", "val")
    file = tmp_path / "DIW_test.csv"
    file.write_text(file.read_text() + "./DIW_test/lonely.thumb\n")
    with pytest.raises(DataError, match="two lines per image, found 9"):
        open_dataset(tmp_path, "diw", "test")
    with pytest.raises(DataError, match="the image is 640x480 and its points are of one of 48x64"):
        write_pair(tmp_path, "5,5,9,9,>,48,64")[0]


# --- KITTI


def test_kitti_unit_camera_and_splits(tmp_path):
    write_kitti(tmp_path)
    sample = open_dataset(tmp_path, "kitti", "train")[0]
    truth = next((tmp_path / "train").rglob("0000000005.png"))
    stored = cv2.imread(str(truth), cv2.IMREAD_UNCHANGED)
    v, u = np.argwhere(stored)[7]
    assert sample.depth_m[v, u] == stored[v, u] / 256
    assert np.isnan(sample.depth_m[stored == 0]).all()
    assert numbers(sample.intrinsics) == pytest.approx((721.5377, 721.5377, 60.95593, 17.2854))
    assert open_dataset(tmp_path, "kitti", "val").groups == ("2011_09_28_drive_0002_sync",) * 2


def test_kitti_camera_of_the_published_file(tmp_path):
    # 2011_09_26/calib_cam_to_cam.txt
    file = tmp_path / "calib_cam_to_cam.txt"
    file.write_text(
        "calib_time: 09-Jan-2012 13:57:47\nS_rect_02: 1.242000e+03 3.750000e+02\n"
        "P_rect_02: 7.215377e+02 0.000000e+00 6.095593e+02 4.485728e+01 0.000000e+00 7.215377e+02 1.728540e+02 "
        "2.163791e-01 0.000000e+00 0.000000e+00 1.000000e+00 2.745884e-03\n"
    )
    camera = read_kitti_camera(file)
    assert numbers(camera) == (721.5377, 721.5377, 609.5593, 172.854)
    assert camera.size_wh == (1242, 375)
    with pytest.raises(DataError, match="P_rect_03"):
        read_kitti_camera(file, "03")


def test_kitti_lists_of_frames(tmp_path):
    write_kitti(tmp_path)
    a, b = "2011_09_26_drive_0001_sync", "2011_09_28_drive_0002_sync"
    lists = {
        "bts": f"2011_09_28/{b}/image_02/data/0000000006.png {b}/proj_depth/groundtruth/image_02/0000000006.png 707.0\n"
        f"2011_09_26/{a}/image_02/data/0000000069.png None 721.5377\n"
        f"2011_09_26/{a}/image_02/data/0000000005.png {a}/proj_depth/groundtruth/image_02/0000000005.png 721.5377\n",
        "monodepth2": f"2011_09_28/{b} 6 l\n2011_09_26/{a} 5 l\n",
        "paths": f"2011_09_28/{b}/image_02/data/0000000006.jpg\n\n2011_09_26/{a}/image_02/data/0000000005.jpg\n",
    }
    for name, text in lists.items():
        file = tmp_path / f"{name}.txt"
        file.write_text(text)
        ids = open_dataset(tmp_path, "kitti", frames=str(file)).ids
        assert ids == (f"{b}/image_02/0000000006", f"{a}/image_02/0000000005"), name
    # Eigen's 652 test frames lie in train and in val of the annotated depth: a list says itself which are meant.
    assert len(open_dataset(tmp_path, "kitti", "val", frames=str(file))) == 2
    file.write_text("2011_09_26 what\n")
    with pytest.raises(DataError, match="line 1: expected an image path"):
        open_dataset(tmp_path, "kitti", frames=str(file))
    file.write_text(f"2011_09_26/{a} 77 l\n2011_09_26/{a} 5 l\n")
    with pytest.raises(DataError, match=r"1 of 2 samples are not whole: .*0000000077.png"):
        open_dataset(tmp_path, "kitti", frames=str(file))


def test_kitti_without_depth_or_calibration(tmp_path):
    write_kitti(tmp_path / "raw")
    for split in ("train", "val"):
        (tmp_path / "raw" / split).rename(tmp_path / split)
    with pytest.raises(DataError, match="no annotated depth in"):
        open_dataset(tmp_path / "raw", "kitti")
    dataset = open_dataset(tmp_path / "raw", "kitti", depth=str(tmp_path))
    assert len(dataset) == 4
    (tmp_path / "raw/2011_09_26/calib_cam_to_cam.txt").unlink()
    with pytest.raises(DataError, match="no KITTI camera calibration at"):
        dataset[0]


# --- TUM


def associate_py(first, second, limit):
    """The benchmark's associate.py, as published."""
    potential = sorted((abs(a - b), a, b) for a in first for b in second if abs(a - b) < limit)
    matches, first, second = [], set(first), set(second)
    for _, a, b in potential:
        if a in first and b in second:
            first.remove(a)
            second.remove(b)
            matches.append((a, b))
    return sorted(matches)


def test_tum_association_is_the_benchmarks():
    assert associate([1.0, 2.0], [1.015, 1.99, 2.5], 0.02) == [(1.0, 1.015), (2.0, 1.99)]
    assert associate([1.0, 1.01], [1.008], 0.02) == [(1.01, 1.008)]  # each depth once, to the closest
    assert associate([1.0], [1.0 + 0.021], 0.02) == []
    random = np.random.default_rng(3)
    for _ in range(20):
        first, second = (sorted(random.uniform(0, 1, 40).round(4).tolist()) for _ in range(2))
        assert associate(first, second, 0.02) == associate_py(first, second, 0.02)


def test_tum_poses_groups_and_cameras(tmp_path):
    write_tum(tmp_path, "rgbd_dataset_freiburg1_desk")
    write_tum(tmp_path, "rgbd_dataset_freiburg1_desk2_validation")
    write_tum(tmp_path, "my_own")
    dataset = open_dataset(tmp_path, "tum")
    assert len(dataset) == 9
    assert set(dataset.groups) == {"my_own", "rgbd_dataset_freiburg1_desk"}
    sample = dataset[4]
    assert sample.id.startswith("rgbd_dataset_freiburg1_desk/")
    T = sample.pose.T_world_camera
    np.testing.assert_allclose(T[:3, :3], Rotation.from_quat([0, 0.7071, 0, 0.7071]).as_matrix(), atol=1e-9)
    np.testing.assert_allclose(T[:3, 3], [1 / 30, 0, 1.5], atol=0.006)  # 1 m/s along x, ground truth every 10 ms
    assert sample.intrinsics.fx == pytest.approx(51.73) and sample.intrinsics.distortion.coefficients[4] == 1.1633
    assert dataset[0].intrinsics is None
    given = open_dataset(tmp_path / "my_own", "tum", intrinsics="525,525,319.5,239.5")[0].intrinsics
    assert numbers(given) == pytest.approx((52.5, 52.5, 31.5, 23.5))


def test_tum_depth_too_late_and_broken_lists(tmp_path):
    write_tum(tmp_path, "late", delay_s=0.025)
    # 25 ms behind one image is 8 ms before the next: only the last depth image stays alone.
    assert len(open_dataset(tmp_path, "tum")) == 2
    with pytest.raises(DataError, match=r"no colour and depth image within 0\.001 s"):
        open_dataset(tmp_path, "tum", max_difference_s=0.001)
    truth = tmp_path / "late/groundtruth.txt"
    truth.write_text("1305031102.1753 1 2 3 0 0 0 0\n")
    with pytest.raises(DataError, match="line 1: expected time tx ty tz qx qy qz qw"):
        open_dataset(tmp_path, "tum")
    truth.unlink()
    assert open_dataset(tmp_path, "tum")[0].pose is None
    (tmp_path / "late/rgb.txt").write_text("# only a comment\nnothing\n")
    with pytest.raises(DataError, match=r"rgb.txt, line 2: expected a time and a file"):
        open_dataset(tmp_path, "tum")


# --- ScanNet, Open3D, RGB-D


def test_scannet_poses_camera_and_groups(tmp_path):
    write_scannet(tmp_path)
    dataset = open_dataset(tmp_path, "scannet")
    assert sorted(set(dataset.groups)) == ["scene0000", "scene0001"]  # rescans are one space
    np.testing.assert_allclose(dataset[0].pose.T_world_camera[:3, 3], [0, 0.5, 1.5])
    assert dataset[1].pose is None  # -inf: tracking was lost
    assert numbers(dataset[0].intrinsics) == pytest.approx((57.787, 57.8729, 31.9219, 23.9603))
    assert dataset[0].image.shape == (48, 64, 3)  # colour was 128x96
    assert len(open_dataset(tmp_path / "scene0000_00", "scannet", posed_only=True)) == 1
    (tmp_path / "scene0001_00/intrinsic/intrinsic_depth.txt").write_text("1 2 3")
    with pytest.raises(DataError, match="expected the camera matrix of the depth of 4x4 or 3x3 numbers, found 3"):
        open_dataset(tmp_path, "scannet")[5]


def test_open3d_camera_is_column_by_column(tmp_path):
    write_open3d(tmp_path)
    assert numbers(open_dataset(tmp_path, "open3d")[0].intrinsics) == (52.5, 52.5, 31.5, 23.5)
    halved = open_dataset(tmp_path, "open3d", depth_scale=2000.0)[0].depth_m
    np.testing.assert_allclose(halved * 2, open_dataset(tmp_path, "open3d")[0].depth_m, rtol=1e-6)
    with pytest.raises(DataError, match="depth_scale is stored units per metre"):
        open_dataset(tmp_path, "open3d", depth_scale=0.0)


def test_rgbd_manifest_and_folders(tmp_path):
    write_rgbd(tmp_path / "one")
    dataset = open_dataset(tmp_path / "one/manifest.json", "rgbd")
    assert dataset.groups == ("room", "room", "hall")
    assert dataset[1].pose.T_world_camera[0, 3] == 1
    assert numbers(dataset[0].intrinsics) == (52.5, 52.5, 31.5, 23.5)
    # A folder of recordings: each its own ids and groups.
    write_rgbd(tmp_path / "two")
    write_open3d(tmp_path / "three")
    several = open_dataset(tmp_path, "rgbd")
    assert len(several) == 9 and len(set(several.ids)) == 9
    assert set(several.groups) == {"one/room", "one/hall", "two/room", "two/hall", "three"}
    # A subject that manifests name is one group, in however many recordings.
    for name in ("one", "two"):
        manifest = tmp_path / name / "manifest.json"
        manifest.write_text(json.dumps([entry | {"group": "anna"} for entry in json.loads(manifest.read_text())]))
    assert set(open_dataset(tmp_path, "rgbd").groups) == {"anna", "three"}


def test_rgbd_reads_what_edgedepth_records(tmp_path):
    camera = Intrinsics(64, 48, 60.0, 61.0, 30.5, 22.25, Distortion("brown_conrady", (0.1, -0.02, 0.001, 0.002)))
    written = [scene(index, 64, 48) for index in range(4)]
    for name, part in (("monday", written[:2]), ("tuesday", written[2:])):
        with PngSink(tmp_path / name) as sink:
            for number, (image, depth_m) in enumerate(part):
                sink.write(Result(Frame(image, camera, number), DepthMap(depth_m, DepthKind.METRIC)))
    dataset = open_dataset(tmp_path, "rgbd")
    assert dataset.ids == ("monday/rgb/000000", "monday/rgb/000001", "tuesday/rgb/000000", "tuesday/rgb/000001")
    assert dataset.groups == ("monday", "monday", "tuesday", "tuesday")
    for index, (image, depth_m) in enumerate(written):
        np.testing.assert_array_equal(dataset[index].image, image)
        np.testing.assert_allclose(dataset[index].depth_m, depth_m, atol=0.00051)
        assert dataset[index].intrinsics == camera


def test_rgbd_camera_given_for_pairs_without_one(tmp_path):
    write_rgbd(tmp_path)
    manifest = tmp_path / "manifest.json"
    entries = json.loads(manifest.read_text())
    del entries[1]["K"]
    manifest.write_text(json.dumps(entries))
    assert open_dataset(tmp_path, "rgbd")[1].intrinsics is None
    dataset = open_dataset(tmp_path, "rgbd", intrinsics="60,61,32,24")
    assert numbers(dataset[1].intrinsics) == (60, 61, 32, 24)
    assert numbers(dataset[0].intrinsics) == (52.5, 52.5, 31.5, 23.5)  # what a recording says stays


def test_rgbd_trajectory_of_chosen_samples(tmp_path, realdata):
    dataset = open_dataset(realdata, "rgbd", only="redwood_*", trajectory="rgbd/redwood_trajectory.log")
    assert dataset.ids == tuple(f"redwood_0000{i}" for i in range(5))
    # The numbers of the file, and that of a surface seen twice: the second frame's points lie on the first's surface.
    np.testing.assert_allclose(dataset[1].pose.T_world_camera[:3, 3], [-0.310359, 0.596309, 2.126036], atol=1e-6)
    first, second = dataset[0], dataset[4]
    v, u = np.mgrid[40:440:40, 40:600:40]
    z = second.depth_m[v, u]
    K = second.intrinsics
    points = np.stack([(u - K.cx) / K.fx * z, (v - K.cy) / K.fy * z, z, np.ones_like(z)])[:, np.isfinite(z)]
    seen = np.linalg.inv(first.pose.T_world_camera) @ second.pose.T_world_camera @ points
    columns = np.round(K.fx * seen[0] / seen[2] + K.cx).astype(int).clip(0, 639)
    rows = np.round(K.fy * seen[1] / seen[2] + K.cy).astype(int).clip(0, 479)
    assert np.nanmedian(np.abs(first.depth_m[rows, columns] - seen[2])) < 0.01
    with pytest.raises(DataError, match=r"has 5 poses for 14 samples; choose the samples with only="):
        open_dataset(realdata, "rgbd", trajectory="rgbd/redwood_trajectory.log")
    with pytest.raises(DataError, match="no sample has an id like 'x'"):
        open_dataset(realdata, "rgbd", only="x")
    broken = tmp_path / "t.log"
    broken.write_text("0 0 1\n1 0 0 0\n0 1 0 0\n0 0 2 0\n0 0 0 1\n")
    with pytest.raises(DataError, match="line 1: expected a pose"):
        open_dataset(realdata, "rgbd", only="tum_o3d", trajectory=str(broken))
    with pytest.raises(DataError, match="no camera trajectory at"):
        open_dataset(realdata, "rgbd", only="tum_o3d", trajectory="nowhere.log")


@pytest.mark.parametrize("name", ["", "manifest.json"])
def test_rgbd_trajectory_lies_beside_the_manifest_however_that_is_named(tmp_path, name):
    write_rgbd(tmp_path)
    (tmp_path / "poses.log").write_text("".join(f"0 0 1\n1 0 0 {x}\n0 1 0 0\n0 0 1 0\n0 0 0 1\n" for x in (7, 8, 9)))
    dataset = open_dataset(tmp_path / name, "rgbd", trajectory="poses.log")
    assert [dataset[index].pose.T_world_camera[0, 3] for index in range(3)] == [7, 8, 9]


def test_rgbd_real_captures(realdata):
    dataset = open_dataset(realdata, "rgbd")
    by_id = dict(zip(dataset.ids, range(len(dataset)), strict=True))
    sample = dataset[by_id["pcl_five_people"]]
    assert numbers(sample.intrinsics) == (525, 525, 319.5, 239.5)
    assert np.nanmedian(sample.depth_m) == pytest.approx(2.57, abs=0.005)
    assert np.isfinite(sample.depth_m).mean() == pytest.approx(0.7782, abs=5e-5)
    assert {dataset.groups[by_id[f"redwood_0000{i}"]] for i in range(5)} == {"redwood"}
    with pytest.raises(DataError, match=r"256x192 and its image rgb\.jpg is 1920x1440"):
        dataset[by_id["arkit_promptda"]]


# --- SUN RGB-D


def test_sunrgbd_turns_every_value_back(tmp_path):
    stored = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    cv2.imwrite(str(tmp_path / "d.png"), stored)
    wide = stored.astype(np.uint32)
    expected_m = ((wide >> 3) | (wide << 13) & 0xFFFF) / 1000
    found = sunrgbd.read_depth_file(tmp_path / "d.png")
    shown = (expected_m > 0) & (expected_m <= 8)
    np.testing.assert_allclose(found[shown], expected_m[shown], rtol=1e-6)
    assert np.isnan(found[~shown]).all()  # 0, and beyond 8 m


def test_sunrgbd_camera_tilt_and_scene(tmp_path):
    write_sunrgbd(tmp_path, tilt_deg=10.0)
    dataset = open_dataset(tmp_path, "sunrgbd")
    sample = dataset[2]
    assert sample.group == "brown_bm_1"
    assert numbers(sample.intrinsics) == (51.8857, 51.9469, 28.4582, 20.8736)
    # A camera that looks down by 10 degrees has up = (0, -cos 10, -sin 10), as the floor in view is ahead and below.
    np.testing.assert_allclose(sample.up, (0, -np.cos(np.radians(10)), -np.sin(np.radians(10))), atol=1e-6)
    assert np.isnan(sample.depth_m[0, 0])
    assert open_dataset(tmp_path, "sunrgbd", depth="filled")[2].depth_m[0, 0] == pytest.approx(2.0)


def test_sunrgbd_split_names_the_authors_machine(tmp_path):
    written = write_sunrgbd(tmp_path)
    assert open_dataset(tmp_path, "sunrgbd", "train").ids == (written[0].id,)
    assert open_dataset(tmp_path, "sunrgbd", "test").ids == (written[1].id, written[2].id)
    (tmp_path / "allsplit.mat").unlink()
    with pytest.raises(DataError, match=r"no allsplit\.mat at"):
        open_dataset(tmp_path, "sunrgbd", "test")


# --- Child Growth Monitor


def write_zip(path, content, name="data"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)


def test_child_depth_bytes(tmp_path):
    file = tmp_path / "0"
    pixels = bytes([0x05, 0xDC, 7, 0, 0, 0, 0x01, 0x00, 3, 0xFF, 0xFF, 14, 0, 1, 7, 0, 2, 1])
    write_zip(file, b"3x2_0.001_7.0_0.1_0.2_0.3_0.9_1.0_2.0_3.0\n" + pixels)
    depth_m, confidence = read_depth_file(file)
    np.testing.assert_allclose(depth_m, [[1.5, np.nan, 0.256], [65.535, 0.001, 0.002]], rtol=1e-6)
    np.testing.assert_allclose(confidence, np.array([[7, 0, 3], [14, 7, 1]]) / 7, rtol=1e-6)


def test_child_camera_is_turned_with_its_image(tmp_path):
    write_child(tmp_path)
    camera = open_dataset(tmp_path, "child")[0].intrinsics
    # As shares of the image on its side, 48 x 36 here: fx = 0.6786797 * 48 = fy = 0.90489584 * 36 = 32.58.
    side = {"fx": 0.6786797 * 48, "fy": 0.90489584 * 36, "cx": 0.49585155 * 48, "cy": 0.5035042 * 36}
    assert camera.size_wh == (36, 48)
    for X, Y, Z in ((0.2, -0.3, 1.0), (-0.1, 0.25, 2.0)):
        u, v = side["fx"] * X / Z + side["cx"], side["fy"] * Y / Z + side["cy"]
        # Turned clockwise, what was right is down and what was down is left; pixel (u, v) goes to (35 - v, u).
        x, y = -Y, X
        assert (camera.fx * x / Z + camera.cx, camera.fy * y / Z + camera.cy) == pytest.approx((35 - v, u))


def test_child_confidence_grid_and_subjects(tmp_path):
    written = write_child(tmp_path)
    sure = open_dataset(tmp_path, "child", min_confidence=0.5)[0].depth_m
    # The two rows of low confidence lie at the top on the side: upright they are the two columns at the right.
    assert np.isnan(sure[:, -2:]).all()
    np.testing.assert_array_equal(np.isnan(sure[:, :-2]), np.isnan(written[0].depth_m[:, :-2]))
    large = open_dataset(tmp_path, "child", grid="image")[0]
    assert large.image.shape == (96, 72, 3) and large.intrinsics.fx == pytest.approx(2 * 0.90489584 * 36)
    np.testing.assert_allclose(large.depth_m[::2, ::2], written[0].depth_m, rtol=2e-7)
    np.testing.assert_array_equal(large.depth_m[1::2, 1::2], large.depth_m[::2, ::2])
    assert set(open_dataset(tmp_path, "child", subject_level=1).groups) == {"360_scan"}


def test_child_names_of_the_scanner_and_camera_above(tmp_path):
    write_child(tmp_path, scans=("one",), frames=2)
    scan = tmp_path / "360_scan/one"
    (scan / "calibration/0").rename(tmp_path / "camera_calibration.txt")
    (scan / "calibration").rmdir()
    for index in range(2):
        (scan / f"rgb/{index}").rename(scan / f"rgb/rgb_qr_1622182020448_100_{index}.jpg")
        (scan / f"depth/{index}").rename(scan / f"depth/depth_qr_1622182020448_100_{index}.depth")
    assert open_dataset(tmp_path, "child").ids == tuple(f"360_scan/one/qr_1622182020448_100_{i}" for i in range(2))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Color camera intrinsic:\n0.9 1.6 0.5 0.5\nDepth camera intrinsic:\n0.98 1.27 0.5 0.48\n", "not registered"),
        ("Color camera intrinsic:\n32 32 24 18\nDepth camera intrinsic:\n32 32 24 18\n", "are they pixels"),
        ("fx fy\n1 2\n", "expected the lines 'Color camera intrinsic:'"),
        ("Color camera intrinsic:\n0.7 0.9 0.5\nDepth camera intrinsic:\n0.7 0.9 0.5 0.5\n", "expected the lines"),
    ],
)
def test_child_camera_files_that_cannot_be_used(tmp_path, text, says):
    write_child(tmp_path, scans=("one",))
    (tmp_path / "360_scan/one/calibration/0").write_text(text)
    with pytest.raises(DataError, match=says):
        open_dataset(tmp_path, "child")[0]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.write_bytes(b"no ZIP at all"), "not a whole ZIP"),
        (lambda file: cut(file, 0.7), "not a whole ZIP"),
        (lambda file: write_zip(file, b"3x2_0.001_7\n" + bytes(18), "other"), "entry 'data'"),
        (lambda file: write_zip(file, b"48x36_0.001_7\n" + bytes(500)), "expected 5184 bytes for 48x36, found 500"),
        (lambda file: write_zip(file, b"no header\n" + bytes(500)), "expected the header"),
        (lambda file: write_zip(file, b"48x0_0.001_7\n"), "expected the header"),
        (lambda file: write_zip(file, b"48x36_0.001_0\n" + bytes(5184)), "expected the header"),
        (lambda file: write_zip(file, b"36x48_0.001_7\n" + bytes(5184)), "lie on their side"),
    ],
)
def test_child_depth_files_that_cannot_be_read(tmp_path, spoil, says):
    write_child(tmp_path, scans=("one",))
    spoil(tmp_path / "360_scan/one/depth/1")
    dataset = open_dataset(tmp_path, "child")
    with pytest.raises(DataError, match=says):
        dataset[1]
    dataset[2]
