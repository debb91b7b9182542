"""Results to a Python function."""

from __future__ import annotations

from collections.abc import Callable

from edgedepth.errors import EdgeDepthError, SinkError
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.base import BaseSink

__all__ = ["CallbackSink"]


class CallbackSink(BaseSink):
    """Calls ``callback(result)`` for every result, from the publishing thread.

    The depth array may be reused once the call returns: copy what is kept.

    Raises:
        SinkError: the callback raised; its exception is the cause. An EdgeDepthError passes as it is.
    """

    def __init__(self, callback: Callable[[Result], object]) -> None:
        if not callable(callback):
            raise SinkError(f"a callback sink needs a function that takes a Result, found {callback!r}")
        self._callback = callback

    def _write(self, result: Result) -> None:
        try:
            self._callback(result)
        except EdgeDepthError:
            raise
        except Exception as error:
            name = getattr(self._callback, "__name__", type(self._callback).__name__)
            raise SinkError(f"the callback {name} raised {type(error).__name__}: {error}") from error
