"""DIODE: laser scans, 1024 x 768, indoors and outdoors.

``<name>.png``, ``<name>_depth.npy`` (768 x 1024 x 1 float32, metres) and ``<name>_depth_mask.npy`` (1 = valid) in
``{train,val}/{indoors,outdoor}/scene_XXXXX/scan_XXXXX``. The pattern ``*_depth*.npy`` finds masks as well: files are
found here from the image's name. Intrinsics: the devkit's diode_meta (one camera for all).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgedepth.data.base import DepthFacts, Entry, Listed, Sample
from edgedepth.data.files import folders_where
from edgedepth.errors import DataError
from edgedepth.sources.images import images_in, read_rgb
from edgedepth.types import Intrinsics

__all__ = ["DIODE_INTRINSICS", "Diode", "looks_like", "open_diode"]

DIODE_INTRINSICS = Intrinsics(1024, 768, 886.81, 927.06, 512.0, 384.0)
_DEPTH = DepthFacts("float32 .npy of metres with a mask", 1.0, (0.3, 200.0), 350.0)
_SPLITS, _WHERE = ("train", "val"), ("indoors", "outdoor")


@dataclass(frozen=True)
class DiodeEntry(Entry):
    """The image; its depth and mask are named after it."""

    image: Path


class Diode(Listed[DiodeEntry]):
    """Scans in the natural order of their paths."""

    def load(self, entry: DiodeEntry) -> Sample:
        """See Listed."""
        image = read_rgb(entry.image, upright=False)
        depth_m = _plane(_depth_file(entry.image), np.float32)
        mask = _plane(_mask_file(entry.image), None)
        if mask.shape != depth_m.shape:
            raise DataError(f"{_mask_file(entry.image)}: the mask is {mask.shape} and the depth {depth_m.shape}")
        depth_m[(mask != 1) | ~(depth_m > 0)] = np.nan
        height, width = image.shape[:2]
        return Sample(image, depth_m, DIODE_INTRINSICS.for_size(width, height), entry.id, entry.group)


def looks_like(path: Path) -> bool:
    """A folder with ``scene_*/scan_*``, at most two folders down."""
    if path.name.startswith(("scene_", "scan_")):
        return next(path.rglob("*_depth_mask.npy"), None) is not None
    return any(next(path.glob(f"{above}scene_*/scan_*"), None) is not None for above in ("", "*/", "*/*/"))


def open_diode(path: Path, split: str | None = None, *, where: Literal["indoors", "outdoor"] | None = None) -> Diode:
    """The scans below a folder. A group is a scene: its scans show the same rooms.

    Args:
        path: the root, or any folder of it down to a scan.
        split: train, val; None = both.
        where: indoors, outdoor; None = both.

    Raises:
        DataError: no scan of the split or part, or none at all.
    """
    if where is not None and where not in _WHERE:
        raise DataError(f"where is {' or '.join(_WHERE)}, found {where!r}")
    root = path.resolve()
    chosen = "/".join(name for name in (split, where) if name)
    scans = []
    for scan in folders_where(root, lambda folder: folder.name.startswith("scan_")):
        parts = ("", "", *scan.parts)[-4:-2]  # {train,val}, {indoors,outdoor}
        if split in (None, parts[0]) and where in (None, parts[1]):
            # An id starts with the split, wherever below it the data set was opened.
            scans.append((scan, scan.parents[3] if parts[0] in _SPLITS and parts[1] in _WHERE else root))
    if chosen and not scans:
        raise DataError(f"no scan of {chosen} in {path}; expected {{train,val}}/{{indoors,outdoor}}/scene_*/scan_*")
    entries: list[DiodeEntry] = []
    left_out: list[str] = []
    for scan, home in scans:
        stems = set()
        for image in images_in(scan):
            stems.add(image.stem)
            missing = [file.name for file in (_depth_file(image), _mask_file(image)) if not file.is_file()]
            if missing:
                left_out.append(f"{image} has no {' and no '.join(missing)}")
                continue
            name = image.relative_to(home).with_suffix("").as_posix()
            entries.append(DiodeEntry(name, scan.parent.name, image))
        depths = sorted(scan.glob("*_depth.npy"))
        left_out += [f"{depth} has no image" for depth in depths if depth.name.removesuffix("_depth.npy") not in stems]
    return Diode("diode", f"{path}{f':{chosen}' if chosen else ''}", entries, _DEPTH, left_out)


def _depth_file(image: Path) -> Path:
    return image.with_name(f"{image.stem}_depth.npy")


def _mask_file(image: Path) -> Path:
    return image.with_name(f"{image.stem}_depth_mask.npy")


def _plane(file: Path, dtype: Any) -> NDArray[Any]:
    """An H x W (x 1) array of a .npy file, its own copy."""
    try:
        array = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged header is parsed as Python: SyntaxError, TokenError, MemoryError, ...
        raise DataError(f"{file}: not a whole .npy file ({error}); copy it again") from None
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 or (dtype is not None and array.dtype.kind != "f"):
        expected = "H x W x 1 floating point" if dtype is not None else "H x W"
        raise DataError(f"{file}: expected {expected}, found {array.dtype} {array.shape}")
    return np.array(array, dtype=dtype or array.dtype)
