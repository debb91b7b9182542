"""NYU Depth v2, the labelled set: nyu_depth_v2_labeled.mat (MATLAB v7.3, which is HDF5) and splits.mat (v5).

MATLAB stores arrays column by column, so HDF5 sees every axis in reverse: ``images`` is N x 3 x 640 x 480 and
``depths`` N x 640 x 480. Depth is metres and already registered to the undistorted image. ``splits.mat`` counts from 1.
Source of the numbers: toolbox_nyu_depth_v2, camera_params.m (the RGB camera).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgedepth.data.base import DepthFacts, Entry, Listed, Sample
from edgedepth.data.mat5 import read_mat5
from edgedepth.errors import DataError
from edgedepth.extras import require
from edgedepth.types import Intrinsics

__all__ = ["NYU_INTRINSICS", "NyuMat", "looks_like", "open_nyu_mat", "scene_of"]

NYU_INTRINSICS = Intrinsics(
    640, 480, 5.1885790117450188e02, 5.1946961112127485e02, 3.2558244941119034e02, 2.5373616633400465e02
)
"""fx_rgb, fy_rgb, cx_rgb, cy_rgb of camera_params.m; no distortion: the images of the set are undistorted."""

_NAME = "nyu_depth_v2_labeled.mat"
_ARRAYS = {"raw": "rawDepths", "filled": "depths"}
_SPLITS = {"train": "trainNdxs", "test": "testNdxs"}
_PART_OF_SCENE = re.compile(r"(?<=\d)[a-z]$")
_MAX_M = 10.0


@dataclass(frozen=True)
class NyuEntry(Entry):
    """Position in the arrays, from 0."""

    index: int


class NyuMat(Listed[NyuEntry]):
    """The labelled frames. The file is opened once per process, so that workers may fork or unpickle this."""

    def __init__(self, path: Path, array: str, entries: list[NyuEntry], name: str) -> None:
        depth = DepthFacts(f"float32 metres ({array})", 1.0, (0.4, _MAX_M), _MAX_M)
        super().__init__("nyu-mat", name, entries, depth)
        self._path = path
        self._array = array
        self._open: tuple[int, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": None}

    def load(self, entry: NyuEntry) -> Sample:
        """See Listed."""
        if self._open is None or self._open[0] != os.getpid():
            self._open = os.getpid(), _open_h5(self._path)
        file = self._open[1]
        with _damage(self._path):
            image = np.ascontiguousarray(np.transpose(file["images"][entry.index], (2, 1, 0)))
            depth_m = np.ascontiguousarray(file[self._array][entry.index].T, dtype=np.float32)
        depth_m[~(depth_m > 0)] = np.nan
        return Sample(image, depth_m, _camera(image), entry.id, entry.group)


def looks_like(path: Path) -> bool:
    """The .mat file, or the folder that holds it."""
    return path.name == _NAME or (path.is_file() and path.suffix == ".mat") or (path / _NAME).is_file()


def open_nyu_mat(
    path: Path, split: str | None = None, *, depth: Literal["raw", "filled"] = "raw", splits: str | None = None
) -> NyuMat:
    """The 1449 labelled frames, or a half of the official split (795 training, 654 test), in the order of the file.

    A group is a scene (``kitchen_0004``); parts of one recording, which differ by a letter at the end, are one.

    Args:
        path: the .mat file or its folder.
        split: train, test or None.
        depth: ``raw`` has the sensor's holes (what errors are measured on), ``filled`` has none (colorised).
        splits: splits.mat; None = beside the .mat file.

    Raises:
        DataError: not the labelled set, or the split file is missing or of another set.
        MissingExtraError: h5py is missing.
    """
    if depth not in _ARRAYS:
        raise DataError(f"depth is {' or '.join(_ARRAYS)}, found {depth!r}")
    file = path / _NAME if path.is_dir() else path
    with _open_h5(file) as h5, _damage(file):
        missing = [name for name in ("images", _ARRAYS[depth], "scenes") if name not in h5]
        if missing:
            raise DataError(f"{file}: has no {' and no '.join(missing)}; expected the labelled set of NYU Depth v2")
        count, *image_axes = h5["images"].shape
        if image_axes[:1] != [3] or h5[_ARRAYS[depth]].shape != (count, *image_axes[1:]):
            raise DataError(
                f"{file}: expected images N x 3 x W x H and {_ARRAYS[depth]} N x W x H (MATLAB's axes in reverse), "
                f"found {h5['images'].shape} and {h5[_ARRAYS[depth]].shape}"
            )
        scenes = [_text(h5, reference) for reference in np.asarray(h5["scenes"]).ravel()]
    if len(scenes) != count:
        raise DataError(f"{file}: {count} images and {len(scenes)} scenes; copy the file again")
    chosen = range(count) if split is None else _split(Path(splits) if splits else file.parent / "splits.mat", split)
    outside = [index for index in chosen if not 0 <= index < count]
    if outside:
        raise DataError(f"the split names frame {outside[0] + 1} of {count}; is its splits.mat of another set?")
    entries = [NyuEntry(f"{i:05d}", scene_of(scenes[i]), i) for i in chosen]
    return NyuMat(file, _ARRAYS[depth], entries, f"{file}{f':{split}' if split else ''}")


def scene_of(recording: str) -> str:
    """``kitchen_0028`` of ``kitchen_0028a``: its parts show one room."""
    return _PART_OF_SCENE.sub("", recording)


@contextmanager
def _damage(file: Path) -> Iterator[None]:
    """What h5py raises of damaged bytes (their kind depends on where they are) becomes a DataError."""
    try:
        yield
    except (KeyError, ValueError, TypeError, RuntimeError, IndexError, OverflowError, OSError) as error:
        raise DataError(f"{file}: damaged, a part cannot be read ({error}); copy the file again") from None


def _open_h5(file: Path) -> Any:
    h5py = require("h5py", "train")
    try:
        return h5py.File(file, "r")
    except FileNotFoundError:
        raise DataError(f"no labelled set of NYU Depth v2 at {file}") from None
    except OSError as error:
        raise DataError(
            f"{file}: expected MATLAB v7.3 (HDF5), which it is not, or it is cut short ({error}); copy it again"
        ) from None


def _text(h5: Any, reference: Any) -> str:
    return "".join(map(chr, np.asarray(h5[reference]).ravel()))


def _split(file: Path, split: str) -> list[int]:
    """0-based frames of a half; the file counts from 1."""
    if not file.is_file():
        raise DataError(f"no splits.mat at {file}, which says which frames are {split}; put it there, or give splits=")
    numbers = read_mat5(file, _SPLITS[split])
    if not all(isinstance(number, float) and number.is_integer() for number in numbers):
        raise DataError(f"{file}: expected whole numbers of frames in {_SPLITS[split]}; copy it again")
    return [int(number) - 1 for number in numbers]


def _camera(image: NDArray[np.uint8]) -> Intrinsics:
    height, width = image.shape[:2]
    return NYU_INTRINSICS.for_size(width, height)
