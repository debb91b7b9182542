from __future__ import annotations

import numpy as np
import pytest

from edgedepth.errors import OutputError, SinkError
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.callback import CallbackSink
from edgedepth.types import DepthKind, DepthMap, Frame

RESULT = Result(Frame(np.zeros((2, 2, 3), np.uint8)), DepthMap(np.ones((2, 2), np.float32), DepthKind.METRIC))


def test_gets_the_result_itself() -> None:
    seen: list[Result] = []
    with CallbackSink(seen.append) as sink:
        sink.write(RESULT)
    assert seen[0] is RESULT


def test_what_the_callback_raises_is_a_sink_error_with_its_cause() -> None:
    def fragile(result: Result) -> None:
        raise ZeroDivisionError("by zero")

    sink = CallbackSink(fragile)
    with pytest.raises(SinkError, match="the callback fragile raised ZeroDivisionError: by zero") as caught:
        sink.write(RESULT)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(SinkError, match="has failed"):
        sink.write(RESULT)


def test_our_own_errors_pass() -> None:
    def full(result: Result) -> None:
        raise OutputError("the disk is full")

    with pytest.raises(OutputError, match="the disk is full"):
        CallbackSink(full).write(RESULT)


def test_needs_a_function() -> None:
    with pytest.raises(SinkError, match="needs a function"):
        CallbackSink(3)  # type: ignore[arg-type]
