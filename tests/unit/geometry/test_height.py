"""Heights of people whose stature is exact: rendered scenes, with and without what sensors and people do."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edgedepth.errors import InputError, IntrinsicsError
from edgedepth.geometry.floor import fit_floor
from edgedepth.geometry.height import HeightOptions, clean_depth, measure_height
from edgedepth.geometry.measurement import HeightMeasurement
from edgedepth.geometry.plane import FloorPlane
from edgedepth.geometry.projection import points_from_depth
from edgedepth.synthetic.render import Rendering, render
from edgedepth.synthetic.scene import Box, Camera, Person, Room, Scene
from edgedepth.synthetic.sensor_noise import SensorNoise, add_sensor_noise
from edgedepth.types import DepthKind, DepthMap, Distortion, DistortionModel, Intrinsics

VGA = Intrinsics(640, 480, 615.0, 615.0, 319.5, 239.5)
ROOM = Room((-3.0, 3.0), (-1.0, 6.0), 4.0)


def view(
    stature_m: float = 1.1, *, camera_m: float = 1.1, pitch_deg: float = 15.0, roll_deg: float = 0.0,
    heading_deg: float = 180.0, intrinsics: Intrinsics = VGA, distance_m: float = 2.0,
) -> Rendering:  # fmt: skip
    person = Person(stature_m, ((0.0, distance_m),), heading_deg=heading_deg)
    return render(Scene(Camera(intrinsics, camera_m, pitch_deg, roll_deg), (person,), room=ROOM))


def floor_of(rendering: Rendering) -> FloorPlane:
    camera = rendering.scene.camera
    return FloorPlane(camera.up, camera.height_m)


def measured(rendering: Rendering, **changes: object) -> HeightMeasurement:
    depth_m = changes.get("depth_m", rendering.depth_m)
    depth = DepthMap(depth_m, DepthKind.METRIC, rendering.scene.camera.intrinsics)  # type: ignore[arg-type]
    return measure_height(
        depth, changes.get("mask", rendering.mask(0)), changes.get("floor", floor_of(rendering)),  # type: ignore[arg-type]
        label=changes.get("label", "person"),  # type: ignore[arg-type]
    )  # fmt: skip


def error_mm(rendering: Rendering, **changes: object) -> float:
    found = measured(rendering, **changes)
    assert found.height_m is not None, found.refused
    return (found.height_m - rendering.scene.people[0].stature_m) * 1e3


# Camera heights that show the whole person at 2 m at each pitch.
VIEWS = [(1.1, -5, 0.35), (1.1, 5, 0.72), (1.1, 15, 1.1), (1.1, 30, 1.74), (1.4, 10, 1.07), (1.75, 25, 1.92)]


@pytest.mark.parametrize(("stature_m", "pitch_deg", "camera_m"), VIEWS)
@pytest.mark.parametrize("heading_deg", [180.0, 90.0])
def test_exact_scenes_at_two_metres(stature_m: float, pitch_deg: float, camera_m: float, heading_deg: float) -> None:
    """3 mm, whatever the pitch; rolled by 15 degrees either way the same to 2 mm. The floor is fitted."""
    errors = []
    for roll_deg in (-15.0, 0.0, 15.0):
        rendering = view(stature_m, camera_m=camera_m, pitch_deg=pitch_deg, roll_deg=roll_deg, heading_deg=heading_deg)
        floor = fit_floor(rendering.depth, exclude=rendering.mask(0))
        errors.append(error_mm(rendering, floor=floor))
    assert max(map(abs, errors)) < 3.0
    assert abs(errors[0] - errors[1]) < 2.0
    assert abs(errors[2] - errors[1]) < 2.0


@pytest.mark.parametrize("distance_m", [1.6, 2.5, 3.5])
def test_other_distances(distance_m: float) -> None:
    assert abs(error_mm(view(1.1, pitch_deg=12, distance_m=distance_m))) < 1.5 * distance_m


def test_through_a_distorted_lens() -> None:
    lens = Distortion(DistortionModel.BROWN_CONRADY, (-0.28, 0.09, 0.001, -0.001, 0.0))
    rendering = view(1.4, camera_m=1.07, pitch_deg=10, intrinsics=replace(VGA, distortion=lens))
    assert abs(error_mm(rendering)) < 3.0
    plain = DepthMap(rendering.depth_m, DepthKind.METRIC, VGA)
    ignoring = measure_height(plain, rendering.mask(0), floor_of(rendering)).height_m
    assert ignoring is not None
    assert abs(ignoring - 1.4) > 0.005  # the lens does matter


def test_flying_pixels_do_not_lift_the_crown() -> None:
    rendering = view(camera_m=1.3)
    noise = SensorNoise(sigma_per_m=0.0, hole_share=0.0, flying_share=0.9, edge_px=4)
    depth_m = add_sensor_noise(rendering.depth_m, seed=1, noise=noise)
    assert abs(error_mm(rendering, depth_m=depth_m)) < 3.0  # seen from above, they sink
    low = view(camera_m=0.7, pitch_deg=5)
    depth_m = add_sensor_noise(low.depth_m, seed=1, noise=noise)
    heights = floor_of(low).height_of(points_from_depth(depth_m, VGA))
    assert np.nanmax(heights[low.mask(0)]) > 1.15  # seen from below, they rise
    assert abs(error_mm(low, depth_m=depth_m)) < 3.0


def test_a_crown_of_flying_pixels_alone_is_refused() -> None:
    rendering = view(camera_m=1.3)
    noise = SensorNoise(sigma_per_m=0.0, hole_share=0.0, flying_share=0.9, edge_px=6)
    depth_m = add_sensor_noise(rendering.depth_m, seed=1, noise=noise)
    assert reason(measured(rendering, depth_m=depth_m)) == "crown_depth_missing"


def test_noise_study_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """benchmarks/height.py with few trials: the same code as the 200 of the report."""
    benchmark = load_benchmark(monkeypatch)
    for subject, bar_cm in benchmark.MAE_BAR_CM.items():
        found = benchmark.study(subject, 10, field=False, seed=1000)
        assert found["refused"] == 0
        assert found["edgedepth"]["mae_cm"] < 0.5 * bar_cm
        assert found["edgedepth"]["mae_cm"] < 0.5 * found["eroded_highest"]["mae_cm"]
        field = benchmark.study(subject, 10, field=True, seed=2000)
        assert field["refused"] == 0
        assert field["interval_95_coverage"] >= 0.8


def load_benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "height.py"
    monkeypatch.syspath_prepend(path.parent)  # as when it is run as a script
    spec = importlib.util.spec_from_file_location("benchmark_height", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_column(rendering: Rendering, *, width_m: float, above_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Mask and depth with something narrow rising from behind the head, beside its middle."""
    mask, depth_m = rendering.mask(0).copy(), rendering.depth_m.copy()
    top = int(mask.any(axis=1).argmax())
    px = 615 / 2.0
    middle = int(np.median(np.flatnonzero(mask[top]))) + round(0.03 * px)
    assert top > above_m * px
    rows, columns = slice(top - round(above_m * px), top + 3), slice(middle, middle + round(width_m * px))
    mask[rows, columns] = True
    depth_m[rows, columns] = 2.0
    return mask, depth_m


@pytest.mark.parametrize(("width_m", "above_m"), [(0.015, 0.05), (0.07, 0.2), (0.08, 0.3)])
def test_tufts_and_raised_hands_are_left_out(width_m: float, above_m: float) -> None:
    rendering = view(camera_m=1.2)
    mask, depth_m = with_column(rendering, width_m=width_m, above_m=above_m)
    found = measured(rendering, mask=mask, depth_m=depth_m)
    assert found.height_m == pytest.approx(1.1, abs=0.006)
    assert "narrow_top_ignored" in found.flags
    assert "narrow_top_ignored" not in measured(rendering).flags


def test_hair_without_depth_is_bridged() -> None:
    """Dark hair leaves gaps, and a silhouette from depth has them too."""
    rendering = view()
    depth_m = rendering.depth_m.copy()
    rows, columns = np.nonzero(rendering.mask(0))
    top, middle = rows.min(), int(np.median(columns[rows == rows.min()]))
    depth_m[top - 2 : top + 18, middle + 2 : middle + 12] = np.nan
    mask = rendering.mask(0) & np.isfinite(depth_m)
    found = measured(rendering, mask=mask, depth_m=depth_m)
    assert found.height_m == pytest.approx(1.1, abs=0.006)


def reason(found: HeightMeasurement) -> str:
    assert found.height_m is None
    assert found.sigma_m is None
    assert found.refused is not None
    return found.refused.split(": ", 1)[0]


def test_crown_outside_the_image_is_refused() -> None:
    assert reason(measured(view(1.75, camera_m=1.1, pitch_deg=10))) == "crown_cut_off"


def test_feet_outside_the_image_are_flagged() -> None:
    rendering = view(1.75, camera_m=1.6, pitch_deg=0)
    found = measured(rendering)
    assert found.height_m == pytest.approx(1.75, abs=0.003)
    assert set(found.flags) == {"feet_not_visible", "out_of_view"}
    assert measured(view()).flags == ()


def test_crown_without_depth_is_refused() -> None:
    rendering = view()
    depth_m = rendering.depth_m.copy()
    top = int(rendering.mask(0).any(axis=1).argmax())
    depth_m[: top + 60] = np.nan
    assert reason(measured(rendering, depth_m=depth_m)) == "crown_depth_missing"


def test_crown_behind_something_is_refused() -> None:
    scene = view(1.75, camera_m=1.2, pitch_deg=2, distance_m=3.0).scene
    rendering = render(replace(scene, boxes=(Box((0.0, 1.5, 1.55), (0.6, 0.05, 0.25)),)))
    assert reason(measured(rendering)) == "crown_occluded"


def test_leaning_body_is_refused() -> None:
    """The same picture over a floor that is tilted towards the camera: the person leans by 35 degrees."""
    rendering = view(1.4, camera_m=1.07, pitch_deg=10)
    up = np.array(floor_of(rendering).normal)
    lean = math.radians(35)
    R = np.array([[1, 0, 0], [0, math.cos(lean), -math.sin(lean)], [0, math.sin(lean), math.cos(lean)]])
    tilted = R @ up
    feet = points_from_depth(rendering.depth_m, VGA)[rendering.mask(0)][-1].astype(float)
    floor = FloorPlane(tuple(tilted / np.linalg.norm(tilted)), float(-tilted @ feet))
    assert reason(measured(rendering, floor=floor)) == "not_upright"


def test_too_much_roll_is_refused() -> None:
    assert reason(measured(view(roll_deg=40))) == "camera_rolled"


@pytest.mark.parametrize(("camera_m", "distance_m", "pitch_deg"), [(3.0, 1.0, 70.0), (3.0, 0.6, 78.0)])
def test_from_high_above(camera_m: float, distance_m: float, pitch_deg: float) -> None:
    wide = Intrinsics(640, 480, 420.0, 420.0, 319.5, 239.5)
    rendering = view(1.4, camera_m=camera_m, pitch_deg=pitch_deg, distance_m=distance_m, intrinsics=wide)
    assert abs(error_mm(rendering)) < 10.0


def test_straight_down_is_refused() -> None:
    wide = Intrinsics(640, 480, 420.0, 420.0, 319.5, 239.5)
    rendering = view(1.4, camera_m=3.0, pitch_deg=90, distance_m=0.2, intrinsics=wide)
    assert reason(measured(rendering)) == "camera_too_steep"


def test_giants_are_refused() -> None:
    rendering = view()
    floor = floor_of(rendering)
    doubled = FloorPlane(floor.normal, floor.offset_m * 2.5)
    found = measured(rendering, depth_m=rendering.depth_m * np.float32(2.5), floor=doubled)
    assert reason(found) == "implausible_height"
    assert "2.7" in str(found.refused)


def test_no_depth_no_mask_no_scale() -> None:
    rendering = view()
    assert reason(measured(rendering, mask=np.zeros((480, 640), bool))) == "mask_too_small"
    assert reason(measured(rendering, depth_m=np.full((480, 640), np.nan, np.float32))) == "no_depth"
    relative = DepthMap(rendering.depth_m, DepthKind.RELATIVE_DEPTH, VGA)
    assert reason(measure_height(relative, rendering.mask(0), floor_of(rendering))) == "not_metric"
    far = view(1.75, camera_m=1.2, pitch_deg=3, distance_m=4.5, intrinsics=Intrinsics(160, 120, 120, 120, 79.5, 59.5))
    assert reason(measured(far)) == "too_small"


def test_wrong_input_raises() -> None:
    rendering = view()
    with pytest.raises(InputError, match="silhouette must be bool"):
        measure_height(rendering.depth, rendering.mask(0).astype(np.uint8), floor_of(rendering))  # type: ignore[arg-type]
    with pytest.raises(IntrinsicsError):
        depth = DepthMap(rendering.depth_m, DepthKind.METRIC)
        measure_height(depth, rendering.mask(0), floor_of(rendering))


@pytest.mark.parametrize(("camera_m", "pitch_deg"), [(0.6, 3.0), (1.4, 20.0)])
def test_objects_are_measured_to_their_upper_edge(camera_m: float, pitch_deg: float) -> None:
    box = Box((0.0, 2.2, 0.45), (0.4, 0.4, 0.9))
    rendering = render(Scene(Camera(VGA, camera_m, pitch_deg), (), (box,), ROOM))
    T = rendering.scene.camera.pose.T_world_camera
    points = points_from_depth(rendering.depth_m, VGA).astype(float) @ T[:3, :3].T + T[:3, 3]
    mask = np.abs(points - box.center_m).max(axis=-1) < 0.4501
    mask &= (np.abs(points[..., 0]) < 0.2001) & (np.abs(points[..., 1] - 2.2) < 0.2001)
    found = measured(rendering, mask=mask, label="upright_object")
    assert found.height_m == pytest.approx(0.9, abs=0.003)
    assert found.label == "upright_object"


def test_the_budget_is_the_sigma() -> None:
    rendering = view()
    found = measured(rendering, floor=fit_floor(rendering.depth, exclude=rendering.mask(0)))
    assert found.height_m is not None
    assert found.sigma_m is not None
    assert found.interval_m is not None
    budget = dict(found.budget_m)
    assert set(budget) == {"scale", "depth_noise", "floor", "edge", "crown"}
    assert found.sigma_m == pytest.approx(math.sqrt(sum(v * v for v in budget.values())))
    assert found.interval_m[1] - found.interval_m[0] == pytest.approx(2 * 1.96 * found.sigma_m)
    assert budget["scale"] == pytest.approx(0.005 * found.height_m)
    assert budget["edge"] == pytest.approx(0.6 * 2.0 / 615, rel=0.1)
    assert found.distance_m == pytest.approx(2.0, abs=0.15)
    doubled = HeightOptions(scale_sigma=0.01)
    again = measure_height(rendering.depth, rendering.mask(0), floor_of(rendering), options=doubled)
    assert dict(again.budget_m)["scale"] == pytest.approx(2 * budget["scale"], rel=1e-3)


def test_noise_and_floor_terms_of_the_budget() -> None:
    """At the crown, 2 m ahead and 0.6 m below the camera: what its depth and the plane there are uncertain by."""
    rendering = view(1.1, camera_m=1.7, pitch_deg=20)
    floor = replace(floor_of(rendering), covariance=(1e-5, 0.0, 0.0, 2e-5, 1e-5, 4e-5))
    c, s = math.cos(math.radians(20)), math.sin(math.radians(20))
    crown = np.array([0.0, c * 0.6 - s * 2.0, s * 0.6 + c * 2.0])
    assert floor.height_of(crown) == pytest.approx(1.1)
    budget = dict(measured(rendering, floor=floor).budget_m)
    assert budget["floor"] == pytest.approx(float(floor.height_sigma_m(crown)), rel=0.05)
    noisier = HeightOptions(noise_per_m=0.005)
    again = measure_height(rendering.depth, rendering.mask(0), floor, options=noisier)
    assert dict(again.budget_m)["depth_noise"] == pytest.approx(2 * budget["depth_noise"], rel=1e-3)
    # One pixel's 2.5 mm per m^2 times the slope of its ray, averaged over tens of independent patches.
    one_pixel_m = 0.0025 * (0.6**2 + 2.0**2) * 0.6 / math.hypot(0.6, 2.0)
    assert one_pixel_m / 12 < budget["depth_noise"] < one_pixel_m / 2


def test_hair_can_be_taken_off() -> None:
    rendering = view()
    plain = measured(rendering).height_m
    options = HeightOptions(hair_m=0.02)
    less = measure_height(rendering.depth, rendering.mask(0), floor_of(rendering), options=options).height_m
    assert plain is not None
    assert less == pytest.approx(plain - 0.02)


def test_clean_depth_drops_steps_and_keeps_slopes() -> None:
    depth = np.full((10, 10), 2.0, np.float32)
    depth[:, 5:] = 4.0
    depth[9, 0] = np.nan
    clean = clean_depth(depth)
    assert not clean[:, 4:6].any()
    assert clean[:8, :4].all()
    assert not clean[9, 0]
    slope = np.broadcast_to(np.linspace(2, 2.2, 10, dtype=np.float32), (10, 10)).copy()
    assert clean_depth(slope).all()
