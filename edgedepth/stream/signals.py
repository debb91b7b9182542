"""Ctrl-C and SIGTERM as a clean stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["stop_on_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[list[signal.Signals]]:
    """Call ``stop`` on the first Ctrl-C or SIGTERM; a second one acts as if this were not here.

    Yields a list that holds the signal that came. Only the main thread may install handlers: elsewhere, and where a
    signal is ignored (``nohup``), nothing is changed.
    """
    received: list[signal.Signals] = []
    before: dict[signal.Signals, object] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        before.clear()

    def handle(number: int, _: FrameType | None) -> None:
        received.append(signal.Signals(number))
        restore()
        stop()

    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler not in (None, signal.SIG_IGN):
                before[number] = handler
                signal.signal(number, handle)
    try:
        yield received
    finally:
        restore()
