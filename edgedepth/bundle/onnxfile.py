"""Looks into an ONNX file without an ONNX library: is it whole, and where are its weights?

Only the protobuf wire format is read, with the field numbers of onnx.proto3.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from edgedepth.bundle.protobuf import Malformed, fields
from edgedepth.errors import BundleError

__all__ = ["GRAPH_INITIALIZER", "MODEL_GRAPH", "MODEL_OPSET_IMPORT", "external_files", "open_onnx"]

# onnx.proto3: ModelProto, GraphProto, TensorProto, StringStringEntryProto
_MODEL_IR_VERSION, MODEL_GRAPH, MODEL_OPSET_IMPORT = 1, 7, 8
GRAPH_INITIALIZER = 5
_TENSOR_EXTERNAL_DATA = 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


def external_files(onnx_path: Path) -> tuple[str, ...]:
    """File names, relative to the ONNX file, that hold weights kept outside it (models over 2 GB, torch exports).

    Raises:
        BundleError: not there, not an ONNX file, cut off, or weights kept in a file that is missing or not beside it.
    """
    with open_onnx(onnx_path) as (data, parts):
        names = _external_names(data, *parts[MODEL_GRAPH])
    for name in names:
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise BundleError(f"{onnx_path} keeps weights in {name!r}, outside its own folder; save it again beside it")
        if not (onnx_path.parent / relative).is_file():
            raise BundleError(f"{onnx_path} keeps weights in {name!r}, which is missing; put that file beside it")
    return names


@contextmanager
def open_onnx(onnx_path: Path) -> Iterator[tuple[mmap.mmap, dict[int, tuple[int, int]]]]:
    """The mapped bytes of an ONNX file, and where in them the (last) field of each number of the ModelProto is.

    What is found malformed inside the block becomes a BundleError too.

    Raises:
        BundleError: not there, empty, unreadable, without the parts every ONNX file has, or malformed.
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
                parts = {number: (start, end) for number, start, end in fields(data, 0, len(data))}
                if not {_MODEL_IR_VERSION, MODEL_GRAPH, MODEL_OPSET_IMPORT} <= parts.keys():
                    raise Malformed("its IR version, graph or operator set is missing")  # noqa: TRY301
                yield data, parts
            except Malformed as error:
                raise BundleError(
                    f"{onnx_path} ({size} bytes) is not a whole ONNX file: {error}; it is cut off, or another format; "
                    "export or download it again"
                ) from None
    except OSError as error:
        raise BundleError(f"{onnx_path} cannot be read: {error}") from error


def _external_names(data: mmap.mmap, graph_start: int, graph_end: int) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for number, start, end in fields(data, graph_start, graph_end):
        if number != GRAPH_INITIALIZER:
            continue
        for tensor_field, entry_start, entry_end in fields(data, start, end):
            if tensor_field == _TENSOR_EXTERNAL_DATA:
                entry = {n: data[a:b] for n, a, b in fields(data, entry_start, entry_end)}
                if entry.get(_ENTRY_KEY) == b"location":
                    names[entry.get(_ENTRY_VALUE, b"").decode("utf-8", "replace")] = None
    return tuple(names)
