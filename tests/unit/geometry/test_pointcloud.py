"""Point clouds, and their files read back by parsers written here from the formats' own descriptions."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from edgedepth.errors import InputError, IntrinsicsError, NotMetricError, OutputError
from edgedepth.geometry.pointcloud import PointCloud
from edgedepth.types import DepthKind, DepthMap, Intrinsics

K = Intrinsics(3, 2, 2.0, 2.0, 1.0, 0.5)


def cloud(colours: bool = True) -> PointCloud:
    depth = np.array([[1.0, np.nan, 2.0], [4.0, 0.0, 9.0]], np.float32)
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) if colours else None
    return PointCloud.from_depth(DepthMap(depth, DepthKind.METRIC, K), image, max_depth_m=5.0)


EXPECTED = [(-0.5, -0.25, 1.0), (1.0, -0.5, 2.0), (-2.0, 1.0, 4.0)]
COLOURS = [(0, 1, 2), (6, 7, 8), (9, 10, 11)]


def test_valid_pixels_row_by_row() -> None:
    np.testing.assert_allclose(cloud().xyz_m, EXPECTED)
    np.testing.assert_array_equal(cloud().rgb, COLOURS)
    assert len(cloud(colours=False)) == 3


def test_ply(tmp_path: Path) -> None:
    path = tmp_path / "points.ply"
    cloud().write_ply(path)
    header, body = path.read_bytes().split(b"end_header\n", 1)
    assert header.decode().splitlines() == [
        "ply", "format binary_little_endian 1.0", "element vertex 3", "property float x", "property float y",
        "property float z", "property uchar red", "property uchar green", "property uchar blue",
    ]  # fmt: skip
    rows = list(struct.iter_unpack("<fffBBB", body))
    assert [row[:3] for row in rows] == EXPECTED
    assert [row[3:] for row in rows] == COLOURS


def test_ply_without_colours(tmp_path: Path) -> None:
    path = tmp_path / "points.ply"
    cloud(colours=False).write_ply(path)
    assert list(struct.iter_unpack("<fff", path.read_bytes().split(b"end_header\n", 1)[1])) == EXPECTED


def test_pcd(tmp_path: Path) -> None:
    path = tmp_path / "points.pcd"
    cloud().write_pcd(path)
    header, body = path.read_bytes().split(b"DATA binary\n", 1)
    fields = dict(line.split(" ", 1) for line in header.decode().splitlines() if not line.startswith("#"))
    assert fields["FIELDS"] == "x y z rgb"
    assert (fields["SIZE"], fields["TYPE"], fields["COUNT"]) == ("4 4 4 4", "F F F F", "1 1 1 1")
    assert (fields["WIDTH"], fields["HEIGHT"], fields["POINTS"]) == ("3", "1", "3")
    rows = list(struct.iter_unpack("<fffI", body))
    assert [row[:3] for row in rows] == EXPECTED
    # PCL: rgb = r << 16 | g << 8 | b, the bits of a float.
    assert [(c >> 16 & 255, c >> 8 & 255, c & 255) for *_, c in rows] == COLOURS


def test_pcd_without_colours_and_empty(tmp_path: Path) -> None:
    path = tmp_path / "points.pcd"
    PointCloud(np.empty((0, 3), np.float32)).write_pcd(path)
    assert b"FIELDS x y z\n" in path.read_bytes()
    assert path.read_bytes().endswith(b"POINTS 0\nDATA binary\n")


def test_nothing_half_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"missing/points\.ply"):
        cloud().write_ply(tmp_path / "missing" / "points.ply")
    cloud().write_ply(tmp_path / "points.ply")
    assert [p.name for p in tmp_path.iterdir()] == ["points.ply"]


def test_bad_input() -> None:
    depth = np.ones((2, 3), np.float32)
    with pytest.raises(NotMetricError):
        PointCloud.from_depth(DepthMap(depth, DepthKind.RELATIVE_DEPTH, K))
    with pytest.raises(IntrinsicsError):
        PointCloud.from_depth(DepthMap(depth, DepthKind.METRIC))
    with pytest.raises(InputError, match="3x2 RGB"):
        PointCloud.from_depth(DepthMap(depth, DepthKind.METRIC, K), np.zeros((3, 2, 3), np.uint8))
    with pytest.raises(InputError, match="colours"):
        PointCloud(np.zeros((2, 3), np.float32), np.zeros((1, 3), np.uint8))
