"""What a demo leaves: ``summary.json`` and ``report.html`` beside the video and the JSON lines that its sinks wrote."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from edgedepth.demo.charts import COLOURS, Band, Curve, Level, chart
from edgedepth.demo.pictures import ERROR_LIMIT, comparison
from edgedepth.demo.play import Played, Speed
from edgedepth.demo.scores import DemoScores, PersonScore
from edgedepth.device import describe_device
from edgedepth.evaluation.report_html import STYLE
from edgedepth.sources.clip import Clip

__all__ = ["MADE_BY", "SUMMARY_FILE", "is_demo_folder", "summary_of", "write_report"]

MADE_BY, SUMMARY_FILE = "edgedepth demo", "summary.json"
_PICTURES = (0.2, 0.5, 0.8)
"""Which frames are shown: after these shares of the clip."""
_EXTRA_STYLE = """
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0 }
.tiles div { border: 1px solid #dde3ea; border-radius: 8px; padding: .6rem 1rem; min-width: 7.5rem }
.tiles b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums } .tiles span { color: #5a6675 }
.plots svg { width: 560px; max-width: 100% } .yes { color: #2e7d32 } .no { color: #b3261e }
"""


def is_demo_folder(folder: Path) -> bool:
    """Whether a folder is what an earlier demo left, and may be replaced."""
    try:
        return bool(json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))["made_by"] == MADE_BY)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def summary_of(
    clip: Clip, played: Played, scores: DemoScores, *, live: bool, model: Mapping[str, Any], scale: str,
    speed: Speed | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Everything a demo found, JSON-ready.

    Args:
        clip, played, scores: of one run.
        live: played as a camera would, not as a file.
        model: what gave the depth.
        scale: where the metres of the heights come from.
        speed: throughput as a file, when it was measured.
    """
    return {
        "made_by": MADE_BY,
        "schema_version": 1,
        "mode": "live" if live else "file",
        "clip": {"frames": clip.info.frames, "fps": clip.info.fps, "seed": clip.info.seed},
        "model": dict(model),
        "machine": describe_device().name,
        "stream": played.summary.as_dict(),
        **scores.as_dict(),
        "height_scale": scale,
        "frames_without_floor": sum(seen.measurement.floor is None for seen in played.seen),
        "throughput": None
        if speed is None
        else {
            "pipeline_fps": round(speed.pipeline_fps, 1),
            "network_fps": round(speed.network_fps, 1),
            "ratio": round(speed.ratio, 3),
        },
    }


def write_report(
    folder: Path, clip: Clip, played: Played, scores: DemoScores, summary: Mapping[str, Any],
    person_threshold: float | None,
) -> None:  # fmt: skip
    """Write ``summary.json`` and ``report.html`` into ``folder``.

    Raises:
        InputError: the clip's truth cannot be read.
    """
    (folder / SUMMARY_FILE).write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    body = "\n".join(_body(clip, played, scores, summary, person_threshold))
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>EdgeDepth demo</title><style>{STYLE}{_EXTRA_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
    (folder / "report.html").write_text(page, encoding="utf-8")


def _body(
    clip: Clip, played: Played, scores: DemoScores, summary: Mapping[str, Any], person_threshold: float | None
) -> Iterator[str]:
    run, model = summary["stream"], summary["model"]
    yield f"<h1>EdgeDepth demo: {escape(model['name'])}, {escape(model['precision'])}</h1>"
    kind = "as a live camera" if summary["mode"] == "live" else "as a file, every frame once"
    yield (
        f"<p>A rendered clip of {clip.info.frames / clip.info.fps:g} s ({clip.info.camera.width}x"
        f"{clip.info.camera.height}, {clip.info.fps:g} fps) streamed {kind} through {escape(run['estimator'])} on "
        f"{escape(summary['machine'])}. Its room was in no training. The truth of every "
        f"{clip.info.truth_every}th frame is known; nothing was aligned to it.</p>"
    )
    if not model["trained"]:
        yield '<p class="no"><b>The weights are random: no number of depth or height below means anything.</b></p>'
    yield _tiles(summary)
    yield "<h2>Heights</h2>" + _people(scores.people, summary["height_scale"])
    yield "<h2>Pictures</h2>" + "".join(_pictures(clip, played, person_threshold))
    yield '<h2>Over time</h2><div class="plots">' + "".join(_charts(clip, played, scores)) + "</div>"
    yield "<h2>Where a frame's time goes</h2>" + _stages(run)
    yield (
        "<h2>Files</h2><ul><li><a href='depth.mp4'>depth.mp4</a>: every frame shown, beside its depth</li>"
        "<li><a href='results.jsonl'>results.jsonl</a>: one line a frame</li>"
        "<li><a href='summary.json'>summary.json</a>: the numbers of this page</li></ul>"
    )


def _tiles(summary: Mapping[str, Any]) -> str:
    run, depth, iou = summary["stream"], summary["depth"], summary["mask"]["iou"]
    age, speed = run["age_ms"], summary["throughput"]
    tiles = [("frames per second", f"{run['fps']:.1f}"), ("frames dropped", str(run["dropped"]))]
    if summary["mode"] == "live":
        tiles.append(("age p50 / p95 / p99, ms", f"{age['p50']:.0f} / {age['p95']:.0f} / {age['p99']:.0f}"))
    tiles += [("AbsRel", f"{depth['absrel']:.3f}"), ("delta1", f"{depth['delta1']:.3f}")]
    if depth["absrel_people"] is not None:
        tiles.append(("AbsRel on people", f"{depth['absrel_people']:.3f}"))
    if iou is not None:
        tiles.append(("mask IoU", f"{iou:.3f}"))
    if speed is not None:
        tiles.append(("of the network's own speed", f"{100 * speed['ratio']:.0f} %"))
    cells = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in tiles)
    return f'<div class="tiles">{cells}</div>'


def _people(people: Sequence[PersonScore], scale: str) -> str:
    rows = []
    for one in people:
        cells = [one.name, f"{one.stature_m:.2f} m"]
        if one.height_m is None or one.interval_m is None or one.error_m is None:
            cells += [f"not measured: {one.refused}", "", "", ""]
        else:
            cells += [f"{one.height_m:.3f} m", f"{one.interval_m[0]:.2f} - {one.interval_m[1]:.2f} m",
                      f"{100 * one.error_m:+.1f} cm", "yes" if one.holds else "no"]  # fmt: skip
        cells.append(f"{sum(frame.height_m is not None for frame in one.frames)} of {len(one.frames)}")
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(
        f"<th>{name}</th>"
        for name in ("", "stature", "measured", "95 % interval", "error", "holds the truth", "frames measured")
    )
    return (
        f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
        f'<p class="note">Scale from {escape(scale)}.</p>'
    )


def _pictures(clip: Clip, played: Played, person_threshold: float | None) -> Iterator[str]:
    far_m = clip.far_m
    chosen = dict.fromkeys(int(share * (len(played.judged) - 1)) for share in _PICTURES)
    for index in chosen:
        result = played.judged[index]
        encoded = base64.b64encode(comparison(result, clip, far_m, person_threshold)).decode("ascii")
        when = f"frame {result.frame.sequence}, {result.frame.sequence / clip.info.fps:.2f} s"
        yield f'<p><img alt="{when}" src="data:image/jpeg;base64,{encoded}"><br><small>{when}</small></p>'
    limit = f"{100 * ERROR_LIMIT:.0f}"
    yield (
        f'<p class="note">Depth: red is near, blue is {far_m:g} m. Error: red is too far, blue too near, '
        f"both full at {limit} % of the true depth, white is right.</p>"
    )


def _charts(clip: Clip, played: Played, scores: DemoScores) -> Iterator[str]:
    fps, age = clip.info.fps, played.summary.age_ms
    when = [seen.frame / fps for seen in played.seen]
    levels = [Level(f"p95 {age.p95_ms:.0f} ms", age.p95_ms)] if age is not None else []
    ages = Curve("age", when, [seen.age_ms for seen in played.seen])
    yield chart("Age of each result, capture to sinks", [ages], x_label="s", y_label="ms", levels=levels)
    judged = [one.frame / fps for one in scores.frames]
    curves = [Curve("whole image", judged, [100 * one.absrel for one in scores.frames])]
    on_people = [None if one.absrel_people is None else 100 * one.absrel_people for one in scores.frames]
    if any(value is not None for value in on_people):
        curves.append(Curve("people", judged, on_people, COLOURS[1]))
    yield chart("Error of depth (AbsRel)", curves, x_label="s", y_label="%")
    for number, one in enumerate(scores.people):
        colour = COLOURS[number % len(COLOURS)]
        dots = Curve("frames", [f.frame / fps for f in one.frames], [f.height_m for f in one.frames], colour, dots=True)
        bands = [Band("95 % interval", *one.interval_m, colour)] if one.interval_m is not None else []
        levels = [Level(f"stature {one.stature_m:.2f} m", one.stature_m)]
        yield chart(
            f"Height of the {one.name}, frame by frame", [dots], x_label="s", y_label="m", levels=levels, bands=bands,
            from_zero=False,
        )  # fmt: skip


def _stages(run: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{times['p50']:.1f}</td><td>{times['p95']:.1f}</td></tr>"
        for name, times in run["stages_ms"].items()
    )
    return f"<table><tr><th>stage</th><th>p50 ms</th><th>p95 ms</th></tr>{rows}</table>"
