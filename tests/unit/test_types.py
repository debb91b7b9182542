"""Intrinsics against closed forms, and what each value refuses."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedepth.errors import InputError, IntrinsicsError, NotMetricError
from edgedepth.types import DepthKind, DepthMap, Distortion, DistortionModel, Frame, Intrinsics, Pose

CAMERA = Intrinsics(640, 480, 525.0, 526.0, 310.5, 250.25)


def pixel(camera: Intrinsics, x: float, y: float, z: float) -> tuple[float, float]:
    return camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy


sizes = st.integers(16, 4000)
coordinate = st.floats(-2, 2)


@given(width=sizes, height=sizes, x=coordinate, y=coordinate, z=st.floats(0.5, 9))
def test_resized_moves_every_pixel_as_resizing_does(width: int, height: int, x: float, y: float, z: float) -> None:
    # The image spans -0.5 .. size - 0.5; a resize stretches that span: u + 0.5 is proportional to the size.
    u, v = pixel(CAMERA, x, y, z)
    u2, v2 = pixel(CAMERA.resized(width, height), x, y, z)
    assert (u2 + 0.5) / width == pytest.approx((u + 0.5) / 640, abs=1e-9)
    assert (v2 + 0.5) / height == pytest.approx((v + 0.5) / 480, abs=1e-9)


@pytest.mark.parametrize(("factor", "interpolation"), [(2, cv2.INTER_AREA), (4, cv2.INTER_AREA)])
def test_resized_agrees_with_the_pixels_opencv_makes(factor: int, interpolation: int) -> None:
    # A horizontal ramp holds each pixel's own u; after shrinking it holds the u of each new pixel's centre.
    ramp = np.tile(np.arange(640, dtype=np.float32), (480, 1))
    small = cv2.resize(ramp, (640 // factor, 480 // factor), interpolation=interpolation)
    camera = CAMERA.resized(640 // factor, 480 // factor)
    column = 37
    ray_x = (column - camera.cx) / camera.fx
    assert float(small[5, column]) == pytest.approx(ray_x * CAMERA.fx + CAMERA.cx, abs=1e-3)


@given(x=st.integers(-50, 200), y=st.integers(-50, 200))
def test_cropped_subtracts_the_offset(x: int, y: int) -> None:
    cropped = CAMERA.cropped(x, y, 300, 200)
    u, v = pixel(CAMERA, 0.4, -0.2, 2.0)
    assert pixel(cropped, 0.4, -0.2, 2.0) == pytest.approx((u - x, v - y))
    assert cropped.size_wh == (300, 200)


def test_a_crop_far_from_the_centre_is_a_camera_too() -> None:
    # The corner tile of a wide image: its principal point lies several tile widths away.
    tile = Intrinsics(4000, 3000, 3000.0, 3000.0, 1999.5, 1499.5).cropped(3800, 2800, 200, 200)
    assert (tile.cx, tile.cy) == (1999.5 - 3800, 1499.5 - 2800)


def test_resizing_there_and_back_is_exact_enough() -> None:
    back = CAMERA.resized(224, 224).resized(640, 480)
    for name in ("fx", "fy", "cx", "cy"):
        assert getattr(back, name) == pytest.approx(getattr(CAMERA, name), abs=1e-9)


@given(width=sizes, height=sizes, hfov_deg=st.floats(1, 179))
def test_from_fov_the_image_borders_span_the_angle(width: int, height: int, hfov_deg: float) -> None:
    camera = Intrinsics.from_fov(width, height, hfov_deg=hfov_deg)
    left = math.atan((camera.cx + 0.5) / camera.fx)
    right = math.atan((width - 0.5 - camera.cx) / camera.fx)
    assert math.degrees(left + right) == pytest.approx(hfov_deg)
    assert left == pytest.approx(right)
    assert camera.cy == (height - 1) / 2
    assert camera.fy == camera.fx


@pytest.mark.parametrize("hfov_deg", [0.0, 180.0, -5.0, math.nan])
def test_from_fov_refuses(hfov_deg: float) -> None:
    with pytest.raises(IntrinsicsError, match="field of view"):
        Intrinsics.from_fov(640, 480, hfov_deg=hfov_deg)


def test_a_crop_at_the_edge_keeps_its_principal_point_outside() -> None:
    full = Intrinsics(640, 480, 525, 525, 319.5, 239.5)
    assert full.cropped(560, 400, 60, 60).resized(30, 30).cx == pytest.approx((319.5 - 560 + 0.5) / 2 - 0.5)


def test_for_size_rescales_and_refuses_a_crop() -> None:
    assert CAMERA.for_size(640, 480) is CAMERA
    assert CAMERA.for_size(320, 240) == CAMERA.resized(320, 240)
    # 848x480 of a RealSense at 424x239: an odd size is rounding, not a crop.
    wide = Intrinsics(848, 480, 600, 600, 424, 240)
    assert wide.for_size(424, 239).size_wh == (424, 239)
    with pytest.raises(IntrinsicsError, match="640x480 and the image is 640x360"):
        CAMERA.for_size(640, 360)


def test_matrix_and_focal_length() -> None:
    np.testing.assert_array_equal(CAMERA.matrix, [[525, 0, 310.5], [0, 526, 250.25], [0, 0, 1]])
    assert CAMERA.f_px == pytest.approx(math.sqrt(525 * 526))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fx": -525.0}, "fx must be positive, found -525"),
        ({"fy": 0.0}, "not calibrated"),
        ({"fx": math.nan}, "fx must be a finite"),
        ({"cx": math.inf}, "cx must be a finite"),
        ({"width": 0}, "width must be a positive whole number"),
        ({"height": -3}, "height must be a positive whole number"),
        ({"width": 640.5}, "width must be a positive whole number"),
        ({"width": math.nan}, "width must be a positive whole number"),
        ({"height": True}, "height must be a positive whole number"),
        ({"cx": 5000.0}, "principal point"),
        ({"cy": -3 * 526.0 - 1}, "principal point"),
    ],
)
def test_intrinsics_refuse(changes: dict[str, float], says: str) -> None:
    with pytest.raises(IntrinsicsError, match=says) as caught:
        dataclasses.replace(CAMERA, **changes)
    assert "\n" not in str(caught.value)


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CAMERA.fx = 3.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("model", "count", "accepted"),
    [(m, n, n in ok) for m, ok in [
        ("none", {0}), ("brown_conrady", {4, 5, 8}), ("inverse_brown_conrady", {5}), ("fisheye", {4}),
    ] for n in range(10)],
)  # fmt: skip
def test_distortion_counts(model: str, count: int, accepted: bool) -> None:
    if accepted:
        assert Distortion(DistortionModel(model), (0.1,) * count).model.value == model
    else:
        with pytest.raises(IntrinsicsError, match=rf"{model} distortion takes .* found {count}"):
            Distortion(DistortionModel(model), (0.1,) * count)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_distortion_refuses_what_is_not_finite(bad: float) -> None:
    with pytest.raises(IntrinsicsError, match="must be finite"):
        Distortion(DistortionModel.BROWN_CONRADY, (0.1, bad, 0.0, 0.0))


def test_only_a_fisheye_of_zeros_bends_rays() -> None:
    assert Distortion().is_identity
    assert Distortion(DistortionModel.BROWN_CONRADY, (0.0,) * 5).is_identity
    assert not Distortion(DistortionModel.FISHEYE, (0.0,) * 4).is_identity
    assert not Distortion(DistortionModel.BROWN_CONRADY, (0.0, 0.0, 1e-6, 0.0)).is_identity


DEPTH = np.array([[1.0, 2.0], [np.nan, 4.0]], dtype=np.float32)


def test_depth_map_gives_metres_only_when_it_has_them() -> None:
    assert DepthMap(DEPTH, DepthKind.METRIC).depth_m is DEPTH
    for kind in (DepthKind.RELATIVE_DEPTH, DepthKind.DISPARITY, DepthKind.ORDINAL):
        with pytest.raises(NotMetricError, match=f"a {kind.value} map, which has no scale") as caught:
            _ = DepthMap(DEPTH, kind).depth_m
        assert caught.value.reason == "not_metric"


def test_scaling() -> None:
    scaled = DepthMap(DEPTH, DepthKind.RELATIVE_DEPTH).scaled(2.5)
    assert scaled.is_metric
    np.testing.assert_array_equal(scaled.depth_m, np.array([[2.5, 5.0], [np.nan, 10.0]], np.float32))
    assert scaled.values.dtype == np.float32
    person = np.array([[0, 1], [0.5, 0]], np.float32)
    assert DepthMap(DEPTH, DepthKind.METRIC, None, person).scaled(2.5).person is person
    for kind in (DepthKind.DISPARITY, DepthKind.ORDINAL):
        with pytest.raises(NotMetricError, match="one factor"):
            DepthMap(DEPTH, kind).scaled(2.0)
    for factor in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="positive number"):
            DepthMap(DEPTH, DepthKind.METRIC).scaled(factor)


def test_depth_map_refuses_other_arrays_and_other_intrinsics() -> None:
    for values in (DEPTH.astype(np.float64), DEPTH[0], np.ones((2, 2), np.uint16)):
        with pytest.raises(InputError, match="float32 H x W"):
            DepthMap(values, DepthKind.METRIC)
    with pytest.raises(IntrinsicsError, match="a 2x2 depth map needs intrinsics of that size, found 640x480"):
        DepthMap(DEPTH, DepthKind.METRIC, CAMERA)
    for person in (np.zeros((3, 2), np.float32), np.zeros((2, 2), np.float64)):
        with pytest.raises(InputError, match=r"person probabilities .* float32 \(2, 2\)"):
            DepthMap(DEPTH, DepthKind.METRIC, None, person)


IMAGE = np.zeros((480, 640, 3), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"image": IMAGE[..., 0]}, InputError, "uint8 H x W x 3 RGB"),
        ({"image": IMAGE.astype(np.float32)}, InputError, "found float32"),
        ({"image": np.zeros((4, 4, 4), np.uint8)}, InputError, "uint8 H x W x 3"),
        (
            {"intrinsics": CAMERA.resized(320, 240)},
            IntrinsicsError,
            "image is 640x480 and its intrinsics are for 320x240",
        ),
        ({"depth_m": np.zeros((480, 640), np.uint16)}, InputError, "float32 metres"),
        ({"depth_m": np.zeros((240, 320), np.float32)}, InputError, "image is 640x480 and its depth is 320x240"),
    ],
)
def test_frame_refuses(arguments: dict[str, object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Frame(**({"image": IMAGE} | arguments))  # type: ignore[arg-type]


def test_frame_accepts_what_belongs_together() -> None:
    frame = Frame(IMAGE, CAMERA, depth_m=np.ones((480, 640), np.float32))
    assert frame.size_wh == (640, 480)
    assert frame.media_time_s is None


def rotation_about_x(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    T = np.eye(4)
    T[1:3, 1:3] = [[c, -s], [s, c]]
    return T


def test_pose() -> None:
    T = rotation_about_x(0.3)
    T[:3, 3] = (1, 2, 3)
    pose = Pose(T)
    T[0, 3] = 99
    assert pose.T_world_camera[0, 3] == 1  # its own copy
    with pytest.raises(ValueError, match="read-only"):
        pose.T_world_camera[0, 0] = 2
    for bad in (np.eye(3), np.diag([1.0, 1, -1, 1]), np.diag([2.0, 1, 1, 1]), np.full((4, 4), np.nan)):
        with pytest.raises(InputError, match="pose"):
            Pose(bad)
