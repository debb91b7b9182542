"""RGB-D manifests, our own recordings and Open3D folders, through the reader of ``edgedepth.sources.rgbd``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import cv2
import numpy as np

from edgedepth.data.base import DepthFacts, Entry, Listed, Sample
from edgedepth.data.files import folders_where, read_lines
from edgedepth.errors import DataError, InputError, SourceNotFound
from edgedepth.intrinsics_io import load_intrinsics
from edgedepth.sources import SourceOptions
from edgedepth.sources.images import read_image
from edgedepth.sources.rgbd import RgbdEntry, is_rgbd_folder, read_pair, rgbd_entries
from edgedepth.types import Pose

__all__ = ["RgbdDataset", "looks_like", "looks_like_open3d", "open_open3d", "open_rgbd_dataset", "read_trajectory"]

DEPTH = DepthFacts("16-bit images, millimetres unless the recording says otherwise", 0.001, (0.15, 30.0), 65.535)
_OPEN3D_CAMERA = "camera_intrinsic.json"
_NUMBER_AT_END = re.compile(r"[._-]?\d+$")


@dataclass(frozen=True)
class PairEntry(Entry):
    """One pair of a recording."""

    pair: RgbdEntry


class RgbdDataset(Listed[PairEntry]):
    """The pairs of recordings. What is wrong with a pair is told when it is read."""

    def __init__(
        self,
        kind: str,
        name: str,
        entries: list[PairEntry],
        depth: DepthFacts,
        left_out: list[str],
        intrinsics: str | None,
    ) -> None:
        super().__init__(kind, name, entries, depth, left_out)
        self._intrinsics = intrinsics

    def load(self, entry: PairEntry) -> Sample:
        """See Listed."""
        frame = read_pair(entry.pair)
        camera = frame.intrinsics
        if camera is None and self._intrinsics is not None:
            camera = load_intrinsics(self._intrinsics, size_wh=frame.size_wh)
        ids = None if entry.pair.mask is None else read_image(entry.pair.mask, cv2.IMREAD_UNCHANGED)
        return Sample(
            frame.image, frame.depth_m, camera, entry.id, entry.group, frame.pose, up=frame.up,
            person_ids=None if ids is None else np.asarray(ids, ids.dtype),
        )  # fmt: skip


def looks_like(path: Path) -> bool:
    """A manifest, a folder with one or with rgb and depth folders, or a folder of such."""
    if path.is_file():
        return path.suffix == ".json"
    return is_rgbd_folder(path) or bool(folders_where(path, is_rgbd_folder, first=True))


def looks_like_open3d(path: Path) -> bool:
    """A folder with Open3D's camera file beside colour and depth folders, or a folder of such."""
    return path.is_dir() and bool(folders_where(path, _is_open3d, first=True))


def open_rgbd_dataset(
    path: Path,
    split: str | None = None,
    *,
    depth_scale_m: float | None = None,
    intrinsics: str | None = None,
    only: str | None = None,
    trajectory: str | None = None,
) -> RgbdDataset:
    """A manifest, a recording, or a folder of recordings.

    A pair belongs to the group its manifest says, as it says it: a subject may be in several recordings. Where it says
    none, a recording is one group; the pairs of a manifest that lie in folders of their own are grouped by the folder
    without a number at its end, so that ``room_0`` and ``room_1`` are never on two sides of a split.

    Args:
        path: the manifest or folder.
        split: None.
        depth_scale_m: metres per unit of the depth images; None = what the recording says, else 0.001.
        intrinsics: for recordings that bring none: what ``load_intrinsics`` reads, numbers in pixels of their images.
        only: a pattern of ids, such as ``redwood_*``.
        trajectory: a camera trajectory (.log of Redwood and Open3D), one pose per sample in their order; its path as
            it stands, or from the data set's folder.

    Raises:
        DataError, InputError, SourceNotFound: it cannot be opened.
    """
    options = SourceOptions(depth_scale_m=depth_scale_m)
    return _open(path, "rgbd", is_rgbd_folder, options, intrinsics, only, trajectory)


def open_open3d(
    path: Path, split: str | None = None, *, depth_scale: float = 1000.0, trajectory: str | None = None
) -> RgbdDataset:
    """A folder of Open3D's reconstruction system, or a folder of such; each one is a group.

    Args:
        path: the folder.
        split: None.
        depth_scale: stored units per metre, Open3D's meaning of the word. Its ``depth_trunc`` is left to the
            protocol: nothing is cut here.
        trajectory: as of ``open_rgbd_dataset``.
    """
    if not depth_scale > 0:
        raise DataError(f"depth_scale is stored units per metre, positive, found {depth_scale:g}; Open3D's is 1000")
    return _open(path, "open3d", _is_open3d, SourceOptions(depth_scale_m=1.0 / depth_scale), None, None, trajectory)


def _is_open3d(folder: Path) -> bool:
    return (folder / _OPEN3D_CAMERA).is_file() and is_rgbd_folder(folder)


def _open(
    path: Path,
    kind: str,
    is_one: Callable[[Path], bool],
    options: SourceOptions,
    intrinsics: str | None,
    only: str | None,
    trajectory: str | None,
) -> RgbdDataset:
    roots = [path] if path.is_file() or is_one(path) else folders_where(path, is_one)
    left_out: list[str] = []
    found: list[tuple[str, str, RgbdEntry]] = []
    for root in roots:
        try:
            pairs = rgbd_entries(root, options, left_out)
        except SourceNotFound as error:
            left_out.append(str(error))
            continue
        prefix = "" if root == path else f"{root.relative_to(path).as_posix()}/"
        for pair in pairs:
            missing = next((file for file in (pair.rgb, pair.depth) if not file.is_file()), None)
            if missing is not None:
                left_out.append(f"{root} names {missing}, which does not exist")
                continue
            folder = root if root.is_dir() else root.parent
            inside = pair.rgb.relative_to(folder) if pair.rgb.is_relative_to(folder) else pair.rgb
            name = pair.id or inside.with_suffix("").as_posix()
            if only is None or fnmatchcase(prefix + name, only):
                own = _folder_of_its_own(inside)
                group = pair.group or (prefix + own if own else prefix.rstrip("/") or folder.resolve().name)
                found.append((prefix + name, group, pair))
    if only is not None and not found:
        raise DataError(f"{path}: no sample has an id like {only!r}; leave out only=, or see edgedepth data check")
    if trajectory is not None:
        beside = (path if path.is_dir() else path.parent) / trajectory
        file = Path(trajectory) if Path(trajectory).is_file() else beside
        poses = read_trajectory(file)
        if len(poses) != len(found):
            raise DataError(f"{file} has {len(poses)} poses for {len(found)} samples; choose the samples with only=")
        found = [(*one[:2], replace(one[2], pose=pose)) for one, pose in zip(found, poses, strict=True)]
    depth = DEPTH if options.depth_scale_m is None else _facts(options.depth_scale_m)
    return RgbdDataset(kind, str(path), [PairEntry(*one) for one in found], depth, left_out, intrinsics)


def read_trajectory(file: Path) -> list[Pose]:
    """The camera poses of a .log trajectory (Redwood, Open3D): a line of three numbers, then T_world_camera by rows.

    Raises:
        DataError: no such file, or a pose that is none.
    """
    lines = read_lines(file, "camera trajectory")
    poses = []
    for start in range(0, len(lines), 5):
        number, rows = lines[start][0], [line for _, line in lines[start + 1 : start + 5]]
        try:
            poses.append(Pose(np.array([[float(word) for word in row.split()] for row in rows])))
        except (ValueError, InputError) as error:
            raise DataError(f"{file}, line {number}: expected a pose, 3 numbers and 4 rows of 4 ({error})") from None
    return poses


def _folder_of_its_own(inside: Path) -> str:
    """The folder of a pair alone (room_3/rgb.png), without a number at its end; "" in a common one (rgb/3.png)."""
    parents = inside.parent.parts
    if not parents or parents[-1].lower() in ("rgb", "color", "colour", "image", "images"):
        return ""
    return _NUMBER_AT_END.sub("", parents[-1]) or parents[-1]


def _facts(depth_scale_m: float) -> DepthFacts:
    return DepthFacts(
        f"16-bit images of {depth_scale_m:g} m", depth_scale_m, DEPTH.median_range_m, 65535 * depth_scale_m
    )
