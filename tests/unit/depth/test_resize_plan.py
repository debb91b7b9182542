from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedepth.bundle import InputSpec
from edgedepth.depth import ResizePlan
from edgedepth.errors import InputError, IntrinsicsError
from edgedepth.types import Intrinsics

RULES = ("stretch", "letterbox", "center_crop", "keep_aspect_multiple")
SIDES = st.integers(8, 2000)


def spec(resize: str = "stretch", width: int = 224, height: int = 224, multiple_of: int = 14) -> InputSpec:
    return InputSpec(width=width, height=height, resize=resize, multiple_of=multiple_of)


@pytest.mark.parametrize(
    ("rule", "network_wh", "source", "content"),
    [
        # 640x480 by hand: letterbox scale .35 -> 224x168, centred; crop of 480x480 out of the middle;
        # keep_aspect: the short side to 224 -> 298.67x224, to multiples of 14: 21.33 -> 21 x 14 = 294, and 224.
        ("stretch", (224, 224), (0, 0, 640, 480), (0, 0, 224, 224)),
        ("letterbox", (224, 224), (0, 0, 640, 480), (0, 28, 224, 168)),
        ("center_crop", (224, 224), (80, 0, 480, 480), (0, 0, 224, 224)),
        ("keep_aspect_multiple", (294, 224), (0, 0, 640, 480), (0, 0, 294, 224)),
    ],
)
def test_a_vga_frame_by_hand(rule: str, network_wh: tuple, source: tuple, content: tuple) -> None:
    plan = ResizePlan.for_frame(spec(rule), (640, 480))
    assert (plan.network_wh, plan.source, plan.content) == (network_wh, source, content)


def test_keep_aspect_multiple_is_depth_anything_s_size_of_a_vga_and_a_hd_frame() -> None:
    # Depth Anything's Resize(518, 518, keep_aspect_ratio, ensure_multiple_of=14, resize_method="lower_bound")
    # gives 686x518 for 640x480 and 924x518 for 1920x1080.
    size = spec("keep_aspect_multiple", 518, 518)
    assert ResizePlan.for_frame(size, (640, 480)).network_wh == (686, 518)
    assert ResizePlan.for_frame(size, (1920, 1080)).network_wh == (924, 518)


@given(st.sampled_from(RULES), SIDES, SIDES, SIDES, SIDES)
def test_rectangles_lie_inside_and_keep_the_aspect(rule: str, fw: int, fh: int, nw: int, nh: int) -> None:
    plan = ResizePlan.for_frame(spec(rule, nw, nh), (fw, fh))
    for (x, y, w, h), (width, height) in ((plan.source, plan.frame_wh), (plan.content, plan.network_wh)):
        assert x >= 0 and y >= 0 and w >= 1 and h >= 1 and x + w <= width and y + h <= height
    if rule in ("letterbox", "center_crop"):
        # The side that does not fit exactly follows the other side's scale, to half a pixel and at least one.
        (_, _, w, h), longer = (plan.content, fw / fh) if rule == "letterbox" else (plan.source, nw / nh)
        assert abs(w - longer * h) <= 0.5 * max(1, longer) + 1e-9 or 1 in (w, h)
    if rule == "letterbox":
        assert plan.content[2] == nw or plan.content[3] == nh
    if rule == "center_crop":
        assert plan.source[2] == fw or plan.source[3] == fh
    if rule == "keep_aspect_multiple":
        assert all(n % 14 == 0 for n in plan.network_wh)


@given(st.sampled_from(RULES), SIDES, SIDES, st.floats(-50, 2000), st.floats(-50, 2000))
def test_pixels_map_to_the_network_and_back(rule: str, fw: int, fh: int, x: float, y: float) -> None:
    plan = ResizePlan.for_frame(spec(rule), (fw, fh))
    back = plan.to_frame(*plan.to_network(x, y))
    assert back == pytest.approx((x, y), abs=1e-6)


@given(st.sampled_from(RULES), SIDES, SIDES, st.floats(-1, 1), st.floats(-1, 1))
def test_a_ray_meets_the_same_pixel_through_either_camera(rule: str, fw: int, fh: int, rx: float, ry: float) -> None:
    plan = ResizePlan.for_frame(spec(rule), (fw, fh))
    frame = Intrinsics.from_fov(fw, fh, hfov_deg=70)
    network = plan.network_intrinsics(frame)
    assert network.size_wh == plan.network_wh
    seen = plan.to_network(frame.fx * rx + frame.cx, frame.fy * ry + frame.cy)
    assert (network.fx * rx + network.cx, network.fy * ry + network.cy) == pytest.approx(seen, abs=1e-6)


def test_intrinsics_of_another_aspect_are_refused() -> None:
    plan = ResizePlan.for_frame(spec(), (640, 480))
    with pytest.raises(IntrinsicsError, match="another aspect"):
        plan.network_intrinsics(Intrinsics.from_fov(1280, 720, hfov_deg=70))


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(InputError, match="0x480"):
        ResizePlan.for_frame(spec(), (0, 480))


@pytest.mark.parametrize(("size", "target"), [((31, 47), (20, 12)), ((9, 7), (64, 50)), ((48, 64), (48, 64))])
def test_opencv_s_bilinear_resize_keeps_the_pixel_centre_rule(size: tuple[int, int], target: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = rng.random(size, np.float32)
    found = cv2.resize(image, target[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(found, bilinear(image, target), atol=2e-6)


def bilinear(image: np.ndarray, target: tuple[int, int]) -> np.ndarray:
    """Bilinear interpolation at source = (target + 0.5) / s - 0.5, edges repeated; float64."""
    axes = []
    for n, m in zip(image.shape, target, strict=True):
        x = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
        low = np.minimum(x.astype(int), max(n - 2, 0))
        axes.append((low, np.minimum(low + 1, n - 1), x - low))
    (y0, y1, fy), (x0, x1, fx) = axes
    rows = image[y0] * (1 - fy)[:, None] + image[y1] * fy[:, None]
    return rows[:, x0] * (1 - fx) + rows[:, x1] * fx
