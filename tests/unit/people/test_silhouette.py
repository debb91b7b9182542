"""Silhouettes from boxes and depth, against exact renderings where every pixel's owner is known."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.errors import IntrinsicsError, NotMetricError
from edgedepth.people.scene import SOLID_ABOVE_FLOOR_M, Scene, depth_breaks
from edgedepth.people.silhouette import silhouettes
from edgedepth.types import DepthKind, DepthMap


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def truth(rendered, scene: Scene, thing: int) -> np.ndarray:
    return (rendered.owner == thing + 1) & (scene.height_m > SOLID_ABOVE_FLOOR_M)


def test_heights_and_floor_coordinates_of_a_known_point(render_scene, make_slab) -> None:
    rendered = render_scene([make_slab((0.3, 0, 2.0), (0.7, 1.0, 2.4))], pitch_deg=12)
    scene = Scene.build(rendered.depth, rendered.floor)
    front = (rendered.owner == 1) & (np.abs(scene.forward_m - 2.0) < 1e-3)
    assert front.sum() > 5000
    # One pixel spans 4 mm at 2 m.
    assert scene.height_m[front].max() == pytest.approx(1.0, abs=0.005)
    assert scene.lateral_m[front].min() == pytest.approx(0.3, abs=0.005)
    assert scene.lateral_m[front].max() == pytest.approx(0.7, abs=0.005)
    assert np.abs(scene.height_m[(rendered.owner == 0) & (scene.forward_m < 4.9)]).max() < 1e-4


def test_steps_at_the_edge_of_a_window_are_told_by_what_lies_beside_it() -> None:
    depth_m = np.full((8, 10), 2.0, np.float32)
    depth_m[:, 5:] = 3.0
    assert depth_breaks(depth_m, (slice(2, 6), slice(5, 9)))[:, 0].all()
    assert not depth_breaks(depth_m, (slice(2, 6), slice(6, 9))).any()
    assert depth_breaks(depth_m, (slice(0, 8), slice(0, 5)))[:, 4].all()


def test_one_person_is_found_to_the_pixel(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.1, 2.6)])
    scene = Scene.build(rendered.depth, rendered.floor)
    (found,) = silhouettes([rendered.box_of(0)], scene)
    expected = truth(rendered, scene, 0)
    assert iou(found.mask, expected) > 0.97
    assert np.flatnonzero(found.mask.any(axis=1))[0] == np.flatnonzero(expected.any(axis=1))[0]
    assert not found.open_top
    assert found.lateral_m == pytest.approx(0.1, abs=0.03)
    assert found.distance_m == pytest.approx(2.5, abs=0.1)


@pytest.mark.parametrize(("up", "down"), [(0.05, 0.0), (0.0, 0.1), (0.05, 0.1)])
def test_a_box_that_cuts_head_and_feet_still_gives_the_whole_person(render_scene, make_person, up, down) -> None:
    rendered = render_scene([make_person(0.0, 2.8)])
    scene = Scene.build(rendered.depth, rendered.floor)
    x, y, w, h = rendered.box_of(0)
    (found,) = silhouettes([(x, y + up * h, w, h * (1 - up - down))], scene)
    assert iou(found.mask, truth(rendered, scene, 0)) > 0.97


def test_neighbours_shoulder_to_shoulder_are_told_apart(render_scene, make_person) -> None:
    rendered = render_scene([make_person(-0.2, 2.7), make_person(0.2, 2.6), make_person(0.75, 2.0, 1.2)])
    scene = Scene.build(rendered.depth, rendered.floor)
    boxes = [rendered.box_of(i) for i in range(3)]
    found = silhouettes(boxes, scene)
    for i in range(3):
        assert iou(found[i].mask, truth(rendered, scene, i)) > 0.93, i
    assert not (found[0].mask & found[1].mask).any()
    assert not (found[1].mask & found[2].mask).any()


def test_somebody_half_hidden_behind_another_is_not_the_one_in_front(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.0), make_person(0.3, 3.2)])
    scene = Scene.build(rendered.depth, rendered.floor)
    front, behind = silhouettes([rendered.box_of(0), rendered.box_of(1)], scene)
    assert iou(front.mask, truth(rendered, scene, 0)) > 0.96
    assert iou(behind.mask, truth(rendered, scene, 1)) > 0.9


def test_flying_pixels_at_the_edge_stay_out(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.6)])
    edge = np.zeros(rendered.owner.shape, bool)
    person = rendered.owner == 1
    edge[:-1] = ~person[:-1] & person[1:]  # the row above the outline
    z = rendered.depth.values.copy()
    z[edge] = (z[edge] + 2.6) / 2  # halfway to the wall
    scene = Scene.build(DepthMap(z, DepthKind.METRIC, rendered.depth.intrinsics), rendered.floor)
    (found,) = silhouettes([rendered.box_of(0)], scene)
    assert not (found.mask & edge).any()
    assert iou(found.mask, truth(rendered, scene, 0)) > 0.97


def test_holes_are_not_part_of_the_mask_and_a_severed_head_is(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.6)])
    x, y, w, h = rendered.box_of(0)
    z = rendered.depth.values.copy()
    collar = slice(int(y + 0.13 * h), int(y + 0.16 * h))
    z[collar] = np.nan
    scene = Scene.build(DepthMap(z, DepthKind.METRIC, rendered.depth.intrinsics), rendered.floor)
    (found,) = silhouettes([(x, y, w, h)], scene)
    assert not found.mask[collar].any()
    assert np.flatnonzero(found.mask.any(axis=1))[0] == y


def test_a_person_against_something_tall_at_the_same_depth_has_an_open_top(
    render_scene, make_person, make_slab
) -> None:
    rendered = render_scene([make_person(0.0, 2.6), make_slab((-0.05, 1.6, 2.55), (0.05, 2.6, 2.7))])
    scene = Scene.build(rendered.depth, rendered.floor)
    (found,) = silhouettes([rendered.box_of(0)], scene)
    assert found.open_top


def test_an_empty_box_gives_none(render_scene, make_person) -> None:
    rendered = render_scene([make_person(-0.6, 2.6)], wall_m=None)
    scene = Scene.build(rendered.depth, rendered.floor)
    found = silhouettes([(420.0, 150.0, 90.0, 300.0), rendered.box_of(0), (0.0, 0.0, 5.0, 5.0)], scene)
    assert found[0] is None
    assert found[1] is not None
    assert found[2] is None


def test_depth_without_scale_or_camera_is_refused(render_scene) -> None:
    rendered = render_scene([])
    relative = DepthMap(rendered.depth.values, DepthKind.RELATIVE_DEPTH, rendered.depth.intrinsics)
    with pytest.raises(NotMetricError):
        Scene.build(relative, rendered.floor)
    with pytest.raises(IntrinsicsError):
        Scene.build(DepthMap(rendered.depth.values, DepthKind.METRIC), rendered.floor)
