"""The simulated network errs by as much as it says."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.synthetic.network_noise import NetworkNoise, SimulatedNetwork
from edgedepth.types import Intrinsics

CAMERA = Intrinsics.from_fov(64, 48, hfov_deg=60.0)
WALL_M = np.full((48, 64), 3.0, np.float32)
NONE = {
    "width": 32,
    "height": 24,
    "scale": 0,
    "warp": 0,
    "warp_frame": 0,
    "person": 0,
    "person_frame": 0,
    "jitter_px": 0,
}
NOBODY, SOMEBODY = np.zeros((48, 64), np.uint8), np.zeros((48, 64), np.uint8)
SOMEBODY[8:40, 20:44] = 1


def errors(seed: int, people: np.ndarray = NOBODY, frames: int = 1, **noise: float) -> np.ndarray:
    """log(found / true) of every frame."""
    network = SimulatedNetwork(seed, NetworkNoise(**(NONE | noise)))
    return np.array([np.log(network.estimate(WALL_M, people, CAMERA).depth_m / WALL_M) for _ in range(frames)])


def test_without_noise_it_gives_the_truth() -> None:
    assert np.abs(errors(1)).max() < 1e-5
    person = SimulatedNetwork(1, NetworkNoise(**NONE)).estimate(WALL_M, SOMEBODY, CAMERA).person
    assert person is not None
    assert person[20:28, 28:36].min() > 0.99
    assert person[:, :8].max() < 0.01


def test_scale_and_warp_stay_over_a_clip_and_what_is_of_a_frame_does_not() -> None:
    for name in ("scale", "warp"):
        one, two = errors(2, frames=2, **{name: 0.1})
        assert np.abs(one).max() > 0.01
        np.testing.assert_allclose(one, two, atol=1e-6)
    one, two = errors(2, frames=2, warp_frame=0.1)
    assert np.abs(one - two).max() > 0.01
    np.testing.assert_allclose(errors(5, scale=0.1, warp=0.1), errors(5, scale=0.1, warp=0.1))


@pytest.mark.parametrize(
    ("name", "people"), [("scale", NOBODY), ("warp", NOBODY), ("warp_frame", NOBODY), ("person", SOMEBODY)]
)
def test_each_error_has_the_deviation_it_states(name: str, people: np.ndarray) -> None:
    middle = [errors(seed, people, **{name: 0.1})[0, 24, 32] for seed in range(400)]
    # A standard deviation of 400 draws is known to 3.5 %.
    assert np.std(middle) == pytest.approx(0.1, rel=0.15)
    assert abs(np.mean(middle)) < 0.02
