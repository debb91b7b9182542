"""TensorRT's messages, collected: errors explain a failure, warnings are shown once, the rest is dropped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

__all__ = ["Captured", "Message", "MessageLog", "make_logger"]

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Message:
    """One line TensorRT wrote."""

    level: Level
    text: str


@dataclass
class Captured:
    """What TensorRT wrote during a block."""

    messages: list[Message] = field(default_factory=list)

    def texts(self, level: Level) -> tuple[str, ...]:
        """The distinct texts of a level, in order."""
        return tuple(dict.fromkeys(message.text for message in self.messages if message.level == level))


class MessageLog:
    """Hands messages to whoever listens; may be called from TensorRT's own threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Captured] = []

    def add(self, level: Level, text: str) -> None:
        """Called by the logger."""
        message = Message(level, text.strip())
        with self._lock:
            for listener in self._listeners:
                listener.messages.append(message)

    @contextmanager
    def capture(self) -> Iterator[Captured]:
        """Collect what is written during the block, by any thread."""
        captured = Captured()
        with self._lock:
            self._listeners.append(captured)
        try:
            yield captured
        finally:
            with self._lock:
                self._listeners = [listener for listener in self._listeners if listener is not captured]


def make_logger(trt: ModuleType, log: MessageLog) -> Any:
    """A ``trt.ILogger`` that writes errors and warnings to ``log``."""
    levels: dict[Any, Level] = {
        trt.ILogger.INTERNAL_ERROR: "error",
        trt.ILogger.ERROR: "error",
        trt.ILogger.WARNING: "warning",
    }

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 wants the base called by name

        def log(self, severity: Any, text: str) -> None:
            level = levels.get(severity)
            if level is not None:
                log.add(level, text)

    return Logger()
