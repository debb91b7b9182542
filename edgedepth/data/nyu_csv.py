"""NYU Depth v2 as it lies on Kaggle: two lists without a header, training depth of 8 bits, test depth of 16 bits.

A training depth is an 8-bit image in which 255 is 10 m, so its steps are 3.9 cm; a test depth is 16 bits of
millimetres. Which it is, is told by the file and not by the list. A list read with a header loses its first row.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgedepth.data.base import DepthFacts, Entry, Listed, Sample
from edgedepth.data.files import read_text, require_list_of
from edgedepth.data.nyu_mat import NYU_INTRINSICS, scene_of
from edgedepth.errors import DataError
from edgedepth.sources.images import read_image, read_rgb

__all__ = ["NyuCsv", "looks_like", "open_nyu_csv"]

_LISTS = {"train": "nyu2_train.csv", "test": "nyu2_test.csv"}
_METRES_PER_UNIT = {"uint8": 10.0 / 255.0, "uint16": 0.001}
_DEPTH = DepthFacts("8-bit images of 10/255 m or 16-bit images of 1 mm", 0.001, (0.4, 10.0), 10.0)


@dataclass(frozen=True)
class CsvEntry(Entry):
    """One row of a list."""

    rgb: Path
    depth: Path


class NyuCsv(Listed[CsvEntry]):
    """Rows of the lists, in their order."""

    def load(self, entry: CsvEntry) -> Sample:
        """See Listed."""
        image = read_rgb(entry.rgb, upright=False)
        stored = read_image(entry.depth, cv2.IMREAD_UNCHANGED)
        unit_m = _METRES_PER_UNIT.get(str(stored.dtype))
        if unit_m is None or stored.ndim != 2:
            raise DataError(
                f"{entry.depth}: expected depth of 8 or 16 bits and one channel, found {stored.dtype} "
                f"{'x'.join(map(str, stored.shape))}; is it a coloured picture?"
            )
        depth_m = stored.astype(np.float32) * np.float32(unit_m)
        depth_m[stored == 0] = np.nan
        height, width = image.shape[:2]
        return Sample(image, depth_m, NYU_INTRINSICS.for_size(width, height), entry.id, entry.group)


def looks_like(path: Path) -> bool:
    """The folder with the lists, or the ``data`` folder in it, or a list itself."""
    if path.is_file():
        return path.name in _LISTS.values()
    return any((folder / name).is_file() for folder in (path, path / "data") for name in _LISTS.values())


def open_nyu_csv(path: Path, split: str | None = None) -> NyuCsv:
    """One list, or both.

    A group is a scene, named as in the labelled set: ``kitchen_0028`` of ``kitchen_0028a_out``, whose letter is a part
    of one recording. Each test frame has no known scene and is its own.

    Args:
        path: the folder with the lists, or one list.
        split: train, test; None = what is there.

    Raises:
        DataError: a list is missing, is that of another split, or has a row that is not two paths.
    """
    if path.is_file():
        require_list_of(path, split, _LISTS)
        lists = [path]
    else:
        home = path if any((path / name).is_file() for name in _LISTS.values()) else path / "data"
        names = [_LISTS[split]] if split else [name for name in _LISTS.values() if (home / name).is_file()]
        lists = [home / name for name in names]
    entries: list[CsvEntry] = []
    left_out: list[str] = []
    for file in lists:
        for row, (rgb, depth) in enumerate(_rows(file), 1):
            pair = [_find(file.parent, name) for name in (rgb, depth)]
            missing = next((one for one in pair if not one.is_file()), None)
            if missing is not None:
                left_out.append(f"{file}, row {row} names {missing}, which does not exist")
                continue
            parent = Path(rgb).parent.name
            recording = parent.removesuffix("_out")
            scene = scene_of(recording) if recording != parent else f"{parent}/{Path(rgb).stem}"
            entries.append(CsvEntry(f"{parent}/{Path(rgb).stem}", scene, *pair))
    return NyuCsv("nyu-csv", f"{path}{f':{split}' if split else ''}", entries, _DEPTH, left_out)


def _rows(file: Path) -> list[tuple[str, str]]:
    rows = []
    for number, row in enumerate(csv.reader(read_text(file, "list of image pairs").splitlines()), 1):
        if not row:
            continue
        if len(row) != 2 or not all(Path(name).suffix for name in row):
            raise DataError(f"{file}, row {number}: expected image,depth (two paths and no header), found {row}")
        rows.append((row[0].strip(), row[1].strip()))
    return rows


def _find(home: Path, name: str) -> Path:
    """Paths in the lists begin with ``data/``, the folder of the lists, which may have another name here."""
    tries = (home.parent / name, home / name, home / name.removeprefix("data/"))
    return next((one for one in tries if one.is_file()), tries[-1])
