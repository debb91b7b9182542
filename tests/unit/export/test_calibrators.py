"""Ranges of activations against NumPy's percentiles, onnxruntime's MinMax, and a slow Entropy after the paper."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import parser

from edgedepth.errors import ExportError, InputError
from edgedepth.export.calibrators import BINS, STRIDE, ActivationRanges, Histogram, collect_ranges

RNG = np.random.default_rng(0)


def histogram(*parts: NDArray[np.float32]) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(part.astype(np.float32))
    return made


def slow_entropy(values: NDArray[np.float32], bins: int, limit: float) -> float:
    """Migacz 2017, bin by bin: quantise the histogram to 128 levels, spread each level over its filled bins, KL."""
    counts, edges = np.histogram(np.abs(values), bins, (0, limit))
    counts = counts.astype(float)
    last = int(np.flatnonzero(counts)[-1]) + 1
    counts = counts[:last]
    counts[0] = counts[1]
    best, range_ = math.inf, float(edges[last])
    for kept in [*range(128, last, STRIDE), last]:
        reference = counts[:kept].copy()
        quantised = np.zeros(kept)
        for level in range(128):
            members = [i for i in range(kept) if i * 128 // kept == level]
            filled = [i for i in members if counts[i] > 0]
            for i in filled:
                quantised[i] = sum(counts[j] for j in members) / len(filled)
        reference[-1] += counts[kept:].sum()
        p, q = reference / reference.sum(), quantised / quantised.sum()
        divergence = sum(a * math.log(a / max(b, 1e-12)) for a, b in zip(p, q, strict=True) if a > 0)
        if divergence <= best:
            best, range_ = divergence, float(edges[kept])
    return range_


def test_minmax_and_percentile_are_numpy_s() -> None:
    values = RNG.normal(0, 2, 200_000).astype(np.float32)
    seen = histogram(*np.split(values, 10))
    assert seen.range_by("minmax") == pytest.approx(np.abs(values).max())
    for percentile in (90, 99, 99.9, 99.99):
        bin_width = seen.limit / BINS
        exact = np.percentile(np.abs(values), percentile, method="inverted_cdf")
        assert exact <= seen.range_by("percentile", percentile) <= exact + bin_width
    assert seen.range_by("percentile", 100) == seen.range_by("minmax")


def test_growing_in_steps_loses_nothing() -> None:
    parts = [RNG.normal(0, scale, 5_000).astype(np.float32) for scale in (0.01, 3.0, 0.5, 40.0)]
    grown, at_once = histogram(*parts), histogram(np.concatenate(parts))
    assert grown.limit == at_once.limit
    np.testing.assert_array_equal(grown.counts, at_once.counts)


def test_entropy_is_that_of_the_paper() -> None:
    values = np.maximum(RNG.standard_t(3, 50_000), 0)  # as behind a ReLU, with a heavy tail
    seen = histogram(values)
    assert seen.range_by("entropy") == pytest.approx(slow_entropy(values, BINS, seen.limit), rel=1e-6)
    assert seen.range_by("entropy") < 0.8 * seen.range_by("minmax")


def test_entropy_clips_an_outlier_and_minmax_does_not() -> None:
    values = np.append(RNG.normal(0, 1, 100_000), 300.0)
    seen = histogram(values)
    assert seen.range_by("minmax") == 300
    assert 2 < seen.range_by("entropy") < 40
    assert seen.range_by("percentile", 99.99) < 6


def test_a_tensor_that_is_always_zero_has_no_range() -> None:
    seen = histogram(np.zeros(100), np.zeros(0))
    assert [seen.range_by(one) for one in ("minmax", "percentile", "entropy")] == [0, 0, 0]


NETWORK = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 2, 4, 4] image) => (float[1, 2, 4, 4] depth)
<float two = {2}>
{ middle = Mul(image, two)  depth = Relu(middle) }
"""


def images(count: int = 3) -> list[NDArray[np.float32]]:
    return [RNG.normal(0, number + 1, (1, 2, 4, 4)).astype(np.float32) for number in range(count)]


def test_a_network_s_tensors_input_included() -> None:
    feeds = images()
    seen = collect_ranges(parser.parse_model(NETWORK), ["image", "middle", "depth"], iter(feeds))
    largest = max(float(np.abs(feed).max()) for feed in feeds)
    assert seen.images == 3
    assert seen.by("minmax") == pytest.approx(
        {"image": largest, "middle": 2 * largest, "depth": 2 * max(float(feed.max()) for feed in feeds)}
    )


def test_onnxruntime_finds_the_same_extremes(tmp_path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    feeds = images()

    class Reader(CalibrationDataReader):
        left = iter([{"image": feed} for feed in feeds])

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self.left, None)

    path = tmp_path / "net.onnx"
    onnx.save(parser.parse_model(NETWORK), str(path))
    theirs = create_calibrator(path, ["Mul"], str(tmp_path / "a.onnx"), CalibrationMethod.MinMax)
    theirs.collect_data(Reader())
    found = theirs.compute_data()
    ours = collect_ranges(parser.parse_model(NETWORK), ["image", "middle"], feeds).by("minmax")
    for name, largest in ours.items():
        low, high = found[name].range_value
        assert largest == pytest.approx(max(abs(float(np.min(low))), abs(float(np.max(high)))), rel=1e-6)


def test_what_cannot_be_quantised_says_so() -> None:
    feeds = images()
    feeds[1][0, 0, 0, 0] = np.inf
    with pytest.raises(ExportError, match=r"activation middle of calibration image 2 .* NaN or infinity"):
        collect_ranges(parser.parse_model(NETWORK), ["middle"], feeds)
    with pytest.raises(ExportError, match="got no image"):
        collect_ranges(parser.parse_model(NETWORK), ["middle"], [])
    seen = ActivationRanges({"x": histogram(np.ones(9))}, 1)
    with pytest.raises(InputError, match="minmax, percentile, entropy, found 'mse'"):
        seen.by("mse")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="above 50 and at most 100, found 0"):
        seen.by("percentile", 0.999)
