"""Reads a model spec from TOML, JSON or a mapping, and says in one line what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgedepth.bundle.spec import ModelSpec
from edgedepth.documents import SUFFIXES, parse_document, read_document
from edgedepth.errors import SpecError

__all__ = ["SPEC_EXAMPLE", "SPEC_SUFFIXES", "parse_spec", "read_spec"]

SPEC_SUFFIXES = SUFFIXES

SPEC_EXAMPLE = """\
name = "my-net"
[input]
height = 224
width = 224
[output]
kind = "metric"  # or relative_depth, disparity"""
"""The shortest spec that is valid; what the error for a missing spec shows."""


def read_spec(path: Path) -> ModelSpec:
    """The model spec in a ``.toml`` or ``.json`` file.

    Raises:
        SpecError: no such file, not TOML or JSON, or not a spec; names the key, what was found, and the nearest key.
    """
    return read_document(path, ModelSpec, what="model spec", error=SpecError)


def parse_spec(data: Any, *, where: str = "model spec") -> ModelSpec:
    """The model spec a decoded TOML or JSON document holds; ``where`` opens the error message.

    Raises:
        SpecError: as ``read_spec``.
    """
    return parse_document(data, ModelSpec, where=where, error=SpecError)
