"""Authored TOML and JSON files read through a pydantic schema; one line says what is wrong with them, and where."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError

from edgedepth.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

__all__ = ["SUFFIXES", "parse_document", "read_document"]

SUFFIXES = (".toml", ".json")

Schema = TypeVar("Schema", bound=BaseModel)


def read_document(path: Path, schema: type[Schema], *, what: str, error: type[InputError] = InputError) -> Schema:
    """The ``schema`` in a ``.toml`` or ``.json`` file. ``what`` names the kind of file ("model spec") in messages.

    Raises:
        InputError: (``error``, a kind of it) no such file, not TOML or JSON, or not of the schema; names the key, what
            was found, and the nearest key.
    """
    if path.suffix not in SUFFIXES:
        raise error(f"a {what} is a .toml or .json file, found {path}; rename it or give another")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as cause:
        raise error(f"no {what} at {path}; check the path, or write one") from cause
    except (OSError, UnicodeDecodeError) as cause:
        raise error(f"the {what} {path} cannot be read as UTF-8 text: {cause}") from cause
    try:
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as cause:  # both decoders' errors are ValueErrors and carry line and column
        raise error(f"{path} is not valid {path.suffix[1:].upper()}: {cause}") from cause
    return parse_document(data, schema, where=str(path), error=error)


def parse_document(data: Any, schema: type[Schema], *, where: str, error: type[InputError] = InputError) -> Schema:
    """The ``schema`` a decoded TOML or JSON document holds; ``where`` opens the error message.

    Raises:
        InputError: (``error``) as ``read_document``.
    """
    if not isinstance(data, Mapping):
        keys = ", ".join(
            _shown(name, info.annotation) for name, info in schema.model_fields.items() if info.is_required()
        )
        raise error(f"{where}: expected keys and values ({keys}), found {_show(data)}")
    try:
        return schema.model_validate(data)
    except ValidationError as cause:
        problems = cause.errors(include_url=False)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        # A key that is misspelt is missing as well: the spelling explains it.
        first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
        text = _explain(schema, first["type"], first["loc"], first["msg"], first["input"])
        raise error(f"{where}: {text}{more}") from None


def _shown(name: str, annotation: Any) -> str:
    return f"[{name}]" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else name


def _explain(schema: type[BaseModel], kind: str, loc: tuple[int | str, ...], message: str, found: Any) -> str:
    key = ".".join(str(part) for part in loc) or "the document"
    if kind == "extra_forbidden":
        return f"unknown key {key} = {_show(found)}; {_nearest(schema, loc)}"
    if kind == "missing":
        return f"key {key} is missing; add it"
    expected = message.removeprefix("Value error, ").removeprefix("Input ")
    if kind == "value_error":  # our own validators: the message says what was found
        return f"{key}: {expected}"
    return f"{key} {expected}, found {_show(found)}"


def _show(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(schema: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """A hint for an unknown key: the closest name in its own section, else the same name in another section."""
    *parent, key = map(str, loc)
    here = _keys_at(schema, parent)
    elsewhere = ((section, names, 0.85) for section, names in _sections(schema, ()).items())
    for section, names, cutoff in ((tuple(parent), here, 0.6), *elsewhere):
        close = difflib.get_close_matches(key, names, n=1, cutoff=cutoff)
        if close:
            return f"did you mean {'.'.join((*section, close[0]))}?"
    return f"valid keys here: {', '.join(here)}"


def _keys_at(schema: type[BaseModel], path: Sequence[str]) -> tuple[str, ...]:
    """The keys of the section at ``path``, in which numbers of a list and names of a mapping stand as well."""
    models: list[type[BaseModel]] = [schema]
    for part in path:
        fields = (model.model_fields[part] for model in models if part in model.model_fields)
        models = [inner for info in fields for inner in _models_in(info.annotation)] or models
    return tuple(name for model in models for name in model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The schemas in an annotation such as ``Section | None`` or ``dict[str, Section]``."""
    # Python 3.10 takes dict[str, int] for a type.
    if get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def _sections(schema: type[BaseModel], prefix: tuple[str, ...]) -> dict[tuple[str, ...], tuple[str, ...]]:
    found: dict[tuple[str, ...], tuple[str, ...]] = {prefix: tuple(schema.model_fields)}
    for name, info in schema.model_fields.items():
        for model in _models_in(info.annotation):
            found |= _sections(model, (*prefix, name))
    return found
