"""``edgedepth sources``: what is attached."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape

from edgedepth.cli import options as opt
from edgedepth.cli.app import print_json, print_report
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
    # Lines, not a table: a note may hold a command to copy, which a narrow cell would break.
    for source in found:
        note = f"  [dim]{escape(source.note)}[/]" if source.note else ""
        uri = f"[bold]{escape(source.uri)}[/]" if source.uri else "[yellow]not usable[/]"
        print_report(f"{uri}  {escape(source.name)}{note}")
    if all(source.kind == "gstreamer" for source in found):
        print_report("No camera is attached. To see EdgeDepth work: edgedepth run synthetic:// --height")
    schemes = f"schemes: {', '.join(known_schemes())}; and the paths of videos, images, RGB-D recordings"
    print_report(f"[dim]{schemes}[/]")
