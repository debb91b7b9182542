"""Line charts as SVG text, for pages of an installation without matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from edgedepth.stream.sinks.picture import round_ticks

__all__ = ["COLOURS", "Band", "Curve", "Level", "chart"]

COLOURS = ("#2563a8", "#c2571a", "#3d8b40", "#7a5195")
_WIDTH, _HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 34, 44


@dataclass(frozen=True)
class Curve:
    """Points to join, or with ``dots`` to mark; a None in ``y`` is a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    colour: str = COLOURS[0]
    dots: bool = False


@dataclass(frozen=True)
class Level:
    """A dashed line across, with its name at the right end."""

    name: str
    y: float
    colour: str = "#5a6675"


@dataclass(frozen=True)
class Band:
    """A stripe across from ``low`` to ``high``."""

    name: str
    low: float
    high: float
    colour: str = COLOURS[0]


def chart(
    title: str,
    curves: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    levels: Sequence[Level] = (),
    bands: Sequence[Band] = (),
    from_zero: bool = True,
) -> str:
    """An SVG element of 560 x 300 that scales with its page. The axes end at round numbers.

    Args:
        title: above the chart.
        curves, levels, bands: what is drawn; all of it is inside the axes.
        x_label, y_label: names and units of the axes.
        from_zero: whether the y axis starts at 0.
    """
    xs = [x for curve in curves for x in curve.x]
    ys = [y for curve in curves for y in curve.y if y is not None]
    ys += [level.y for level in levels] + [end for band in bands for end in (band.low, band.high)]
    x_ends, y_ends = _ends(xs, [0.0]), _ends(ys, [0.0] if from_zero else [])
    frame = _Frame(x_ends, y_ends)
    parts = [*frame.axes(x_label, y_label), f'<text x="{_LEFT}" y="20" class="t">{escape(title)}</text>']
    for band in bands:
        top, bottom = frame.y(band.high), frame.y(band.low)
        parts.append(
            f'<rect x="{_LEFT}" y="{top:.1f}" width="{_WIDTH - _LEFT - _RIGHT}" height="{max(bottom - top, 1):.1f}" '
            f'fill="{band.colour}" opacity="0.14"><title>{escape(band.name)}</title></rect>'
        )
    for level in levels:
        y = frame.y(level.y)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{level.colour}" '
            f'stroke-dasharray="5 4"/><text x="{_WIDTH - _RIGHT - 4}" y="{y - 5:.1f}" text-anchor="end" '
            f'fill="{level.colour}">{escape(level.name)}</text>'
        )
    parts += [_drawn(curve, frame) for curve in curves]
    if len(curves) > 1:
        parts += _legend(curves)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}" '
        'xmlns="http://www.w3.org/2000/svg">'
        f"<style>text {{ font: 12px system-ui, sans-serif; fill: #1c2430 }} .t {{ font-weight: 600; font-size: 13px }}"
        f"</style>{''.join(parts)}</svg>"
    )


def _ends(values: Sequence[float], also: Sequence[float]) -> tuple[float, float]:
    """Round numbers around all values."""
    everything = [*values, *also] or [0.0, 1.0]
    low, high = min(everything), max(everything)
    if high - low < 1e-9:
        low, high = (low, low + 1.0) if low in also else (low - 0.5, low + 0.5)
    ticks = round_ticks(low, high)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else high - low
    return (ticks[0] if low >= ticks[0] else ticks[0] - step, ticks[-1] if high <= ticks[-1] else ticks[-1] + step)


class _Frame:
    """From numbers to places on the page."""

    def __init__(self, x_ends: tuple[float, float], y_ends: tuple[float, float]) -> None:
        self._x, self._y = x_ends, y_ends

    def x(self, value: float) -> float:
        return _LEFT + (value - self._x[0]) / (self._x[1] - self._x[0]) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - self._y[0]) / (self._y[1] - self._y[0]) * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, x_label: str, y_label: str) -> list[str]:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        parts = []
        for value in round_ticks(*self._y):
            y = self.y(value)
            parts.append(
                f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e9ef"/>'
                f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
            )
        for value in round_ticks(*self._x):
            x = self.x(value)
            parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{value:g}</text>')
        middle = (_TOP + bottom) / 2
        parts.append(
            f'<line x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}" stroke="#9aa5b1"/>'
            f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>'
            f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
            f"{escape(y_label)}</text>"
        )
        return parts


def _drawn(curve: Curve, frame: _Frame) -> str:
    points = [
        None if y is None else (frame.x(x), frame.y(y)) for x, y in zip(curve.x, curve.y, strict=True)
    ]  # fmt: skip
    if curve.dots:
        return "".join(
            f'<circle cx="{p[0]:.1f}" cy="{p[1]:.1f}" r="2" fill="{curve.colour}" opacity="0.75"/>'
            for p in points
            if p is not None
        )
    path, pen_up = [], True
    for p in points:
        if p is not None:
            path.append(f"{'M' if pen_up else 'L'}{p[0]:.1f} {p[1]:.1f}")
        pen_up = p is None
    return f'<path d="{" ".join(path)}" fill="none" stroke="{curve.colour}" stroke-width="1.6"/>'


def _legend(curves: Sequence[Curve]) -> list[str]:
    parts, x = [], float(_WIDTH - _RIGHT)
    for curve in reversed(curves):
        x -= 7.0 * len(curve.name) + 8
        parts.append(f'<text x="{x:.0f}" y="20">{escape(curve.name)}</text>')
        x -= 18
        parts.append(f'<rect x="{x:.0f}" y="11" width="12" height="10" fill="{curve.colour}"/>')
        x -= 10
    return parts
