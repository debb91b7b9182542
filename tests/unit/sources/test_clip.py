"""Clips: the packaged one, and ones that are not whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgedepth.errors import EndOfStream, InputError, SourceNotFound
from edgedepth.resources import clip_folder
from edgedepth.sources import open_source
from edgedepth.sources.clip import Clip, read_clip


@pytest.fixture(scope="module")
def clip() -> Clip:
    return read_clip(clip_folder("demo"))


@pytest.fixture
def copy(clip: Clip, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clip.folder, tmp_path / "clip"))


def change(folder: Path, **values: object) -> None:
    file = folder / "clip.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_every_frame_of_the_packaged_clip_is_read_with_its_camera(clip: Clip) -> None:
    with open_source("clip://demo") as source:
        assert (source.is_live, source.gives_depth, source.fps) == (False, False, 30)
        frames = [source.read(5.0) for _ in range(180)]
        with pytest.raises(EndOfStream):
            source.read(5.0)
    assert [frame.sequence for frame in frames] == list(range(180))
    first = frames[0]
    assert first.size_wh == (640, 480)
    # hfov 69 degrees: f = 320 / tan(34.5 degrees).
    assert first.intrinsics is not None
    assert first.intrinsics.fx == pytest.approx(465.61, abs=0.01)
    # Pitch 8 degrees down: up is (0, -cos 8, -sin 8).
    assert first.up == pytest.approx((0, -0.990268, -0.139173), abs=1e-6)
    assert first.depth_m is None, "a network must not see the truth"


def test_the_folder_s_path_opens_it_too(clip: Clip) -> None:
    with open_source(clip.folder) as source:
        assert source.read(5.0).size_wh == (640, 480)


def test_the_floor_of_the_truth_is_the_stated_one(clip: Clip) -> None:
    """The camera's height and tilt, found again from nothing but depth and intrinsics."""
    K, (depth_m, ids) = clip.intrinsics, clip.truth(0)
    v, u = np.mgrid[440:480, 160:640]  # a sofa stands further left
    inside = ids[440:480, 160:] == 0
    z = depth_m[440:480, 160:][inside].astype(np.float64)
    points = np.stack(((u[inside] - K.cx) / K.fx * z, (v[inside] - K.cy) / K.fy * z, z), axis=1)
    heights = points @ np.array(clip.floor.normal) + clip.floor.offset_m
    assert clip.floor.camera_height_m == 1.35
    # A rug of nine millimetres lies in the middle.
    on_floor = np.abs(heights) < 5e-4
    on_rug = np.abs(heights - 0.0087) < 5e-4
    assert on_floor.any()
    assert (on_floor | on_rug).mean() > 0.95


def test_people_of_the_truth_are_as_tall_as_stated(clip: Clip) -> None:
    K = clip.intrinsics
    for frame in clip.truth_frames[:20]:
        depth_m, ids = clip.truth(frame)
        for person in clip.info.people:
            mask = ids == person.mask_id
            x, y, w, h = person.boxes_xywh[frame]
            assert cv2.boundingRect(mask.astype(np.uint8)) == (x, y, w, h)
            v, u = np.nonzero(mask)
            z = depth_m[mask].astype(np.float64)
            points = np.stack(((u - K.cx) / K.fx * z, (v - K.cy) / K.fy * z, z), axis=1)
            top_m = (points @ np.array(clip.floor.normal) + clip.floor.offset_m).max()
            # The highest pixel's centre lies up to a pixel, 0.2 % of the distance, under the highest point.
            assert top_m == pytest.approx(person.stature_m + person.hair_m, abs=0.0025 * z.mean() + 0.001)


def test_a_frame_without_truth_is_refused(clip: Clip) -> None:
    with pytest.raises(InputError, match=r"frame 3 .* carries no truth; every 5th does"):
        clip.truth(3)


def test_a_truth_that_is_damaged_names_its_file(copy: Path) -> None:
    (copy / "depth" / "000005.png").write_bytes(b"no picture")
    cv2.imwrite(str(copy / "mask" / "000010.png"), np.zeros((3, 4), np.uint8))
    with pytest.raises(InputError, match=r"000005\.png: expected a uint16 PNG \(480, 640\), found none"):
        read_clip(copy).truth(5)
    with pytest.raises(InputError, match=r"000010\.png: expected a uint8 PNG \(480, 640\), found uint8 \(3, 4\)"):
        read_clip(copy).truth(10)


def test_a_clip_json_that_is_none_is_refused(copy: Path) -> None:
    change(copy, frames=3)
    with pytest.raises(InputError, match="one box per frame"):
        read_clip(copy)
    change(copy, frames="many")
    with pytest.raises(InputError, match=r"clip\.json.*frames"):
        open_source(copy)


def test_a_broken_video_is_refused(copy: Path) -> None:
    (copy / "video.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="copy the clip again"):
        open_source(copy)


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        ("clip://nothing", InputError, "no packaged clip 'nothing'; there are: demo"),
        ("clip:///no/such/folder", SourceNotFound, "no clip in /no/such/folder"),
        ("clip://demo?live=2", InputError, "live"),
        ("clip://demo?speed=2", InputError, "speed"),
    ],
)
def test_uris_that_name_no_clip(uri: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        open_source(uri)
