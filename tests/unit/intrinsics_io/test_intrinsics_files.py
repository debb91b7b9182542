"""Round trips through files, choosing a camera, and files that are no calibration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedepth.errors import IntrinsicsError, OutputError
from edgedepth.intrinsics_io import FORMATS, load_intrinsics, save_intrinsics
from edgedepth.types import Distortion, DistortionModel, Intrinsics

HOLDS = {
    "edgedepth": {"none": 0, "brown_conrady": 8, "inverse_brown_conrady": 5, "fisheye": 4},
    "ros": {"none": 0, "brown_conrady": 8, "fisheye": 4},
    "open3d": {"none": 0},
    "kalibr": {"none": 0, "brown_conrady": 4, "fisheye": 4},
    "colmap": {"none": 0, "brown_conrady": 8, "fisheye": 4},
    "realsense": {"none": 0, "brown_conrady": 5, "fisheye": 4},
}
"""What each format's own documentation has a place for: the most coefficients of each model."""

finite = st.floats(-1.0, 1.0).filter(lambda value: abs(value) > 1e-9)


@st.composite
def cameras(draw: st.DrawFn) -> Intrinsics:
    model, counts = draw(
        st.sampled_from(
            [("none", (0,)), ("brown_conrady", (4, 5, 8)), ("inverse_brown_conrady", (5,)), ("fisheye", (4,))]
        )
    )
    count = draw(st.sampled_from(counts))
    lens = Distortion(DistortionModel(model), tuple(draw(finite) for _ in range(count)))
    width, height = draw(st.integers(2, 8000)), draw(st.integers(2, 8000))
    fx, fy = draw(st.floats(1.0, 1e5)), draw(st.floats(1.0, 1e5))
    return Intrinsics(width, height, fx, fy, draw(st.floats(0, width)), draw(st.floats(0, height)), lens)


def padded(camera: Intrinsics) -> Intrinsics:
    """Trailing coefficients that are zero change nothing: compare with eight."""
    lens = camera.distortion
    if lens.model is not DistortionModel.BROWN_CONRADY:
        return camera
    return dataclasses.replace(camera, distortion=Distortion(lens.model, (*lens.coefficients, *(0.0,) * 8)[:8]))


@pytest.mark.parametrize("format_name", list(HOLDS))
@given(camera=cameras())
def test_written_and_read_back_is_the_same(format_name: str, camera: Intrinsics) -> None:
    lens = camera.distortion
    if len(lens.coefficients) > HOLDS[format_name].get(lens.model.value, -1):
        with pytest.raises(IntrinsicsError, match="cannot hold"):
            FORMATS[format_name].write(camera)
        return
    found = load_intrinsics(FORMATS[format_name].write(camera))
    if format_name == "colmap":  # c + 0.5 - 0.5 may round in the last place
        assert (found.cx, found.cy) == pytest.approx((camera.cx, camera.cy), abs=1e-11)
        found = dataclasses.replace(found, cx=camera.cx, cy=camera.cy)
    assert padded(found) == padded(camera)


def test_every_format_is_in_the_table_above() -> None:
    assert set(FORMATS) == set(HOLDS)


CAMERA = Intrinsics(640, 480, 500.0, 501.0, 319.0, 240.0, Distortion("brown_conrady", (0.1, 0.2, 0.3, 0.4, 0.5)))


@pytest.mark.parametrize("name", ["c.json", "c.yaml", "c.yml", "cameras.txt", "odd.cfg"])
def test_the_name_does_not_decide_how_it_is_read(tmp_path: Path, name: str) -> None:
    for format_name in ("edgedepth", "ros", "colmap", "realsense"):
        save_intrinsics(CAMERA, tmp_path / name, format_name)
        assert padded(load_intrinsics(tmp_path / name)) == padded(CAMERA)
        assert padded(load_intrinsics(str(tmp_path / name))) == padded(CAMERA)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("name", "starts"), [("c.json", "{"), ("c.yaml", "image_width"), ("c.TXT", "# Camera list")])
def test_format_by_suffix(tmp_path: Path, name: str, starts: str) -> None:
    save_intrinsics(CAMERA, tmp_path / name)
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(starts)


def test_rescaled_to_the_stream_or_refused(tmp_path: Path) -> None:
    save_intrinsics(CAMERA, tmp_path / "c.json")
    half = load_intrinsics(tmp_path / "c.json", size_wh=(320, 240))
    assert (half.fx, half.cx, half.cy) == (250.0, (319.0 + 0.5) / 2 - 0.5, (240.0 + 0.5) / 2 - 0.5)
    with pytest.raises(IntrinsicsError, match=r"c.json: the intrinsics are for 640x480 and the image is 640x360"):
        load_intrinsics(tmp_path / "c.json", size_wh=(640, 360))


def test_camera_after_a_hash(tmp_path: Path) -> None:
    (tmp_path / "cameras.txt").write_text(
        "1 PINHOLE 64 48 50 50 32 24\n2 PINHOLE 64 48 60 60 32 24\n", encoding="utf-8"
    )
    assert load_intrinsics(f"{tmp_path}/cameras.txt#2").fx == 60
    assert load_intrinsics(tmp_path / "cameras.txt", camera="1").fx == 50
    with pytest.raises(IntrinsicsError, match=r"cameras.txt: holds no camera '3'; it holds 1, 2"):
        load_intrinsics(f"{tmp_path}/cameras.txt#3")
    # A file whose own name has a hash is read as it stands.
    (tmp_path / "a#2").write_text("1 PINHOLE 64 48 70 70 32 24\n", encoding="utf-8")
    assert load_intrinsics(f"{tmp_path}/a#2").fx == 70


def test_numbers_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "k.txt").write_text("525,525,319.5,239.5\n", encoding="utf-8")
    assert load_intrinsics(tmp_path / "k.txt", size_wh=(640, 480)).fx == 525
    with pytest.raises(IntrinsicsError, match=r"k.txt: .*needs the size"):
        load_intrinsics(tmp_path / "k.txt")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not a text file"),
        (b"\xff\xfe\xfa", "not a text file"),
    ],
)
def test_files_that_are_no_calibration(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(IntrinsicsError, match=says) as caught:
        load_intrinsics(tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(IntrinsicsError, match="no intrinsics file"):
        load_intrinsics(tmp_path / "no.yaml")
    with pytest.raises(IntrinsicsError, match="cannot read intrinsics"):
        load_intrinsics(tmp_path)


def test_save_refuses_clearly(tmp_path: Path) -> None:
    with pytest.raises(IntrinsicsError, match="no intrinsics format for 'matlab'; one of colmap"):
        save_intrinsics(CAMERA, tmp_path / "c.json", "matlab")
    with pytest.raises(IntrinsicsError, match="no intrinsics format"):
        save_intrinsics(CAMERA, tmp_path / "c.mat")
    with pytest.raises(OutputError, match="folder does not exist"):
        save_intrinsics(CAMERA, tmp_path / "no" / "c.json")
    with pytest.raises(IntrinsicsError, match="Open3D JSON cannot hold brown_conrady"):
        save_intrinsics(CAMERA, tmp_path / "c.json", "open3d")
    assert list(tmp_path.iterdir()) == []
