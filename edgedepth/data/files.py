"""What readers of folders share: finding folders, pairing files, reading text lists and small matrices."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import DataError
from edgedepth.sources.images import natural_key

__all__ = ["folders_where", "pair_files", "read_lines", "read_matrix", "read_text", "require_list_of"]


def folders_where(root: Path, test: Callable[[Path], bool], *, first: bool = False) -> list[Path]:
    """The folders under ``root``, itself included, that pass ``test``, in natural order; none inside another.

    Hidden folders are not looked into: what is being written stands in one until it is whole.

    Args:
        root: where to start; links are not followed.
        test: called with each folder.
        first: stop at the first one.
    """
    found: list[Path] = []
    for name, folders, _ in os.walk(root):
        here = Path(name)
        folders[:] = sorted((one for one in folders if not one.startswith(".")), key=lambda one: natural_key(Path(one)))
        if test(here):
            found.append(here)
            folders.clear()
            if first:
                break
    return found


def pair_files(
    first: Iterable[Path], second: Iterable[Path], key: Callable[[Path], str] = lambda path: path.stem
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Files of two lists with the same key, in the order of the first, and a sentence for each without a partner."""
    firsts, seconds = list(first), {key(path): path for path in second}
    pairs = [(path, seconds.pop(key(path), None)) for path in firsts]
    lonely = [path for path, partner in pairs if partner is None] + list(seconds.values())
    return (
        [(path, partner) for path, partner in pairs if partner is not None],
        [f"{path} has no partner of the same name" for path in lonely],
    )


def read_text(path: Path, what: str) -> str:
    """A small text file. ``what`` names it in messages. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"no {what} at {path}; expected it there, copy it from the data set") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected {what} as text, found bytes that are none ({error.reason})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def read_lines(path: Path, what: str) -> list[tuple[int, str]]:
    """The lines of a text list with their numbers from 1, without blank ones and comments (#). Raises DataError."""
    lines = ((number, line.strip()) for number, line in enumerate(read_text(path, what).splitlines(), 1))
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def require_list_of(file: Path, split: str | None, lists: Mapping[str, str]) -> None:
    """Raises DataError when the name of a list, in ``lists`` by split, is that of another split than ``split``."""
    own = next((name for name, listed in lists.items() if listed == file.name), None)
    if split is not None and own not in (None, split):
        raise DataError(f"{file} is the list of {own}, and {split} was asked for; give the folder, or the other list")


def read_matrix(path: Path, shapes: tuple[tuple[int, int], ...], what: str) -> NDArray[np.float64]:
    """A matrix of numbers separated by blanks, line breaks or commas, of one of ``shapes``. Raises DataError."""
    text = read_text(path, what).replace(",", " ")
    try:
        values = [float(word) for word in text.split()]
    except ValueError as error:
        raise DataError(f"{path}: expected the numbers of {what}, found {error.args[0]}") from None
    for shape in shapes:
        if len(values) == shape[0] * shape[1]:
            return np.array(values).reshape(shape)
    sizes = " or ".join(f"{rows}x{columns}" for rows, columns in shapes)
    raise DataError(f"{path}: expected {what} of {sizes} numbers, found {len(values)}")
