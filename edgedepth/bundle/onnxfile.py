"""Looks into an ONNX file without an ONNX library: is it whole, and where are its weights?

Only the protobuf wire format is read (developers.google.com/protocol-buffers/docs/encoding) with the field numbers of
onnx.proto3. It costs a few milliseconds for any size, because large fields are stepped over, not parsed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgedepth.errors import BundleError

__all__ = ["external_files"]

# onnx.proto3: ModelProto, GraphProto, TensorProto, StringStringEntryProto
_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_OPSET_IMPORT = 1, 7, 8
_GRAPH_INITIALIZER = 5
_TENSOR_EXTERNAL_DATA = 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5
_FIXED_SIZE = {_I64: 8, _I32: 4}


class _Malformed(Exception):
    """The bytes are not a whole protobuf message."""


def external_files(onnx_path: Path) -> tuple[str, ...]:
    """File names, relative to the ONNX file, that hold weights kept outside it (models over 2 GB, torch exports).

    Raises:
        BundleError: not there, not an ONNX file, cut off, or weights kept in a file that is missing or not beside it.
    """
    if not onnx_path.is_file():
        raise BundleError(f"no such file: {onnx_path}; expected an ONNX model")
    try:
        size = onnx_path.stat().st_size
        if size == 0:
            raise BundleError(f"{onnx_path} is empty (0 bytes); export or download the model again")
        with onnx_path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:23] == b"version https://git-lfs":
                raise BundleError(f"{onnx_path} is a Git LFS pointer, not the model; run: git lfs pull")
            try:
                names = _external_names(data)
            except _Malformed as error:
                raise BundleError(
                    f"{onnx_path} ({size} bytes) is not a whole ONNX file: {error}; it is cut off, or another format; "
                    "export or download it again"
                ) from None
    except OSError as error:
        raise BundleError(f"{onnx_path} cannot be read: {error}") from error
    for name in names:
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise BundleError(f"{onnx_path} keeps weights in {name!r}, outside its own folder; save it again beside it")
        if not (onnx_path.parent / relative).is_file():
            raise BundleError(f"{onnx_path} keeps weights in {name!r}, which is missing; put that file beside it")
    return names


def _external_names(data: mmap.mmap) -> tuple[str, ...]:
    top = {number: (start, end) for number, start, end in _fields(data, 0, len(data))}
    if _MODEL_IR_VERSION not in top or _MODEL_GRAPH not in top or _MODEL_OPSET_IMPORT not in top:
        raise _Malformed("its IR version, graph or operator set is missing")
    names: dict[str, None] = {}
    for number, start, end in _fields(data, *top[_MODEL_GRAPH]):
        if number != _GRAPH_INITIALIZER:
            continue
        for tensor_field, entry_start, entry_end in _fields(data, start, end):
            if tensor_field == _TENSOR_EXTERNAL_DATA:
                entry = {n: data[a:b] for n, a, b in _fields(data, entry_start, entry_end)}
                if entry.get(_ENTRY_KEY) == b"location":
                    names[entry.get(_ENTRY_VALUE, b"").decode("utf-8", "replace")] = None
    return tuple(names)


def _fields(data: mmap.mmap, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Field number and payload range of each field of the message in data[position:end]."""
    while position < end:
        tag, position = _varint(data, position, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            start = position
            _, position = _varint(data, position, end)
        elif wire == _LEN:
            length, start = _varint(data, position, end)
            position = start + length
        elif wire in _FIXED_SIZE:
            start, position = position, position + _FIXED_SIZE[wire]
        else:
            raise _Malformed(f"wire type {wire} at byte {position} does not exist")
        if number == 0:
            raise _Malformed(f"field number 0 at byte {position} does not exist")
        if position > end:
            raise _Malformed(f"a field ends at byte {position}, the data at {end}")
        yield number, start, position


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise _Malformed(f"it ends inside a number at byte {position}")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _Malformed(f"a number at byte {position} is too long")
