"""The floor against planes written down by hand: depth of a room is the nearest of its planes along each ray."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgedepth.errors import InputError, IntrinsicsError, MeasurementRefused, NotMetricError
from edgedepth.geometry.floor import FloorOptions, fit_floor
from edgedepth.types import DepthKind, DepthMap, Distortion, DistortionModel, Intrinsics

K = Intrinsics(640, 480, 615.0, 615.0, 319.5, 239.5)


def up_vector(pitch_deg: float, roll_deg: float) -> np.ndarray:
    """World up in a camera pitched down and then rolled: pitch = asin(-n_z), roll = atan2(-n_x, -n_y)."""
    p, r = math.radians(pitch_deg), math.radians(roll_deg)
    return np.array([-math.sin(r) * math.cos(p), -math.cos(r) * math.cos(p), -math.sin(p)])


def rays() -> np.ndarray:
    u, v = np.meshgrid(np.arange(640.0), np.arange(480.0))
    return np.stack(((u - K.cx) / K.fx, (v - K.cy) / K.fy, np.ones_like(u)), axis=-1)


def plane_depth(normal: np.ndarray, offset: float) -> np.ndarray:
    """Z where each ray meets n . p + offset = 0, inf where it does not."""
    with np.errstate(divide="ignore"):
        z = -offset / (rays() @ normal)
    return np.where(z > 0, z, np.inf)


def room(
    *,
    height_m: float = 1.2,
    pitch_deg: float = 10.0,
    roll_deg: float = 0.0,
    wall_m: float = 4.0,
    side_m: float = 1.5,
    table: bool = False,
) -> DepthMap:
    """Floor, back wall ``wall_m`` away, side walls ``side_m`` to each side, and perhaps a 0.75 m high table."""
    up = up_vector(pitch_deg, roll_deg)
    forward = np.array([0, 0, 1.0]) - up[2] * up
    forward /= np.linalg.norm(forward)
    right = np.cross(-up, forward)
    z = plane_depth(up, height_m)
    for normal, offset in ((-forward, wall_m), (-right, side_m), (right, side_m)):
        z = np.minimum(z, plane_depth(normal, offset))
    if table:
        top = plane_depth(up, height_m - 0.75)
        with np.errstate(invalid="ignore"):
            points = rays() * top[..., None]
            on_top = (np.abs(points @ right) < 0.7) & (points @ forward > 0.8) & (points @ forward < 2.2)
        z = np.where(on_top & (top < z), top, z)
    return DepthMap(z.astype(np.float32), DepthKind.METRIC, K)


def assert_is_floor(
    depth: DepthMap, height_m: float, pitch_deg: float, roll_deg: float, tolerance: float = 1e-4
) -> None:
    floor = fit_floor(depth)
    assert floor.camera_height_m == pytest.approx(height_m, abs=tolerance)
    assert floor.pitch_deg == pytest.approx(pitch_deg, abs=100 * tolerance)
    assert floor.roll_deg == pytest.approx(roll_deg, abs=100 * tolerance)
    assert floor.source == "depth"


@pytest.mark.parametrize("pitch_deg", [-5.0, 0.0, 10.0, 30.0, 35.0])
@pytest.mark.parametrize("roll_deg", [-15.0, 0.0, 15.0])
def test_room_without_imu(pitch_deg: float, roll_deg: float) -> None:
    # Looking up 5 degrees, the floor enters the image 4.1 m away.
    depth = room(pitch_deg=pitch_deg, roll_deg=roll_deg, wall_m=4.0 if pitch_deg >= 0 else 9.0, side_m=2.5)
    assert_is_floor(depth, 1.2, pitch_deg, roll_deg)


def test_noise_holes_and_clutter() -> None:
    depth = room(pitch_deg=15, roll_deg=5).values.copy()
    rng = np.random.default_rng(3)
    depth += (0.0025 * depth**2 * rng.standard_normal(depth.shape)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.15] = np.nan
    depth[100:400, 250:400] = 1.8  # someone stands in the middle
    assert_is_floor(DepthMap(depth, DepthKind.METRIC, K), 1.2, 15, 5, tolerance=2e-3)


def test_a_warped_floor_gets_the_plane_of_least_squared_distance() -> None:
    """Sensors warp by some millimetres, and the far floor, small in inverse depth, must count as the near one does."""
    z = plane_depth(up_vector(20, 0), 1.2)
    z = np.where(z < 6, z, np.nan)
    z *= 1 + 0.004 * np.sin(1.3 * z)
    points = (rays() * z[..., None])[np.isfinite(z)]
    least = np.linalg.svd(points[::7] - points.mean(axis=0), compute_uv=False)[-1] / math.sqrt(len(points[::7]))
    floor = fit_floor(DepthMap(z.astype(np.float32), DepthKind.METRIC, K))
    assert math.sqrt(np.mean(floor.height_of(points) ** 2)) < 1.05 * least
    assert floor.inlier_rms_m == pytest.approx(least, rel=0.05)


def test_table_top_in_front_does_not_win() -> None:
    depth = room(table=True, pitch_deg=20)
    floor = fit_floor(depth)
    table_share = float(np.mean(np.abs(floor.height_of(depth.values[..., None] * rays()) - 0.75) < 0.01))
    assert table_share > 1.2 * floor.inlier_fraction  # the table fills more of the image
    assert_is_floor(depth, 1.2, 20, 0)


def test_table_top_is_no_floor_when_things_reach_below_it() -> None:
    """A shiny floor gives no depth; the walls still go down past the table top, which is therefore not the lowest."""
    depth = room(table=True, pitch_deg=10).values.copy()
    height = depth[..., None] * rays() @ up_vector(10, 0) + 1.2
    depth[np.abs(height) < 0.02] = np.nan
    depth[:, :320][np.abs(height[:, :320] - 0.75) < 0.02] = np.nan
    with pytest.raises(MeasurementRefused) as refused:
        fit_floor(DepthMap(depth, DepthKind.METRIC, K))
    assert refused.value.reason == "no_floor"
    assert "beneath" in str(refused.value)


def test_wall_alone_is_no_floor() -> None:
    with pytest.raises(MeasurementRefused) as refused:
        fit_floor(DepthMap(plane_depth(np.array([0, 0, -1.0]), 2.0).astype(np.float32), DepthKind.METRIC, K))
    assert refused.value.reason == "no_floor"


def test_ceiling_is_no_floor() -> None:
    ceiling = plane_depth(np.array([0, math.cos(0.3), -math.sin(0.3)]), 1.5)
    with pytest.raises(MeasurementRefused) as refused:
        fit_floor(DepthMap(np.where(ceiling < 20, ceiling, np.nan).astype(np.float32), DepthKind.METRIC, K))
    assert refused.value.reason == "no_floor"


def test_empty_depth_is_no_floor() -> None:
    with pytest.raises(MeasurementRefused) as refused:
        fit_floor(DepthMap(np.full((480, 640), np.nan, np.float32), DepthKind.METRIC, K))
    assert refused.value.reason == "no_floor"


def test_sliver_of_floor_is_too_little() -> None:
    depth = room(pitch_deg=0).values.copy()
    depth[:, :600] = np.nan
    with pytest.raises(MeasurementRefused) as refused:
        fit_floor(DepthMap(depth, DepthKind.METRIC, K))
    assert refused.value.reason == "floor_too_few_inliers"


def test_table_top_seen_close_is_too_small() -> None:
    depth = plane_depth(up_vector(38, 0), 0.4)
    with pytest.raises(MeasurementRefused) as refused:
        fit_floor(DepthMap(np.where(depth < 0.8, depth, np.nan).astype(np.float32), DepthKind.METRIC, K))
    assert refused.value.reason == "floor_too_small"


def test_rubble_is_rough() -> None:
    up = up_vector(25, 0)
    rng = np.random.default_rng(4)
    # Slabs of 40 px at random heights within 12 cm: level everywhere, flat nowhere.
    steps = np.kron(rng.uniform(-0.06, 0.06, (12, 16)), np.ones((40, 40)))
    with np.errstate(divide="ignore"):
        depth = -(1.2 + steps) / (rays() @ up)
    with pytest.raises(MeasurementRefused) as refused:
        fit_floor(DepthMap(depth.astype(np.float32), DepthKind.METRIC, K))
    assert refused.value.reason == "floor_rough"


def test_measured_up_is_a_tight_gate() -> None:
    depth = room(pitch_deg=20, roll_deg=3)
    up = up_vector(22, 3)
    floor = fit_floor(depth, up=tuple(up))
    assert floor.pitch_deg == pytest.approx(20, abs=0.01)
    with pytest.raises(MeasurementRefused) as refused:
        fit_floor(depth, up=tuple(up_vector(25, 3)))
    assert refused.value.reason == "floor_not_level"
    assert "5.0" in str(refused.value)


def test_looking_straight_down_with_an_imu() -> None:
    depth = plane_depth(np.array([0, 0, -1.0]), 2.5).astype(np.float32)
    floor = fit_floor(DepthMap(depth, DepthKind.METRIC, K), up=(0, 0, -1))
    assert floor.camera_height_m == pytest.approx(2.5, abs=1e-4)
    assert floor.pitch_deg == pytest.approx(90, abs=0.05)


@pytest.mark.parametrize("factor", [1e-3, 0.3, 7.0])
def test_relative_depth_gives_the_plane_in_its_own_unit(factor: float) -> None:
    depth = room(pitch_deg=12)
    floor = fit_floor(DepthMap(depth.values * np.float32(factor), DepthKind.RELATIVE_DEPTH, K))
    assert floor.offset_m / factor == pytest.approx(1.2, rel=1e-4)
    assert floor.pitch_deg == pytest.approx(12, abs=0.01)


def test_distorted_lens_without_resampling() -> None:
    lens = Distortion(DistortionModel.BROWN_CONRADY, (-0.3, 0.1, 0.001, -0.001, 0.0))
    camera = replace(K, distortion=lens)
    u, v = np.meshgrid(np.arange(640.0), np.arange(480.0))
    import cv2

    ideal = cv2.undistortPoints(
        np.stack((u, v), -1).reshape(-1, 1, 2), K.matrix, np.array(lens.coefficients), None, None, None,
        (cv2.TERM_CRITERIA_COUNT, 100, 0),
    ) if int(cv2.__version__[0]) >= 5 else cv2.undistortPointsIter(
        np.stack((u, v), -1).reshape(-1, 1, 2), K.matrix, np.array(lens.coefficients), None, None,
        (cv2.TERM_CRITERIA_COUNT, 100, 0),
    )  # fmt: skip
    up = up_vector(25, 0)
    with np.errstate(divide="ignore"):
        z = -1.2 / (ideal.reshape(480, 640, 2) @ up[:2] + up[2])
    z = np.where((z > 0) & (z < 6), z, np.nan).astype(np.float32)
    assert_is_floor(DepthMap(z, DepthKind.METRIC, camera), 1.2, 25, 0, tolerance=3e-4)
    assert abs(fit_floor(DepthMap(z, DepthKind.METRIC, K)).offset_m - 1.2) > 2e-3  # the lens does matter


def test_excluded_pixels_have_no_say() -> None:
    depth = room(pitch_deg=10).values.copy()
    depth[300:, 200:440] = np.minimum(depth[300:, 200:440], plane_depth(up_vector(10, 0), 1.19)[300:, 200:440])
    exclude = np.zeros(depth.shape, bool)
    exclude[300:, 200:440] = True
    floor = fit_floor(DepthMap(depth, DepthKind.METRIC, K), exclude=exclude)
    assert floor.camera_height_m == pytest.approx(1.2, abs=1e-4)


def test_covariance_predicts_the_scatter_of_the_floor() -> None:
    """Independent pixel noise averaged over blocks: the claimed sigma must not be smaller than what happens."""
    clean = room(pitch_deg=15).values
    points = np.array([[0.0, 1.0, 2.0], [0.0, 0.3, 3.5]])
    found, claimed = [], []
    for seed in range(12):
        noise = np.random.default_rng(seed).standard_normal(clean.shape)
        floor = fit_floor(DepthMap((clean + 0.0025 * clean**2 * noise).astype(np.float32), DepthKind.METRIC, K))
        found.append(floor.height_of(points))
        claimed.append(floor.height_sigma_m(points))
    assert (np.std(found, axis=0) < np.mean(claimed, axis=0)).all()
    assert (np.mean(claimed, axis=0) < 0.01).all()


def test_the_same_input_gives_the_same_plane() -> None:
    depth = room(pitch_deg=15, table=True)
    assert fit_floor(depth) == fit_floor(depth)
    # Another seed finds the same floor, to the float32 of the depth.
    other = fit_floor(depth, options=FloorOptions(seed=7))
    assert other.offset_m == pytest.approx(fit_floor(depth).offset_m, abs=1e-4)


def test_what_cannot_be_fitted_is_refused_with_its_name() -> None:
    depth = room()
    with pytest.raises(NotMetricError):
        fit_floor(DepthMap(depth.values, DepthKind.DISPARITY, K))
    with pytest.raises(IntrinsicsError):
        fit_floor(DepthMap(depth.values, DepthKind.METRIC, None))
    with pytest.raises(InputError, match="up must be"):
        fit_floor(depth, up=(0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="exclude"):
        fit_floor(depth, exclude=np.zeros((2, 2), bool))
