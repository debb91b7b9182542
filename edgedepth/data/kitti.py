"""KITTI: raw drives with the annotated depth of the depth benchmark.

Images: ``<date>/<drive>/image_0{2,3}/data/<frame>.png`` (or .jpg), beside ``<date>/calib_cam_to_cam.txt``. Depth:
``{train,val}/<drive>/proj_depth/groundtruth/image_0{2,3}/<frame>.png``, 16 bits of 1/256 m, 0 = no laser point. The
raw images are rectified: their camera is ``P_rect_0X``, its size ``S_rect_0X``. Crops (Garg, Eigen) and the
1216 x 352 benchmark crop are the protocol's, nothing is cut here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgedepth.data.base import DepthFacts, Entry, Listed, Sample
from edgedepth.data.files import read_lines
from edgedepth.errors import DataError
from edgedepth.sources.images import images_in, read_rgb
from edgedepth.sources.rgbd import read_depth_m
from edgedepth.types import Intrinsics

__all__ = ["Kitti", "looks_like", "open_kitti", "read_kitti_camera"]

_METRES_PER_UNIT = 1.0 / 256.0
_DEPTH = DepthFacts("16-bit PNG of 1/256 m", _METRES_PER_UNIT, (2.0, 70.0), 120.0)
_DRIVE = re.compile(r"^(\d{4}_\d{2}_\d{2})_drive_\d{4}_sync$")
_SIDES = {"l": "02", "r": "03", "2": "02", "3": "03"}


@dataclass(frozen=True)
class KittiEntry(Entry):
    """One frame of a drive; ``calibration`` belongs to its date."""

    rgb: Path
    depth: Path
    calibration: Path
    camera: str


class Kitti(Listed[KittiEntry]):
    """Frames with annotated depth."""

    def load(self, entry: KittiEntry) -> Sample:
        """See Listed."""
        intrinsics = read_kitti_camera(entry.calibration, entry.camera)
        image = read_rgb(entry.rgb, upright=False)
        depth_m = read_depth_m(entry.depth, _METRES_PER_UNIT)
        return Sample(image, depth_m, intrinsics, entry.id, entry.group)


def read_kitti_camera(calibration: Path, camera: str = "02") -> Intrinsics:
    """The rectified camera of calib_cam_to_cam.txt: fx, fy, cx, cy of P_rect and the size of S_rect.

    Raises:
        DataError: no such file, or it lacks the lines.
    """
    values: dict[str, list[float]] = {}
    for number, line in read_lines(calibration, "KITTI camera calibration"):
        key, _, rest = line.partition(":")
        if key in (f"P_rect_{camera}", f"S_rect_{camera}"):
            try:
                values[key[0]] = [float(word) for word in rest.split()]
            except ValueError:
                raise DataError(f"{calibration}, line {number}: expected numbers, found {rest.strip()!r}") from None
    P, S = values.get("P", []), values.get("S", [])
    if len(P) != 12 or len(S) != 2:
        raise DataError(f"{calibration}: expected P_rect_{camera} (12 numbers) and S_rect_{camera} (2), not found")
    return Intrinsics(int(S[0]), int(S[1]), P[0], P[5], P[2], P[6])


def looks_like(path: Path) -> bool:
    """A folder with drives of raw data or of annotated depth, at most three folders down."""
    if not path.is_dir():
        return False
    return any(
        _DRIVE.match(found.name) for above in ("", "*/", "*/*/") for found in path.glob(f"{above}*_drive_*_sync")
    )


def open_kitti(path: Path, split: str | None = None, *, depth: str | None = None, frames: str | None = None) -> Kitti:
    """Frames that have annotated depth, by drive and number; or those of a list, in its order.

    A group is a drive. Lists of frames are those in use: ``<image> <depth> <focal length>`` (an image whose depth is
    None has no improved truth: 697 - 45 = 652 of the Eigen test frames remain), ``<date>/<drive> <number> <l|r>``, or
    image paths alone.

    Args:
        path: the folder with the dates (raw data).
        split: train, val (of the annotated depth); None = both. Of no effect with ``frames``: Eigen's test frames are
            in both of them.
        depth: the folder with train and val; None = the same folder, or data_depth_annotated in it.
        frames: a list of frames, such as eigen_test_files.txt.

    Raises:
        DataError: no depth or calibration, or a list with a line of another form.
    """
    homes = [Path(depth)] if depth else [path / "data_depth_annotated", path, path.parent / "data_depth_annotated"]
    depth_root = next((home for home in homes if _has_depth(home)), None)
    if depth_root is None:
        raise DataError(
            f"no annotated depth in {' or '.join(map(str, homes[:2]))}; expected "
            "{train,val}/<drive>/proj_depth/groundtruth/image_02/*.png: give its folder as depth="
        )
    parts = [split] if split and frames is None else ["train", "val", ""]
    left_out: list[str] = []
    wanted = _all(depth_root, parts) if frames is None else _listed(Path(frames))
    entries: list[KittiEntry] = []
    for drive, camera, frame in wanted:
        entry, why = _entry(path, depth_root, parts, drive, camera, frame)
        if entry is None:
            left_out.append(why)
        else:
            entries.append(entry)
    name = f"{path} ({Path(frames).name})" if frames else f"{path}{f':{split}' if split else ''}"
    return Kitti("kitti", name, entries, _DEPTH, left_out)


def _has_depth(root: Path) -> bool:
    return root.is_dir() and any(
        next(root.glob(f"{above}*_sync/proj_depth/groundtruth"), None) is not None for above in ("", "train/", "val/")
    )


def _all(depth_root: Path, parts: list[str]) -> list[tuple[str, str, str]]:
    found = []
    for part in parts:
        for folder in sorted((depth_root / part).glob("*_sync/proj_depth/groundtruth/image_0[23]")):
            drive, camera = folder.parts[-4], folder.name.removeprefix("image_")
            found += [(drive, camera, depth.stem) for depth in images_in(folder)]
    return found


def _listed(file: Path) -> list[tuple[str, str, str]]:
    found = []
    for number, line in read_lines(file, "list of frames"):
        words = line.split()
        if len(words) >= 2 and words[1] == "None":
            continue  # no improved truth: such frames are no part of the 652
        parts = PurePosixPath(words[0]).parts
        image = next((i for i, part in enumerate(parts) if part in ("image_02", "image_03")), None)
        if image:
            found.append((parts[image - 1], parts[image].removeprefix("image_"), PurePosixPath(words[0]).stem))
        elif len(words) == 3 and words[1].isdecimal() and words[2] in _SIDES:
            found.append((parts[-1], _SIDES[words[2]], f"{int(words[1]):010d}"))
        else:
            raise DataError(
                f"{file}, line {number}: expected an image path, or <date>/<drive> <number> <l|r>, found {line!r}"
            )
    return found


def _entry(
    root: Path, depth_root: Path, parts: list[str], drive: str, camera: str, frame: str
) -> tuple[KittiEntry | None, str]:
    match = _DRIVE.match(drive)
    if match is None:
        return None, f"{drive} is not named as a drive is (2011_09_26_drive_0001_sync)"
    date = match[1]
    home = next((one for one in (root / date, root) if (one / drive).is_dir()), None)
    if home is None:
        return None, f"no raw images of {drive} in {root / date}"
    images = home / drive / f"image_{camera}" / "data"
    rgb = next(
        (images / f"{frame}{suffix}" for suffix in (".png", ".jpg") if (images / f"{frame}{suffix}").is_file()), None
    )
    if rgb is None:
        return None, f"{images / frame}.png (or .jpg) does not exist, its depth does"
    inside = Path(drive, "proj_depth", "groundtruth", f"image_{camera}", f"{frame}.png")
    depth = next((depth_root / part / inside for part in parts if (depth_root / part / inside).is_file()), None)
    if depth is None:
        return None, f"{rgb} has no depth {inside} in {depth_root}"
    calibration = next(
        (
            one / "calib_cam_to_cam.txt"
            for one in (home, home / drive, root / date)
            if (one / "calib_cam_to_cam.txt").is_file()
        ),
        home / "calib_cam_to_cam.txt",
    )
    return KittiEntry(f"{drive}/image_{camera}/{frame}", drive, rgb, depth, calibration, camera), ""
