"""Reads a model spec from TOML, JSON or a mapping, and says in one line what is wrong with it."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from edgedepth.bundle.spec import ModelSpec
from edgedepth.errors import SpecError

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

__all__ = ["SPEC_EXAMPLE", "SPEC_SUFFIXES", "parse_spec", "read_spec"]

SPEC_SUFFIXES = (".toml", ".json")

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
    if path.suffix not in SPEC_SUFFIXES:
        raise SpecError(f"a model spec is a .toml or .json file, found {path}; rename it or give another")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpecError(f"no model spec at {path}; check the path, or write one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the model spec {path} cannot be read as UTF-8 text: {error}") from error
    try:
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:  # both decoders' errors are ValueErrors and carry line and column
        raise SpecError(f"{path} is not valid {path.suffix[1:].upper()}: {error}") from error
    return parse_spec(data, where=str(path))


def parse_spec(data: Any, *, where: str = "model spec") -> ModelSpec:
    """The model spec a decoded TOML or JSON document holds; ``where`` opens the error message.

    Raises:
        SpecError: as ``read_spec``.
    """
    if not isinstance(data, Mapping):
        raise SpecError(f"{where}: expected keys and values (name, [input], [output]), found {_show(data)}")
    try:
        return ModelSpec.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        first = problems[0]
        raise SpecError(
            f"{where}: {_explain(first['type'], first['loc'], first['msg'], first['input'])}{more}"
        ) from None


def _explain(kind: str, loc: tuple[int | str, ...], message: str, found: Any) -> str:
    key = ".".join(str(part) for part in loc) or "the spec"
    if kind == "extra_forbidden":
        return f"unknown key {key} = {_show(found)}; {_nearest(loc)}"
    if kind == "missing":
        return f"key {key} is missing; add it"
    expected = message.removeprefix("Value error, ").removeprefix("Input ")
    if kind == "value_error":  # our own validators: the message says what was found
        return f"{key}: {expected}"
    return f"{key} {expected}, found {_show(found)}"


def _show(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(loc: tuple[int | str, ...]) -> str:
    """A hint for an unknown key: the closest name in its own section, else the same name in another section."""
    sections = _sections(ModelSpec, ())
    *parent, key = map(str, loc)
    here = sections.get(tuple(parent), ())
    for section, names, cutoff in [(tuple(parent), here, 0.6), *((s, n, 0.85) for s, n in sections.items())]:
        close = difflib.get_close_matches(key, names, n=1, cutoff=cutoff)
        if close:
            return f"did you mean {'.'.join((*section, close[0]))}?"
    return f"valid keys here: {', '.join(here)}"


def _sections(model: type[BaseModel], prefix: tuple[str, ...]) -> dict[tuple[str, ...], tuple[str, ...]]:
    found: dict[tuple[str, ...], tuple[str, ...]] = {prefix: tuple(model.model_fields)}
    for name, info in model.model_fields.items():
        options = (info.annotation, *getattr(info.annotation, "__args__", ()))
        for option in options:
            if isinstance(option, type) and issubclass(option, BaseModel):
                found |= _sections(option, (*prefix, name))
    return found
