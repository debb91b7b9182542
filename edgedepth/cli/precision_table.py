"""``report.json`` for a person: one row per precision."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from edgedepth.bundle import PrecisionReport

__all__ = ["report_lines"]

_TRUTH = {"sensor": "the sensor's depth", "fp32": "nothing but FP32: these frames bring no depth"}


def report_lines(report: PrecisionReport) -> Iterator[RenderableType]:
    """The table and what stands under it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("precision")
    tells_people = any(row.person_error is not None for row in report.rows)
    columns = ["AbsRel", "delta1", "RMSE", "off FP32", "worst", "scale", "spread", "NaN", "size", "p50", "p95"]
    for name in columns + ["person off"] * tells_people:
        table.add_column(name, justify="right")
    for row in report.rows:
        table.add_row(
            row.precision,
            _number(row.abs_rel, ".4f"),
            _number(row.delta1, ".4f"),
            _number(row.rmse_m, ".3f", " m"),
            _number(row.relative_error, ".3%"),
            _number(row.max_relative_error, ".2%"),
            _number(row.scale_ratio, ".4f"),
            _number(row.scale_spread, ".3%"),
            str(row.nan_inf),
            f"{row.size_mb:.2f} MB",
            f"{row.latency_ms_p50:.2f} ms",
            f"{row.latency_ms_p95:.2f} ms",
            *([_number(row.person_error, ".4f")] if tells_people else ()),
        )
    yield table
    frames = report.frame_set
    yield escape(
        f"{frames.frames} frames of {frames.name}, against {_TRUTH[frames.truth]}; {report.backend} on {report.host}"
    )
    if report.kept_fp32:
        yield escape(f"kept in FP32: {', '.join(report.kept_fp32)}")
    if report.not_quantized:
        yield escape(f"not quantised: {', '.join(report.not_quantized)}")
    yield from (escape(note) for note in report.notes)
    yield f"[bold]{escape(report.verdict)}[/]"


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"
