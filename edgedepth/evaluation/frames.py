"""Scores an estimator on frames that bring their own sensor depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgedepth.bundle import OutputSpec
from edgedepth.depth import FrameEstimator
from edgedepth.errors import InputError, NotMetricError
from edgedepth.evaluation.metrics import DepthScores, depth_scores, mean_scores
from edgedepth.types import DepthKind, Frame

__all__ = ["Alignment", "score_estimator", "score_frames", "scored_range_m"]

Alignment = Literal["none", "median"]
"""none: the numbers as they come. median: each frame's depth times median(truth) / median(found) over the pixels that
are scored, which takes the scale away and leaves the shape."""


def scored_range_m(output: OutputSpec) -> tuple[float, float]:
    """The true depths, metres, on which a network is scored: those it can give, else 1 mm to 10 m (NYU Depth v2)."""
    low, high = output.valid_range_m or (1e-3, 10.0)
    return max(low, 1e-3), high


def score_estimator(
    estimator: FrameEstimator,
    frames: Iterable[Frame],
    *,
    align: Alignment = "none",
    min_depth_m: float = 1e-3,
    max_depth_m: float = 10.0,
) -> DepthScores:
    """The mean over frames of each frame's error against its own sensor depth, on the frame's own pixel grid.

    Args:
        estimator: gives depth along Z on the frame's grid.
        frames: every one with ``depth_m``.
        align: see Alignment.
        min_depth_m, max_depth_m: only true depths strictly within are scored.

    Raises:
        InputError: a frame without sensor depth, or one of which no pixel can be scored; no frame at all.
        NotMetricError: ``align`` is none and the estimator gives no metres, or it gives no depth at all.
        BackendError: the network failed.
    """
    return mean_scores(score_frames(estimator, frames, align=align, min_depth_m=min_depth_m, max_depth_m=max_depth_m))


def score_frames(
    estimator: FrameEstimator,
    frames: Iterable[Frame],
    *,
    align: Alignment = "none",
    min_depth_m: float = 1e-3,
    max_depth_m: float = 10.0,
) -> Iterator[DepthScores]:
    """As ``score_estimator``, one frame at a time."""
    _check_kind(estimator.kind, align)
    for frame in frames:
        where = frame.source or f"frame {frame.sequence}"
        if frame.depth_m is None:
            raise InputError(f"{where} brings no sensor depth to compare with; give an RGB-D recording")
        found = estimator.estimate(frame).values
        if found.shape != frame.depth_m.shape:
            raise InputError(
                f"{where} is {frame.size_wh[0]}x{frame.size_wh[1]} and its depth map {found.shape[1]}x{found.shape[0]};"
                ' depth is compared on the frame\'s own pixels: open the estimator with grid="frame"'
            )
        if align == "median":
            found = _median_aligned(found, frame.depth_m, min_depth_m, max_depth_m)
        try:
            yield depth_scores(found, frame.depth_m, min_depth_m=min_depth_m, max_depth_m=max_depth_m)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


def _check_kind(kind: DepthKind, align: Alignment) -> None:
    if align not in ("none", "median"):
        raise InputError(f"align is none or median, found {align!r}")
    usable = {"none": (DepthKind.METRIC,), "median": (DepthKind.METRIC, DepthKind.RELATIVE_DEPTH)}[align]
    if kind not in usable:
        raise NotMetricError(
            f"a {kind.value} map cannot be compared with metres ({align} alignment takes "
            f"{' and '.join(one.value for one in usable)}); give a scale, or another model"
        )


def _median_aligned(
    found: NDArray[np.float32], truth: NDArray[np.float32], min_depth_m: float, max_depth_m: float
) -> NDArray[np.float32]:
    scored = (truth > min_depth_m) & (truth < max_depth_m) & np.isfinite(found) & (found > 0)
    if not scored.any():
        return found  # depth_scores says what is wrong
    return found * np.float32(np.median(truth[scored]) / np.median(found[scored]))
