"""People from a network's own probabilities, over depth that is drawn as softly as a small network draws it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgedepth.errors import InputError, MeasurementRefused
from edgedepth.people import HeightMeter, MaskFinder
from edgedepth.people.own_depth import own_depth
from edgedepth.types import DepthKind, DepthMap, Frame

NETWORK_WH = (256, 192)


def as_network(rendered, *, blur_px: float = 0.0, wh: tuple[int, int] = NETWORK_WH) -> DepthMap:
    """The true depth and owners at a network's size, ``blur_px`` of its pixels softer, and back at the frame's."""

    def seen(plane: np.ndarray, sigma_px: float) -> np.ndarray:
        small = cv2.resize(plane, wh, interpolation=cv2.INTER_AREA)
        if sigma_px:
            small = cv2.GaussianBlur(small, (0, 0), sigma_px)
        return cv2.resize(small, rendered.depth.size_wh, interpolation=cv2.INTER_LINEAR)

    people = seen((rendered.owner > 0).astype(np.float32), min(blur_px, 1.0))
    return replace(rendered.depth, values=seen(rendered.depth.values, blur_px), person=people)


def overlap(mask: np.ndarray, owner: np.ndarray) -> float:
    return float((mask & owner).sum() / (mask | owner).sum())


def test_a_person_is_found_with_box_silhouette_and_mean_probability(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.2, 3.0)])
    depth = as_network(rendered)
    (found,) = MaskFinder().find(rendered.frame, depth)
    assert found.label == "person"
    assert overlap(found.mask, rendered.owner == 1) > 0.97
    assert found.box_xywh == pytest.approx(rendered.box_of(0), abs=2)
    assert found.score == pytest.approx(float(depth.person[depth.person >= 0.5].mean()), abs=1e-6)
    (sure,) = MaskFinder(0.95).find(rendered.frame, depth)
    assert sure.mask.sum() < found.mask.sum()
    assert not (sure.mask & ~found.mask).any()


def test_who_stands_in_front_of_another_is_cut_out_where_depth_steps(render_scene, make_person) -> None:
    rendered = render_scene([make_person(0.0, 2.0, 1.1), make_person(0.2, 3.0)])
    assert cv2.connectedComponents((rendered.owner > 0).astype(np.uint8))[0] == 2, "one region"
    child, adult = sorted(MaskFinder().find(rendered.frame, as_network(rendered)), key=lambda one: one.box_xywh[1])[
        ::-1
    ]
    assert overlap(child.mask, rendered.owner == 1) > 0.95
    assert overlap(adult.mask, rendered.owner == 2) > 0.95
    assert not (child.mask & adult.mask).any()
    # Without metres nothing tells a step between people from one within a body.
    relative = replace(as_network(rendered), kind=DepthKind.RELATIVE_DEPTH)
    assert len(MaskFinder().find(rendered.frame, relative)) == 1


def test_both_halves_of_somebody_behind_another_are_one(render_scene, make_slab) -> None:
    post = make_slab((-0.1, 0.1, 2.0), (0.1, 1.2, 2.1))
    rendered = render_scene([post, make_slab((-0.35, 0.1, 2.6), (0.35, 1.0, 2.7))])
    found = MaskFinder().find(rendered.frame, as_network(rendered))
    assert len(found) == 2
    behind = max(found, key=lambda one: overlap(one.mask, rendered.owner == 2))
    assert overlap(behind.mask, rendered.owner == 2) > 0.9
    middle = float(np.nonzero(rendered.owner == 1)[1].mean())
    columns = np.flatnonzero(behind.mask.any(axis=0))
    assert columns.min() < middle < columns.max()


def test_a_body_behind_a_rail_is_one_and_a_stranger_beside_it_another(render_scene, make_person) -> None:
    rendered = render_scene([make_person(-0.6, 3.0), make_person(0.6, 3.0)])
    depth = as_network(rendered)
    x, y, w, h = (int(side) for side in rendered.box_of(0))
    person = depth.person.copy()
    person[y + h // 2 : y + h // 2 + 12] = 0  # 7 cm without anybody, over both
    found = MaskFinder().find(rendered.frame, replace(depth, person=person))
    assert len(found) == 2
    (left,) = (one for one in found if one.box_xywh[0] < 320)
    assert left.box_xywh == pytest.approx((x, y, w, h), abs=2)
    person[y + h // 2 : y + h // 2 + 80] = 0  # 46 cm: whose legs these are nobody knows
    found = MaskFinder().find(rendered.frame, replace(depth, person=person))
    assert [one.box_xywh[3] for one in found] == pytest.approx([h // 2] * 2, abs=2)


def test_specks_are_dropped_by_their_size_in_metres_and_in_pixels(render_scene) -> None:
    rendered = render_scene([])
    person = np.zeros((480, 640), np.float32)
    person[100:130, 100:130] = 0.9  # the wall, 5 m away: 29 cm wide, 0.08 m^2
    person[100:120, 300:320] = 0.8  # 19 cm wide, 0.04 m^2
    person[300:309, 300:309] = 0.9
    depth = replace(rendered.depth, person=person)
    (found,) = MaskFinder().find(rendered.frame, depth)
    assert found.box_xywh == (100, 100, 30, 30)
    # Without metres: from 100 pixels on.
    relative = MaskFinder().find(rendered.frame, replace(depth, kind=DepthKind.RELATIVE_DEPTH))
    assert [one.box_xywh for one in relative] == [(100, 100, 30, 30), (300, 100, 20, 20)]


@pytest.mark.parametrize("kind", list(DepthKind))
def test_a_map_at_the_network_s_size_gives_masks_on_the_frame(render_scene, make_person, kind) -> None:
    rendered = render_scene([make_person(0.2, 3.0)])
    # 4:3 into a square: 32 rows of padding above and below.
    small = [cv2.resize(p, (256, 192), interpolation=cv2.INTER_AREA) for p in
             (rendered.depth.values, (rendered.owner > 0).astype(np.float32))]  # fmt: skip
    padded = [np.pad(plane, ((32, 32), (0, 0)), constant_values=np.nan) for plane in small]
    camera = rendered.frame.intrinsics.resized(256, 192).cropped(0, -32, 256, 256)
    depth = DepthMap(padded[0], kind, camera, padded[1])
    (found,) = MaskFinder().find(rendered.frame, depth)
    assert found.mask.shape == (480, 640)
    assert overlap(found.mask, rendered.owner == 1) > 0.97


def test_nobody_is_nobody_and_a_map_without_people_is_an_error(render_scene) -> None:
    rendered = render_scene([])
    nobody = replace(rendered.depth, person=np.full((480, 640), np.nan, np.float32))
    assert MaskFinder().find(rendered.frame, nobody) == ()
    with pytest.raises(InputError, match="takes a model with a person output"):
        MaskFinder().find(rendered.frame, rendered.depth)
    with pytest.raises(MeasurementRefused, match="found none"):
        MaskFinder().find(rendered.frame, None)
    with pytest.raises(InputError, match="between 0 and 1, found 1"):
        MaskFinder(1.0)
    with pytest.raises(InputError, match="another aspect ratio"):
        MaskFinder().find(Frame(np.zeros((480, 480, 3), np.uint8)), nobody)


@pytest.mark.parametrize(("blur_px", "off_m"), [(0.0, 0.006), (1.0, 0.01), (1.5, 0.02)])
def test_heights_of_a_network_s_soft_silhouettes(render_scene, make_person, blur_px: float, off_m: float) -> None:
    rendered = render_scene([make_person(0.0, 2.0, 1.1), make_person(0.2, 3.0), make_person(-1.0, 3.5, 1.3)])
    depth = as_network(rendered, blur_px=blur_px)
    people = HeightMeter(MaskFinder(), camera_height_m=1.3).measure(rendered.frame, depth).people
    assert [person.refused for person in people] == [None] * 3
    assert sorted(person.height_m for person in people) == pytest.approx([1.1, 1.3, 1.75], abs=off_m)


def test_a_sensor_s_own_holes_and_edges_stay(render_scene, make_person) -> None:
    """What a sensor does not see is not made up: only a network's depth is drawn inwards."""
    rendered = render_scene([make_person(0.0, 3.5, 1.1)])
    soft = as_network(rendered, blur_px=1.5)
    frame = replace(rendered.frame, depth_m=soft.values)
    (person,) = HeightMeter(MaskFinder()).measure(frame, soft).people
    assert person.refused.startswith("crown_depth_missing")


def test_mixed_pixels_take_the_nearest_clean_depth_of_the_body(render_scene) -> None:
    z = np.full((480, 640), 4.0, np.float32)
    z[100:200, 100:160] = 2.0
    for step, depth_m in enumerate((2.8, 2.4), start=100):  # drawn out over two rows
        z[step, 100:160] = depth_m
    mask = np.zeros(z.shape, np.bool_)
    mask[100:200, 100:160] = True
    depth = DepthMap(z, DepthKind.METRIC)
    mended = own_depth(depth, mask)
    assert (mended.values[mask] == 2.0).all()
    np.testing.assert_array_equal(mended.values[~mask], z[~mask])
    assert z[100, 120] == np.float32(2.8), "the map it was given is left alone"
    assert own_depth(replace(depth, values=np.full_like(z, np.nan)), mask).values is not None
