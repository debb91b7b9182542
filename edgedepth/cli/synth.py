"""``edgedepth synth``: rendered rooms with exact depth as an RGB-D recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgedepth.cli import options as opt
from edgedepth.cli.app import print_json, print_report
from edgedepth.cli.progress import shown_progress
from edgedepth.errors import InputError
from edgedepth.synthetic.recording import SynthOptions, write_recording

__all__ = ["synth"]


def synth(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make; it must not exist yet.")],
    frames: Annotated[int, typer.Option("--frames", "-n", help="How many frames.")] = 100,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Seed of the first room; the next room's is one more.")] = 0,
    per_room: Annotated[
        int, typer.Option("--per-room", help="Frames of one camera of a room, in motion, before the next.")
    ] = 1,
    views: Annotated[int, typer.Option("--views", help="Cameras in one room, before the next room.")] = 1,
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT in pixels.")] = "640x480",
    fps: Annotated[float, typer.Option("--fps", help="Frames per second of a room's own time.")] = 30.0,
    people: Annotated[int | None, typer.Option("--people", help="In every room, 0 to 3; without it, drawn.")] = None,
    noisy_depth: Annotated[
        bool, typer.Option("--noisy-depth", help="Depth as a stereo camera gives it: noise, holes, flying pixels.")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", help="Processes that render; the files are the same.")] = 1,
    as_json: opt.JsonOption = False,
) -> None:
    """Render indoor scenes with exact depth, person masks, camera pose and everyone's stature.

    The same seed gives the same bytes. The folder is an RGB-D recording: run, evaluate, train and data read it.

    Example: [bold]edgedepth synth --frames 100 --seed 7 -o rooms[/]
    """
    width, height = _size(size)
    options = SynthOptions(frames, seed, per_room, views, width, height, fps, people, noisy_depth)
    with shown_progress(quiet=as_json) as progress:
        write_recording(
            output, options, lambda done: progress("render", done / frames, f"{done} frames"), workers=workers
        )
    if as_json:
        print_json({"folder": str(output), "frames": frames, "rooms": options.rooms, "seed": seed})
        return
    print_report(f"{frames} frames of {options.rooms} rooms in {output}", f"edgedepth data check {output}")


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise InputError(f"--size is WIDTHxHEIGHT in pixels, such as 640x480, found {text!r}")
    return int(parts[0]), int(parts[1])
