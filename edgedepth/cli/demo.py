"""``edgedepth demo``: the packaged clip, live, with the truth beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from edgedepth.bundle import load_model
from edgedepth.cli import options as opt
from edgedepth.cli.app import console, print_json, print_report
from edgedepth.demo import is_demo_folder, measure_speed, play, score, summary_of, write_report
from edgedepth.device import usable_cpus
from edgedepth.errors import InputError, NotMetricError, OutputError
from edgedepth.output import atomic_folder
from edgedepth.resources import DEFAULT_MODEL, clip_folder, packaged_bundle
from edgedepth.sources import open_source
from edgedepth.sources.clip import read_clip
from edgedepth.stream import stream_options
from edgedepth.stream.sinks import Sink, open_sink
from edgedepth.types import DepthKind

__all__ = ["demo"]

CLIP = "demo"
PRECISIONS = ("fp32", "fp16", "int8")
LIVE_WORKERS = 2
"""Depth and heights of one frame take longer than 1/30 s on one core."""


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write; that of an earlier demo is replaced.")
    ] = Path("edgedepth-demo"),
    precision: Annotated[
        str | None, typer.Option("--precision", help=f"Of the packaged model: {', '.join(PRECISIONS)}. Default: fp32.")
    ] = None,
    model: opt.ModelOption = None,
    backend: opt.BackendOption = None,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="As a file instead: every frame as fast as it goes, against the network alone."),
    ] = False,
    no_camera_height: Annotated[
        bool,
        typer.Option("--no-camera-height", help="Heights by the network's metres, not by the camera's known height."),
    ] = False,
    view: Annotated[bool, typer.Option("--view", help="Open the live page. There is none yet.")] = False,
    allow_untrained: opt.UntrainedOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No live table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary alone, as JSON.")] = False,
) -> None:
    """See it work: six seconds of two people in a room, as from a camera, measured and held against the truth.

    Needs no camera, no GPU and no network. Writes a depth video, JSON lines and a report into edgedepth-demo.

    Examples:

    [bold]edgedepth demo[/]

    [bold]edgedepth demo --precision int8 --json -o int8-demo[/]
    """
    if view:
        raise InputError("--view would open the live page, and there is none yet; open report.html in the folder")
    loaded = load_model(_bundle(model, precision))
    clip = read_clip(clip_folder(CLIP))
    if output.exists() and not is_demo_folder(output):
        raise OutputError(f"{output} exists and is not of an earlier demo; choose another folder with -o")
    uri = f"clip://{CLIP}?live={int(not fast)}"
    with ExitStack() as stack:
        source = stack.enter_context(open_source(uri))
        workers = None if fast else min(LIVE_WORKERS, usable_cpus())
        options = stream_options(source, workers=workers)
        estimator = stack.enter_context(
            opt.open_estimator(loaded, None, backend, options=options, allow_untrained=allow_untrained)
        )
        if estimator.kind is not DepthKind.METRIC:
            raise NotMetricError(
                f"the demo holds metres against the truth and {estimator.name} gives {estimator.kind.value}; "
                "use a metric model"
            )
        finder = stack.enter_context(closing(opt.make_finder(None, estimator, options)))
        height_m = None if no_camera_height else clip.info.camera_height_m
        meter = opt.make_meter(estimator, finder, camera_height_m=height_m, scaled=False)
        folder = stack.enter_context(atomic_folder(output, replaces=is_demo_folder))
        # Sinks last: the pipeline closes them.
        sinks: list[Sink] = [
            open_sink("jsonl", folder / "results.jsonl"),
            open_sink("video", folder / "depth.mp4", fps=clip.info.fps, range_m=(0.0, clip.far_m)),
        ]
        if not quiet and not as_json:
            sinks.append(open_sink("console"))
        with open_source(uri) as first:  # what libraries set up on their first frame costs a live one its turn
            frame = first.read(timeout_s=10.0)
        meter.measure(frame, estimator.estimate(frame))
        played = play(clip, source, estimator, meter, sinks, workers)
        if played.stopped_by is not None and not played.judged:
            console.print("stopped before the first frame whose truth is known: nothing is written")
            raise typer.Exit(128 + played.stopped_by)
        threshold = None if loaded.spec.person is None else loaded.spec.person.threshold
        scores = score(clip, played, threshold)
        speed = None
        if fast and played.stopped_by is None:
            speed = measure_speed(open_source(uri), estimator, loaded, options, backend)
        facts = {
            "name": loaded.spec.name,
            "precision": loaded.spec.precision,
            "trained": loaded.spec.provenance.trained,
        }
        scale = f"the camera's known height, {height_m:g} m" if height_m is not None else "the network alone"
        summary = summary_of(clip, played, scores, live=not fast, model=facts, scale=scale, speed=speed)
        write_report(folder, clip, played, scores, summary, threshold)
    outputs = {name: str(output / name) for name in ("report.html", "depth.mp4", "results.jsonl", "summary.json")}
    if as_json:
        print_json(summary | {"outputs": outputs})
    else:
        print_report(*_lines(summary, outputs))
    if played.stopped_by is not None:
        raise typer.Exit(128 + played.stopped_by)


def _bundle(model: Path | None, precision: str | None) -> Path:
    if model is not None and precision is not None:
        raise InputError("--precision chooses among the packaged models; leave it out with --model")
    if precision is not None and precision not in PRECISIONS:
        raise InputError(f"--precision is {', '.join(PRECISIONS)}, found {precision!r}")
    return model or packaged_bundle(f"{DEFAULT_MODEL}-{precision or PRECISIONS[0]}")


def _lines(summary: Mapping[str, Any], outputs: Mapping[str, str]) -> Iterator[RenderableType]:
    run, depth, age, iou = summary["stream"], summary["depth"], summary["stream"]["age_ms"], summary["mask"]["iou"]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("model", escape(f"{run['estimator']}, {summary['model']['precision']}"))
    if summary["mode"] == "live":
        clip = summary["clip"]
        table.add_row("stream", f"{run['frames']} of {clip['frames']} frames live at {run['fps']:.1f} of "
                                f"{clip['fps']:g} fps, {run['dropped']} dropped")  # fmt: skip
        table.add_row("age", f"p50 {age['p50']:.1f}, p95 {age['p95']:.1f}, p99 {age['p99']:.1f} ms, capture to sinks")
    else:
        table.add_row("file", f"{run['frames']} frames at {run['fps']:.1f} fps with heights and video")
    if (speed := summary["throughput"]) is not None:
        table.add_row("depth alone", f"{speed['pipeline_fps']:.1f} fps, {speed['ratio']:.2f} of the network's own "
                                     f"{speed['network_fps']:.1f}")  # fmt: skip
    on_people = "" if depth["absrel_people"] is None else f", on people {depth['absrel_people']:.3f}"
    table.add_row("depth", f"AbsRel {depth['absrel']:.3f}{on_people}, delta1 {depth['delta1']:.3f} over "
                           f"{depth['frames']} frames, not aligned")  # fmt: skip
    if iou is not None:
        table.add_row("people's masks", f"IoU {iou:.3f}")
    for person in summary["people"]:
        table.add_row(person["name"], escape(_height(person)))
    table.add_row("scale", escape(summary["height_scale"]))
    if run["dropped"] > run["frames"]:
        table.add_row("note", "most frames were dropped: this machine is slow or busy; --fast takes every frame")
    if not summary["model"]["trained"]:
        table.add_row("note", "the weights are random: depth and heights mean nothing")
    yield ""
    yield table
    yield ""
    for path in outputs.values():
        yield escape(path)


def _height(person: Mapping[str, Any]) -> str:
    if person["height_m"] is None:
        return f"not measured: {person['refused']}; true stature {person['stature_m']:.2f} m"
    frames = f"{person['frames']} frame{'s' * (person['frames'] != 1)}"
    low, high = person["interval_m"]
    verdict = "holds the truth" if person["interval_holds_stature"] else "misses the truth"
    return (
        f"{person['height_m']:.3f} m (95 % {low:.2f} - {high:.2f}, {verdict}), true stature "
        f"{person['stature_m']:.2f} m, {100 * person['error_m']:+.1f} cm, {frames}"
    )
