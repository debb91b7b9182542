"""HeightMeter on exact scenes: statures are known, everything that must be refused is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgedepth.errors import InputError, IntrinsicsError, NotMetricError
from edgedepth.geometry.height import HeightOptions
from edgedepth.people.geometric import GeometricFinder
from edgedepth.people.given import GivenPeople
from edgedepth.people.measure import HeightMeter
from edgedepth.types import DepthKind, DepthMap, Frame


def with_kind(depth: DepthMap, kind: DepthKind, factor: float = 1.0) -> DepthMap:
    return DepthMap(depth.values * np.float32(factor), kind, depth.intrinsics)


def boxes(rendered, count: int) -> GivenPeople:
    return GivenPeople([rendered.box_of(i) for i in range(count)])


@pytest.mark.parametrize("stature_m", [1.1, 1.45, 1.75])
def test_stature_of_one_person(render_scene, make_person, stature_m) -> None:
    rendered = render_scene([make_person(0.1, 2.4, stature_m)])
    measurement = HeightMeter(boxes(rendered, 1)).measure(rendered.frame, rendered.depth)
    (person,) = measurement.people
    assert person.refused is None
    assert person.height_m == pytest.approx(stature_m, abs=0.006)
    assert person.box_xywh == rendered.box_of(0)
    assert measurement.floor is not None
    assert measurement.floor.camera_height_m == pytest.approx(1.3, abs=0.002)
    assert measurement.floor.pitch_deg == pytest.approx(6.0, abs=0.05)


def test_the_finder_without_a_network_gives_the_same(render_scene, make_person) -> None:
    rendered = render_scene([make_person(-0.5, 2.4, 1.75), make_person(0.4, 2.7, 1.2)])
    found = HeightMeter(GeometricFinder()).measure(rendered.frame, rendered.depth).people
    assert [p.label for p in found] == ["person", "person"]
    by_x = sorted(found, key=lambda p: p.box_xywh[0])
    assert [p.height_m for p in by_x] == [pytest.approx(1.75, abs=0.006), pytest.approx(1.2, abs=0.006)]


def test_an_object_s_height_is_that_of_its_upper_edge(render_scene, make_slab) -> None:
    rendered = render_scene([make_slab((-0.2, 0, 2.4), (0.2, 0.9, 2.8))], camera_height_m=0.8, pitch_deg=0)
    (thing,) = HeightMeter(GeometricFinder()).measure(rendered.frame, rendered.depth).people
    assert thing.label == "upright_object"
    assert thing.height_m == pytest.approx(0.9, abs=0.006)


@pytest.mark.parametrize("kind", [DepthKind.RELATIVE_DEPTH, DepthKind.DISPARITY, DepthKind.ORDINAL])
@pytest.mark.parametrize("people", [0, 1])
def test_heights_of_depth_without_a_scale_are_an_error_even_with_nobody_there(
    render_scene, make_person, kind, people
) -> None:
    rendered = render_scene([make_person(0.0, 2.4)])
    finder = boxes(rendered, people)
    with pytest.raises(NotMetricError, match="camera height or a scale"):
        HeightMeter(finder).measure(rendered.frame, with_kind(rendered.depth, kind))


@pytest.mark.parametrize("kind", [DepthKind.RELATIVE_DEPTH, DepthKind.METRIC])
def test_a_known_camera_height_sets_the_scale(render_scene, make_person, kind) -> None:
    rendered = render_scene([make_person(0.0, 2.4)])
    meter = HeightMeter(boxes(rendered, 1), camera_height_m=1.3)
    measurement = meter.measure(rendered.frame, with_kind(rendered.depth, kind, 0.8))
    assert measurement.scale_source == "camera_height"
    assert measurement.scale == pytest.approx(1.25, rel=0.002)
    assert measurement.floor is not None
    assert measurement.floor.camera_height_m == pytest.approx(1.3)
    assert measurement.people[0].height_m == pytest.approx(1.75, abs=0.008)


def test_the_scaled_floor_is_as_sure_as_one_of_metres(render_scene) -> None:
    rendered = render_scene([])
    z = rendered.depth.values * np.random.default_rng(1).normal(1, 0.003, rendered.depth.values.shape)
    depth = DepthMap(z.astype(np.float32), DepthKind.METRIC, rendered.depth.intrinsics)
    metres = HeightMeter(GivenPeople([])).measure(rendered.frame, depth).floor
    half = with_kind(depth, DepthKind.RELATIVE_DEPTH, 0.5)
    scaled = HeightMeter(GivenPeople([]), camera_height_m=1.3).measure(rendered.frame, half).floor
    assert metres is not None
    assert scaled is not None
    head = np.array([0.0, 0.0, 2.5])
    assert scaled.height_sigma_m(head) == pytest.approx(metres.height_sigma_m(head), rel=0.2)
    assert scaled.inlier_rms_m == pytest.approx(metres.inlier_rms_m, rel=0.2)


def test_a_given_scale_is_applied_and_its_sigma_counts(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.4)])
    depth = with_kind(rendered.depth, DepthKind.RELATIVE_DEPTH, 0.5)
    sigmas = []
    for sigma in (0.0, 0.04):
        meter = HeightMeter(boxes(rendered, 1), scale=2.0, scale_sigma=sigma, origin="sensor")
        measurement = meter.measure(rendered.frame, depth)
        assert (measurement.scale, measurement.scale_source) == (2.0, "given")
        assert measurement.people[0].height_m == pytest.approx(1.75, abs=0.006)
        sigmas.append(measurement.people[0].sigma_m)
    # 4 % of 1.75 m is 7 cm, added in quadrature.
    assert np.hypot(sigmas[0], 0.07) == pytest.approx(sigmas[1], rel=0.01)


def test_no_single_factor_makes_metres_of_disparity(render_scene) -> None:
    rendered = render_scene([])
    depth = with_kind(rendered.depth, DepthKind.DISPARITY)
    for meter in (HeightMeter(GivenPeople([]), scale=2.0), HeightMeter(GivenPeople([]), camera_height_m=1.3)):
        with pytest.raises(NotMetricError, match="shift"):
            meter.measure(rendered.frame, depth)


def test_the_error_is_the_sensor_s_the_network_s_or_the_reference_s(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.4)])
    sensor_frame = dataclasses.replace(rendered.frame, depth_m=rendered.depth.values.copy())

    def measured(frame: Frame, **options):
        measurement = HeightMeter(boxes(rendered, 1), **options).measure(frame, rendered.depth)
        return measurement.scale_source, measurement.people[0].sigma_m

    source, sensor_m = measured(sensor_frame)
    assert source == "sensor"
    assert 0.003 < sensor_m < 0.02
    source, network_m = measured(rendered.frame)
    assert source == "model"
    assert 0.09 < network_m < 0.25  # 5 to 10 % of 1.75 m, at least
    source, tape_m = measured(rendered.frame, camera_height_m=1.3)
    assert source == "camera_height"
    assert sensor_m < tape_m < network_m / 2
    _, own_m = measured(rendered.frame, options=HeightOptions(scale_sigma=0.02))
    assert own_m == pytest.approx(0.02 * 1.75, rel=0.1)


def test_depth_smaller_than_the_frame(render_scene, make_person) -> None:
    large = render_scene([make_person(0.1, 2.4)])
    small = render_scene([make_person(0.1, 2.4)], size_wh=(320, 240), f_px=262.5)
    (person,) = HeightMeter(boxes(large, 1)).measure(large.frame, small.depth).people
    assert person.box_xywh == large.box_of(0)
    assert person.height_m == pytest.approx(1.75, abs=0.012)


def test_depth_of_another_aspect_is_followed_by_its_intrinsics_and_refused_without(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.1, 2.4)])
    assert rendered.depth.intrinsics is not None
    crop = DepthMap(
        np.ascontiguousarray(rendered.depth.values[:, 80:560]),
        DepthKind.METRIC,
        rendered.depth.intrinsics.cropped(80, 0, 480, 480),
    )
    (person,) = HeightMeter(boxes(rendered, 1)).measure(rendered.frame, crop).people
    assert person.height_m == pytest.approx(1.75, abs=0.006)
    with pytest.raises(InputError, match="aspect"):
        HeightMeter(boxes(rendered, 1)).measure(Frame(rendered.frame.image), crop)


def test_without_intrinsics_there_are_no_heights(render_scene) -> None:
    rendered = render_scene([])
    bare = DepthMap(rendered.depth.values, DepthKind.METRIC)
    with pytest.raises(IntrinsicsError, match="intrinsics"):
        HeightMeter(GivenPeople([])).measure(Frame(rendered.frame.image), bare)
    assert HeightMeter(GivenPeople([])).measure(rendered.frame, bare).floor is not None


def refusal(measurement, index: int = 0) -> str:
    person = measurement.people[index]
    assert person.height_m is None
    assert person.sigma_m is None
    assert person.interval_m is None
    assert person.refused is not None
    return person.refused.split(": ")[0]


def test_a_head_beyond_the_upper_edge_is_refused(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 1.6, 1.9)], pitch_deg=20)
    assert refusal(HeightMeter(boxes(rendered, 1)).measure(rendered.frame, rendered.depth)) == "crown_cut_off"


def test_a_head_beyond_what_the_sensor_sees_is_refused(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.4)])
    z = rendered.depth.values.copy()
    z[: int(rendered.box_of(0)[1]) + 12] = np.nan
    depth = DepthMap(z, DepthKind.METRIC, rendered.depth.intrinsics)
    measurement = HeightMeter(boxes(rendered, 1)).measure(rendered.frame, depth)
    assert refusal(measurement) == "crown_cut_off"
    assert "sensor" in str(measurement.people[0].refused)


def test_the_same_person_twice_is_refused_twice(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.4)])
    finder = GivenPeople([rendered.box_of(0)] * 2)
    measurement = HeightMeter(finder).measure(rendered.frame, rendered.depth)
    assert [refusal(measurement, i) for i in (0, 1)] == ["overlaps", "overlaps"]


def test_an_empty_box_is_refused(render_scene) -> None:
    rendered = render_scene([], wall_m=None)
    finder = GivenPeople([(300.0, 150.0, 80.0, 250.0)])
    assert refusal(HeightMeter(finder).measure(rendered.frame, rendered.depth)) == "no_depth"


def test_somebody_lying_is_refused(render_scene, make_slab) -> None:
    rendered = render_scene([make_slab((-0.9, 0, 2.4), (0.8, 0.6, 2.8))])
    assert refusal(HeightMeter(boxes(rendered, 1)).measure(rendered.frame, rendered.depth)) == "not_upright"


def test_a_given_mask_of_somebody_lying_is_refused_whatever_depth_it_lacks(render_scene, make_slab) -> None:
    rendered = render_scene([make_slab((-0.9, 0, 2.4), (0.8, 0.6, 2.8))])
    z = rendered.depth.values.copy()
    z[np.random.default_rng(0).random(z.shape) < 0.15] = np.nan
    finder = GivenPeople(masks=[rendered.owner == 1])
    measurement = HeightMeter(finder).measure(rendered.frame, DepthMap(z, DepthKind.METRIC, rendered.depth.intrinsics))
    assert refusal(measurement) == "not_upright"


def test_a_given_mask_without_any_depth_is_refused(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.4)])
    z = np.where(rendered.owner == 1, np.float32(np.nan), rendered.depth.values)
    finder = GivenPeople(masks=[rendered.owner == 1])
    measurement = HeightMeter(finder).measure(rendered.frame, DepthMap(z, DepthKind.METRIC, rendered.depth.intrinsics))
    assert refusal(measurement) == "no_depth"


@pytest.mark.parametrize("cut_px", [200, 260])
def test_somebody_beside_the_part_that_depth_shows_is_refused(render_scene, make_person, cut_px) -> None:
    rendered = render_scene([make_person(-0.8, 2.4), make_person(0.6, 2.4)])
    crop = DepthMap(
        np.ascontiguousarray(rendered.depth.values[:, cut_px:]),
        DepthKind.METRIC,
        rendered.depth.intrinsics.cropped(cut_px, 0, 640 - cut_px, 480),
    )
    measurement = HeightMeter(boxes(rendered, 2)).measure(rendered.frame, crop)
    assert refusal(measurement) == "no_depth"
    assert measurement.people[1].height_m == pytest.approx(1.75, abs=0.006)


def test_depth_that_loses_the_head_is_refused(render_scene, make_person) -> None:
    """The head takes the wall's depth, as it does in blurred maps."""
    rendered = render_scene([make_person(0.0, 2.4)])
    _, y, _, h = rendered.box_of(0)
    z = rendered.depth.values.copy()
    head = slice(int(y), int(y + 0.14 * h))
    z[head] = np.where(rendered.owner[head] == 1, z[head, :1], z[head])
    depth = DepthMap(z, DepthKind.METRIC, rendered.depth.intrinsics)
    assert refusal(HeightMeter(boxes(rendered, 1)).measure(rendered.frame, depth)) == "silhouette_unclear"


def test_feet_that_the_floor_swallows_are_refused_for_a_network_only(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.4)])
    _, y, _, h = rendered.box_of(0)
    z = rendered.depth.values.copy()
    legs = slice(int(y + 0.75 * h), int(y + h) + 2)
    floor_only = render_scene([]).depth.values
    z[legs] = floor_only[legs]
    depth = DepthMap(z, DepthKind.METRIC, rendered.depth.intrinsics)
    assert refusal(HeightMeter(boxes(rendered, 1)).measure(rendered.frame, depth)) == "silhouette_unclear"
    (person,) = HeightMeter(boxes(rendered, 1), origin="sensor").measure(rendered.frame, depth).people
    assert person.height_m == pytest.approx(1.75, abs=0.006)
    assert "feet_not_visible" in person.flags


def test_a_hole_over_the_crown_is_flagged_and_widens_the_interval(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.4)])
    x, y, w, _ = rendered.box_of(0)
    z = rendered.depth.values.copy()
    rows = slice(int(y) - 6, int(y) + 5)
    z[rows, int(x) : int(x + w)] = np.nan
    depth = DepthMap(z, DepthKind.METRIC, rendered.depth.intrinsics)
    meter = HeightMeter(boxes(rendered, 1), origin="sensor")
    (clear,) = meter.measure(rendered.frame, rendered.depth).people
    (holed,) = meter.measure(rendered.frame, depth).people
    assert "crown_depth_hole" in holed.flags
    assert "crown_depth_hole" not in clear.flags
    assert holed.height_m is not None
    assert holed.interval_m is not None
    assert holed.height_m < 1.75 < holed.interval_m[1]
    # 11 rows of 4.4 mm, uniform.
    assert dict(holed.budget_m)["hole"] == pytest.approx(11 * 0.0044 / np.sqrt(3), rel=0.3)
    assert holed.interval_m[1] > holed.height_m + 11 * 0.0044  # the crown may be at the hole's very end


def test_without_a_floor_everyone_is_listed_and_refused(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.4)])
    z = rendered.depth.values.copy()
    z[rendered.owner == 0] = np.nan
    depth = DepthMap(z, DepthKind.METRIC, rendered.depth.intrinsics)
    measurement = HeightMeter(boxes(rendered, 1)).measure(rendered.frame, depth)
    assert measurement.floor is None
    assert measurement.floor_refused
    assert refusal(measurement) == "no_floor"
    assert HeightMeter(GeometricFinder()).measure(rendered.frame, depth).people == ()


def test_a_known_floor_is_used_as_it_is(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.4)])
    meter = HeightMeter(boxes(rendered, 1), floor=rendered.floor)
    measurement = meter.measure(rendered.frame, rendered.depth)
    assert measurement.floor is rendered.floor
    assert measurement.people[0].height_m == pytest.approx(1.75, abs=0.005)


def test_a_mask_is_taken_as_it_is(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.4), make_person(0.25, 2.45)])
    finder = GivenPeople(masks=[rendered.owner == 1, rendered.owner == 2])
    first, second = HeightMeter(finder).measure(rendered.frame, rendered.depth).people
    assert first.height_m == pytest.approx(1.75, abs=0.006)
    assert second.height_m == pytest.approx(1.75, abs=0.006)
    drawn_over = GivenPeople(masks=[rendered.owner == 1, rendered.owner > 0])
    assert refusal(HeightMeter(drawn_over).measure(rendered.frame, rendered.depth)) == "overlaps"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"camera_height_m": 0.0}, "camera_height_m"),
        ({"camera_height_m": float("nan")}, "camera_height_m"),
        ({"scale": -1.0}, "scale"),
        ({"scale_sigma": -0.1, "scale": 1.0}, "scale_sigma"),
        ({"scale": 1.0, "camera_height_m": 1.0}, "one of them"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, says) -> None:
    with pytest.raises(InputError, match=says):
        HeightMeter(GivenPeople([]), **options)
