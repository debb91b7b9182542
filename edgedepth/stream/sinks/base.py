"""The Sink seam: where results go."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from edgedepth.stream.result import Result

__all__ = ["Sink"]


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
