"""From the network's output grid to the grid that was asked for: the frame's, or its own without the padding."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.depth.base import Grid
from edgedepth.depth.resize import Rect, ResizePlan

__all__ = ["OnGrid"]


class OnGrid:
    """Puts planes of numbers onto a pixel grid; NaN passes through the bilinear resize, so nothing mixes with it.

    Owns a buffer: one thread at a time.

    Args:
        plan: how the frames were fitted to the network.
        output_wh: the planes' size as the network gives them (its input's size, or smaller).
        grid: which pixel grid is wanted.
    """

    def __init__(self, plan: ResizePlan, output_wh: tuple[int, int], grid: Grid) -> None:
        self.plan, self.output_wh, self.grid = plan, output_wh, grid
        self.grid_wh = plan.frame_wh if grid == "frame" else output_wh
        """Width and height of the result."""
        self._content = _content_of(plan, output_wh)
        self._padding = _padding_of(plan, output_wh)
        # Padding that does not end on a pixel of a smaller output: bring the output to the network's size first.
        self._enlarged = None if self._content else np.empty(plan.network_wh[::-1], np.float32)

    def __call__(self, values: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """``values`` (of ``output_wh``) into ``out`` (of ``grid_wh``); NaN where the network saw nothing."""
        if self.grid != "frame":
            np.copyto(out, values)
            for border in self._padding:
                out[border] = np.nan
            return
        if self._enlarged is None:
            u, v, w, h = self._content or (0, 0, *self.output_wh)
        else:
            cv2.resize(values, self.plan.network_wh, dst=self._enlarged, interpolation=cv2.INTER_LINEAR)
            values, (u, v, w, h) = self._enlarged, self.plan.content
        x, y, width, height = self.plan.source
        if (width, height) != self.plan.frame_wh:
            out.fill(np.nan)
        cv2.resize(
            values[v : v + h, u : u + w],
            (width, height),
            dst=out[y : y + height, x : x + width],
            interpolation=cv2.INTER_LINEAR,
        )


def _edges(plan: ResizePlan, output_wh: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom edge of the content on the output's grid, in pixels from its border."""
    (u, v, w, h), (nw, nh), (ow, oh) = plan.content, plan.network_wh, output_wh
    return u * ow / nw, v * oh / nh, (u + w) * ow / nw, (v + h) * oh / nh


def _content_of(plan: ResizePlan, output_wh: tuple[int, int]) -> Rect | None:
    """The content on the output's grid, or None when its edges do not fall between pixels."""
    edges = _edges(plan, output_wh)
    if any(edge != int(edge) for edge in edges):
        return None
    left, top, right, bottom = map(int, edges)
    return left, top, right - left, bottom - top


def _padding_of(plan: ResizePlan, output_wh: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Where the output's grid shows padding, in part or whole."""
    left, top, right, bottom = _edges(plan, output_wh)
    w, h = output_wh
    everything = slice(None)
    borders = [
        (slice(0, math.ceil(top)), everything),
        (slice(math.floor(bottom), h), everything),
        (everything, slice(0, math.ceil(left))),
        (everything, slice(math.floor(right), w)),
    ]
    return [(rows, columns) for rows, columns in borders if rows != slice(0, 0)]
