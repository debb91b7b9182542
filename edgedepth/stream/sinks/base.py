"""The Sink seam: where results go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

from edgedepth.closing import Closing
from edgedepth.errors import SinkError
from edgedepth.stream.result import Result

__all__ = ["BaseSink", "Sink"]


@runtime_checkable
class Sink(Protocol):
    """A consumer of results. Called from one thread, in frame order, each result once."""

    def write(self, result: Result) -> None:
        """Take one result. The depth array may be recycled afterwards: copy what must outlive the call.

        Raises:
            SinkError: it cannot go on; the pipeline stops cleanly and reports it.
            OutputError: what it writes to failed (a full disk).
        """
        ...

    def close(self) -> None:
        """Finish the output (files appear under their final name here). Safe to call twice."""
        ...


class BaseSink(Closing, ABC):
    """What the sinks here share: closed once, and a failed one gives up what it had begun and takes no more.

    A subclass implements ``_write``, ``_finish`` (make the output final) and ``_abort`` (leave nothing half-written).
    """

    _closed = False

    def write(self, result: Result) -> None:
        """Take one result; see Sink."""
        if self._closed:
            raise SinkError(f"this {type(self).__name__} was closed or has failed; open another one")
        try:
            self._write(result)
        except Exception:
            self._closed = True
            self._abort()
            raise

    def close(self) -> None:
        """Finish the output; see Sink."""
        if self._closed:
            return
        self._closed = True
        try:
            self._finish()
        except BaseException:
            self._abort()
            raise

    @abstractmethod
    def _write(self, result: Result) -> None: ...

    def _finish(self) -> None:
        """Make the output final. Nothing, unless there is some."""

    def _abort(self) -> None:
        """Remove what was begun; must not raise. Nothing, unless there is some."""
