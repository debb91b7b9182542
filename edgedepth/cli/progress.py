"""A progress bar for long work, on standard error; nothing where there is no terminal but a line per step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from edgedepth.cli.app import console

__all__ = ["shown_progress"]


@contextmanager
def shown_progress(quiet: bool = False) -> Iterator[Callable[[str, float | None], None]]:
    """A function to call with what is being done and the fraction of it that is done, or None.

    Steps follow one another; each keeps its line.
    """
    if quiet:
        yield lambda step, fraction: None
        return
    if not console.is_terminal:
        said: list[str] = []

        def line(step: str, fraction: float | None) -> None:
            if not said or said[-1] != step:
                said.append(step)
                console.print(step, highlight=False, soft_wrap=True, markup=False)

        yield line
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        current: list[tuple[str, int]] = []

        def show(step: str, fraction: float | None) -> None:
            if not current or current[-1][0] != step:
                _finish(bars, current)
                current.append((step, bars.add_task(step, total=None if fraction is None else 1.0)))
            if fraction is not None:
                bars.update(current[-1][1], total=1.0, completed=fraction)  # type: ignore[arg-type]

        yield show
        _finish(bars, current)


def _finish(bars: Progress, current: list[tuple[str, int]]) -> None:
    if current:
        bars.update(current[-1][1], total=1.0, completed=1.0)  # type: ignore[arg-type]
