"""SUN RGB-D: four sensors, one layout.

A frame is a folder with ``image/*.jpg``, ``depth/*.png`` (raw), ``depth_bfx/*.png`` (holes filled), ``intrinsics.txt``
(3 x 3) and ``extrinsics/*.txt`` (3 x 4, the tilt). Depth is 16 bits, rotated by three: ``((d >> 3) | (d << 13))``
millimetres. The toolbox (read3dPoints.m) sets depth beyond 8 m to 8 m; here it is invalid, as nothing measured it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.data.base import DepthFacts, Entry, Listed, Sample
from edgedepth.data.files import folders_where, read_matrix
from edgedepth.data.mat5 import read_mat5
from edgedepth.errors import DataError
from edgedepth.sources.images import images_in, read_image, read_rgb
from edgedepth.types import Intrinsics

__all__ = ["SunRgbd", "looks_like", "open_sunrgbd", "read_depth_file"]

_FOLDERS = {"raw": "depth", "filled": "depth_bfx"}
_SPLITS = {"train": "alltrain", "test": "alltest"}
_DEPTH = DepthFacts("16-bit PNG of millimetres, its bits rotated by three", 0.001, (0.3, 8.0), 8.0)
_MAX_M = 8.0


@dataclass(frozen=True)
class SunEntry(Entry):
    """One frame's folder and files."""

    folder: Path
    rgb: Path
    depth: Path


class SunRgbd(Listed[SunEntry]):
    """Frames by path."""

    def load(self, entry: SunEntry) -> Sample:
        """See Listed."""
        image = read_rgb(entry.rgb, upright=False)
        height, width = image.shape[:2]
        K = read_matrix(entry.folder / "intrinsics.txt", ((3, 3),), "the camera matrix")
        camera = Intrinsics(width, height, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
        return Sample(image, read_depth_file(entry.depth), camera, entry.id, entry.group, up=_up(entry.folder))


def looks_like(path: Path) -> bool:
    """A folder with frames below."""
    return path.is_dir() and bool(folders_where(path, _is_frame, first=True))


def open_sunrgbd(
    path: Path,
    split: str | None = None,
    *,
    depth: Literal["raw", "filled"] = "raw",
    splits: str | None = None,
) -> SunRgbd:
    """The frames below a folder.

    A group is a scene where the names tell it: the folder of a SUN3D sequence (``xtion/sun3ddata/<place>``), else the
    frame itself. Frames of the other collections that show one room cannot be told apart by name: for numbers to
    quote use the official split.

    Args:
        path: the root (the folder with kv1, kv2, realsense, xtion), or any folder of it.
        split: train (5285) or test (5050) of allsplit.mat; None = all.
        depth: ``raw``, or ``filled`` (depth_bfx).
        splits: allsplit.mat; None = beside the root or in SUNRGBDtoolbox/traintestSUNRGBD.

    Raises:
        DataError: nothing there, or no split file.
    """
    if depth not in _FOLDERS:
        raise DataError(f"depth is {' or '.join(_FOLDERS)}, found {depth!r}")
    entries: list[SunEntry] = []
    left_out: list[str] = []
    for folder in folders_where(path, _is_frame):
        images, depths = images_in(folder / "image"), images_in(folder / _FOLDERS[depth])
        if len(images) != 1 or len(depths) != 1:
            left_out.append(f"{folder} has {len(images)} images and {len(depths)} in {_FOLDERS[depth]}, expected one")
            continue
        name = folder.relative_to(path).as_posix()
        entries.append(SunEntry(name, _scene(name), folder, images[0], depths[0]))
    if split is not None:
        chosen = _split(path, split, splits)
        entries = [entry for entry in entries if _tail(entry.folder.resolve().as_posix()) in chosen]
    return SunRgbd("sunrgbd", f"{path}{f':{split}' if split else ''}", entries, _DEPTH, left_out)


def _is_frame(folder: Path) -> bool:
    return (
        (folder / "intrinsics.txt").is_file()
        and (folder / "image").is_dir()
        and any((folder / name).is_dir() for name in _FOLDERS.values())
    )


def read_depth_file(file: Path) -> NDArray[np.float32]:
    """Stored depth as float32 metres, H x W; NaN = none, or beyond 8 m. Raises DataError, FrameInvalid."""
    stored = read_image(file, cv2.IMREAD_UNCHANGED)
    if stored.dtype != np.uint16 or stored.ndim != 2:
        raise DataError(f"{file}: expected depth of 16 bits and one channel, found {stored.dtype} {stored.shape}")
    depth_m = ((stored >> np.uint16(3)) | (stored << np.uint16(13))).astype(np.float32) * np.float32(0.001)
    depth_m[(stored == 0) | (depth_m > _MAX_M)] = np.nan
    return depth_m


def _up(folder: Path) -> tuple[float, float, float] | None:
    """Against gravity in the camera frame. extrinsics/*.txt turns camera points (x right, y down) to a level frame,
    whose up is -y (the toolbox's readframe.m writes it as Rtilt = A R A^T with A = [1 0 0; 0 0 1; 0 -1 0])."""
    files = sorted((folder / "extrinsics").glob("*.txt"))
    if not files:
        return None
    R = read_matrix(files[-1], ((3, 4), (3, 3)), "the tilt")[:3, :3]
    up = -R[1]
    length = float(np.linalg.norm(up))
    if not abs(length - 1) < 0.01:
        raise DataError(f"{files[-1]}: expected a rotation, found a second row of length {length:.3g}")
    x, y, z = (float(value) for value in up / length)
    return x, y, z


def _scene(name: str) -> str:
    found = re.search(r"sun3ddata/([^/]+)", name)
    return found[1] if found else name


def _tail(path: str) -> str:
    """The part of a frame's path that is the same everywhere: from the sensor's folder on."""
    found = re.search(r"(?:^|/)((?:kv1|kv2|realsense|xtion)/.*?)/*$", path)
    return found[1] if found else path.rstrip("/").rpartition("/")[2]


def _split(root: Path, split: str, given: str | None) -> set[str]:
    inside = Path("SUNRGBDtoolbox", "traintestSUNRGBD", "allsplit.mat")
    tries = (
        [Path(given)]
        if given
        else [root / "allsplit.mat", root / inside, root.parent / "allsplit.mat", root.parent / inside]
    )
    file = next((one for one in tries if one.is_file()), None)
    if file is None:
        raise DataError(
            f"no allsplit.mat at {tries[0]} or {tries[-1]}, which says which frames are {split}; "
            "it is in SUNRGBDtoolbox: put it there, or give splits="
        )
    paths = read_mat5(file, _SPLITS[split])
    if not all(isinstance(path, str) for path in paths):
        raise DataError(f"{file}: expected cells of paths in {_SPLITS[split]}; copy it again")
    return {_tail(path) for path in paths}
