"""The Typer application that the verbs hang on, and what they share."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

import edgedepth
from edgedepth.output import output_errors, standard_output

__all__ = ["app", "console", "print_json", "print_report"]

app = typer.Typer(
    name="edgedepth",
    help="Point a camera, get metres: metric depth at frame rate, and the height of the people in view.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

console = Console(stderr=True)
"""What is said while something else is the answer: progress, live tables. Standard error."""


def print_json(value: Any) -> None:
    """One JSON document on standard output. NaN is a mistake here, not a value. Raises OutputError."""
    text = json.dumps(value, indent=2, allow_nan=False)
    with output_errors("standard output"):
        print(text, file=standard_output(), flush=True)


def print_report(*lines: RenderableType) -> None:
    """The answer of a verb, for a person, on standard output; never wrapped, so that it can be copied.

    Raises:
        OutputError: standard output is full or closed.
    """
    stream = standard_output()
    # A file or a pipe has no edge to wrap tables at.
    report = Console(file=stream, width=None if stream.isatty() else 200, soft_wrap=True, highlight=False)
    with report.capture() as captured:
        report.print(*lines, sep="\n")
    with output_errors("standard output"):
        for line in captured.get().splitlines():
            print(line.rstrip(), file=stream)
        stream.flush()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"edgedepth {edgedepth.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
