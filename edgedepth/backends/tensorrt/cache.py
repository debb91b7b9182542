"""Engines on disk, one folder each under their key. What is not exactly right is built again, never loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgedepth.backends.tensorrt.builder import Build
from edgedepth.backends.tensorrt.key import key_of
from edgedepth.backends.tensorrt.lock import file_lock
from edgedepth.backends.tensorrt.private import make_private_folder, write_private
from edgedepth.backends.tensorrt.record import PLAN_FILE, RECORD_FILE, EngineRecord, Rejected, read_engine, read_record
from edgedepth.errors import EngineError

__all__ = ["CachedEngine", "EngineCache", "default_cache_root"]


def default_cache_root() -> Path:
    """``$XDG_CACHE_HOME/edgedepth/engines``, by default ``~/.cache/edgedepth/engines``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "edgedepth" / "engines"


@dataclass(frozen=True)
class CachedEngine:
    """An engine whose plan has been checked against its record.

    Attributes:
        plan: what TensorRT deserialises.
        record: what it depends on and whether the gate has passed it.
        folder: where it is kept.
        cache: the cache it is in.
        gate_hint: see ProvableBackend.gate_hint.
    """

    plan: bytes
    record: EngineRecord
    folder: Path
    cache: EngineCache
    gate_hint: str = ""

    @property
    def key(self) -> str:
        """See ``key_of``."""
        return self.record.key

    @property
    def proof(self) -> Mapping[str, Any] | None:
        """The numeric gate's report on this very plan; asked of the disk, where a replica may have just put it."""
        return self.cache.proof(self.key, plan_sha256=self.record.plan_sha256)

    def record_proof(self, report: Mapping[str, Any]) -> None:
        """Keep the numeric gate's report, JSON-ready, beside this very plan."""
        self.cache.record_proof(self.key, report, plan_sha256=self.record.plan_sha256)


class EngineCache:
    """The engines of one user.

    Args:
        root: their folder, made for this user alone when it is not there; None is ``default_cache_root()``.

    Raises:
        EngineError: the folder belongs to somebody else, or others may write it.
        OutputError: it cannot be made.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or default_cache_root()).expanduser()
        make_private_folder(self.root)

    def folder(self, key: str) -> Path:
        """Where the engine of a key is kept."""
        return self.root / key

    def get(self, parts: dict[str, Any]) -> CachedEngine | str | None:
        """The engine of these parts; why what is there must not be loaded; or None when there is none.

        Raises:
            EngineError: somebody else may have written it.
        """
        folder = self.folder(key_of(parts))
        try:
            plan, record = read_engine(folder, parts)
        except FileNotFoundError:
            return None
        except Rejected as reason:
            return str(reason)
        return CachedEngine(plan, record, folder, self)

    def get_or_build(
        self,
        parts: dict[str, Any],
        build: Callable[[], Build],
        *,
        rebuild: bool = False,
        report: Callable[[str], None] = lambda _text: None,
    ) -> CachedEngine:
        """The engine of these parts, built when there is none or what is there is not right.

        Of several processes that want the same engine one builds; the others wait and load it.

        Args:
            parts: see ``engine_parts``.
            build: makes it.
            rebuild: build in any case.
            report: told why an engine is built again, and that another process is waited for.

        Raises:
            EngineError: somebody else may have written what is there, or ``build`` failed.
            OutputError: it cannot be written.
        """
        found = None if rebuild else self.get(parts)
        if isinstance(found, CachedEngine):
            return found
        with self._locked(key_of(parts), report):
            found = None if rebuild else self.get(parts)  # another process may have built it meanwhile
            if isinstance(found, CachedEngine):
                return found
            if found is not None:
                report(f"{found}; building it again")
            return self.put(parts, build())

    def put(self, parts: dict[str, Any], built: Build) -> CachedEngine:
        """Keep an engine under the key of its parts.

        Raises:
            OutputError: it cannot be written.
        """
        key = key_of(parts)
        record = EngineRecord(
            key=key,
            parts=parts,
            plan_sha256=hashlib.sha256(built.plan).hexdigest(),
            plan_bytes=len(built.plan),
            build_s=round(built.seconds, 3),
            built_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            strongly_typed=built.strongly_typed,
            warnings=built.warnings,
        )
        folder = self.folder(key)
        make_private_folder(folder)
        # Who is interrupted in between leaves a plan that its record does not vouch for: found out, and built again.
        write_private(folder / PLAN_FILE, built.plan)
        _write_record(folder, record)
        return CachedEngine(built.plan, record, folder, self)

    def proof(self, key: str, *, plan_sha256: str | None = None) -> Mapping[str, Any] | None:
        """The gate's report on the engine of a key, when given on this very plan; None when it has not passed."""
        record = self._look(key)
        if not isinstance(record, EngineRecord) or plan_sha256 not in (None, record.plan_sha256):
            return None
        return record.gate

    def record_proof(self, key: str, report: Mapping[str, Any], *, plan_sha256: str | None = None) -> None:
        """Keep the gate's report beside the engine of a key.

        Args:
            key: the engine's.
            report: JSON-ready.
            plan_sha256: of the plan that was proved; when the engine was built anew meanwhile, nothing is recorded.

        Raises:
            EngineError: there is no such engine, or it must not be loaded.
            OutputError: it cannot be written.
        """
        with self._locked(key, lambda _text: None):
            record = self._look(key)
            if not isinstance(record, EngineRecord):
                raise EngineError(f"no proof can be recorded: {record}; build it again: edgedepth build BUNDLE")
            if plan_sha256 in (None, record.plan_sha256):
                _write_record(self.folder(key), record.model_copy(update={"gate": dict(report)}))

    def _look(self, key: str) -> EngineRecord | str:
        try:
            record = read_record(self.folder(key))
        except FileNotFoundError:
            return f"there is no engine at {self.folder(key)}"
        except Rejected as reason:
            return str(reason)
        if record.key != key:
            return f"{self.folder(key)} holds the engine of another key, {record.key}"
        return record

    def _locked(self, key: str, report: Callable[[str], None]) -> AbstractContextManager[None]:
        waiting = "another process is building this engine; waiting for it"
        return file_lock(self.root / f"{key}.lock", lambda: report(waiting))


def _write_record(folder: Path, record: EngineRecord) -> None:
    write_private(folder / RECORD_FILE, record.model_dump_json(indent=2).encode())
