"""``edgedepth sources``: what is attached."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from edgedepth.cli import options as opt
from edgedepth.cli.app import console, print_json
from edgedepth.sources import known_schemes, list_sources

__all__ = ["sources"]


def sources(as_json: opt.JsonOption = False) -> None:
    """List the cameras that are attached, and the schemes that can be opened.

    Example: [bold]edgedepth sources --json[/]
    """
    found = list_sources()
    if as_json:
        print_json({"sources": [asdict(source) for source in found], "schemes": known_schemes()})
        return
    if found:
        table = Table("open with", "camera", box=None, pad_edge=False)
        for source in found:
            table.add_row(f"[bold]{escape(source.uri)}[/]", escape(source.name))
        console.print(table)
    else:
        console.print("No camera is attached. To see EdgeDepth work: edgedepth run synthetic:// --height")
    console.print(f"[dim]schemes: {', '.join(known_schemes())}; and the paths of videos, images, RGB-D recordings[/]")
