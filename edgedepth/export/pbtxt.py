"""Protobuf's text format, written: what ``config.pbtxt`` of Triton is in.

The grammar is protobuf.dev/reference/protobuf/textformat-spec. The protobuf library formats messages of a schema, and
Triton's comes with its client and gRPC, which is much to install for forty lines of text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["Name", "pbtxt"]


class Name(str):
    """An enum's name, which stands without quotes."""


def pbtxt(message: Mapping[str, Any]) -> str:
    """``message`` in text format.

    Values are bool, int, str, Name, a mapping (a message), a list of scalars, or a list of mappings (a repeated
    message). A map field is a list of ``{"key": ..., "value": ...}``, which is what it is on the wire.
    """
    return "".join(f"{line}\n" for line in _lines(message, ""))


def _lines(message: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in message.items():
        for item in _messages(value):
            yield f"{indent}{key} {{"
            yield from _lines(item, indent + "  ")
            yield f"{indent}}}"
        if not _messages(value):
            yield f"{indent}{key}: {_scalars(value)}"


def _messages(value: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        return (value,)
    return value if isinstance(value, list) and value and isinstance(value[0], Mapping) else ()


def _scalars(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_scalars(item) for item in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not isinstance(value, Name):
        return f'"{"".join(map(_escaped, value.encode()))}"'
    return str(value)


def _escaped(byte: int) -> str:
    """One byte of UTF-8; octal where it is not printable ASCII, which every version of the format reads."""
    character = chr(byte)
    if character in '"\\':
        return "\\" + character
    return character if 32 <= byte < 127 else f"\\{byte:03o}"
