"""The figures of a report: how errors are distributed, how they grow with range, and the worst frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgedepth.data import Dataset
from edgedepth.depth import FrameEstimator
from edgedepth.depth.colormap import pick_range
from edgedepth.evaluation.protocols import Protocol, find_protocol
from edgedepth.evaluation.report import EvaluationReport, FrameRecord
from edgedepth.evaluation.scoring import frame_of, score_depth
from edgedepth.evaluation.visual import Figure, draw_depth, draw_error, make_figure
from edgedepth.types import DepthKind, DepthMap, Intrinsics

__all__ = ["Example", "error_by_range", "error_histogram", "example_figure", "worst_examples"]


@dataclass(frozen=True, eq=False)
class Example:
    """One frame to look at.

    Attributes:
        record: its numbers.
        image: uint8 RGB.
        found: depth after alignment and clipping (metres), or as it came for ordinal pairs.
        truth_m: float32 H x W, NaN where nothing is scored; None for ordinal pairs.
        points_xy: the two points of an ordinal pair and +1, -1 or 0, or None.
    """

    record: FrameRecord
    image: NDArray[np.uint8]
    found: DepthMap
    truth_m: NDArray[np.float32] | None = None
    points_xy: tuple[tuple[float, float], tuple[float, float], int] | None = None

    @property
    def intrinsics(self) -> Intrinsics | None:
        """The camera."""
        return self.found.intrinsics


def worst_examples(
    estimator: FrameEstimator, dataset: Dataset, report: EvaluationReport, protocol: Protocol | None = None
) -> list[Example]:
    """The report's worst frames, run again: a data set's pictures are not kept in memory while it is evaluated.

    Args:
        estimator, dataset: what the report is of.
        protocol: the report's; None = that of its name in PROTOCOLS.
    """
    protocol = protocol or find_protocol(report.protocol.name)
    records = {record.id: record for record in report.frames}
    index = {name: position for position, name in enumerate(dataset.ids)}
    examples = []
    for name in report.worst:
        sample = dataset[index[name]]
        found = estimator.estimate(frame_of(sample))
        if protocol.truth == "pairs":
            assert sample.pairs is not None
            first, second = (tuple(map(float, points[0])) for points in (sample.pairs.first_xy, sample.pairs.second_xy))
            points = ((first[0], first[1]), (second[0], second[1]), int(sample.pairs.relation[0]))
            examples.append(Example(records[name], sample.image, found, points_xy=points))
            continue
        assert sample.depth_m is not None
        path = f"{dataset.name}/{sample.id}"
        scored = score_depth(found, sample.depth_m, path, protocol, report.alignment)
        metric = DepthMap(scored.aligned.depth_m, DepthKind.METRIC, sample.intrinsics)
        truth_m = np.where(scored.scored, sample.depth_m, np.float32(np.nan))
        examples.append(Example(records[name], sample.image, metric, truth_m))
    return examples


def example_figure(example: Example) -> Figure:
    """Image, truth, prediction and error of one frame, the depths on one scale of metres."""
    if example.truth_m is None:
        return _pair_figure(example)
    figure = make_figure(13.5, 3)
    panels = figure.subplots(1, 4)
    panels[0].imshow(example.image)
    panels[0].set(xticks=[], yticks=[], title="image")
    truth = DepthMap(example.truth_m, DepthKind.METRIC)
    ends = [found for found in (pick_range(truth), pick_range(example.found)) if found is not None]
    range_m = (0.0, max((far for _, far in ends), default=10.0))
    draw_depth(panels[1], truth, range_m, title="truth, where scored")
    draw_depth(panels[2], example.found, range_m, title="found")
    draw_error(panels[3], example.found.values, example.truth_m, title="error")
    return figure


def _pair_figure(example: Example) -> Figure:
    figure = make_figure(9, 3.6)
    panels = figure.subplots(1, 2)
    panels[0].imshow(example.image)
    panels[0].set(xticks=[], yticks=[], title="A > B: A is farther")
    draw_depth(panels[1], example.found, pick_range(example.found) or (0.0, 1.0), title="found")
    if example.points_xy is not None:
        sign = {1: ">", -1: "<", 0: "="}[example.points_xy[2]]
        for name, (x, y) in zip("AB", example.points_xy[:2], strict=True):
            for panel in panels:
                panel.plot(x, y, "o", markersize=7, markerfacecolor="none", markeredgecolor="white")
                panel.annotate(name, (x, y), xytext=(5, 5), textcoords="offset points", color="white")
        panels[0].set_title(f"people say A {sign} B (> is farther)")
    return figure


def error_histogram(reports: Sequence[EvaluationReport]) -> Figure | None:
    """How many frames have which AbsRel, and the mean; None where no report has one."""
    rows = [(report, [r.absrel for r in report.frames if r.absrel is not None]) for report in reports]
    rows = [(report, values) for report, values in rows if values]
    if not rows:
        return None
    figure = make_figure(5.6, 3.4)
    axes = figure.subplots()
    top = float(np.percentile(np.concatenate([values for _, values in rows]), 99)) * 1.05
    edges = np.linspace(0, max(top, 1e-3), 21)
    for number, (report, values) in enumerate(rows):
        colour = f"C{number}"
        # What lies beyond the axis is counted in its last bar.
        axes.hist(np.minimum(values, edges[-1]), edges, histtype="step", color=colour, label=report.estimator.name)
        axes.axvline(report.mean["absrel"], color=colour, linestyle="--", linewidth=1)
    axes.set(xlabel=f"AbsRel of a frame (alignment: {_alignments(reports)})", ylabel="frames")
    if len(rows) > 1:
        axes.legend(fontsize=7)
    return figure


def error_by_range(reports: Sequence[EvaluationReport]) -> Figure | None:
    """AbsRel and bias of the pixels of each range of true depth; None where no report has any."""
    rows = [report for report in reports if any(row.pixels for row in report.by_range)]
    if not rows:
        return None
    figure = make_figure(5.6, 3.4)
    axes = figure.subplots()
    for number, report in enumerate(rows):
        known = [row for row in report.by_range if row.pixels]
        middle = [(row.from_m + row.to_m) / 2 for row in known]
        name = report.estimator.name if len(rows) > 1 else "AbsRel"
        axes.plot(middle, [row.absrel for row in known], "o-", color=f"C{number}", label=name)
        bias = [row.bias for row in known]
        axes.plot(middle, bias, ":", color=f"C{number}", label="bias" if len(rows) == 1 else None)
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.set(xlabel="true depth, m", ylabel="AbsRel; dotted: bias (p - g) / g")
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)
    return figure


def _alignments(reports: Iterable[EvaluationReport]) -> str:
    return ", ".join(dict.fromkeys(report.alignment for report in reports))
