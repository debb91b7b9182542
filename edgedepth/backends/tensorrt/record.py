"""What is kept beside an engine: what it depends on, its checksum, and whether the numeric gate has passed it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgedepth.backends.tensorrt.key import difference, key_of
from edgedepth.backends.tensorrt.private import check_private_folder, read_private

__all__ = ["PLAN_FILE", "RECORD_FILE", "EngineRecord", "Rejected", "read_engine", "read_record"]

PLAN_FILE, RECORD_FILE = "engine.plan", "record.json"


class EngineRecord(BaseModel):
    """``record.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    key: str = Field(pattern="^[0-9a-f]{64}$")
    parts: dict[str, Any]
    """What the engine depends on, in clear; ``key`` is their SHA-256."""
    plan_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    plan_bytes: int = Field(gt=0)
    build_s: float = Field(ge=0)
    built_at: str
    """UTC, ISO 8601."""
    strongly_typed: bool
    warnings: tuple[str, ...] = ()
    """What TensorRT warned of while building."""
    gate: dict[str, Any] | None = None
    """The numeric gate's report when it has passed this very plan on this device."""


class Rejected(Exception):
    """An engine that must not be loaded; the message says why. Never leaves this package."""


def read_engine(folder: Path, wanted: dict[str, Any]) -> tuple[bytes, EngineRecord]:
    """The plan and the record in ``folder``, once everything about them is right.

    Args:
        folder: holds ``engine.plan`` and ``record.json``.
        wanted: the parts it must have been built for.

    Raises:
        FileNotFoundError: there is no engine.
        Rejected: there is one, and it is damaged, incomplete, or another one.
        EngineError: somebody else may have written it (nothing has been read then).
    """
    record = read_record(folder)
    if record.key != key_of(wanted):
        raise Rejected(f"the engine in {folder} is another one: {difference(record.parts, wanted)}")
    return _read_plan(folder, record), record


def read_record(folder: Path) -> EngineRecord:
    """The record in ``folder``; the plan is not looked at. Errors as in ``read_engine``."""
    if not folder.exists():
        raise FileNotFoundError(folder)
    check_private_folder(folder)
    path = folder / RECORD_FILE
    try:
        text = read_private(path)
    except FileNotFoundError:
        if (folder / PLAN_FILE).exists():
            raise Rejected(f"{path} is missing, so nothing vouches for the engine beside it") from None
        raise
    try:
        record = EngineRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Rejected(f"{path} is damaged: {where or 'the document'}: {first['msg']}") from None
    if key_of(record.parts) != record.key:
        raise Rejected(f"{path} disagrees with itself: what it lists is not what its key stands for")
    return record


def _read_plan(folder: Path, record: EngineRecord) -> bytes:
    path = folder / PLAN_FILE
    try:
        plan = read_private(path)
    except FileNotFoundError:
        raise Rejected(f"{path} is missing; only its record is there") from None
    if plan and not any(plan[:4096]):
        raise Rejected(f"{path} is full of zeros: the disk lost it, as after a power cut")
    if len(plan) != record.plan_bytes:
        raise Rejected(
            f"{path} has {len(plan)} bytes, its record says {record.plan_bytes}: it was cut off or exchanged"
        )
    if hashlib.sha256(plan).hexdigest() != record.plan_sha256:
        raise Rejected(f"{path} is damaged: its SHA-256 is not the one in its record")
    return plan
