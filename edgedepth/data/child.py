"""Child Growth Monitor scans: a phone's time-of-flight camera, several frames around one child (360-degree scans).

A scan is a folder with ``rgb/``, ``depth/`` and ``calibration/0`` (or camera_calibration.txt there or above). Files
are numbered (``rgb/3``, ``depth/3``) or named by the scanner (``rgb_*.jpg``, ``depth_*.depth``). As written by
cgm-scanner and read by cgm-depthmap-toolkit (depthmap.py):

- A depth file is a ZIP with one entry ``data``: a line
  ``<width>x<height>_<metres per unit>_<highest confidence>[_pose]``, then three bytes per pixel row by row: depth high
  byte, low byte, confidence. 0 = no depth.
- Both images lie on their side, as the phone's sensors do: they are turned clockwise by 90 degrees here, and the camera
  with them.
- The camera file has fx fy cx cy of the colour and of the depth camera as shares of the image that lies on its side: fx
  and cx times its width, fy and cy times its height. They are not pixels.
- The pose in the header is not given on: its axes are nowhere defined, and the toolkit negates its position.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.data.base import DepthFacts, Entry, Listed, Sample
from edgedepth.data.files import folders_where, pair_files, read_text
from edgedepth.errors import DataError
from edgedepth.sources.images import natural_key, read_rgb
from edgedepth.types import ASPECT_TOLERANCE, Intrinsics

__all__ = ["ChildScans", "looks_like", "open_child", "read_depth_file"]

_DEPTH = DepthFacts("16 bits of the header's unit (1 mm) in a ZIP, with confidence", 0.001, (0.3, 8.0), 65.535)
_ROLE = re.compile(r"^(?:rgb|depth)[_-]")
_MAX_BYTES = 64_000_000
# Colour and depth cameras that differ by more, as shares of the image, are not one camera: depth is not registered.
_SAME_CAMERA = 0.005


@dataclass(frozen=True)
class ChildEntry(Entry):
    """One frame of a scan."""

    rgb: Path
    depth: Path
    calibration: Path


class ChildScans(Listed[ChildEntry]):
    """Frames by scan and number, upright."""

    def __init__(
        self, name: str, entries: list[ChildEntry], left_out: list[str], min_confidence: float, grid: str
    ) -> None:
        super().__init__("child", name, entries, _DEPTH, left_out)
        self._min_confidence = min_confidence
        self._grid = grid

    def load(self, entry: ChildEntry) -> Sample:
        """See Listed."""
        depth_m, confidence = read_depth_file(entry.depth)
        if self._min_confidence > 0:
            depth_m[confidence < self._min_confidence] = np.nan
        height, width = depth_m.shape
        image = read_rgb(entry.rgb, upright=False)
        if abs((image.shape[1] / image.shape[0]) / (width / height) - 1) > ASPECT_TOLERANCE:
            raise DataError(
                f"{entry.rgb}: the image is {image.shape[1]}x{image.shape[0]} and its depth {width}x{height}, another "
                "aspect ratio: both must lie on their side, as the scanner writes them"
            )
        image, depth_m = np.rot90(image, -1), np.rot90(depth_m, -1)
        camera = _upright(_camera(entry.calibration, width, height))
        if self._grid == "depth":
            image = np.asarray(cv2.resize(image, (height, width), interpolation=cv2.INTER_AREA), np.uint8)
        else:
            size_wh = (image.shape[1], image.shape[0])
            depth_m = np.asarray(cv2.resize(depth_m, size_wh, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
            camera = camera.resized(*size_wh)
        return Sample(np.ascontiguousarray(image), np.ascontiguousarray(depth_m), camera, entry.id, entry.group)


def read_depth_file(file: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Depth (float32 metres, NaN = none) and confidence (float32, 0..1), H x W, lying on their side as stored.

    Raises:
        DataError: not such a ZIP, or cut short.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo("data").file_size > _MAX_BYTES:
                raise DataError(f"{file}: its data is over {_MAX_BYTES // 1_000_000} MB, no depth image is")
            content = archive.read("data")
    except KeyError:
        raise DataError(f"{file}: expected a ZIP with the entry 'data', it has none") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{file}: not a whole ZIP file ({error}); copy it again") from None
    header, _, pixels = content.partition(b"\n")
    fields = header.decode("ascii", errors="replace").strip().split("_")
    try:
        width, height = (int(side) for side in fields[0].split("x"))
        unit_m, highest = float(fields[1]), float(fields[2])
    except (ValueError, IndexError):
        width = 0
    if not width or min(width, height, unit_m, highest) <= 0:
        shown = header[:40].decode("ascii", errors="replace")
        raise DataError(
            f"{file}: expected the header <width>x<height>_<metres per unit>_<highest confidence>, found {shown!r}"
        )
    if len(pixels) != width * height * 3:
        raise DataError(
            f"{file}: expected {width * height * 3} bytes for {width}x{height}, found {len(pixels)}; copy it again"
        )
    planes = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
    stored = planes[:, :, 0].astype(np.uint16) << 8 | planes[:, :, 1]
    depth_m = stored.astype(np.float32) * np.float32(unit_m)
    depth_m[stored == 0] = np.nan
    return depth_m, planes[:, :, 2].astype(np.float32) / np.float32(highest)


def looks_like(path: Path) -> bool:
    """A scan, or a folder of scans."""
    return path.is_dir() and bool(
        folders_where(path, lambda one: _is_scan(one) and _calibration(one, path) is not None, first=True)
    )


def open_child(
    path: Path,
    split: str | None = None,
    *,
    min_confidence: float = 0.0,
    grid: Literal["depth", "image"] = "depth",
    subject_level: int = 0,
) -> ChildScans:
    """A scan, or a folder of scans. A group is a subject, so that no child is on two sides of a split.

    Args:
        path: the folder.
        split: None.
        min_confidence: depth below this share of the highest confidence is invalid. The scale differs between phones.
        grid: ``depth`` reduces the image to the depth's pixels; ``image`` repeats depth values on the image's.
        subject_level: how many folders above a scan stands the subject; 0 = every scan is of another child.

    Raises:
        DataError: no camera file, or an option that means nothing.
    """
    if grid not in ("depth", "image") or not 0 <= min_confidence <= 1 or subject_level < 0:
        raise DataError(
            f"grid is depth or image, min_confidence 0 to 1, subject_level 0 or more; found {grid!r}, "
            f"{min_confidence}, {subject_level}"
        )
    entries: list[ChildEntry] = []
    left_out: list[str] = []
    for scan in folders_where(path, _is_scan):
        calibration = _calibration(scan, path)
        if calibration is None:
            left_out.append(f"{scan} has no calibration/0 and no camera_calibration.txt, there or above")
            continue
        pairs, lonely = pair_files(_files(scan / "rgb"), _files(scan / "depth"), _frame)
        left_out += lonely
        name = "" if scan == path else f"{scan.relative_to(path).as_posix()}/"
        subject = scan.resolve()
        for _ in range(subject_level):
            subject = subject.parent
        entries += [ChildEntry(f"{name}{_frame(rgb)}", subject.name, rgb, depth, calibration) for rgb, depth in pairs]
    return ChildScans(str(path), entries, left_out, min_confidence, grid)


def _is_scan(folder: Path) -> bool:
    return (folder / "rgb").is_dir() and (folder / "depth").is_dir()


def _calibration(scan: Path, root: Path) -> Path | None:
    inside = scan / "calibration"
    if inside.is_dir():
        found = _files(inside)
        if found:
            return found[0]
    folder = scan
    while True:
        file = folder / "camera_calibration.txt"
        if file.is_file():
            return file
        if folder in (root, folder.parent):
            return None
        folder = folder.parent


def _files(folder: Path) -> list[Path]:
    return sorted((one for one in folder.iterdir() if one.is_file() and one.name[0] != "."), key=natural_key)


def _frame(path: Path) -> str:
    return _ROLE.sub("", path.stem)


def _camera(file: Path, width: int, height: int) -> Intrinsics:
    """The camera of the depth as it lies on its side. Refuses depth that is not registered to the colour image."""
    lines = [line.strip() for line in read_text(file, "camera calibration").splitlines()]
    try:
        colour, depth = (
            [float(word) for word in lines[lines.index(title) + 1].split()]
            for title in ("Color camera intrinsic:", "Depth camera intrinsic:")
        )
        fx, fy, cx, cy = depth
        apart = max(abs(one - other) for one, other in zip(colour, depth, strict=True))
    except (ValueError, IndexError):
        raise DataError(
            f"{file}: expected the lines 'Color camera intrinsic:' and 'Depth camera intrinsic:', each followed by "
            "fx fy cx cy as shares of the image"
        ) from None
    if not (0 < cx < 1 and 0 < cy < 1 and 0 < fx < 10 and 0 < fy < 10):
        raise DataError(f"{file}: expected fx fy cx cy as shares of the image, found {depth}; are they pixels?")
    if apart > _SAME_CAMERA:
        raise DataError(
            f"{file}: the colour camera {colour} and the depth camera {depth} differ, so depth is not registered to "
            "the image: register it first"
        )
    return Intrinsics(width, height, fx * width, fy * height, cx * width, cy * height)


def _upright(camera: Intrinsics) -> Intrinsics:
    """The camera after its image was turned clockwise by 90 degrees: (u, v) goes to (height - 1 - v, u)."""
    return Intrinsics(camera.height, camera.width, camera.fy, camera.fx, camera.height - 1 - camera.cy, camera.cx)
