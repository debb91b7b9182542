"""Reports for a person: one HTML file with its plots inside, that needs nothing else."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from html import escape

from edgedepth.evaluation.plots import Example, error_by_range, error_histogram, example_figure
from edgedepth.evaluation.report import METRICS, EvaluationReport, FrameRecord
from edgedepth.evaluation.visual import Figure, encode_figure
from edgedepth.output import atomic_output

__all__ = ["STYLE", "html_report", "write_html"]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1180px; padding: 0 1rem; color: #1c2430 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem } small, .note { color: #5a6675 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } .wide { overflow-x: auto }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #dde3ea; white-space: nowrap }
th:first-child, td:first-child, td.note { text-align: left } td.note { white-space: normal }
th { font-weight: 600; cursor: help }
img { max-width: 100% }
.plots { display: flex; flex-wrap: wrap; gap: 1rem } .plots img { max-width: 560px; width: 100% }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem } dt { color: #5a6675 } dd { margin: 0 }
"""
_MOST_SKIPPED = 20
_MOST_EXAMPLES = 6


def write_html(
    path: str | os.PathLike[str],
    reports: Sequence[EvaluationReport],
    examples: Mapping[int, Sequence[Example]] | None = None,
) -> None:
    """Write ``html_report`` to a file, which appears whole.

    Raises:
        MissingExtraError: matplotlib is missing. OutputError: the file cannot be written.
    """
    text = html_report(reports, examples)
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def html_report(reports: Sequence[EvaluationReport], examples: Mapping[int, Sequence[Example]] | None = None) -> str:
    """Evaluations of one data set side by side, as an HTML document without external parts or scripts.

    Args:
        reports: one per estimator; at least one.
        examples: the worst frames to show, by position in ``reports``.

    Raises:
        MissingExtraError: matplotlib is missing.
    """
    first = reports[0]
    parts = [f"<h1>Depth on {escape(first.protocol.name)}: {escape(', '.join(_names(reports)))}</h1>", _facts(reports)]
    parts.append("<h2>Means</h2>" + _means(reports))
    figures = [error_histogram(reports), error_by_range(reports)]
    plots = "".join(_inline(figure, "plot") for figure in figures if figure is not None)
    if plots:
        parts.append(f'<h2>Where the error is</h2><div class="plots">{plots}</div>')
    for number, report in enumerate(reports):
        shown = (examples or {}).get(number, ())[: _MOST_EXAMPLES if len(reports) == 1 else _MOST_EXAMPLES // 2]
        if shown:
            parts.append(f"<h2>Worst frames of {escape(report.estimator.name)}</h2>")
            parts += [_example(example) for example in shown]
    parts += [_frames(report) for report in reports]
    parts += [_skipped(reports)]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>EdgeDepth: {escape(first.protocol.name)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _names(reports: Sequence[EvaluationReport]) -> list[str]:
    return list(dict.fromkeys(report.estimator.name for report in reports))


def _facts(reports: Sequence[EvaluationReport]) -> str:
    report, rules = reports[0], reports[0].protocol
    facts = {
        "protocol": f"{rules.title} ({rules.source})",
        "truth": rules.limits,
        "alignment": ", ".join(dict.fromkeys(one.alignment for one in reports)),
        "data": f"{report.dataset} ({report.dataset_kind})",
        "frames": ", ".join(dict.fromkeys(f"{len(one.frames)} scored, {len(one.skipped)} skipped" for one in reports)),
        "intervals": f"95 %, percentile bootstrap over {report.resampled}",
        "made": f"{report.date} on {report.host}; "
        + ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    }
    if rules.truth == "depth":
        facts["truth"] += (
            f", both ends excluded; crop: {rules.crop or 'none'}; "
            f"prediction {'clipped to the range' if rules.clips else 'not clipped'}"
        )
    for one in reports:
        if one.estimator.sha256:
            facts[one.estimator.name] = f"SHA-256 {one.estimator.sha256}"
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items()) + "</dl>"


def _head(names: Sequence[str]) -> str:
    return "".join(f'<th title="{escape(METRICS[name].meaning)}">{escape(METRICS[name].title)}</th>' for name in names)


def _means(reports: Sequence[EvaluationReport]) -> str:
    """A row per number, a column per estimator."""
    heads = "".join(f"<th>{escape(report.estimator.name)}</th>" for report in reports)
    rows = []
    for name, metric in METRICS.items():
        if not any(name in report.mean for report in reports):
            continue
        cells = "".join(_mean_cell(report, name) for report in reports)
        rows.append(f'<tr><td>{escape(metric.title)}</td>{cells}<td class="note">{escape(metric.meaning)}</td></tr>')
    return (
        f'<div class="wide"><table><tr><th></th>{heads}<th></th></tr>{"".join(rows)}</table></div>'
        '<p class="note">Means over frames of each frame\'s own mean, with their 95 % interval. '
        "p: the depth found, g: the true one.</p>"
    )


def _mean_cell(report: EvaluationReport, name: str) -> str:
    if name not in report.mean:
        return "<td>-</td>"
    form, interval = METRICS[name].form, report.interval95.get(name)
    span = f" <small>{interval.low:{form}} - {interval.high:{form}}</small>" if interval else ""
    return f"<td>{report.mean[name]:{form}}{span}</td>"


def _example(example: Example) -> str:
    record = example.record
    numbers = ", ".join(
        f"{METRICS[name].title} {getattr(record, name):{METRICS[name].form}}"
        for name in ("absrel", "delta1", "rmse_m", "ordinal_accuracy")
        if getattr(record, name) is not None
    )
    return f"<p><b>{escape(record.id)}</b> {escape(numbers)}</p>{_inline(example_figure(example), escape(record.id))}"


def _frames(report: EvaluationReport) -> str:
    names = [name for name in METRICS if any(getattr(record, name) is not None for record in report.frames)]
    rows = "".join(f"<tr><td>{escape(record.id)}</td>{_cells(record, names)}</tr>" for record in report.frames)
    return (
        f"<details><summary>All {len(report.frames)} frames of {escape(report.estimator.name)}</summary>"
        f'<div class="wide"><table><tr><th>frame</th>{_head(names)}</tr>{rows}</table></div></details>'
    )


def _cells(record: FrameRecord, names: Sequence[str]) -> str:
    values = [getattr(record, name) for name in names]
    return "".join(
        "<td>-</td>" if value is None else f"<td>{value:{METRICS[name].form}}</td>"
        for name, value in zip(names, values, strict=True)
    )


def _skipped(reports: Sequence[EvaluationReport]) -> str:
    rows = {(skipped.id, skipped.reason) for report in reports for skipped in report.skipped}
    if not rows:
        return ""
    listed = "".join(f"<li><b>{escape(i)}</b>: {escape(why)}</li>" for i, why in sorted(rows)[:_MOST_SKIPPED])
    more = f"<p>and {len(rows) - _MOST_SKIPPED} more (see the JSON)</p>" if len(rows) > _MOST_SKIPPED else ""
    return f"<h2>Skipped</h2><ul>{listed}</ul>{more}"


def _inline(figure: Figure, name: str) -> str:
    encoded = base64.b64encode(encode_figure(figure)).decode("ascii")
    return f'<img alt="{name}" src="data:image/png;base64,{encoded}">'
