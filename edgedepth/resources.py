"""Data that ships with the package: export recipes, calibration boards, camera profiles, models, clips.

They stand in the folders of FOLDERS at the top of the checkout; the wheel has them in ``edgedepth/_data``.
"""

from __future__ import annotations

from pathlib import Path

from edgedepth.errors import InputError

__all__ = [
    "DEFAULT_MODEL",
    "FOLDERS",
    "clip_folder",
    "find_resource",
    "list_resources",
    "packaged_bundle",
    "packaged_bundles",
    "resource_root",
]

FOLDERS = ("export", "calibration", "models", "clips")
DEFAULT_MODEL = "edgedepth-s"
"""The model of whoever names none. Its bundles are ``edgedepth-s-fp32``, ``-fp16`` and ``-int8``."""
_PACKAGE = Path(__file__).resolve().parent


def resource_root() -> Path:
    """The folder that holds FOLDERS: inside the installed package, else the checkout.

    Raises:
        InputError: neither is there; the installation is damaged.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        if all((root / folder).is_dir() for folder in FOLDERS):
            return root
    raise InputError(
        f"the package's data ({', '.join(FOLDERS)}) is not in {_PACKAGE / '_data'}; install again: "
        "pip install --force-reinstall edgedepth"
    )


def list_resources(folder: str, suffix: str = ".toml") -> dict[str, Path]:
    """Files of one folder ("export", "calibration/boards") by name without suffix, in order of name."""
    return {path.stem: path for path in sorted((resource_root() / folder).glob(f"*{suffix}"))}


def find_resource(folder: str, name: str, suffix: str = ".toml") -> Path:
    """One file by name, such as ``find_resource("calibration/boards", "a4-charuco")``.

    Raises:
        InputError: there is none of that name; lists those there are.
    """
    known = list_resources(folder, suffix)
    if name not in known:
        raise InputError(f"no {name!r} in {folder}; there are: {', '.join(known) or 'none'}")
    return known[name]


def packaged_bundles() -> dict[str, Path]:
    """The model bundles in the package by name, in order of name; a model without a precision is its FP32 bundle."""
    found = {path.parent.name: path.parent for path in sorted((resource_root() / "models").glob("*/spec.json"))}
    plain = {name.removesuffix("-fp32"): path for name, path in found.items() if name.endswith("-fp32")}
    return dict(sorted((found | plain).items()))


def packaged_bundle(name: str) -> Path:
    """The bundle folder of a packaged model, such as ``edgedepth-s-int8``; ``edgedepth-s`` is its FP32.

    Raises:
        InputError: there is none of that name; lists those there are.
    """
    known = packaged_bundles()
    if name not in known:
        there = ", ".join(known) or "none"
        raise InputError(f"no packaged model {name!r}, there are: {there}; give a bundle or an .onnx file as --model")
    return known[name]


def clip_folder(name: str) -> Path:
    """The folder of a packaged clip, such as ``demo``.

    Raises:
        InputError: there is none of that name; lists those there are.
    """
    known = {path.parent.name: path.parent for path in sorted((resource_root() / "clips").glob("*/clip.json"))}
    if name not in known:
        raise InputError(f"no packaged clip {name!r}; there are: {', '.join(known) or 'none'}")
    return known[name]
