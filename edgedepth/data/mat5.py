"""MATLAB v5 to v7 files (.mat), as far as data sets use them for their splits: numbers, text, and cells of these.

Source: "MAT-File Format", The MathWorks, chapter 1. Read here and not by scipy.io.loadmat, which ends the whole process
with a segmentation fault on some damaged files. h5py reads v7.3, which is another format.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import DataError

__all__ = ["read_mat5"]

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {1: "ascii", 2: "ascii", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_CELL, _CHAR = 1, 4
_NUMERIC_CLASSES = range(6, 16)
_MAX_BYTES = 64_000_000  # unpacked; a list of a split is far below


def read_mat5(file: Path, name: str) -> list[Any]:
    """The values of the variable ``name`` in MATLAB's order (column by column): floats or, of cells, texts and lists.

    Raises:
        DataError: no such file or variable, another version, damaged, or a type not read here.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128], "")
    if not order or struct.unpack(f"{order}H", content[124:126])[0] != 0x0100:
        raise DataError(f"{file}: expected a MATLAB v5 file, found another format; copy it again")
    try:
        for found, values in _variables(content[128:], order):
            if found == name:
                return values
    except (struct.error, ValueError, zlib.error, UnicodeDecodeError, IndexError, RecursionError) as error:
        raise DataError(f"{file}: a damaged MATLAB v5 file ({error}); copy it again") from None
    raise DataError(f"{file}: has no {name}; expected the file of the data set's authors")


def _variables(content: bytes, order: str) -> Iterator[tuple[str, list[Any]]]:
    for kind, data in _elements(content, order):
        if kind == _COMPRESSED:
            unpack = zlib.decompressobj()
            yield from _variables(unpack.decompress(data, _MAX_BYTES), order)
        elif kind == _MATRIX:
            yield _matrix(data, order)


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each element. Small ones share their tag; all but compressed ones are padded to 8 bytes."""
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind >> 16:
            kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start = at + 8
            after = start + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if start + size > len(content):
            raise ValueError(f"an element of {size} bytes where {len(content) - start} are left")
        yield kind, content[start : start + size]
        at = after


def _matrix(data: bytes, order: str) -> tuple[str, list[Any]]:
    parts = _elements(data, order)
    flags, sizes, label = (next(parts, (0, b""))[1] for _ in range(3))
    array_class = struct.unpack_from(f"{order}I", flags)[0] & 0xFF
    count = math.prod(np.frombuffer(sizes, f"{order}i4").tolist())
    name = label.decode("ascii")
    if array_class == _CELL:
        cells = [_cell(_matrix(part, order)[1]) for kind, part in parts if kind == _MATRIX]
        if len(cells) != count:
            raise ValueError(f"{len(cells)} cells of {count}")
        return name, cells
    kind, values = next(parts, (0, b""))
    if array_class == _CHAR and kind in _TEXT:
        encoding = _TEXT[kind] + ({"<": "-le", ">": "-be"}[order] if _TEXT[kind] == "utf-16" else "")
        return name, [values.decode(encoding)]
    if array_class not in _NUMERIC_CLASSES or kind not in _NUMBERS:
        return name, []  # a structure or an object: no split is one
    numbers: NDArray[Any] = np.frombuffer(values, f"{order}{_NUMBERS[kind]}")
    if numbers.size != count:
        raise ValueError(f"{numbers.size} numbers of {count}")
    return name, [float(number) for number in numbers]


def _cell(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
