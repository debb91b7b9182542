"""What values activations take, and the range INT8 should spend its 255 steps on: MinMax, Percentile or Entropy.

onnxruntime's own calibrators are not used: its Entropy starts with as many bins as it quantises to and so always finds
MinMax, all of them keep every activation of every image in memory, and each needs a pass of its own. Here one pass
collects one histogram of |x| a tensor, and the three are read off it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.backends import BackendOptions, open_backend
from edgedepth.errors import ExportError, InputError
from edgedepth.extras import require

__all__ = ["CALIBRATORS", "ActivationRanges", "Calibrator", "Histogram", "collect_ranges"]

Calibrator = Literal["minmax", "percentile", "entropy"]
"""How the range of an activation is chosen. minmax: the largest |x| seen. percentile: the smallest range that holds
that share of the values. entropy: the range whose quantised histogram loses the least information."""
CALIBRATORS: tuple[Calibrator, ...] = get_args(Calibrator)

DEFAULT_PERCENTILE = 99.999

# 2048 bins at least over what was seen: the limit is a power of two, so half of them may lie above it.
BINS = 4096
LEVELS = 128
"""Magnitudes of a signed 8-bit number."""
STRIDE = 8
"""Bins between the ranges that Entropy tries."""

Progress = Callable[[str, float | None], None]


@dataclass
class Histogram:
    """Of |x| over 0..limit. The limit is a power of two, so that doubling it merges bins in pairs and loses nothing."""

    counts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(BINS))
    limit: float = 0.0
    largest: float = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Count the values of one tensor. Raises ExportError where one is NaN or infinite."""
        if not values.size:
            return
        size = np.abs(values, dtype=np.float32).reshape(-1, 1)
        largest = float(size.max())
        if not math.isfinite(largest):
            raise ExportError("it holds NaN or infinity")
        self.largest = max(self.largest, largest)
        wanted = math.ldexp(1.0, math.frexp(largest)[1]) if largest > 0 else 0.0  # above the largest
        if wanted > self.limit:
            self._grow(wanted)
        if self.limit > 0:
            self.counts += cv2.calcHist([size], [0], None, [BINS], [0.0, self.limit]).reshape(-1)

    def _grow(self, limit: float) -> None:
        while 0 < self.limit < limit and self.counts.any():
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(axis=1), np.zeros(BINS // 2)])
            self.limit *= 2
        self.limit = limit

    def range_by(self, calibrator: Calibrator, percentile: float = DEFAULT_PERCENTILE) -> float:
        """The magnitude that 127 stands for; 0 for a tensor that is always 0."""
        if calibrator == "minmax" or self.largest == 0:
            return self.largest
        bins = self._percentile_bins(percentile) if calibrator == "percentile" else self._entropy_bins()
        return min(self.largest, bins * self.limit / BINS)

    def _percentile_bins(self, percentile: float) -> int:
        cumulative = np.cumsum(self.counts)
        return int(np.searchsorted(cumulative, percentile / 100 * cumulative[-1])) + 1

    def _entropy_bins(self) -> int:
        """How many bins to keep so that the Kullback-Leibler divergence from quantised to original is least.

        Migacz, "8-bit inference with TensorRT", GTC 2017: what lies beyond goes into the last bin of the reference,
        the kept bins are merged to 128 levels, and each level is spread evenly over its bins that are not empty. The
        first bin is set to the second's count: zeros behind a ReLU cost nothing in any range.
        """
        counts = self.counts[: math.ceil(self.largest / self.limit * BINS)].copy()
        if len(counts) <= LEVELS:
            return len(counts)
        counts[0] = counts[1]
        tail = counts.sum() - np.cumsum(counts)  # beyond each bin
        best, best_divergence = len(counts), math.inf
        for kept in (*range(LEVELS, len(counts), STRIDE), len(counts)):
            divergence = _divergence(counts[:kept], float(tail[kept - 1]))
            if divergence <= best_divergence:
                best, best_divergence = kept, divergence
        return best


def _divergence(counts: NDArray[np.float64], beyond: float) -> float:
    """KL(reference || quantised), natural units."""
    level_of = np.arange(len(counts)) * LEVELS // len(counts)
    filled = counts > 0
    totals = np.bincount(level_of, counts, LEVELS)
    spread = totals / np.maximum(np.bincount(level_of, filled, LEVELS), 1)
    quantised = np.where(filled, spread[level_of], 0.0)
    reference = counts.copy()
    reference[-1] += beyond
    if not quantised.any():
        return math.inf
    p, q = reference / reference.sum(), quantised / quantised.sum()
    some = p > 0
    # An empty last bin that takes what lies beyond would divide by zero: a floor makes that dear, not impossible.
    return float(np.sum(p[some] * np.log(p[some] / np.maximum(q[some], 1e-12))))


@dataclass(frozen=True)
class ActivationRanges:
    """What was seen of every tensor, over ``images`` images."""

    histograms: Mapping[str, Histogram]
    images: int

    def by(self, calibrator: Calibrator, percentile: float = DEFAULT_PERCENTILE) -> dict[str, float]:
        """The magnitude that 127 stands for, by tensor.

        Raises:
            InputError: no such calibrator, or a percentile outside (50, 100].
        """
        if calibrator not in CALIBRATORS:
            raise InputError(f"the calibrators are {', '.join(CALIBRATORS)}, found {calibrator!r}")
        if not 50 < percentile <= 100:
            raise InputError(f"a percentile for INT8 is above 50 and at most 100, found {percentile}")
        return {name: seen.range_by(calibrator, percentile) for name, seen in self.histograms.items()}


def collect_ranges(
    model: Any,
    tensors: Collection[str],
    feeds: Iterable[NDArray[Any]],
    *,
    images: int | None = None,
    progress: Progress = lambda step, fraction: None,
) -> ActivationRanges:
    """Run a float32 network over ``feeds`` and look at some of its tensors.

    Args:
        model: onnx ModelProto with one input; not changed.
        tensors: names of float32 activations.
        feeds: input tensors, one at a time.
        images: how many there will be, for ``progress``.

    Raises:
        ExportError: no feed, or an activation that is NaN or infinite.
        BackendError, InputError: the network does not run, or does not take a feed.
    """
    onnx = require("onnx", "export")
    histograms = {name: Histogram() for name in tensors}
    seen = 0
    with tempfile.TemporaryDirectory(prefix="edgedepth-int8-") as folder:
        path = Path(folder) / "observed.onnx"
        onnx.save(
            _observed(model, tensors, onnx),
            str(path),
            save_as_external_data=model.ByteSize() > 1 << 30,  # protobuf ends at 2 GiB
            location="observed.data",
        )
        with open_backend(path, BackendOptions(), name="onnxruntime") as backend:
            name = backend.inputs[0].name
            for feed in feeds:
                progress("calibrating", seen / images if images else None)
                values = {name: feed, **backend.run({name: feed})}
                for tensor, histogram in histograms.items():
                    try:
                        histogram.add(values[tensor])
                    except ExportError as error:
                        raise ExportError(
                            f"activation {tensor} of calibration image {seen + 1} cannot be quantised: {error}; "
                            "check the network and its preprocessing"
                        ) from None
                seen += 1
    if not seen:
        raise ExportError("INT8 calibration got no image; give a calibration set")
    return ActivationRanges(histograms, seen)


def _observed(model: Any, tensors: Collection[str], onnx: Any) -> Any:
    """The model with ``tensors`` among its outputs."""
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    there = {value.name for value in (*observed.graph.output, *observed.graph.input)}
    for name in tensors:
        if name not in there:
            observed.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return observed
