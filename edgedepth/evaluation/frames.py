"""Scores an estimator on frames that bring their own sensor depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgedepth.bundle import OutputSpec
from edgedepth.depth import FrameEstimator
from edgedepth.errors import InputError
from edgedepth.evaluation.alignment import Alignment, align_depth, check_alignment
from edgedepth.evaluation.metrics import DepthScores, depth_scores, mean_scores
from edgedepth.types import Frame

__all__ = ["Alignment", "score_estimator", "score_frames", "scored_range_m"]


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
    check_alignment(estimator.kind, align)
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
        try:
            aligned = align_depth(
                found, frame.depth_m, align, kind=estimator.kind, min_depth_m=min_depth_m, max_depth_m=max_depth_m
            )
            yield depth_scores(aligned.depth_m, frame.depth_m, min_depth_m=min_depth_m, max_depth_m=max_depth_m)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
