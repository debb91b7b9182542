"""``edgedepth run``: a source through a network into sinks."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer

from edgedepth.cli import options as opt
from edgedepth.cli.app import console, print_json
from edgedepth.errors import InputError
from edgedepth.people.track import HeightTracker
from edgedepth.resources import DEFAULT_MODEL, packaged_bundle
from edgedepth.sources import SourceOptions, open_source
from edgedepth.stream import Pipeline, RunSummary, stop_on_signals, stream_options
from edgedepth.stream.sinks import Sink, open_sink
from edgedepth.stream.sinks.console import height_text

__all__ = ["run"]


def run(
    source: Annotated[
        str,
        typer.Argument(
            help="0, v4l2:///dev/video0, usb://, csi://0, gst:PIPELINE, rtsp://, http://, a video, an image or a glob, "
            "an RGB-D folder or manifest, clip://demo, or synthetic://.",
            metavar="SOURCE",
        ),
    ],
    model: opt.ModelOption = None,
    spec: opt.SpecOption = None,
    backend: opt.BackendOption = None,
    intrinsics: opt.IntrinsicsOption = None,
    height: Annotated[bool, typer.Option("--height", help="Measure the height of the people in view.")] = False,
    camera_height: opt.CameraHeightOption = None,
    camera_pitch: opt.CameraPitchOption = None,
    camera_roll: opt.CameraRollOption = None,
    scale: opt.ScaleOption = None,
    detector: opt.DetectorOption = None,
    jsonl: Annotated[str | None, typer.Option(help="Write one JSON line a frame to this file (- for stdout).")] = None,
    video: Annotated[Path | None, typer.Option(help="Write image and depth side by side to this .mp4.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write a 16-bit depth PNG a frame into this folder.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Frames at once; default one for live sources, one a core for files.")
    ] = None,
    max_depth: Annotated[
        float | None, typer.Option(min=0.1, help="Far end of the video's colours, metres; default from frame one.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Start a file again at its end.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a frame that cannot be decoded.")] = False,
    patience: Annotated[
        float | None, typer.Option(min=0.1, help="Give up after so many seconds without a frame.")
    ] = None,
    allow_untrained: opt.UntrainedOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No live table.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the run's summary as JSON on standard output.")
    ] = False,
) -> None:
    """Stream depth, and heights, from a camera or a file.

    Live sources give the newest frame and count what they drop; of files every frame is taken once, in order.
    Without --model the source's own depth is used (an RGB-D recording, synthetic://), or the packaged model.

    Examples:

    [bold]edgedepth run synthetic:// --height[/]

    [bold]edgedepth run rtsp://camera/stream --intrinsics hfov=90 --height --camera-height 2.1 --camera-pitch 20[/]
    """
    if as_json and jsonl == "-":
        raise InputError("--json and --jsonl - both write to standard output; send one of them to a file")
    only_for_heights = {
        "--detector": (detector, "finds people to measure"),
        "--camera-height": (camera_height, "scales the depth that heights are measured in"),
        "--camera-pitch": (camera_pitch, "tells how the floor lies that heights are measured from"),
    }
    for name, (value, what) in only_for_heights.items():
        if value is not None and not height:
            raise InputError(f"{name} {what}; add --height")
    up = opt.parse_tilt(camera_pitch, camera_roll)
    opt.refuse_overwrites(
        {"the source": source, "--model": model, "--spec": spec, "--intrinsics": intrinsics, "--detector": detector},
        {"--jsonl": jsonl, "--video": video, "--png": png},
    )
    metric = opt.parse_scale(scale)
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source, SourceOptions(intrinsics=intrinsics, loop=loop)))
        options = stream_options(opened, workers=workers)
        if model is None and not opened.gives_depth:
            model = _packaged(opened.uri, quiet=quiet)
        estimator = stack.enter_context(
            opt.open_estimator(
                model, spec, backend, options=options, scale=metric, allow_untrained=allow_untrained
            )
        )  # fmt: skip
        meter = tracker = None
        if height:
            finder = stack.enter_context(closing(opt.make_finder(detector, estimator, options)))
            meter = opt.make_meter(estimator, finder, camera_height_m=camera_height, up=up, scaled=metric is not None)
            tracker = HeightTracker()
        # Sinks last: nothing is created for a run that cannot start. The pipeline closes them.
        sinks: list[Sink] = []
        if jsonl is not None:
            sinks.append(open_sink("jsonl", jsonl))
        if video is not None:
            far = {} if max_depth is None else {"range_m": (0.0, max_depth)}
            sinks.append(open_sink("video", video, fps=opened.fps, **far))
        if png is not None:
            sinks.append(open_sink("png", png))
        if not quiet and not as_json:
            sinks.append(open_sink("console"))
        pipeline = Pipeline(
            opened, estimator, meter=meter, tracker=tracker, sinks=sinks, workers=workers, max_frames=frames,
            patience_s=patience, on_invalid="raise" if strict else "skip",
        )  # fmt: skip
        with stop_on_signals(pipeline.stop) as signals:
            summary = pipeline.run()
    if as_json:
        outputs = {"jsonl": jsonl, "video": str(video) if video else None, "png": str(png) if png else None}
        print_json(summary.as_dict() | {"outputs": {name: path for name, path in outputs.items() if path}})
    else:
        _print(summary)
    if signals:
        raise typer.Exit(128 + signals[0])


def _print(summary: RunSummary) -> None:
    age = f", age p50 {summary.age_ms.p50_ms:.1f} ms p95 {summary.age_ms.p95_ms:.1f} ms" if summary.age_ms else ""
    console.print(
        f"{summary.frames} frames in {summary.wall_s:.2f} s ({summary.fps:.1f} fps){age}, "
        f"{summary.dropped} dropped, {summary.invalid} invalid",
        highlight=False,
        soft_wrap=True,
    )
    for person in summary.people:
        console.print(
            f"person {person.person}: {height_text(person)}", highlight=False, markup=False, soft_wrap=True
        )  # fmt: skip


def _packaged(uri: str, *, quiet: bool) -> Path:
    """The packaged model, and a word that it is taken."""
    model = packaged_bundle(DEFAULT_MODEL)
    if not quiet:
        console.print(f"no --model, and no depth from {uri}: {model.name} of the package",
                      soft_wrap=True, highlight=False, markup=False)  # fmt: skip
    return model
