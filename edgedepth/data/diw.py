"""Depth in the Wild: photographs with one ordinal pair each (Chen et al., 2016).

A list has two lines per image: its path, then ``y_A,x_A,y_B,x_B,relation,width,height``. Coordinates count from 1 in
an image of width x height; ``>`` says that A is FARTHER than B, ``<`` that it is nearer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from edgedepth.data.base import Entry, Listed, OrdinalPairs, Sample
from edgedepth.data.files import read_text, require_list_of
from edgedepth.errors import DataError
from edgedepth.sources.images import read_rgb
from edgedepth.types import ASPECT_TOLERANCE

__all__ = ["Diw", "looks_like", "open_diw"]

_LISTS = {name: f"DIW_{name}.csv" for name in ("train_val", "train", "val", "test")}
_RELATIONS = {">": 1, "<": -1, "=": 0}


@dataclass(frozen=True)
class DiwEntry(Entry):
    """An image and its pair: (x, y) with the first pixel at (0, 0), in an image of ``size_wh``."""

    image: str
    first_xy: tuple[float, float]
    second_xy: tuple[float, float]
    relation: int
    size_wh: tuple[int, int]


class Diw(Listed[DiwEntry]):
    """The images of a list, in its order."""

    def __init__(self, root: Path, name: str, entries: list[DiwEntry]) -> None:
        super().__init__("diw", name, entries, None)
        self._root = root

    def load(self, entry: DiwEntry) -> Sample:
        """See Listed."""
        image = read_rgb(self._find(entry.image), upright=False)
        height, width = image.shape[:2]
        w, h = entry.size_wh
        if abs((width / height) / (w / h) - 1) > max(ASPECT_TOLERANCE, 1 / min(w, h, width, height)):
            raise DataError(f"{entry.image}: the image is {width}x{height} and its points are of one of {w}x{h}")
        scale = np.array([width / w, height / h])
        points = [(np.array([xy]) + 0.5) * scale - 0.5 for xy in (entry.first_xy, entry.second_xy)]
        pairs = OrdinalPairs(points[0], points[1], np.array([entry.relation], np.int8))
        return Sample(image, None, None, entry.id, entry.group, pairs=pairs)

    def _find(self, name: str) -> Path:
        """Lists name images from where they were unpacked: as they say, else in the folder of that name here."""
        path = PurePosixPath(name)
        tries = [self._root / path, *(self._root.joinpath(*path.parts[start:]) for start in (-2, -1))]
        found = next((one for one in tries if one.is_file()), None)
        if found is None:
            raise DataError(f"{name}: no such image under {self._root}; unpack DIW_train_val and DIW_test there")
        return found


def looks_like(path: Path) -> bool:
    """A list, or a folder with one."""
    if path.is_file():
        return path.name in _LISTS.values()
    return any((path / name).is_file() for name in _LISTS.values())


def open_diw(path: Path, split: str | None = None, *, images: str | None = None) -> Diw:
    """One list; every image is a group of its own.

    Args:
        path: the folder with the lists, or a list.
        split: train_val, train, val or test; None = the only list there is.
        images: the folder that the paths in the list start from; None = the folder of the list.

    Raises:
        DataError: no list, one of another split, several and none chosen, or a line that is not as above.
    """
    if path.is_file():
        require_list_of(path, split, _LISTS)
        file = path
    else:
        there = [name for name in _LISTS if (path / _LISTS[name]).is_file()]
        if split is None and len(there) > 1:
            raise DataError(f"{path} has the lists {', '.join(there)}; choose a split")
        file = path / _LISTS[split or there[0]]
    root = Path(images) if images else file.parent
    return Diw(root, str(file), _entries(file))


def _entries(file: Path) -> list[DiwEntry]:
    lines = read_text(file, "list of ordinal pairs").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) % 2:
        raise DataError(f"{file}: expected two lines per image, found {len(lines)} lines: a path or a pair is missing")
    entries = []
    for number in range(0, len(lines), 2):
        name = lines[number].strip()
        entries.append(_entry(name, lines[number + 1], f"{file}, line {number + 2}"))
    return entries


def _entry(name: str, line: str, where: str) -> DiwEntry:
    fields = [field.strip() for field in line.split(",")]
    try:
        y_a, x_a, y_b, x_b, w, h = (float(field) for field in fields[:4] + fields[5:])
        relation = _RELATIONS[fields[4]]
    except (ValueError, KeyError, IndexError):
        raise DataError(f"{where}: expected y_A,x_A,y_B,x_B,relation,width,height, found {line!r}") from None
    if not all(1 <= x <= w and 1 <= y <= h for x, y in ((x_a, y_a), (x_b, y_b))):
        raise DataError(f"{where}: a point of {line!r} lies outside of 1..{w:g} x 1..{h:g}; the order is y, x and w, h")
    name = name.removeprefix("./")
    identity = PurePosixPath(name).with_suffix("").as_posix()
    return DiwEntry(identity, identity, name, (x_a - 1, y_a - 1), (x_b - 1, y_b - 1), relation, (int(w), int(h)))
