"""One picture of a result: the image and its depth side by side, a scale in metres, and what was measured."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.depth.colormap import DepthColormap, pick_range
from edgedepth.geometry.measurement import HeightMeasurement
from edgedepth.people.track import TrackedHeight
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.stats import center_value
from edgedepth.types import DepthMap

__all__ = ["ResultPicture", "round_ticks"]

# BGR, readable on dark ground and against the colours of a depth map.
_WHITE, _BLACK, _GROUND = (255, 255, 255), (0, 0, 0), (24, 24, 24)
_MEASURED, _REFUSED, _OBJECT = (90, 230, 90), (60, 170, 255), (200, 200, 200)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class ResultPicture:
    """Draws results onto one canvas of fixed size, which each call reuses.

    Args:
        size_wh: size of one panel, pixels; images of another size are fitted into it, their aspect kept.
        range_m: (near, far) of the colours, in the depth's unit; by default chosen from the first frame with depth
            and then kept.
        colormap: a name in colormap.COLORMAPS.

    Attributes:
        size_wh: size of the canvas, both even, as video codecs want it.
    """

    def __init__(
        self, size_wh: tuple[int, int], range_m: tuple[float, float] | None = None, colormap: str = "turbo"
    ) -> None:
        self._panel_wh = size_wh
        self._colormap_name = colormap
        w, h = size_wh
        # Letters of 1/36 of the height, and 13 pixels at least: legible at 640 x 480 and in proportion at 4K.
        self._line_px = max(20, round(h / 26))
        self._font_scale = max(0.42, h / 1080)
        self._thickness = max(1, round(self._font_scale * 1.4))
        self._bar_px = round(self._line_px * 3.4)
        self.size_wh = (_even(2 * w + self._bar_px), _even(h + self._line_px))
        self._canvas = np.empty((self.size_wh[1], self.size_wh[0], 3), np.uint8)
        self._canvas[:] = _GROUND
        self._colormap: DepthColormap | None = None
        self._metric = True
        if range_m is not None:
            self._colormap = DepthColormap(*range_m, name=colormap)

    def draw(self, result: Result) -> NDArray[np.uint8]:
        """uint8 BGR, canvas height x width x 3: a buffer that the next call reuses."""
        w, h = self._panel_wh
        self._canvas[: self._line_px] = _GROUND
        left = self._canvas[self._line_px : self._line_px + h, :w]
        right = self._canvas[self._line_px : self._line_px + h, w : 2 * w]
        box = _fitted(result.frame.size_wh, self._panel_wh)
        _paste(left, cv2.cvtColor(result.frame.image, cv2.COLOR_RGB2BGR), box, cv2.INTER_AREA)
        colormap = self._colormap_for(result.depth)
        if colormap is None:
            right[:] = 0
        else:
            _paste(right, colormap(result.depth.values), box, cv2.INTER_NEAREST)
        if result.measurement is not None:
            zoom = box[2] / result.frame.size_wh[0]
            followed = {person.box_xywh: person for person in result.people}
            # People last: what is drawn over is an object's label, not theirs.
            for person in sorted(result.measurement.notable, key=lambda person: person.is_person):
                for panel in (left, right):
                    self._draw_person(panel, person, followed.get(person.box_xywh), box, zoom)
        self._draw_header(result)
        return self._canvas

    def _colormap_for(self, depth: DepthMap) -> DepthColormap | None:
        """The run's colours, chosen at the first map that has enough depth; draws the scale when they are new."""
        if self._colormap is None:
            found = pick_range(depth)
            if found is None:
                return None
            self._colormap = DepthColormap(*found, name=self._colormap_name)
        if self._bar_px:
            self._metric = depth.is_metric
            self._draw_bar(self._colormap, depth)
            self._bar_px = 0  # drawn once: nothing else touches that part of the canvas
        return self._colormap

    def _draw_bar(self, colormap: DepthColormap, depth: DepthMap) -> None:
        w, h = self._panel_wh
        top, margin = self._line_px, self._line_px // 2
        x0, x1 = 2 * w + margin // 2, 2 * w + margin // 2 + round(self._line_px * 0.8)
        y0, y1 = top + self._line_px, top + h - margin
        self._canvas[y0:y1, x0:x1] = colormap.bar(y1 - y0, x1 - x0)
        self._text("m" if depth.is_metric else depth.kind.value[:4], (x0, top + round(self._line_px * 0.7)), _WHITE)
        for value in round_ticks(colormap.near, colormap.far):
            y = round(y0 + (y1 - 1 - y0) * (value - colormap.far) / (colormap.near - colormap.far))
            cv2.line(self._canvas, (x1, y), (x1 + 4, y), _WHITE, 1)
            baseline = min(max(y + self._line_px // 4, y0 + self._line_px // 2), y1)
            self._text(f"{value:g}", (x1 + 7, baseline), _WHITE)

    def _draw_person(
        self, panel: NDArray[np.uint8], person: HeightMeasurement, followed: TrackedHeight | None,
        box: tuple[int, int, int, int], zoom: float,
    ) -> None:  # fmt: skip
        x, y, w, h = (value * zoom for value in person.box_xywh)
        # Pixel centres are integers, so a box of pixels x .. x + w - 1 ends there.
        corner, end = (round(box[0] + x), round(box[1] + y)), (round(box[0] + x + w - 1), round(box[1] + y + h - 1))
        colour = _MEASURED if (followed or person).height_m is not None else _REFUSED
        if not person.is_person:
            colour = _OBJECT
        cv2.rectangle(panel, corner, end, _BLACK, self._thickness + 2)  # seen on any colour of depth
        cv2.rectangle(panel, corner, end, colour, self._thickness)
        label = _person_label(person, followed)
        (width, height), descent = cv2.getTextSize(label, _FONT, self._font_scale, self._thickness)
        x0 = min(max(corner[0], 0), max(panel.shape[1] - width - 6, 0))
        y0 = corner[1] - height - descent - 4
        if y0 < 0:  # no room above the box: inside it, at its top
            y0 = max(corner[1], 0)
        cv2.rectangle(panel, (x0, y0), (x0 + width + 5, y0 + height + descent + 3), _BLACK, cv2.FILLED)
        origin = (x0 + 3, y0 + height + 2)
        cv2.putText(panel, label, origin, _FONT, self._font_scale, colour, self._thickness, cv2.LINE_AA)

    def _draw_header(self, result: Result) -> None:
        center = center_value(result.depth)
        unit = " m" if result.depth.is_metric else f" ({result.depth.kind.value})"
        parts = [
            f"#{result.frame.sequence}",
            f"centre {'-' if center is None else format(center, '.2f') + unit}",
            f"age {result.age_ms:.0f} ms",
            f"dropped {result.dropped}",
        ]
        if result.frame.media_time_s is not None:
            parts.insert(1, f"{result.frame.media_time_s:.2f} s")
        if result.measurement is not None and result.measurement.floor is None:
            parts.append(f"no floor: {_reason(result.measurement.floor_refused)}")
        self._text("   ".join(parts), (6, round(self._line_px * 0.72)), _WHITE)

    def _text(self, text: str, origin: tuple[int, int], colour: tuple[int, int, int]) -> None:
        cv2.putText(self._canvas, text, origin, _FONT, self._font_scale, colour, self._thickness, cv2.LINE_AA)


def _person_label(person: HeightMeasurement, followed: TrackedHeight | None) -> str:
    """The height, of all frames so far where there is one. ASCII: OpenCV 4's fonts have nothing else."""
    shown = followed or person
    name = "" if person.is_person else f"{person.label.replace('_', ' ')} "
    if followed is not None:
        name = f"{followed.person}: "
    if shown.height_m is None:
        return name + _reason(shown.refused)
    if shown.interval_m is None:
        return f"{name}{shown.height_m:.2f} m"
    half = (shown.interval_m[1] - shown.interval_m[0]) / 2
    return f"{name}{shown.height_m:.2f} +-{half:.2f} m"


def _reason(refused: str | None) -> str:
    """The identifier of a refusal in words; the sentence after it is too long for a picture."""
    return (refused or "not measured").partition(":")[0].replace("_", " ")


def _fitted(size_wh: tuple[int, int], panel_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """x, y, width, height of an image in a panel: as large as fits, centred."""
    scale = min(panel_wh[0] / size_wh[0], panel_wh[1] / size_wh[1])
    w, h = max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))
    return (panel_wh[0] - w) // 2, (panel_wh[1] - h) // 2, w, h


def _paste(panel: NDArray[np.uint8], image: NDArray[Any], box: tuple[int, int, int, int], how: int) -> None:
    x, y, w, h = box
    if (w, h) != (panel.shape[1], panel.shape[0]):
        panel[:] = 0
    target = panel[y : y + h, x : x + w]
    if image.shape == target.shape:
        np.copyto(target, image)
    else:
        np.copyto(target, cv2.resize(image, (w, h), interpolation=how))


def round_ticks(near: float, far: float, count: int = 6) -> list[float]:
    """Round values from near to far, about ``count`` of them."""
    low, high = min(near, far), max(near, far)
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _even(value: int) -> int:
    return value + value % 2
