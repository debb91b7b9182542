"""What ``edgedepth evaluate`` shows in a terminal: the frames of a short evaluation, and the means of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from edgedepth.evaluation.report import METRICS, EvaluationReport

__all__ = ["report_lines"]

# What fits a terminal; --json and --html have every number.
_SHOWN = ("absrel", "rmse_m", "log10", "silog", "delta1", "delta2", "delta3", "coverage", "boundary_f1",
          "floor_rms_m", "tae_percent", "ordinal_accuracy", "whdr", "person_iou", "person_false")  # fmt: skip
_FRAME_COLUMNS = ("absrel", "rmse_m", "delta1", "coverage", "scale", "tae_percent", "ordinal_accuracy", "person_iou")
_MOST_FRAMES, _MOST_SKIPPED = 30, 3


def report_lines(reports: Sequence[EvaluationReport]) -> Iterator[RenderableType]:
    """Tables and lines for reports of one data set and protocol, with the alignment and what was skipped."""
    names = [name for name in _SHOWN if any(name in report.mean for report in reports)]
    if len(reports) == 1 and len(reports[0].frames) <= _MOST_FRAMES:
        yield _frame_table(reports[0])
        yield ""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("mean over frames", no_wrap=True)
    for name in names:
        table.add_column(METRICS[name].title, justify="right")
    for report in reports:
        table.add_row(escape(report.estimator.name), *(_number(report.mean.get(name), name) for name in names))
        if report.interval95:
            spans = (f"  95 % over {report.resampled}", *(_span(report, name) for name in names))
            table.add_row(*(f"[dim]{span}[/]" for span in spans))
    yield table
    first = reports[0]
    rules = first.protocol
    parts = [rules.limits]
    if rules.truth == "depth":
        parts += [f"crop {rules.crop or 'none'}", "clipped" if rules.clips else "not clipped"]
    yield escape(f"protocol {rules.name}: {', '.join(parts)}; alignment: {first.alignment}")
    yield escape(f"{len(first.frames)} of {first.samples} samples of {first.dataset}")
    skipped = list(dict.fromkeys((one.id, one.reason) for report in reports for one in report.skipped))
    for name, reason in skipped[:_MOST_SKIPPED]:
        yield f"[yellow]skipped {escape(name)}: {escape(reason)}[/]"
    if len(skipped) > _MOST_SKIPPED:
        yield f"[yellow]and {len(skipped) - _MOST_SKIPPED} more skipped (--json names them)[/]"


def _frame_table(report: EvaluationReport) -> Table:
    names = [name for name in _FRAME_COLUMNS if any(getattr(record, name) is not None for record in report.frames)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("frame")
    for name in names:
        table.add_column(METRICS[name].title if name in METRICS else name, justify="right")
    for record in report.frames:
        table.add_row(escape(record.id), *(_number(getattr(record, name), name) for name in names))
    return table


def _number(value: float | None, name: str) -> str:
    return "-" if value is None else format(value, METRICS[name].form if name in METRICS else ".4g")


def _span(report: EvaluationReport, name: str) -> str:
    interval = report.interval95.get(name)
    return "" if interval is None else f"{_number(interval.low, name)}-{_number(interval.high, name)}"
