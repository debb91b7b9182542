"""``edgedepth data``: which data sets can be read, and whether one is sound."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from rich.markup import escape
from rich.table import Table

from edgedepth.cli import options as opt
from edgedepth.cli.app import print_json, print_report
from edgedepth.cli.progress import shown_progress
from edgedepth.data import KINDS, Dataset, guess_kind, open_dataset, parse_options
from edgedepth.data.check import DataReport, Problem, check_dataset, check_splits, tell_most
from edgedepth.errors import DataError

__all__ = ["data"]

SHOWN = 5
"""Problems of each sort that a person is shown; ``--all`` and ``--json`` give every one."""

data = typer.Typer(name="data", help="Data sets: what can be read, and what is wrong with one.", no_args_is_help=True)


@data.command(name="list")
def list_kinds(as_json: opt.JsonOption = False) -> None:
    """List the kinds of data set: their files, splits and options.

    Example: [bold]edgedepth data list[/]
    """
    kinds = {
        name: {
            "title": kind.title,
            "layout": kind.layout,
            "splits": list(kind.splits),
            "options": {option: _type_name(what) for option, what in kind.options().items()},
        }
        for name, kind in KINDS.items()
    }
    if as_json:
        print_json(kinds)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "what it is", "splits", "options (--option name=value)"):
        table.add_column(column)
    for name, facts in kinds.items():
        options = ", ".join(f"{key}={value}" for key, value in facts["options"].items())  # type: ignore[attr-defined]
        table.add_row(f"[bold]{name}[/]", escape(str(facts["title"])), ", ".join(facts["splits"]), escape(options))
        table.add_row("", f"[dim]{escape(str(facts['layout']))}[/]")
    print_report(table)


@data.command()
def check(
    path: Annotated[Path, typer.Argument(help="The data set: its folder, or the file that stands for it.")],
    kind: Annotated[
        str | None,
        typer.Option("--kind", "-k", help="Its kind (edgedepth data list). Without one, what it looks like."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="One split of it; without one, all samples. Of several DIW lists, one."),
    ] = None,
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help="name=value, as in depth=filled.")] = None,
    every: Annotated[int, typer.Option("--every", help="Decode every n-th sample only, for a quick look.")] = 1,
    show_all: Annotated[bool, typer.Option("--all", help="Show every problem, not the first of each sort.")] = False,
    as_json: opt.JsonOption = False,
) -> None:
    """Decode a whole data set and say what is wrong and where: files that are missing, corrupt, of another size or
    unit, groups on both sides of a split. The exit code is 1 when something is, 2 when it cannot be opened at all.

    Example: [bold]edgedepth data check DIODE --kind diode --split val[/]
    """
    chosen = kind or guess_kind(path)
    if chosen is None:
        raise DataError(
            f"{path} looks like no kind of data set that is known; name it with --kind ({', '.join(KINDS)})"
        )
    options = parse_options(chosen, option or [])
    dataset = open_dataset(path, chosen, split, lenient=True, **options)
    with shown_progress() as progress:
        report = check_dataset(dataset, progress, every=every)
    leaks = check_splits(_splits(path, chosen, options))
    problems = (*report.problems, *leaks)
    shown, counts = tell_most(problems, len(problems) if show_all else SHOWN)
    if as_json:
        print_json(asdict(report) | {"problems": [asdict(problem) for problem in problems], "counts": counts})
    else:
        print_report(_table(report, guessed=kind is None), *_lines(shown, counts))
    if problems:
        raise typer.Exit(1)


def _splits(path: Path, kind: str, options: dict[str, Any]) -> dict[str, Dataset]:
    """The splits there are that are meant to be apart; one whose file is missing is not there."""
    parts = {}
    for name in KINDS[kind].splits:
        if any(name != other and name.startswith(other) for other in KINDS[kind].splits):
            continue  # train_val is train and val together
        try:
            parts[name] = open_dataset(path, kind, name, lenient=True, **options)
        except DataError:
            continue
    return parts


def _type_name(annotation: Any) -> str:
    choices = [one for one in get_args(annotation) if one is not type(None)]
    if get_origin(annotation) is Literal:
        return "|".join(choices)
    return (
        _type_name(choices[0]) if choices else {"str": "TEXT", "bool": "true|false"}.get(annotation.__name__, "NUMBER")
    )


def _table(report: DataReport, *, guessed: bool) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _rows(report, guessed):
        table.add_row(f"[bold]{name}[/]", escape(value))
    return table


def _rows(report: DataReport, guessed: bool) -> Iterator[tuple[str, str]]:
    yield "data set", report.name
    yield "kind", f"{report.kind}{', told from its files' if guessed else ''}: {KINDS[report.kind].title}"
    yield (
        "samples",
        f"{report.samples} in {report.groups} groups; {report.readable} of {report.checked} decoded are readable",
    )
    yield "sizes", _most(report.sizes)
    yield "cameras", _most(report.cameras)
    if report.posed:
        yield "poses", f"{report.posed}"
    if report.pairs:
        yield "pairs", f"{report.pairs} ordinal"
    if report.stored_depth is not None:
        yield "stored", report.stored_depth
    if report.depth is not None:
        depth = report.depth
        yield "depth", "  ".join(f"{name} {value:g} m" for name, value in depth.percentile_m.items())
        yield "valid", f"{depth.valid_share_mean:.1%} of the pixels, {depth.valid_share_min:.1%} in the emptiest frame"


def _most(counts: dict[str, int]) -> str:
    shown = [f"{name} ({count})" for name, count in itertools.islice(counts.items(), 3)]
    return ", ".join(shown) + (f" and {len(counts) - 3} more" if len(counts) > 3 else "") or "none"


def _lines(shown: list[Problem], counts: dict[str, int]) -> Iterator[str]:
    yield ""
    if not counts:
        yield "[green]nothing wrong[/]"
    for trouble, count in counts.items():
        yield f"[red]{trouble}[/]: {count}"
        mine = [problem for problem in shown if problem.trouble == trouble]
        yield from (f"  {escape(problem.where)}: {escape(problem.text)}" for problem in mine)
        if count > len(mine):
            yield f"  and {count - len(mine)} more (--all shows them)"
