"""Augmentation: what is known of a pixel stays with it, and everything follows from the seed."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgedepth.bundle.spec import InputSpec
from edgedepth.data import OrdinalPairs, Sample
from edgedepth.training.augment import (
    UNKNOWN,
    augment,
    crop,
    cut_to_aspect,
    cutdepth,
    fit,
    flip,
    generator,
    recolour,
    resize,
    zoom,
)  # fmt: skip
from edgedepth.training.recipe import Augmentation, Colour
from edgedepth.types import Distortion, DistortionModel, Intrinsics

SPEC = InputSpec(height=24, width=32)
CAMERA = Intrinsics(
    40, 30, 50.0, 52.0, 18.0, 15.5, Distortion(DistortionModel.BROWN_CONRADY, (0.1, 0.01, 0.002, 0.003))
)


def coded(camera: Intrinsics | None = CAMERA) -> Sample:
    """Each pixel's depth says where it was: x + 100 y, and one is unknown."""
    v, u = np.mgrid[0:30, 0:40]
    depth = (1 + u + 100 * v).astype(np.float32)
    depth[3, 4] = np.nan
    image = np.stack([6 * u, 8 * v, 0 * u], axis=2).astype(np.uint8)
    pairs = OrdinalPairs(
        np.array([[5.0, 6.0], [39.0, 29.0]]), np.array([[20.0, 8.0], [0.0, 0.0]]), np.array([-1, 1], "i1")
    )
    return Sample(image, depth, camera, "a", "g", pairs=pairs)


def at(sample: Sample, xy: NDArray[np.float64]) -> float:
    assert sample.depth_m is not None
    x, y = np.rint(xy).astype(int)
    return float(sample.depth_m[y, x])


def rays_agree(before: Sample, after: Sample, before_xy: tuple[float, float], after_xy: tuple[float, float],
               mirrored: bool = False) -> bool:  # fmt: skip
    """The same surface point is seen in the same direction (its x mirrored)."""
    a, b = before.intrinsics, after.intrinsics
    assert a is not None
    assert b is not None
    ray_a = (before_xy[0] - a.cx) / a.fx, (before_xy[1] - a.cy) / a.fy
    ray_b = (after_xy[0] - b.cx) / b.fx, (after_xy[1] - b.cy) / b.fy
    return np.allclose((-ray_a[0] if mirrored else ray_a[0], ray_a[1]), ray_b)


def test_flip_mirrors_depth_pairs_and_camera() -> None:
    before, after = coded(), flip(coded())
    assert before.depth_m is not None
    assert after.depth_m is not None
    np.testing.assert_array_equal(after.depth_m, before.depth_m[:, ::-1])
    assert rays_agree(before, after, (4.0, 3.0), (35.0, 3.0), mirrored=True)
    assert after.intrinsics is not None
    assert after.intrinsics.distortion.coefficients == (0.1, 0.01, 0.002, -0.003)
    assert before.pairs is not None
    assert after.pairs is not None
    for old, new in ((before.pairs.first_xy, after.pairs.first_xy), (before.pairs.second_xy, after.pairs.second_xy)):
        assert [at(before, p) for p in old] == [at(after, p) for p in new]
    twice = flip(after)
    assert twice.intrinsics == CAMERA
    np.testing.assert_array_equal(twice.image, before.image)


def test_a_mirrored_lens_bends_rays_the_mirrored_way() -> None:
    """OpenCV's projection of a mirrored point by the mirrored camera is the mirrored pixel."""
    after = flip(coded()).intrinsics
    assert after is not None

    def project(camera: Intrinsics, point: tuple[float, float, float]) -> NDArray[np.float64]:
        pixel, _ = cv2.projectPoints(np.array([point]), np.zeros(3), np.zeros(3), camera.matrix,
                                     np.array(camera.distortion.coefficients))  # fmt: skip
        return pixel.reshape(2)

    a, b = project(CAMERA, (0.2, -0.15, 1.0)), project(after, (-0.2, -0.15, 1.0))
    np.testing.assert_allclose((39 - a[0], a[1]), b, atol=1e-9)


def test_crop_keeps_focal_length_and_drops_pairs_that_leave() -> None:
    before = coded()
    after = crop(before, 3, 4, 20, 15)
    assert after.depth_m is not None
    assert after.depth_m.shape == (15, 20)
    assert after.depth_m[0, 0] == 1 + 3 + 400
    assert rays_agree(before, after, (10, 10), (7, 6))
    assert after.pairs is not None
    assert len(after.pairs) == 1
    assert at(after, after.pairs.first_xy[0]) == at(before, np.array([5.0, 6.0]))


def test_resize_takes_depth_of_one_surface_and_moves_the_camera() -> None:
    before = coded()
    half = resize(before, 15, 20)
    assert half.depth_m is not None
    assert before.depth_m is not None
    assert set(half.depth_m[np.isfinite(half.depth_m)]) <= set(before.depth_m[np.isfinite(before.depth_m)])
    # The outer corner of the image, (-0.5, -0.5), stays where it is; pixel 0 of the half covers pixels 0 and 1.
    assert rays_agree(before, half, (0.5, 0.5), (0.0, 0.0))
    assert rays_agree(before, half, (39.5, 29.5), (19.5, 14.5))
    double = resize(before, 60, 80)
    assert double.depth_m is not None
    np.testing.assert_array_equal(double.depth_m[::2, ::2], before.depth_m)
    assert double.pairs is not None
    assert [at(double, p) for p in double.pairs.first_xy] == [at(before, p) for p in [[5, 6], [39, 29]]]
    assert [at(double, p) for p in double.pairs.second_xy] == [at(before, p) for p in [[20, 8], [0, 0]]]


def test_zoom_is_the_same_camera_nearer() -> None:
    before = replace(coded(), depth_m=np.full((30, 40), 6.0, np.float32))
    after = zoom(before, 2.0, (0.5, 0.25))
    assert after.image.shape == before.image.shape
    assert after.depth_m is not None
    assert np.all(after.depth_m == 3.0)
    assert after.intrinsics is not None
    assert (after.intrinsics.fx, after.intrinsics.fy) == (CAMERA.fx, CAMERA.fy)
    # A wall point at Z = 6 and ray r is at (6 r); twice as near it is at ray 2 r: same metres sideways.
    x, y = 5, 8  # corner of the part that is shown: int(0.25 * 21), int(0.5 * 16)
    before_x = (10 - CAMERA.cx) / CAMERA.fx * 6.0
    after_pixel = (10 - x + 0.5) * 2 - 0.5
    assert (after_pixel - after.intrinsics.cx) / after.intrinsics.fx * 3.0 == pytest.approx(before_x)
    before_y, after_row = (10 - CAMERA.cy) / CAMERA.fy * 6.0, (10 - y + 0.5) * 2 - 0.5
    assert (after_row - after.intrinsics.cy) / after.intrinsics.fy * 3.0 == pytest.approx(before_y)


def test_cutdepth_paints_depth_in_the_picture_s_range_and_leaves_holes() -> None:
    image = np.full((4, 10, 3), 77, np.uint8)
    depth = np.full((4, 10), 5.0, np.float32)
    depth[2, 6] = np.nan
    depth[1, 6] = 20.0
    cut = cutdepth(image, depth, (0.5, 0.99), 10.0)
    # l = 5, width int(5 * 0.99 * 0.75) = 3, the full height
    assert np.all(cut[:, :5] == 77)
    assert np.all(cut[:, 8:] == 77)
    assert np.all(cut[0, 5:8] == 128), "5 of 10 m is the middle of 0..255"
    assert np.all(cut[1, 6] == 255), "farther than the range is white, and does not wrap around"
    assert np.all(cut[2, 6] == 77)
    assert np.all(image == 77), "the sample itself stays"


def test_colours_change_the_picture_by_what_they_say() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    image[:2] = 60
    bright = recolour(image, Colour(probability=1.0, brightness=0.5), np.random.default_rng(0))
    factor = bright[3, 3, 0] / 100
    assert 0.5 <= factor <= 1.5
    assert bright[0, 0, 0] == pytest.approx(60 * factor, abs=1)
    hue = recolour(
        np.full((2, 2, 3), (200, 50, 50), np.uint8), Colour(probability=1.0, hue=0.5), np.random.default_rng(1)
    )
    assert (hue.max(), hue.min()) == pytest.approx((200, 50), abs=1), "another colour of the same brightness"
    assert not np.array_equal(hue[0, 0], (200, 50, 50))
    assert recolour(image, Colour(probability=0.0, brightness=0.5), np.random.default_rng(0)) is image


def test_everything_follows_from_seed_stage_epoch_and_index() -> None:
    how = Augmentation(
        flip=0.5, zoom=1.5, crop=(16, 24), colour=Colour(brightness=0.3, channel_shuffle=0.5), cutdepth=0.5
    )

    def made(*key: int) -> Sample:
        return augment(coded(), (24, 32), how, generator(*key), max_depth_m=3000.0, spec=SPEC)

    first = made(1, 0, 3, 7)
    again = made(1, 0, 3, 7)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.depth_m, again.depth_m)
    assert first.intrinsics == again.intrinsics
    for key in ((2, 0, 3, 7), (1, 1, 3, 7), (1, 0, 4, 7), (1, 0, 3, 8)):
        other = made(*key)
        assert not (np.array_equal(first.image, other.image) and np.array_equal(first.depth_m, other.depth_m, True))


@pytest.mark.parametrize("seed", range(4))
def test_switching_one_on_leaves_the_others_as_they_were(seed: int) -> None:
    # A cut to the aspect the picture has, and CutDepth that hardly ever happens, change nothing themselves.
    alone, joined = Augmentation(flip=0.5, crop=(16, 24)), Augmentation(
        flip=0.5, crop=(16, 24), aspect=(4 / 3, 4 / 3), cutdepth=1e-9
    )  # fmt: skip
    one, other = (
        augment(coded(), (24, 32), how, generator(seed, 0, 0, 5), max_depth_m=10, spec=SPEC) for how in (alone, joined)
    )
    np.testing.assert_array_equal(one.image, other.image)


def test_nothing_asked_for_is_the_sample_at_its_size() -> None:
    plain = augment(coded(), (30, 40), Augmentation(), generator(0, 0, 0, 0), max_depth_m=10, spec=SPEC)
    np.testing.assert_array_equal(plain.image, coded().image)
    np.testing.assert_array_equal(plain.depth_m, coded().depth_m)
    assert plain.intrinsics == CAMERA


def people() -> Sample:
    """Who is where follows the depth: 1 where it is odd, 2 where it is even, as far as it is known."""
    sample = coded()
    assert sample.depth_m is not None
    ids = np.where(np.nan_to_num(sample.depth_m) % 2 == 1, 1, 2).astype(np.uint8)
    return replace(sample, person_ids=ids)


@pytest.mark.parametrize("seed", range(6))
def test_who_is_where_stays_with_its_pixel(seed: int) -> None:
    how = Augmentation(flip=0.5, aspect=(0.6, 1.8), crop=(16, 24))
    spec = InputSpec(height=30, width=40, resize="letterbox")
    after = augment(people(), (30, 40), how, generator(seed, 0, 0, 0), max_depth_m=3000.0, spec=spec)
    assert after.person_ids is not None
    assert after.depth_m is not None
    known = np.isfinite(after.depth_m)
    np.testing.assert_array_equal(after.person_ids[known], np.where(after.depth_m[known] % 2 == 1, 1, 2))


def test_letterbox_keeps_the_aspect_and_knows_nothing_of_its_bars() -> None:
    wide = cut_to_aspect(people(), 2.0, 0.5)  # 40 x 20 of 40 x 30
    after = fit(wide, 60, 80, InputSpec(height=1, width=1, resize="letterbox", pad_value=7))
    assert after.depth_m is not None
    assert after.person_ids is not None
    for bar in (np.s_[:10], np.s_[50:]):
        assert (after.image[bar] == 7).all()
        assert np.isnan(after.depth_m[bar]).all()
        assert (after.person_ids[bar] == UNKNOWN).all()
    assert not (after.person_ids[10:50] == UNKNOWN).any()
    assert after.intrinsics is not None
    assert after.intrinsics.fx == pytest.approx(2 * CAMERA.fx)
    assert rays_agree(wide, after, (10.0, 4.0), (20.5, 18.5))
