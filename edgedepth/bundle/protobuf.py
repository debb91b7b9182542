"""Steps over the fields of a protobuf message (developers.google.com/protocol-buffers/docs/encoding).

It costs a few milliseconds for any size, because large fields are stepped over, not parsed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

__all__ = ["Malformed", "fields", "varint"]

_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5
_FIXED_SIZE = {_I64: 8, _I32: 4}


class Malformed(Exception):
    """The bytes are not a whole protobuf message."""


def fields(data: mmap.mmap, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Field number and payload range of each field of the message in data[position:end]."""
    while position < end:
        tag, position = varint(data, position, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            start = position
            _, position = varint(data, position, end)
        elif wire == _LEN:
            length, start = varint(data, position, end)
            position = start + length
        elif wire in _FIXED_SIZE:
            start, position = position, position + _FIXED_SIZE[wire]
        else:
            raise Malformed(f"wire type {wire} at byte {position} does not exist")
        if number == 0:
            raise Malformed(f"field number 0 at byte {position} does not exist")
        if position > end:
            raise Malformed(f"a field ends at byte {position}, the data at {end}")
        yield number, start, position


def varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """The number at ``position``, and where the next field starts."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise Malformed(f"it ends inside a number at byte {position}")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise Malformed(f"a number at byte {position} is too long")
