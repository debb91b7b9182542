from __future__ import annotations

import json

import numpy as np
import pytest

from edgedepth.stream.timing import RunSummary, Samples


def test_percentiles_are_those_of_numpy() -> None:
    values_ns = np.random.default_rng(0).integers(1_000_000, 9_000_000, 999)
    samples = Samples()
    for value in values_ns:
        samples.add(int(value))
    found = samples.percentiles()
    assert found is not None
    expected = np.percentile(values_ns, [50, 95, 99]) / 1e6
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == pytest.approx(tuple(expected))
    assert found.mean_ms == pytest.approx(values_ns.mean() / 1e6)
    assert found.count == 999


def test_nothing_recorded() -> None:
    assert Samples().percentiles() is None


def test_a_long_run_is_told_by_a_sample() -> None:
    samples = Samples(capacity=64)
    for value in range(100_000):
        samples.add(value * 1000)
        assert len(samples._kept_ns.items) <= 64
    found = samples.percentiles()
    assert found is not None
    assert found.count == 100_000
    assert found.mean_ms == pytest.approx(49.9995)
    # Evenly spread over the whole run, first and last alike.
    assert set(np.diff(np.asarray(samples._kept_ns.items))) == {2048 * 1000}
    assert found.p50_ms == pytest.approx(50, rel=0.05)
    assert found.p95_ms == pytest.approx(95, rel=0.05)


def test_summary_as_json() -> None:
    summary = RunSummary("file.mp4", "net", 2, frames=30, wall_s=1.5, stages_ms={}, errors=("SinkError: x",))
    data = json.loads(json.dumps(summary.as_dict()))
    assert data["fps"] == 20
    assert (data["age_ms"], data["errors"], data["stopped"]) == (None, ["SinkError: x"], False)
