"""Point clouds from depth, and the PLY and PCD files that Open3D, PCL, CloudCompare and MeshLab read."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError, IntrinsicsError
from edgedepth.geometry.projection import points_from_depth
from edgedepth.output import atomic_output
from edgedepth.types import DepthMap

__all__ = ["PointCloud"]


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points in the camera frame (x right, y down, z forward).

    Attributes:
        xyz_m: float32 N x 3, metres, finite.
        rgb: uint8 N x 3, or None.
    """

    xyz_m: NDArray[np.float32]
    rgb: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if self.xyz_m.ndim != 2 or self.xyz_m.shape[1] != 3 or self.xyz_m.dtype != np.float32:
            raise InputError(f"points are float32 N x 3, found {self.xyz_m.dtype} {self.xyz_m.shape}")
        if self.rgb is not None and (self.rgb.shape != self.xyz_m.shape or self.rgb.dtype != np.uint8):
            raise InputError(f"colours are uint8 {self.xyz_m.shape}, found {self.rgb.dtype} {self.rgb.shape}")

    def __len__(self) -> int:
        return len(self.xyz_m)

    @classmethod
    def from_depth(
        cls, depth: DepthMap, image: NDArray[np.uint8] | None = None, *, max_depth_m: float = np.inf
    ) -> PointCloud:
        """The valid pixels of a metric map, row by row.

        Args:
            depth: metric, with intrinsics.
            image: uint8 RGB of the depth's size, for the colours.
            max_depth_m: farther points are left out.

        Raises:
            NotMetricError: the depth has no scale.
            IntrinsicsError: the depth has no intrinsics.
            InputError: the image is of another size.
        """
        depth_m = depth.depth_m
        if depth.intrinsics is None:
            raise IntrinsicsError("a point cloud needs the camera's intrinsics and this depth map has none")
        if image is not None and image.shape != (*depth_m.shape, 3):
            raise InputError(f"the image must be {depth_m.shape[1]}x{depth_m.shape[0]} RGB, found {image.shape}")
        points = points_from_depth(depth_m, depth.intrinsics)
        keep = np.isfinite(points).all(axis=-1) & (depth_m > 0) & (depth_m <= max_depth_m)
        return cls(points[keep], None if image is None else image[keep])

    def write_ply(self, path: str | os.PathLike[str]) -> None:
        """Binary little-endian PLY: x, y, z float and, with colours, red, green, blue uchar. Replaces the file whole.

        Raises:
            OutputError: the file cannot be written.
        """
        header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(self)}"]
        header += [f"property float {axis}" for axis in "xyz"]
        fields = [(axis, "<f4") for axis in "xyz"]
        if self.rgb is not None:
            header += [f"property uchar {name}" for name in ("red", "green", "blue")]
            fields += [(name, "u1") for name in ("red", "green", "blue")]
        rows = np.empty(len(self), np.dtype(fields))
        for i, axis in enumerate("xyz"):
            rows[axis] = self.xyz_m[:, i]
        if self.rgb is not None:
            for i, name in enumerate(("red", "green", "blue")):
                rows[name] = self.rgb[:, i]
        _write(path, "\n".join([*header, "end_header", ""]), rows.tobytes())

    def write_pcd(self, path: str | os.PathLike[str]) -> None:
        """Binary PCD 0.7: x, y, z and, with colours, PCL's packed ``rgb`` float (0x00RRGGBB). Replaces the file whole.

        Raises:
            OutputError: the file cannot be written.
        """
        names = "x y z" if self.rgb is None else "x y z rgb"
        count = len(names.split())
        columns = [self.xyz_m.astype("<f4")]
        if self.rgb is not None:
            red, green, blue = (self.rgb[:, i].astype("<u4") for i in range(3))
            columns.append((red << 16 | green << 8 | blue).view("<f4")[:, None])
        header = (
            "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\n"
            f"FIELDS {names}\n"
            f"SIZE {' '.join('4' * count)}\nTYPE {' '.join('F' * count)}\nCOUNT {' '.join('1' * count)}\n"
            f"WIDTH {len(self)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(self)}\nDATA binary\n"
        )
        _write(path, header, np.concatenate(columns, axis=1).tobytes())


def _write(path: str | os.PathLike[str], header: str, body: bytes) -> None:
    with atomic_output(path) as partial, partial.open("wb") as file:
        file.write(header.encode("ascii"))
        file.write(body)
