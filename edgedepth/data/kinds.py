"""The formats there are, and how one is opened or recognised. A new one is a module and a line in ``KINDS``."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from edgedepth.data.base import Dataset, data_errors, unit_problem
from edgedepth.errors import DataError

__all__ = ["KINDS", "Kind", "guess_kind", "open_dataset", "parse_options", "require_unit"]


@dataclass(frozen=True)
class Kind:
    """One format.

    Attributes:
        opener: ``module:function``, called as ``function(path, split, **options)``.
        title: what it is, in a line.
        layout: the files it is made of, in a line.
        splits: what ``split`` can be; empty = it has none.
        looks: function of the same module that tells, cheaply and from names alone, whether a path is of this kind.
    """

    opener: str
    title: str
    layout: str
    splits: tuple[str, ...] = ()
    looks: str = "looks_like"

    def load(self) -> Callable[..., Dataset]:
        """The function that opens it."""
        module, _, name = self.opener.partition(":")
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]

    def options(self) -> dict[str, Any]:
        """The options its opener takes, with their types."""
        types = get_type_hints(self.load())
        return {name: kind for name, kind in types.items() if name not in ("path", "split", "return")}

    def looks_like(self, path: Path) -> bool:
        """Whether a path has the files of this format."""
        module = importlib.import_module(self.opener.partition(":")[0])
        return bool(getattr(module, self.looks)(path))


# In the order in which ``guess_kind`` asks: the most particular layouts first.
KINDS: Mapping[str, Kind] = {
    "nyu-mat": Kind(
        "edgedepth.data.nyu_mat:open_nyu_mat",
        "NYU Depth v2, the labelled 1449",
        "nyu_depth_v2_labeled.mat (v7.3), splits.mat for a split",
        ("train", "test"),
    ),
    "nyu-csv": Kind(
        "edgedepth.data.nyu_csv:open_nyu_csv",
        "NYU Depth v2 as on Kaggle: 50 688 training frames of 8 bits, 654 test frames of 16 bits",
        "nyu2_train.csv, nyu2_test.csv, nyu2_train/<scene>_out/1.jpg + 1.png, nyu2_test/00000_colors.png",
        ("train", "test"),
    ),
    "diode": Kind(
        "edgedepth.data.diode:open_diode",
        "DIODE, laser depth indoors and outdoors",
        "{train,val}/{indoors,outdoor}/scene_*/scan_*/*.png + *_depth.npy + *_depth_mask.npy",
        ("train", "val"),
    ),
    "diw": Kind(
        "edgedepth.data.diw:open_diw",
        "Depth in the Wild: one ordinal pair per image",
        "DIW_{train_val,train,val,test}.csv (two lines per image) and the images they name",
        ("train_val", "train", "val", "test"),
    ),
    "kitti": Kind(
        "edgedepth.data.kitti:open_kitti",
        "KITTI raw with annotated depth",
        "<date>/<drive>/image_02/data/*.png, calib_cam_to_cam.txt, {train,val}/<drive>/proj_depth/groundtruth/image_02",
        ("train", "val"),
    ),
    "tum": Kind(
        "edgedepth.data.tum:open_tum",
        "TUM RGB-D benchmark sequences (also Bonn)",
        "rgb.txt, depth.txt, groundtruth.txt, rgb/, depth/; or a folder of such sequences",
    ),
    "scannet": Kind(
        "edgedepth.data.scannet:open_scannet",
        "ScanNet frames as its reader exports them",
        "<scene>/color/*.jpg, depth/*.png (mm), pose/*.txt, intrinsic/intrinsic_depth.txt",
    ),
    "sunrgbd": Kind(
        "edgedepth.data.sunrgbd:open_sunrgbd",
        "SUN RGB-D",
        "<sensor>/.../<frame>/{image,depth,depth_bfx}/*, intrinsics.txt, extrinsics/*.txt; allsplit.mat for a split",
        ("train", "test"),
    ),
    "open3d": Kind(
        "edgedepth.data.rgbd:open_open3d",
        "Open3D RGB-D folders (reconstruction system)",
        "color/*.jpg, depth/*.png (mm), camera_intrinsic.json; or a folder of such",
        looks="looks_like_open3d",
    ),
    "child": Kind(
        "edgedepth.data.child:open_child",
        "Child Growth Monitor scans",
        "<scan>/rgb/*, <scan>/depth/* (ZIP), <scan>/calibration/0 or camera_calibration.txt",
    ),
    "rgbd": Kind(
        "edgedepth.data.rgbd:open_rgbd_dataset",
        "RGB-D manifests, and folders as edgedepth records them",
        "manifest.json; or rgb/ + depth/ and an intrinsics file; or a folder of such",
    ),
}


def open_dataset(
    path: str | os.PathLike[str], kind: str, split: str | None = None, *, lenient: bool = False, **options: Any
) -> Dataset:
    """Open a data set: its lists are read and checked, and up to three frames for the unit of their depth.

    Args:
        path: its folder, or the file that stands for it.
        kind: a key of KINDS.
        split: a name in ``KINDS[kind].splits``; None = all samples.
        lenient: keep what is whole when partners are missing (see ``Dataset.left_out``) and leave the unit unchecked.
        options: what the opener of this kind takes, such as ``depth="raw"``.

    Raises:
        DataError: unknown kind, split or option; no such folder; the folder of another kind (says which it looks
            like); missing list, split file or, unless ``lenient``, partner files; depth of another unit.
        MissingExtraError: a library this format needs is not installed.
    """
    if kind not in KINDS:
        raise _no_kind(kind)
    where, facts = Path(path), KINDS[kind]
    if not where.exists():
        raise DataError(f"no data set at {where}; expected {facts.layout}")
    if split is not None and split not in facts.splits:
        has = f"it has {', '.join(facts.splits)}" if facts.splits else "it has none: leave it out, or split by group"
        raise DataError(f"a {kind} data set has no split {split!r}; {has}")
    _require_options(kind, options)
    with data_errors(where):
        if not facts.looks_like(where):
            seen = guess_kind(where)
            looks = f"it looks like kind {seen}" if seen else "it looks like no kind that is known"
            raise DataError(f"{where} is not a {kind} data set: expected {facts.layout}; {looks}")
        opened = facts.load()(where, split, **options)
    if not lenient:
        _require_partners(opened)
        require_unit(opened)
    return opened


def parse_options(kind: str, texts: Iterable[str]) -> dict[str, Any]:
    """Options of a kind from text, as a command line or a recipe gives them: ``depth=filled``, ``grid=image``.

    Raises:
        DataError: no such kind or option, or a value it cannot have.
    """
    if kind not in KINDS:
        raise _no_kind(kind)
    given: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise DataError(f"an option of a data set is name=value, found {text!r}")
        given[name.strip()] = value.strip()
    types = _require_options(kind, given)
    return {name: _value(name, text, types[name]) for name, text in given.items()}


def _value(name: str, text: str, annotation: Any) -> Any:
    """``text`` as what an opener's annotation says: the types in use are few, and any other is a mistake of ours."""
    options = [one for one in get_args(annotation) if one is not type(None)]
    if get_origin(annotation) is Literal:
        if text in options:
            return text
        raise DataError(f"option {name} is {' or '.join(options)}, found {text!r}")
    if options:
        return _value(name, text, options[0])
    if annotation is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise DataError(f"option {name} is true or false, found {text!r}")
    try:
        return annotation(text)
    except ValueError:
        raise DataError(f"option {name} is a number ({annotation.__name__}), found {text!r}") from None


def _no_kind(kind: str) -> DataError:
    near = difflib.get_close_matches(kind, KINDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(KINDS)}"
    return DataError(f"there is no data set kind {kind!r}; {hint}")


def _require_options(kind: str, given: Iterable[str]) -> dict[str, Any]:
    known = KINDS[kind].options()
    for name in given:
        if name not in known:
            raise DataError(f"a {kind} data set takes no option {name!r}; it takes {', '.join(known) or 'none'}")
    return known


def _require_partners(dataset: Dataset) -> None:
    if dataset.left_out:
        raise DataError(
            f"{dataset.name}: {len(dataset.left_out)} of {len(dataset.left_out) + len(dataset)} samples are not whole: "
            f"{dataset.left_out[0]}; complete it (edgedepth data check names every one), or open it with "
            "lenient=True to use the rest"
        )


def require_unit(dataset: Dataset) -> None:
    """Refuse a data set when every frame looked at has depth of another unit: one alone may be a close-up.

    Raises:
        DataError: says which unit would fit.
    """
    if dataset.depth is None:
        return
    problems = []
    for index in sorted({0, len(dataset) // 2, len(dataset) - 1}):
        try:
            depth_m = dataset[index].depth_m
        except DataError:
            continue  # told when its turn comes
        if depth_m is not None and np.isfinite(depth_m).any():
            problems.append(unit_problem(depth_m, dataset.depth))
    if problems and all(problems):
        raise DataError(f"{dataset.name}: depth seems to be in another unit: {problems[0]}")


def guess_kind(path: str | os.PathLike[str]) -> str | None:
    """The kind whose files a path has, or None. Looks at names only."""
    where = Path(path)
    with data_errors(where):
        return next((name for name, kind in KINDS.items() if kind.looks_like(where)), None)
