"""Figures of depth: maps with a bar in metres, errors, clouds, training curves. Needs matplotlib (extra ``train``).

Figures are made without pyplot, so nothing is kept between calls and no display is needed.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgedepth.depth.colormap import DepthColormap, pick_range
from edgedepth.errors import InputError
from edgedepth.extras import require
from edgedepth.geometry import PointCloud
from edgedepth.output import atomic_output
from edgedepth.types import DepthMap

__all__ = [
    "cloud_figure",
    "depth_figure",
    "draw_depth",
    "draw_error",
    "encode_figure",
    "make_figure",
    "save_figure",
    "training_figure",
]

Figure: TypeAlias = Any
Axes: TypeAlias = Any

ERROR_LIMIT = 0.5
"""Relative error of the strongest colour of an error map: +-50 %."""
_LOSS = re.compile(r"loss|_(depth|log|inverse)$")


def make_figure(width_in: float, height_in: float) -> Figure:
    """An empty matplotlib Figure. Raises MissingExtraError."""
    figure = require("matplotlib.figure", "train").Figure(figsize=(width_in, height_in), layout="constrained")
    require("matplotlib.backends.backend_agg", "train").FigureCanvasAgg(figure)
    return figure


def draw_depth(axes: Axes, depth: DepthMap, range_m: tuple[float, float], *, title: str = "") -> None:
    """A depth map in the colours of ``edgedepth run``, with a bar in its unit; black is invalid.

    Args:
        axes: matplotlib Axes.
        depth: of any kind.
        range_m: (near, far) as DepthColormap.
    """
    colors = require("matplotlib.colors", "train")
    colormap = DepthColormap(*range_m)
    near_first = colormap.table_rgb[::-1] / 255
    palette = colors.ListedColormap(near_first if range_m[0] < range_m[1] else near_first[::-1])
    palette = palette.with_extremes(bad="black")
    values = np.ma.masked_invalid(depth.values)
    drawn = axes.imshow(values, cmap=palette, vmin=min(range_m), vmax=max(range_m), interpolation="nearest")
    unit = "m" if depth.is_metric else depth.kind.value.replace("_", " ")
    _bar(axes, drawn, unit)
    _bare(axes, title)


def draw_error(
    axes: Axes, found: NDArray[Any], truth: NDArray[Any], *, title: str = "", limit: float = ERROR_LIMIT
) -> None:
    """(found - truth) / truth in per cent: red is too far, blue is too near, black has no truth or was not found."""
    with np.errstate(divide="ignore", invalid="ignore"):
        error = 100 * (np.asarray(found, np.float64) / np.asarray(truth, np.float64) - 1)
    error[~(np.isfinite(error) & (truth > 0))] = np.nan
    palette = require("matplotlib", "train").colormaps["RdBu_r"].with_extremes(bad="black")
    values = np.ma.masked_invalid(error)
    drawn = axes.imshow(values, cmap=palette, vmin=-100 * limit, vmax=100 * limit, interpolation="nearest")
    _bar(axes, drawn, "% of the true depth", extend="both")
    _bare(axes, title)


def depth_figure(
    depth: DepthMap, image: NDArray[np.uint8] | None = None, *, range_m: tuple[float, float] | None = None
) -> Figure:
    """A depth map, beside its image when given.

    Args:
        depth: of any kind.
        image: uint8 RGB.
        range_m: (near, far) of the colours; None chooses one that suits the map.

    Raises:
        InputError: no range was given and the map has next to no valid pixel.
        MissingExtraError: matplotlib is missing.
    """
    chosen = range_m or pick_range(depth)
    if chosen is None:
        raise InputError("the depth map has too few valid pixels to choose colours for it; give a range")
    figure = make_figure(5.2 if image is None else 9.6, 4)
    panels = figure.subplots(1, 1 if image is None else 2, squeeze=False)[0]
    if image is not None:
        panels[0].imshow(image)
        _bare(panels[0], "")
    draw_depth(panels[-1], depth, chosen)
    return figure


def cloud_figure(cloud: PointCloud, *, most_points: int = 20_000, elevation_deg: float = 15.0) -> Figure:
    """A point cloud in 3D: x to the right, depth z into the scene, y up. Every n-th point, so that it can be drawn.

    Raises:
        InputError: there is no point. MissingExtraError: matplotlib is missing.
    """
    if not len(cloud):
        raise InputError("the cloud has no point to draw; is any of its depth valid?")
    figure = make_figure(7, 6)
    axes = figure.add_subplot(projection="3d")
    step = math.ceil(len(cloud) / most_points)
    x, y, z = cloud.xyz_m[::step].T
    colours = cloud.rgb[::step] / 255 if cloud.rgb is not None else z
    axes.scatter(x, z, -y, c=colours, s=1, linewidths=0)
    axes.set(xlabel="x m", ylabel="z m", zlabel="up m")
    axes.set_box_aspect([max(float(np.ptp(side)), 1e-3) for side in (x, z, y)])
    axes.view_init(elev=elevation_deg, azim=-75)
    return figure


def training_figure(log: str | os.PathLike[str]) -> Figure:
    """The curves of a training's ``curve.csv``: a ``step`` column and one column per number.

    The loss and its terms, which are named after their space (``ssim_log``), are drawn in the first panel, on a
    logarithmic axis where all are positive; each other number has a panel of its own. Empty cells are no points.

    Raises:
        InputError: no such file, no ``step`` column, or no number to draw. MissingExtraError: matplotlib is missing.
    """
    columns = _read_log(Path(log))
    steps = columns.pop("step")
    columns.pop("epoch", None)  # says no more than the step
    losses = {name: values for name, values in columns.items() if _LOSS.search(name)}
    panels: list[tuple[str, dict[str, NDArray[np.float64]]]] = [("loss", losses)] if losses else []
    panels += [(name, {name: values}) for name, values in columns.items() if name not in losses]
    wide = min(3, len(panels))
    tall = math.ceil(len(panels) / wide)
    figure = make_figure(4.2 * wide, 3 * tall)
    axes = figure.subplots(tall, wide, squeeze=False).ravel()
    for panel, (title, curves) in zip(axes, panels, strict=False):
        for name, values in curves.items():
            given = np.isfinite(values)
            panel.plot(steps[given], values[given], label=name, marker="." if given.sum() < 30 else "", linewidth=1)
        if title == "loss" and all((values[np.isfinite(values)] > 0).all() for values in curves.values()):
            panel.set_yscale("log")
        panel.set(title=title, xlabel="step")
        panel.grid(alpha=0.3)
        if len(curves) > 1:
            panel.legend()
    for panel in axes[len(panels) :]:
        panel.remove()
    return figure


def _read_log(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no training log can be read ({error}); expected a CSV with a step column") from error
    columns = {}
    for name in rows[0] if rows else ():
        numbers = [_number(row.get(name)) for row in rows]
        if name and not all(math.isnan(number) for number in numbers):
            columns[name] = np.array(numbers)
    if "step" not in columns or len(columns) < 2:
        found = ", ".join(columns) or "no column of numbers"
        raise InputError(f"{path}: expected a CSV with step and at least one other column of numbers, found {found}")
    return columns


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def encode_figure(figure: Figure, form: str = "png", *, dpi: int = 100) -> bytes:
    """A figure as the bytes of a PNG or SVG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    matplotlib = require("matplotlib", "train")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: each further time moves the axes by rounding
    with matplotlib.rc_context({"svg.hashsalt": "edgedepth"}):  # else ids of an SVG are random
        figure.savefig(buffer, format=form, dpi=dpi, metadata={"Date": None} if form == "svg" else None)
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: int = 150) -> None:
    """Write a figure as ``.png`` or ``.svg``; the file appears whole.

    Raises:
        InputError: another suffix. OutputError: it cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".svg"):
        raise InputError(f"a figure is written as .png or .svg, found {path}")
    encoded = encode_figure(figure, suffix[1:], dpi=dpi)
    with atomic_output(path) as temporary:
        temporary.write_bytes(encoded)


def _bar(axes: Axes, drawn: Any, label: str, extend: str = "neither") -> None:
    """A colour bar as tall as the picture, whatever its aspect."""
    axes.figure.colorbar(drawn, cax=axes.inset_axes((1.02, 0.0, 0.05, 1.0)), label=label, extend=extend)


def _bare(axes: Axes, title: str) -> None:
    axes.set(xticks=[], yticks=[], title=title)
