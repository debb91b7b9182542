"""The noise has the size it says, where it says."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.synthetic.sensor_noise import SensorNoise, add_sensor_noise


def step() -> np.ndarray:
    depth = np.full((200, 300), 2.0, np.float32)
    depth[:, 150:] = 4.0
    return depth


def test_range_noise_grows_with_the_square_of_depth() -> None:
    noisy = add_sensor_noise(step(), seed=1)
    assert np.nanstd(noisy[:, 5:140]) == pytest.approx(0.0025 * 4, rel=0.05)
    assert np.nanstd(noisy[:, 160:295]) == pytest.approx(0.0025 * 16, rel=0.05)
    assert abs(np.nanmean(noisy[:, 5:140]) - 2.0) < 0.001


def test_flying_pixels_lie_between_and_only_on_the_edge() -> None:
    noisy = add_sensor_noise(step(), seed=2, noise=SensorNoise(sigma_per_m=0.0, hole_share=0.0))
    between = (noisy > 2.05) & (noisy < 3.95)
    assert between[:, 149:151].mean() == pytest.approx(0.5, abs=0.06)
    assert not between[:, :149].any()
    assert not between[:, 151:].any()


def test_holes_and_range_limit() -> None:
    depth = step()
    depth[0, 0] = np.nan
    noisy = add_sensor_noise(depth, seed=3, noise=SensorNoise(max_range_m=3.0))
    assert np.isnan(noisy[:, 160:]).all()
    assert np.isnan(noisy[0, 0])
    assert np.isnan(noisy[:, 5:140]).mean() == pytest.approx(0.02, abs=0.005)


def test_seeded() -> None:
    np.testing.assert_array_equal(add_sensor_noise(step(), seed=4), add_sensor_noise(step(), seed=4))
    assert not np.array_equal(add_sensor_noise(step(), seed=4), add_sensor_noise(step(), seed=5), equal_nan=True)


def test_correlated_noise_keeps_its_size() -> None:
    noise = SensorNoise(correlation_px=2.0, hole_share=0.0, flying_share=0.0)
    noisy = add_sensor_noise(np.full((300, 300), 2.0, np.float32), seed=6, noise=noise) - 2.0
    assert noisy.std() == pytest.approx(0.01, rel=0.05)
    assert np.corrcoef(noisy[:, :-1].ravel(), noisy[:, 1:].ravel())[0, 1] > 0.8
