"""Scales of depth whose scale is known."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.errors import InputError, MeasurementRefused, NotMetricError
from edgedepth.geometry.plane import FloorPlane
from edgedepth.geometry.scale import scale_from_camera_height, scale_from_depth, scale_from_floor
from edgedepth.synthetic.render import render
from edgedepth.synthetic.scene import Camera, Scene
from edgedepth.types import DepthKind, DepthMap, Intrinsics

K = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)


def room_depth() -> np.ndarray:
    return render(Scene(Camera(K, height_m=1.2, pitch_deg=12))).depth_m


@pytest.mark.parametrize("kind", [DepthKind.METRIC, DepthKind.RELATIVE_DEPTH])
@pytest.mark.parametrize("unit", [0.8, 1.3])
def test_camera_height_gives_the_unit_back(kind: DepthKind, unit: float) -> None:
    scale = scale_from_camera_height(DepthMap(room_depth() / np.float32(unit), kind, K), 1.2)
    assert scale.factor == pytest.approx(unit, rel=1e-4)
    assert scale.sigma == pytest.approx(0.005 / 1.2, rel=0.05)
    assert scale.source == "camera_height"


def test_relative_depth_of_any_size() -> None:
    scale = scale_from_camera_height(DepthMap(room_depth() * np.float32(1e-3), DepthKind.RELATIVE_DEPTH, K), 1.2)
    assert scale.factor == pytest.approx(1e3, rel=1e-4)


def test_sensor_ratio_is_a_median() -> None:
    truth = room_depth()
    predicted = truth / np.float32(1.25)
    predicted[:100, :160] *= 3  # a fifth of the picture is wrong
    truth[::3] = np.nan
    scale = scale_from_depth(DepthMap(predicted, DepthKind.METRIC, K), truth)
    assert scale.factor == pytest.approx(1.25, rel=1e-6)


def test_sigma_of_the_ratio_predicts_its_scatter() -> None:
    """Errors of 10 %, one per cell of the grid: the median of 64 scatters by 1.25 * 0.1 / 8."""
    truth = room_depth()
    factors, sigmas = [], []
    for seed in range(60):
        wander = np.exp(0.1 * np.random.default_rng(seed).standard_normal((8, 8)))
        predicted = (truth * np.kron(wander, np.ones((30, 40)))).astype(np.float32)
        scale = scale_from_depth(DepthMap(predicted, DepthKind.RELATIVE_DEPTH, K), truth)
        factors.append(scale.factor)
        sigmas.append(scale.sigma)
    assert np.std(factors) == pytest.approx(1.2533 * 0.1 / 8, rel=0.35)
    assert np.mean(sigmas) == pytest.approx(np.std(factors), rel=0.35)


def test_noise_of_single_pixels_averages_out() -> None:
    """10 % per pixel: the median of a cell's 1200 scatters by 1.25 * 0.1 / sqrt(1200), that of 64 cells by less."""
    truth = room_depth()
    noise = np.exp(0.1 * np.random.default_rng(0).standard_normal(truth.shape)).astype(np.float32)
    scale = scale_from_depth(DepthMap(truth * noise, DepthKind.RELATIVE_DEPTH, K), truth)
    assert scale.sigma == pytest.approx(1.2533**2 * 0.1 / np.sqrt(1200) / 8, rel=0.4)


def test_shiftless_kinds_only() -> None:
    depth = room_depth()
    for kind in (DepthKind.DISPARITY, DepthKind.ORDINAL):
        with pytest.raises(NotMetricError):
            scale_from_depth(DepthMap(depth, kind, K), depth)
        with pytest.raises(NotMetricError):
            scale_from_camera_height(DepthMap(depth, kind, K), 1.2)


def test_two_views_do_not_agree() -> None:
    depth = room_depth()
    wild = (depth * np.random.default_rng(0).uniform(0.2, 5, depth.shape)).astype(np.float32)
    with pytest.raises(MeasurementRefused) as refused:
        scale_from_depth(DepthMap(wild, DepthKind.METRIC, K), depth)
    assert refused.value.reason == "scale_inconsistent"


def test_too_little_overlap_and_bad_input() -> None:
    depth = DepthMap(room_depth(), DepthKind.METRIC, K)
    empty = np.full(depth.values.shape, np.nan, np.float32)
    with pytest.raises(MeasurementRefused) as refused:
        scale_from_depth(depth, empty)
    assert refused.value.reason == "scale_too_few_pixels"
    with pytest.raises(InputError, match="grid"):
        scale_from_depth(depth, empty[:10])
    floor = FloorPlane((0.0, -1.0, 0.0), 1.0)
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="positive number"):
            scale_from_floor(floor, bad)
    with pytest.raises(InputError, match="below the camera"):
        scale_from_floor(FloorPlane((0.0, -1.0, 0.0), -1.0), 1.0)
