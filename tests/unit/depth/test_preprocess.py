from __future__ import annotations

import tracemalloc
from itertools import product

import numpy as np
import pytest

from edgedepth.bundle import InputSpec
from edgedepth.depth.preprocess import preprocess
from edgedepth.depth.resize import ResizePlan

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
RNG = np.random.default_rng(0)


def run(spec: InputSpec, image: np.ndarray) -> np.ndarray:
    plan = ResizePlan.for_frame(spec, (image.shape[1], image.shape[0]))
    return preprocess(spec, plan)(image)


def options(dtype: str, layout: str, color: str, normalise: bool) -> dict[str, object]:
    scale = 1.0 if dtype == "uint8" else 1 / 255
    return {"dtype": dtype, "layout": layout, "color": color, "scale": scale} | (IMAGENET if normalise else {})


CASES = [
    options(dtype, layout, color, normalise)
    for dtype, layout, color, normalise in product(
        ("float32", "float16", "uint8"), ("NHWC", "NCHW"), ("RGB", "BGR"), (False, True)
    )
    if not (dtype == "uint8" and normalise)
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['dtype']}-{c['layout']}-{c['color']}-{len(c)}")
def test_pixels_become_p_scale_minus_mean_over_std(case: dict[str, object]) -> None:
    image = RNG.integers(0, 256, (10, 14, 3), np.uint8)
    spec = InputSpec(height=10, width=14, **case)  # type: ignore[arg-type]
    tensor = run(spec, image)
    # The definition in float64, written out channel by channel.
    ordered = image[..., ::-1] if case["color"] == "BGR" else image
    expected = (ordered.astype(np.float64) * spec.scale - np.array(spec.mean)) / np.array(spec.std)
    if case["layout"] == "NCHW":
        expected = expected.transpose(2, 0, 1)
    assert tensor.shape == (1, *expected.shape)
    assert tensor.dtype == np.dtype(case["dtype"])
    assert tensor.flags.c_contiguous
    epsilon = {"float32": 2e-7, "float16": 1e-3, "uint8": 0.0}[str(case["dtype"])]
    np.testing.assert_allclose(tensor[0], expected, rtol=epsilon, atol=epsilon)


def test_mean_and_std_follow_the_colour_order_of_the_tensor() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 0] = 255  # red
    spec = InputSpec(height=2, width=2, color="BGR", mean=(0.1, 0.2, 0.3))
    np.testing.assert_allclose(run(spec, image)[0, :, 0, 0], [-0.1, -0.2, 0.7], atol=1e-6)


@pytest.mark.parametrize("interpolation", ["bilinear", "area"])
def test_a_ramp_keeps_its_place_when_resized(interpolation: str) -> None:
    # A linear ramp at pixel centres x is 2x + 10; shrunk by 2 the centre u sees x = 2u + 0.5.
    image = np.broadcast_to((2 * np.arange(64) + 10).astype(np.uint8)[None, :, None], (48, 64, 3)).copy()
    spec = InputSpec(height=24, width=32, dtype="uint8", scale=1, layout="NHWC", interpolation=interpolation)
    row = run(spec, image)[0, 12, :, 0].astype(float)
    np.testing.assert_allclose(row, 2 * (2 * np.arange(32) + 0.5) + 10, atol=0.51)


def test_area_averages_where_bilinear_aliases() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::8] = 255  # mean 255 / 8; one column in eight
    spec = InputSpec(height=8, width=8, dtype="uint8", scale=1, layout="NHWC", interpolation="area")
    np.testing.assert_allclose(run(spec, stripes), 255 / 8, atol=0.51)
    assert run(spec.model_copy(update={"interpolation": "bilinear"}), stripes).max() == 0  # falls between the stripes


def test_letterbox_pads_with_the_pad_value_through_the_same_formula() -> None:
    spec = InputSpec(height=8, width=8, resize="letterbox", pad_value=114, layout="NHWC", mean=(0.5, 0.5, 0.5))
    tensor = run(spec, np.full((8, 16, 3), 255, np.uint8))[0]
    np.testing.assert_allclose(tensor[2:6], 0.5, atol=1e-6)
    np.testing.assert_allclose(tensor[[0, 1, 6, 7]], 114 / 255 - 0.5, atol=1e-6)


def test_center_crop_sees_the_middle_only() -> None:
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, 4:12] = 200
    spec = InputSpec(height=4, width=4, resize="center_crop", dtype="uint8", scale=1)
    assert (run(spec, image) == 200).all()


def test_keep_aspect_multiple_makes_a_tensor_of_the_frame_s_aspect() -> None:
    spec = InputSpec(height=56, width=56, resize="keep_aspect_multiple", multiple_of=14)
    assert run(spec, np.zeros((480, 640, 3), np.uint8)).shape == (1, 3, 56, 70)


def test_images_that_are_views_are_taken() -> None:
    image = RNG.integers(0, 256, (20, 30, 3), np.uint8)
    spec = InputSpec(height=7, width=9)
    expected = run(spec, image[:, ::-1].copy()).copy()
    np.testing.assert_array_equal(run(spec, image[:, ::-1]), expected)
    read_only = image[:, ::-1].copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(run(spec, read_only), expected)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['dtype']}-{c['layout']}-{c['color']}-{len(c)}")
@pytest.mark.parametrize("resize", ["stretch", "letterbox", "center_crop"])
def test_no_array_is_allocated_per_frame(case: dict[str, object], resize: str) -> None:
    image = RNG.integers(0, 256, (432, 768, 3), np.uint8)
    spec = InputSpec(height=224, width=224, resize=resize, **case)  # type: ignore[arg-type]
    pre = preprocess(spec, ResizePlan.for_frame(spec, (768, 432)))
    first = pre(image)
    tracemalloc.start()
    try:
        for _ in range(5):
            assert pre(image) is first
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000  # bytes; the smallest array here would be 50 kB
