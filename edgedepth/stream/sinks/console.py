"""A live table in the terminal; plain lines now and then where there is none."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgedepth.people.track import TrackedHeight
from edgedepth.stream.result import STAGES, Result
from edgedepth.stream.sinks.base import BaseSink
from edgedepth.stream.sinks.stats import center_value

__all__ = ["ConsoleSink", "height_text"]

_WINDOW = 120
"""Frames the rates and percentiles are of: the last few seconds."""


@dataclass(frozen=True)
class _Shown:
    """What is shown of the newest result. The result itself is not kept: its depth array may be recycled."""

    sequence: int
    dropped: int
    center: str
    people: list[tuple[str, str, str]]


class ConsoleSink(BaseSink):
    """Shows frame rate, age, stage times, depth at the centre, and the people with their heights.

    Args:
        console: a rich Console; by default one on standard error, so that standard output stays a program's.
        interval_s: seconds between plain lines when the console is no terminal.
        refresh_hz: how often the live table is drawn.
    """

    def __init__(self, *, console: Console | None = None, interval_s: float = 1.0, refresh_hz: float = 5.0) -> None:
        self._console = console or Console(stderr=True)
        self._period_s = 1 / refresh_hz if self._console.is_terminal else interval_s
        self._ages_ms: deque[float] = deque(maxlen=_WINDOW)
        self._published_ns: deque[int] = deque(maxlen=_WINDOW)
        self._stages_ms: dict[str, deque[float]] = {}
        self._shown_s = -np.inf
        self._last: _Shown | None = None
        self._newest_shown: _Shown | None = None
        self._live: Live | None = None
        if self._console.is_terminal:
            # Drawn by write itself: rich's own refresh thread would read these deques while they change.
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()

    def _write(self, result: Result) -> None:
        self._ages_ms.append(result.age_ms)
        self._published_ns.append(result.published_ns)
        for name, ns in result.stage_ns.items():
            self._stages_ms.setdefault(name, deque(maxlen=_WINDOW)).append(ns / 1e6)
        self._last = _Shown(result.frame.sequence, result.dropped, _center(result), _people(result))
        now_s = time.monotonic()
        if now_s - self._shown_s >= self._period_s:
            self._shown_s = now_s
            self._show(self._last)

    def _finish(self) -> None:
        if self._last is not None and self._last is not self._newest_shown:
            self._show(self._last)
        self._abort()

    def _abort(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, shown: _Shown) -> None:
        self._newest_shown = shown
        if self._live is None:
            self._console.print(self._line(shown), highlight=False, markup=False, soft_wrap=True)
        else:
            self._live.update(self._tables(shown), refresh=True)

    def _fps(self) -> float | None:
        if len(self._published_ns) < 2 or self._published_ns[-1] <= self._published_ns[0]:
            return None
        return (len(self._published_ns) - 1) * 1e9 / (self._published_ns[-1] - self._published_ns[0])

    def _summary(self, shown: _Shown) -> list[tuple[str, str]]:
        """What both forms show, in order: name and value."""
        fps = self._fps()
        p50, p95 = np.percentile(self._ages_ms, (50, 95))
        return [
            ("frame", f"{shown.sequence}"),
            ("fps", "-" if fps is None else f"{fps:.1f}"),
            ("age p50/p95", f"{p50:.0f}/{p95:.0f} ms"),
            ("centre", shown.center),
            ("dropped", f"{shown.dropped}"),
        ]

    def _line(self, shown: _Shown) -> str:
        heights = "; ".join(f"{who} {height}" for who, height, _ in shown.people)
        parts = [f"{name} {value}" for name, value in self._summary(shown)]
        return "  ".join([*parts, heights] if heights else parts)

    def _tables(self, shown: _Shown) -> Group:
        summary = Table.grid(padding=(0, 2))
        for name, value in self._summary(shown):
            summary.add_row(name, value)
        stages = Table("stage", "p50 ms", "p95 ms", title=None)
        for name in (*STAGES, *sorted(set(self._stages_ms) - set(STAGES))):
            if name in self._stages_ms:
                p50, p95 = np.percentile(self._stages_ms[name], (50, 95))
                stages.add_row(name, f"{p50:.1f}", f"{p95:.1f}")
        people = Table("who", "height", "distance")
        for row in shown.people:
            people.add_row(*(Text(cell) for cell in row))  # a message may hold rich's brackets
        return Group(*(t for t in (summary, stages, people) if t.row_count))


def _center(result: Result) -> str:
    value = center_value(result.depth)
    if value is None:
        return "no depth"
    return f"{value:.2f} m" if result.depth.is_metric else f"{value:.3g} ({result.depth.kind.value})"


def height_text(person: TrackedHeight) -> str:
    """The height of someone followed: with its 95 % interval, what it is made of, and whose metres they are."""
    if person.height_m is None or person.interval_m is None:
        return f"refused: {person.refused or 'not measured'}"
    low, high = person.interval_m
    notes = [f"{person.frames} frame{'s' * (person.frames != 1)}", person.mode.replace("_", " ")]
    notes += [flag.replace("_", " ") for flag in person.flags]
    return f"{person.height_m:.2f} m ({low:.2f} to {high:.2f}), {', '.join(notes)}"


def _people(result: Result) -> list[tuple[str, str, str]]:
    """Who, the height with its 95 % interval or why not, and the distance."""
    if result.measurement is None:
        return []
    if result.measurement.floor is None:
        return [("floor", f"refused: {result.measurement.floor_refused or 'no floor'}", "")]
    distances_m = {person.box_xywh: person.distance_m for person in result.measurement.people}
    rows = [
        (f"person {person.person}", height_text(person), _distance(distances_m.get(person.box_xywh)))
        for person in result.people
    ]
    for person in result.measurement.notable:
        if person.is_person and result.people:
            continue
        if person.height_m is None:
            height = f"refused: {person.refused or 'not measured'}"
        elif person.interval_m is None:
            height = f"{person.height_m:.2f} m"
        else:
            height = f"{person.height_m:.2f} m ({person.interval_m[0]:.2f} to {person.interval_m[1]:.2f})"
        rows.append((person.label.replace("_", " "), height, _distance(person.distance_m)))
    return rows


def _distance(distance_m: float | None) -> str:
    return "" if distance_m is None else f"{distance_m:.2f} m"
