"""ScanNet frames as its SensReader exports them.

``<scene>/color/<n>.jpg`` (1296 x 968), ``depth/<n>.png`` (640 x 480, 16-bit millimetres, 0 = none),
``pose/<n>.txt`` (4 x 4 camera to world, metres; ``-inf`` where tracking was lost) and ``intrinsic/intrinsic_depth.txt``
(4 x 4). The image is reduced to the grid of the depth, which is ScanNet's own practice; depth is never resampled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgedepth.data.base import DepthFacts, Entry, Listed, Sample
from edgedepth.data.files import folders_where, pair_files, read_matrix
from edgedepth.errors import DataError, InputError
from edgedepth.sources.images import images_in, read_rgb
from edgedepth.sources.rgbd import MILLIMETRES, read_depth_m
from edgedepth.types import Intrinsics, Pose

__all__ = ["ScanNet", "looks_like", "open_scannet"]

_DEPTH = DepthFacts("16-bit PNG of millimetres", MILLIMETRES, (0.3, 10.0), 65.535)
_RESCAN = re.compile(r"_\d{2}$")
# The field of view of colour (1296 x 968) and depth (640 x 480) differ by this much in aspect; more is another camera.
_ASPECT = 0.02


@dataclass(frozen=True)
class ScanNetEntry(Entry):
    """One frame of a scan."""

    rgb: Path
    depth: Path
    pose: Path
    intrinsics: Path


class ScanNet(Listed[ScanNetEntry]):
    """Frames by scan and number."""

    def load(self, entry: ScanNetEntry) -> Sample:
        """See Listed."""
        depth_m = read_depth_m(entry.depth, MILLIMETRES)
        height, width = depth_m.shape
        image = read_rgb(entry.rgb, upright=False)
        if abs((image.shape[1] / image.shape[0]) / (width / height) - 1) > _ASPECT:
            raise DataError(
                f"{entry.rgb}: the image is {image.shape[1]}x{image.shape[0]} and its depth {width}x{height}, which "
                "is another aspect ratio: do they belong together?"
            )
        if image.shape[:2] != (height, width):
            image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        camera = _intrinsics(entry.intrinsics, width, height)
        return Sample(image, depth_m, camera, entry.id, entry.group, _pose(entry.pose))


def looks_like(path: Path) -> bool:
    """A scan, or a folder of scans."""
    return path.is_dir() and (_is_scan(path) or any(_is_scan(one) for one in path.iterdir() if one.is_dir()))


def open_scannet(path: Path, split: str | None = None, *, posed_only: bool = False) -> ScanNet:
    """A scan or a folder of scans. A group is a space: ``scene0000_00`` and ``scene0000_01`` are of one.

    Args:
        path: the folder.
        split: None.
        posed_only: leave out frames of which tracking was lost; else they have no pose.

    Raises:
        DataError: no camera file.
    """
    entries: list[ScanNetEntry] = []
    left_out: list[str] = []
    for scan in folders_where(path, _is_scan):
        name = scan.resolve().name
        camera = scan / "intrinsic" / "intrinsic_depth.txt"
        pairs, lonely = pair_files(images_in(scan / "color"), images_in(scan / "depth"))
        left_out += lonely
        for rgb, depth in pairs:
            pose = scan / "pose" / f"{rgb.stem}.txt"
            if posed_only and _pose(pose) is None:
                continue
            entries.append(ScanNetEntry(f"{name}/{rgb.stem}", _RESCAN.sub("", name), rgb, depth, pose, camera))
    return ScanNet("scannet", str(path), entries, _DEPTH, left_out)


def _is_scan(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in ("color", "depth", "intrinsic"))


def _intrinsics(file: Path, width: int, height: int) -> Intrinsics:
    K = read_matrix(file, ((4, 4), (3, 3)), "the camera matrix of the depth")
    return Intrinsics(width, height, K[0, 0], K[1, 1], K[0, 2], K[1, 2])


def _pose(file: Path) -> Pose | None:
    if not file.is_file():
        return None
    T = read_matrix(file, ((4, 4),), "a camera pose")
    if not np.isfinite(T).all():
        return None
    try:
        return Pose(T)
    except InputError as error:
        raise DataError(f"{file}: {error}") from None
