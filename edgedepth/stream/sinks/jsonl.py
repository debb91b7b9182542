"""One JSON object a line for every frame: to a file, a pipe, or standard output."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from typing import Any, TextIO

from edgedepth.output import PartFile, output_errors, standard_output
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.base import BaseSink
from edgedepth.stream.sinks.stats import depth_stats

__all__ = ["JsonlSink", "result_record"]

STDOUT = "-"


def result_record(result: Result) -> dict[str, Any]:
    """What a line says of a result: JSON-ready, numbers finite or None.

    ``measurement`` is that of ``edgedepth measure --json``, ``people`` the same people by number, each with the height
    out of all frames so far; ``depth`` is stats.depth_stats; times are nanoseconds
    or milliseconds as their names say.
    """
    frame = result.frame
    record = {
        "sequence": frame.sequence,
        "source": frame.source,
        "timestamp_ns": frame.timestamp_ns,
        "wall_time_ns": frame.wall_time_ns,
        "media_time_s": frame.media_time_s,
        "image_size_wh": list(frame.size_wh),
        "depth": depth_stats(result.depth),
        "measurement": None if result.measurement is None else result.measurement.as_dict(),
        "people": [person.as_dict() for person in result.people],
        "stage_ms": {name: round(ns / 1e6, 3) for name, ns in result.stage_ns.items()},
        "age_ms": round(result.age_ms, 3),
        "dropped": result.dropped,
    }
    finite: dict[str, Any] = _finite(record)
    return finite


class JsonlSink(BaseSink):
    """JSON lines in ``target``; ``-`` is standard output, which is flushed line by line and left open.

    Raises:
        OutputError: the file cannot be made or written; what was written so far is then removed.
    """

    def __init__(self, target: str | os.PathLike[str]) -> None:
        self._target = os.fspath(target)
        self._part: PartFile | None = None
        self._file: TextIO
        self._lines = 0
        if self._target == STDOUT:
            self._file = standard_output()
        else:
            self._part = PartFile(self._target)
            with output_errors(self._target):
                self._file = self._part.temporary.open("w", encoding="utf-8")

    def _write(self, result: Result) -> None:
        line = json.dumps(result_record(result), allow_nan=False, separators=(",", ":"))
        with output_errors(self._name):
            self._file.write(line + "\n")
            self._lines += 1
            self._file.flush()  # a full disk is noticed at the frame, and a pipe's reader is up to date

    def _finish(self) -> None:
        if self._part is None:
            return
        with output_errors(self._name):
            self._file.close()
        if self._lines:
            self._part.commit()
        else:
            self._part.discard()  # no frame came: what the name held is kept

    def _abort(self) -> None:
        if self._part is not None:
            with suppress(OSError):
                self._file.close()
            self._part.discard()

    @property
    def _name(self) -> str:
        return "standard output" if self._part is None else self._target


def _finite(value: Any) -> Any:
    """The same structure with None for every number that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
