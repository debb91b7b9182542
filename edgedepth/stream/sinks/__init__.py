"""Sinks by name.

A new one is a file here and a line in ``_BUILT_IN``. Another package adds one with an entry point in the group
``edgedepth.sinks``: its name is the kind, its object is called as ``factory(target, **options)`` and gives a Sink.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from edgedepth.errors import SinkError
from edgedepth.stream.sinks.base import BaseSink, Sink

__all__ = ["BaseSink", "Sink", "open_sink", "sink_kinds"]

ENTRY_POINT_GROUP = "edgedepth.sinks"

_BUILT_IN = {
    "jsonl": "jsonl:JsonlSink",
    "video": "video:VideoSink",
    "png": "png:PngSink",
    "console": "console:ConsoleSink",
    "callback": "callback:CallbackSink",
}


def sink_kinds() -> tuple[str, ...]:
    """The kinds ``open_sink`` knows: the built-in ones, then those of other packages."""
    return (*_BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP) if point.name not in _BUILT_IN))


def open_sink(kind: str, target: Any = None, **options: Any) -> Sink:
    """Open a sink.

    Args:
        kind: one of ``sink_kinds()``.
        target: where to: a file for jsonl (``-``: standard output) and video, a folder for png, a function for
            callback, nothing for console.
        options: of that sink; its class documents them.

    Raises:
        SinkError: unknown kind, or options it does not have.
        OutputError: the target cannot be written to.
    """
    factory = _factory(kind)
    arguments = () if target is None else (target,)
    try:
        return factory(*arguments, **options)
    except TypeError as error:
        # Only a wrong call is the caller's; a TypeError from deeper down is a fault and stays one.
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise
        raise SinkError(f"the {kind} sink cannot be opened like this: {error}") from error


def _factory(kind: str) -> Callable[..., Sink]:
    if kind in _BUILT_IN:
        module, _, name = _BUILT_IN[kind].partition(":")
        return cast("Callable[..., Sink]", getattr(import_module(f"{__name__}.{module}"), name))
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == kind:
            return cast("Callable[..., Sink]", point.load())
    raise SinkError(f"unknown sink '{kind}'; one of {', '.join(sink_kinds())}")
