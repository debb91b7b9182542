"""What stands on the floor, without a network, on exact renderings."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.errors import MeasurementRefused, NotMetricError
from edgedepth.people.geometric import GeometricFinder
from edgedepth.types import DepthKind, DepthMap


def find(rendered):
    return GeometricFinder().find(rendered.frame, rendered.depth, rendered.floor)


def assert_box_near(box, expected, pixels: float = 5.0) -> None:
    x, y, w, h = expected
    got = np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]])
    # Feet blend into the floor: the lowest 8 cm are not searched.
    np.testing.assert_allclose(got[:3], [x, y, x + w], atol=pixels)
    assert y + 0.9 * h < got[3] <= y + h + pixels


@pytest.mark.parametrize("stature_m", [0.8, 1.1, 1.45, 1.75, 2.0])
@pytest.mark.parametrize("ahead_m", [2.2, 3.8])
def test_a_person_of_any_stature(render_scene, make_person, stature_m, ahead_m) -> None:
    rendered = render_scene([make_person(0.2, ahead_m, stature_m)], camera_height_m=1.2, pitch_deg=2)
    (found,) = find(rendered)
    assert found.label == "person"
    assert found.score >= 0.5
    assert_box_near(found.box_xywh, rendered.box_of(0))


def test_people_shoulder_to_shoulder_are_counted_one_by_one(render_scene, make_person) -> None:
    rendered = render_scene([make_person(-0.38, 2.8), make_person(0.0, 2.8, 1.6), make_person(0.39, 2.78, 1.8)])
    found = find(rendered)
    assert [c.label for c in found] == ["person"] * 3
    for candidate, i in zip(sorted(found, key=lambda c: c.box_xywh[0]), range(3), strict=True):
        (x, y, w, _), expected = candidate.box_xywh, rendered.box_of(i)
        assert y == pytest.approx(expected[1], abs=5)
        # Arms that touch are cut somewhere between the heads.
        assert x + w / 2 == pytest.approx(expected[0] + expected[2] / 2, abs=15)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("cupboard", (-0.3, 0, 2.5), (0.3, 1.8, 2.9)),
        ("bin", (-0.2, 0, 2.2), (0.2, 0.7, 2.6)),
        ("post", (-0.05, 0, 2.5), (0.05, 1.7, 2.6)),
        ("column", (-0.13, 0, 2.5), (0.13, 1.7, 2.7)),
        ("board", (-0.25, 0, 2.5), (0.25, 1.7, 2.55)),
    ],
)
def test_furniture_is_an_upright_object(render_scene, make_slab, name, low, high) -> None:
    found = find(render_scene([make_slab(low, high)]))
    assert [c.label for c in found] == ["upright_object"], name


def test_a_box_with_a_pole_is_not_a_person(render_scene, make_slab) -> None:
    thing = make_slab((-0.3, 0, 2.5), (0.3, 1.1, 2.9)) + make_slab((-0.02, 1.1, 2.6), (0.02, 1.7, 2.64))
    assert all(c.label == "upright_object" for c in find(render_scene([thing])))


def test_walls_tables_and_hanging_things_are_left_out(render_scene, make_slab) -> None:
    table = make_slab((-0.9, 0.68, 2.2), (0.9, 0.72, 2.9))
    wide = make_slab((-1.6, 0, 4.0), (1.6, 2.0, 4.2))
    lamp = make_slab((0.5, 1.5, 2.5), (0.8, 1.8, 2.8))
    assert find(render_scene([table, wide, lamp], pitch_deg=10)) == ()


def test_what_shows_below_something_nearer_has_no_top_to_go_by(render_scene, make_slab) -> None:
    screen = make_slab((-0.7, 0.9, 2.3), (0.7, 2.4, 2.4))
    cupboard = make_slab((-0.3, 0, 3.4), (0.3, 1.8, 3.8))
    assert find(render_scene([screen, cupboard])) == ()
    assert [c.label for c in find(render_scene([cupboard]))] == ["upright_object"]


def test_a_person_cut_by_the_upper_edge_is_not_called_a_person(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 1.6, 1.9)], pitch_deg=20)
    assert rendered.box_of(0)[1] == 0
    assert [c.label for c in find(rendered)] == ["upright_object"]


def test_feet_below_the_image_do_not_hide_a_person(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 1.9)], pitch_deg=0)
    assert rendered.box_of(0)[1] + rendered.box_of(0)[3] == 480
    assert [c.label for c in find(rendered)] == ["person"]


def test_depth_smaller_than_the_frame_gives_boxes_on_the_frame(render_scene, make_person) -> None:
    small = render_scene([make_person(0.2, 2.6)], size_wh=(320, 240), f_px=262.5)
    large = render_scene([make_person(0.2, 2.6)])
    (found,) = GeometricFinder().find(large.frame, small.depth, small.floor)
    assert_box_near(found.box_xywh, large.box_of(0))


def test_without_depth_floor_or_scale_it_refuses(render_scene) -> None:
    rendered = render_scene([])
    with pytest.raises(MeasurementRefused, match="depth"):
        GeometricFinder().find(rendered.frame, None, rendered.floor)
    with pytest.raises(MeasurementRefused, match="floor"):
        GeometricFinder().find(rendered.frame, rendered.depth, None)
    relative = DepthMap(rendered.depth.values, DepthKind.RELATIVE_DEPTH, rendered.depth.intrinsics)
    with pytest.raises(NotMetricError):
        GeometricFinder().find(rendered.frame, relative, rendered.floor)
