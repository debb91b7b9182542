"""RGB-D recordings: metres, cameras, pairing, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from media import SIZE_WH, K, number_of, write_images, write_rgbd

from edgedepth.errors import EdgeDepthError, EndOfStream, InputError, IntrinsicsError, SourceNotFound
from edgedepth.sources import SourceOptions, open_source
from edgedepth.types import DistortionModel, Intrinsics

CAMERA = Intrinsics(*SIZE_WH, **K)


def write_manifest(folder: Path, **changes: Any) -> Path:
    """One pair: shot_0 of ``write_rgbd``."""
    write_rgbd(folder, 1)
    row = {"rgb": "rgb/shot_0.png", "depth": "depth/shot_0.png", "rgb_wh": SIZE_WH, "K": K, "depth_scale_m": 0.002}
    row |= {"note": "ignored"} | changes
    path = folder / "list.json"
    path.write_text(json.dumps([{key: value for key, value in row.items() if value is not None}]))
    return path


def test_folder_gives_metres_and_the_camera(tmp_path: Path) -> None:
    with open_source(write_rgbd(tmp_path / "a", 3)) as source:
        assert source.intrinsics == CAMERA
        for number in range(3):
            frame = source.read(1.0)
            assert number_of(frame.image) == number
            assert frame.depth_m is not None
            assert frame.depth_m.dtype == np.float32
            assert np.isnan(frame.depth_m[0, 0])
            assert frame.depth_m[5, 5] == pytest.approx(1.0 + number * 0.001)
            assert frame.intrinsics == CAMERA


def test_manifest(tmp_path: Path) -> None:
    lens = {"model": "brown_conrady", "coefficients": [0.1, 0, 0, 0, 0]}
    turned = [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    path = write_manifest(tmp_path, distortion=lens, up=[0, -1, 0], T_world_camera=turned)
    with open_source(path) as source:
        frame = source.read(1.0)
    assert frame.depth_m is not None
    assert frame.intrinsics is not None
    assert frame.depth_m[5, 5] == pytest.approx(2.0)  # 1000 x 0.002
    assert frame.intrinsics.distortion.model is DistortionModel.BROWN_CONRADY
    assert frame.up == (0, -1, 0)
    assert frame.pose is not None
    np.testing.assert_array_equal(frame.pose.T_world_camera, turned)


def test_scale_and_camera_given_win(tmp_path: Path) -> None:
    mine = Intrinsics.from_fov(128, 96, hfov_deg=50)
    with open_source(write_manifest(tmp_path), SourceOptions(depth_scale_m=0.0002, intrinsics=mine)) as source:
        frame = source.read(1.0)
    assert frame.intrinsics == mine.resized(*SIZE_WH)
    assert frame.depth_m is not None
    assert frame.depth_m[5, 5] == pytest.approx(0.2)


def test_camera_of_another_resolution_is_scaled_only_with_the_aspect(tmp_path: Path) -> None:
    with open_source(write_manifest(tmp_path / "a", rgb_wh=[128, 96])) as source:
        assert source.read(1.0).intrinsics == Intrinsics(128, 96, **K).resized(*SIZE_WH)
    square = write_manifest(tmp_path / "b", rgb_wh=[100, 100])
    with open_source(square) as source, pytest.raises(IntrinsicsError, match=r"shot_0\.png.*aspect"):
        source.read(1.0)


def test_depth_of_another_size_is_refused(tmp_path: Path) -> None:
    with open_source(write_rgbd(tmp_path / "a", 1, depth_wh=(32, 24))) as source:
        with pytest.raises(InputError, match=r"the depth is 32x24 and its image shot_0\.png is 64x48; register"):
            source.read(1.0)
        with pytest.raises(EndOfStream):
            source.read(1.0)


@pytest.mark.parametrize("picture", [np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.uint16)])
def test_pictures_of_depth_are_refused(picture: np.ndarray, tmp_path: Path) -> None:
    write_rgbd(tmp_path / "a", 1)
    cv2.imwrite(str(tmp_path / "a" / "depth" / "shot_0.png"), picture)
    with open_source(tmp_path / "a") as source, pytest.raises(InputError, match="16-bit image of one channel"):
        source.read(1.0)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"K": K | {"fx": -1}}, IntrinsicsError, r"list\.json\[0\]: intrinsics fx must be positive"),
        ({"K": {"fx": 1}}, InputError, r"\[0\]\.K\.fy: Field required"),
        ({"rgb_wh": None}, IntrinsicsError, "K needs rgb_wh"),
        ({"rgb": None}, InputError, "rgb: Field required"),
        ({"depth_scale_m": 0}, InputError, r"\[0\]\.depth_scale_m: Input should be greater than 0"),
        ({"depth": "depth/none.png"}, SourceNotFound, r"none\.png, which does not exist"),
        ({"distortion": {"model": "barrel"}}, IntrinsicsError, "barrel"),
        ({"distortion": {"model": "fisheye", "coefficients": [1]}}, IntrinsicsError, "takes 4"),
        ({"T_world_camera": [[1, 0], [0, 1]]}, InputError, "4x4"),
    ],
)
def test_bad_manifests(changes: dict[str, Any], error: type[EdgeDepthError], words: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=words) as caught:
        open_source(write_manifest(tmp_path, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '[{"rgb": 1}]'])
def test_no_manifest_at_all(text: str, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(InputError, match=r"list\.json"):
        open_source(tmp_path / "list.json")


def test_names_pair_colour_and_depth(tmp_path: Path) -> None:
    folder = write_rgbd(tmp_path / "a", 2)
    (folder / "rgb").rename(folder / "color")
    for number in range(2):
        (folder / "color" / f"shot_{number}.png").rename(folder / "color" / f"frame-{number:04}.color.png")
        (folder / "depth" / f"shot_{number}.png").rename(folder / "depth" / f"frame-{number:04}.depth.png")
    with open_source(folder) as source:
        depths = [source.read(1.0).depth_m for _ in range(2)]
    assert [round(float(depth[5, 5] * 1000)) for depth in depths if depth is not None] == [1000, 1001]
    (folder / "depth" / "frame-0001.depth.png").unlink()
    with pytest.raises(InputError, match="have no partner"):
        open_source(folder)


def test_a_folder_without_depth_holds_images(tmp_path: Path) -> None:
    write_images(tmp_path / "rgb", 1)
    with pytest.raises(SourceNotFound, match="no images"):
        open_source(tmp_path)


def test_real_recordings(realdata: Path) -> None:
    listed = json.loads((realdata / "manifest.json").read_text())
    refused = []
    with open_source(realdata / "manifest.json") as source:
        assert source.frame_count == len(listed)
        for row in listed:
            try:
                frame = source.read(1.0)
            except InputError:
                refused.append(row["id"])
                continue
            assert list(frame.size_wh) == row["rgb_wh"]
            assert frame.intrinsics is not None
            assert frame.intrinsics.fx == pytest.approx(row["K"]["fx"])
            assert frame.depth_m is not None
            valid = np.isfinite(frame.depth_m)
            assert valid.mean() == pytest.approx(row["valid_frac"], abs=1e-3)
            assert np.median(frame.depth_m[valid]) == pytest.approx(row["depth_median_m"], abs=2e-3)
    assert refused == [row["id"] for row in listed if row["rgb_wh"] != row["depth_wh"]]
