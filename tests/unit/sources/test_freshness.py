"""Lag against closed-form clocks, and what counts as an empty image."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.sources.freshness import LagMeter, has_content


def test_lag_is_the_delay_beyond_the_quickest_frame() -> None:
    meter = LagMeter()
    # Arrival = stream + 100 + delay.
    lags = [meter.lag_s(t, t + 100 + delay) for t, delay in [(0, 0.3), (1, 0.1), (2, 0.1), (3, 0.6), (4, 1.1)]]
    assert lags == pytest.approx([0, 0, 0, 0.5, 1.0], abs=0.01)


def test_clock_drift_of_a_day_is_not_lag() -> None:
    meter = LagMeter()
    for second in range(0, 86_400, 10):
        assert meter.lag_s(second, second * (1 + 100e-6)) < 0.01  # 100 ppm: 8.6 s in the end


def test_a_backlog_that_grows_by_five_percent_is_lag() -> None:
    meter = LagMeter()
    lags = [meter.lag_s(second, second * 1.05) for second in range(60)]
    assert lags[-1] == pytest.approx(59 * 0.05 - 0.002 * 59 * 1.05, abs=0.02)


def test_a_clock_set_anew_starts_over() -> None:
    meter = LagMeter()
    meter.lag_s(1000.0, 10.0)
    assert meter.lag_s(0.0, 11.0) == 0


def test_content() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    assert not has_content(image)
    assert not has_content(image + np.uint8(2) * (np.indices((480, 640)).sum(0) % 2).astype(np.uint8)[..., None])
    image[100:200, 100:220, 2] = 9
    assert has_content(image)
    assert not has_content(np.zeros((1, 1, 3), np.uint8))
