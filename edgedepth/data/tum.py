"""TUM RGB-D benchmark sequences, and Bonn's, which are written the same way.

``rgb.txt`` and ``depth.txt`` list ``time file``, ``groundtruth.txt`` ``time tx ty tz qx qy qz qw`` of the colour camera
in the world. Colour and depth are taken at different times: they are associated here as the benchmark's associate.py
does, closest pairs first, each image once, within 0.02 s. Depth is 16-bit PNG, 5000 per metre, 0 = none, registered to
the colour image. Its scale needs no correction: the published files have it already.

Cameras: the benchmark's page "Intrinsic Camera Calibration of the Kinect" (per freiburg, ROS calibration) and Bonn's.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedepth.data.base import DepthFacts, Entry, Listed, Sample
from edgedepth.data.files import folders_where, read_lines
from edgedepth.errors import DataError, InputError
from edgedepth.intrinsics_io import load_intrinsics
from edgedepth.sources.images import read_rgb
from edgedepth.sources.rgbd import read_depth_m
from edgedepth.types import Distortion, DistortionModel, Intrinsics, Pose

__all__ = ["TUM_INTRINSICS", "TumSequences", "associate", "looks_like", "open_tum"]

MAX_DIFFERENCE_S = 0.02
"""What the benchmark's associate.py allows."""


def _camera(fx: float, fy: float, cx: float, cy: float, *lens: float) -> Intrinsics:
    distortion = Distortion(DistortionModel.BROWN_CONRADY, lens) if lens else Distortion()
    return Intrinsics(640, 480, fx, fy, cx, cy, distortion)


TUM_INTRINSICS = {
    "freiburg1": _camera(517.3, 516.5, 318.6, 255.3, 0.2624, -0.9531, -0.0054, 0.0026, 1.1633),
    "freiburg2": _camera(520.9, 521.0, 325.1, 249.7, 0.2312, -0.7849, -0.0033, -0.0001, 0.9172),
    "freiburg3": _camera(535.4, 539.2, 320.1, 247.6),  # undistorted in the published files
    "rgbd_bonn": _camera(542.822841, 542.576870, 315.593520, 237.756098, 0.039903, -0.099343, -0.000730, -0.000144, 0),
}
"""By what the name of a sequence contains."""

_METRES_PER_UNIT = 1.0 / 5000.0
_DEPTH = DepthFacts("16-bit PNG of 1/5000 m", _METRES_PER_UNIT, (0.4, 12.0), 65535 / 5000)
_ROOM = re.compile(r"(?:_validation|_secret|\d+)+$")


@dataclass(frozen=True)
class TumEntry(Entry):
    """One associated pair."""

    rgb: Path
    depth: Path
    intrinsics: Intrinsics | None
    pose: Pose | None


class TumSequences(Listed[TumEntry]):
    """The pairs of sequences, by time."""

    def load(self, entry: TumEntry) -> Sample:
        """See Listed."""
        image = read_rgb(entry.rgb, upright=False)
        depth_m = read_depth_m(entry.depth, _METRES_PER_UNIT)
        height, width = image.shape[:2]
        camera = None if entry.intrinsics is None else entry.intrinsics.for_size(width, height)
        return Sample(image, depth_m, camera, entry.id, entry.group, entry.pose)


def looks_like(path: Path) -> bool:
    """A sequence, or a folder of sequences."""
    return path.is_dir() and (_is_sequence(path) or any(_is_sequence(one) for one in path.iterdir() if one.is_dir()))


def open_tum(
    path: Path,
    split: str | None = None,
    *,
    intrinsics: str | None = None,
    max_difference_s: float = MAX_DIFFERENCE_S,
) -> TumSequences:
    """A sequence, or a folder of sequences.

    A group is a scene: the sequence without a number or ``_validation`` at its end, as ``desk`` and ``desk2`` show one
    desk. A pair whose time has no ground truth within ``max_difference_s`` has no pose; the ground truth closest in
    time is taken, never interpolated.

    Args:
        path: the folder.
        split: None.
        intrinsics: what ``load_intrinsics`` reads; None = published ones, by freiburg1..3 or rgbd_bonn in the name of
            the sequence; a sequence named otherwise has none.
        max_difference_s: between colour and depth.

    Raises:
        DataError: a list that cannot be read, or no pair within the time.
    """
    sequences = folders_where(path, _is_sequence)
    entries: list[TumEntry] = []
    left_out: list[str] = []
    for folder in sequences:
        name = folder.resolve().name
        camera = load_intrinsics(intrinsics, size_wh=(640, 480)) if intrinsics else _published(name)
        images, depths = (_read_times(folder / f"{what}.txt") for what in ("rgb", "depth"))
        poses = _read_poses(folder / "groundtruth.txt")
        matches = associate(list(images), list(depths), max_difference_s)
        if not matches:
            left_out.append(f"{folder}: no colour and depth image within {max_difference_s:g} s of each other")
        pose_times = sorted(poses)
        for rgb_s, depth_s in matches:
            rgb, depth = folder / images[rgb_s], folder / depths[depth_s]
            missing = next((file for file in (rgb, depth) if not file.is_file()), None)
            if missing is not None:
                left_out.append(f"{folder} lists {missing.relative_to(folder)}, which does not exist")
                continue
            near = _closest(pose_times, rgb_s, max_difference_s)
            pose = None if near is None else poses[near]
            entries.append(TumEntry(f"{name}/{rgb.stem}", _ROOM.sub("", name), rgb, depth, camera, pose))
    return TumSequences("tum", str(path), entries, _DEPTH, left_out)


def associate(first_s: list[float], second_s: list[float], max_difference_s: float) -> list[tuple[float, float]]:
    """Pairs of times, each used once, the closest first taken; ordered by the first time. As associate.py."""
    seconds = sorted(second_s)
    candidates = []
    for time_s in first_s:
        start = bisect_left(seconds, time_s - max_difference_s)
        for other_s in seconds[start:]:
            if other_s >= time_s + max_difference_s:
                break
            if abs(time_s - other_s) < max_difference_s:
                candidates.append((abs(time_s - other_s), time_s, other_s))
    matches: dict[float, float] = {}
    taken: set[float] = set()
    for _, time_s, other_s in sorted(candidates):
        if time_s not in matches and other_s not in taken:
            matches[time_s] = other_s
            taken.add(other_s)
    return sorted(matches.items())


def _is_sequence(folder: Path) -> bool:
    return (folder / "rgb.txt").is_file() and (folder / "depth.txt").is_file()


def _published(name: str) -> Intrinsics | None:
    return next((camera for key, camera in TUM_INTRINSICS.items() if key in name), None)


def _closest(times_s: list[float], time_s: float, max_difference_s: float) -> float | None:
    at = bisect_left(times_s, time_s)
    near = min(times_s[max(at - 1, 0) : at + 1], key=lambda one: abs(one - time_s), default=None)
    return near if near is not None and abs(near - time_s) < max_difference_s else None


def _read_times(file: Path) -> dict[float, str]:
    found = {}
    for number, line in read_lines(file, "list of times and files"):
        words = line.split()
        try:
            time_s, name = float(words[0]), words[1]
        except (ValueError, IndexError):
            raise DataError(f"{file}, line {number}: expected a time and a file, found {line!r}") from None
        found[time_s] = name
    return found


def _read_poses(file: Path) -> dict[float, Pose]:
    if not file.is_file():
        return {}  # the test sequences keep theirs secret
    poses = {}
    for number, line in read_lines(file, "ground truth"):
        try:
            time_s, *values = (float(word) for word in line.split())
            tx, ty, tz, qx, qy, qz, qw = values
            poses[time_s] = Pose(_matrix((tx, ty, tz), (qx, qy, qz, qw)))
        except (ValueError, InputError) as error:
            raise DataError(
                f"{file}, line {number}: expected time tx ty tz qx qy qz qw, found {line!r} ({error})"
            ) from None
    return poses


def _matrix(t: tuple[float, float, float], q_xyzw: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """T from a position and a quaternion, normalised here as files give four digits."""
    q = np.array(q_xyzw)
    norm = np.linalg.norm(q)
    if not abs(norm - 1) < 0.01:
        raise ValueError(f"a quaternion of length {norm:.3g}")
    x, y, z, w = q / norm
    T = np.eye(4)
    T[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    T[:3, 3] = t
    return T
