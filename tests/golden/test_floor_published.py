"""The floor of real captures against numbers that others published."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgedepth.errors import MeasurementRefused
from edgedepth.geometry.floor import fit_floor
from edgedepth.types import DepthKind, DepthMap, Intrinsics


def entry(realdata: Path, name: str) -> dict[str, Any]:
    return next(e for e in json.loads((realdata / "manifest.json").read_text()) if e["id"] == name)


def load(realdata: Path, name: str) -> DepthMap:
    e = entry(realdata, name)
    depth = cv2.imread(str(realdata / e["depth"]), cv2.IMREAD_UNCHANGED).astype(np.float32)
    depth *= np.float32(e["depth_scale_m"])
    depth[depth == 0] = np.nan
    return DepthMap(depth, DepthKind.METRIC, Intrinsics(*e["rgb_wh"], **e["K"]))


def test_five_people_against_pcl_s_ground_plane(realdata: Path) -> None:
    plane = -np.array(entry(realdata, "pcl_five_people")["ground_plane_abcd"])  # published pointing down
    normal, offset = plane[:3] / np.linalg.norm(plane[:3]), plane[3] / np.linalg.norm(plane[:3])
    floor = fit_floor(load(realdata, "pcl_five_people"))
    assert math.degrees(math.acos(normal @ floor.normal)) < 1.5
    assert floor.camera_height_m == pytest.approx(offset, abs=0.03)


def test_robot_camera_against_its_mount(realdata: Path) -> None:
    floor = fit_floor(load(realdata, "rtabmap_17"))
    assert floor.camera_height_m == pytest.approx(0.415, abs=0.02)
    # The floor's depth at the image's rows says that this camera looks up: Z(row 420) is 1.46 m, and would be 1.03 m
    # from 0.415 m looking down by as much.
    assert floor.pitch_deg == pytest.approx(-3.437, abs=0.5)


def test_one_floor_in_the_world_from_five_poses(realdata: Path) -> None:
    """Frames of a moving camera whose poses are published: the floor must stay where it is."""
    numbers = np.array((realdata / "rgbd" / "redwood_trajectory.log").read_text().split(), float).reshape(-1, 19)
    normals, offsets = [], []
    for index in range(5):
        T = numbers[index, 3:].reshape(4, 4)
        floor = fit_floor(load(realdata, f"redwood_0000{index}"))
        normals.append(T[:3, :3] @ floor.normal)
        offsets.append(floor.offset_m - normals[-1] @ T[:3, 3])
    assert np.ptp(offsets) < 0.002
    angles_deg = [math.degrees(math.acos(min(1.0, n @ normals[0]))) for n in normals]
    assert max(angles_deg) < 0.1


def test_desk_does_not_hide_the_floor(realdata: Path) -> None:
    """A large desk in front; the sequence was hand-held at standing height, and a desk is 0.7 m high."""
    assert fit_floor(load(realdata, "tum_o3d")).camera_height_m == pytest.approx(1.75, abs=0.1)


@pytest.mark.parametrize("name", ["d435_cleargrasp_000000080", "d435_cleargrasp_000000123"])
def test_table_top_is_refused(realdata: Path, name: str) -> None:
    with pytest.raises(MeasurementRefused) as refused:
        fit_floor(load(realdata, name))
    assert refused.value.reason in {"floor_too_small", "floor_not_level"}


@pytest.mark.parametrize("name", ["lingbot_0", "lingbot_3", "lingbot_5"])
def test_floors_of_an_active_stereo_camera(realdata: Path, name: str) -> None:
    floor = fit_floor(load(realdata, name))
    assert 0.7 < floor.camera_height_m < 1.7
    assert floor.inlier_fraction > 0.3
