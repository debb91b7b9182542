"""Data that ships with the package: export recipes, calibration boards, camera profiles.

They stand in ``export/`` and ``calibration/`` at the top of the checkout; the wheel has them in ``edgedepth/_data``.
"""

from __future__ import annotations

from pathlib import Path

from edgedepth.errors import InputError

__all__ = ["FOLDERS", "find_resource", "list_resources", "resource_root"]

FOLDERS = ("export", "calibration")
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
