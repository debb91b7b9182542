"""A progress bar for long work, on standard error; nothing where there is no terminal but a line per step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from edgedepth.cli.app import console

__all__ = ["ShowProgress", "shown_progress"]


class ShowProgress(Protocol):
    """Told what is being done, the fraction of it that is done or None, and in a few words how it goes."""

    def __call__(self, step: str, fraction: float | None, note: str = "") -> None:
        """See the class."""


@contextmanager
def shown_progress(quiet: bool = False) -> Iterator[ShowProgress]:
    """A function to call with what is being done.

    Steps follow one another; each keeps its line. Where there is no terminal, a note is said at the end of its step.
    """
    if quiet:
        yield lambda step, fraction, note="": None
        return
    if not console.is_terminal:
        said: list[str] = []

        def line(step: str, fraction: float | None, note: str = "") -> None:
            text = f"{step}: {note}" if note and fraction == 1 else step
            if step not in said[-1:] or text != step:
                said.append(step)
                console.print(text, highlight=False, soft_wrap=True, markup=False)

        yield line
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bars:
        current: list[tuple[str, int]] = []

        def show(step: str, fraction: float | None, note: str = "") -> None:
            if not current or current[-1][0] != step:
                _finish(bars, current)
                current.append((step, bars.add_task(step, total=None if fraction is None else 1.0, note=note)))
            bars.update(current[-1][1], note=note)  # type: ignore[arg-type]
            if fraction is not None:
                bars.update(current[-1][1], total=1.0, completed=fraction)  # type: ignore[arg-type]

        yield show
        _finish(bars, current)


def _finish(bars: Progress, current: list[tuple[str, int]]) -> None:
    if current:
        bars.update(current[-1][1], total=1.0, completed=1.0)  # type: ignore[arg-type]
