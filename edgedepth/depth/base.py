"""The FrameEstimator seam: a frame in, a depth map out. What the stream runs, whatever the depth comes from."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgedepth.types import DepthKind, DepthMap, Frame

__all__ = ["STAGES", "FrameEstimator", "Grid"]

Grid = Literal["frame", "network"]
"""frame: depth on the frame's own pixel grid. network: at the network's output size, with intrinsics resized to it."""

STAGES = ("preprocess", "infer", "postprocess")
"""The stages of one ``estimate``, in order: the keys of ``last_stage_ns``."""


@runtime_checkable
class FrameEstimator(Protocol):
    """Depth for frames. One thread at a time may use one; other threads take a ``replica``."""

    @property
    def name(self) -> str:
        """What gives the depth, for reports: ``"fastdepth on onnxruntime:cpu"``, ``"sensor depth"``."""
        ...

    @property
    def kind(self) -> DepthKind:
        """What the numbers of every map mean."""
        ...

    @property
    def last_stage_ns(self) -> Mapping[str, int]:
        """Nanoseconds of each stage of the last ``estimate``, by name (STAGES); a new mapping for every frame."""
        ...

    def grid_wh(self, frame_wh: tuple[int, int]) -> tuple[int, int]:
        """Width and height of the map that a frame of ``frame_wh`` gives: the size ``out`` must have."""
        ...

    def estimate(self, frame: Frame, out: NDArray[np.float32] | None = None) -> DepthMap:
        """Depth of one frame.

        Args:
            frame: the image, its camera, and perhaps sensor depth.
            out: float32 C-contiguous array of ``grid_wh`` (height, width) that the map's values are written to and
                that the map then holds; None makes a new one, so the map may be kept for ever.

        Raises:
            NotMetricError: metres are promised and the frame lacks what they need (a focal rule, no intrinsics).
            InputError: the frame or ``out`` does not fit.
            BackendError: the network failed.
        """
        ...

    def replica(self) -> FrameEstimator:
        """The same estimator with buffers of its own, for use from another thread."""
        ...

    def warm_up(self) -> None:
        """Do once what makes the first frame slow."""
        ...

    def close(self) -> None:
        """Release the network. Safe to call twice."""
        ...

    def __enter__(self) -> FrameEstimator: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...
