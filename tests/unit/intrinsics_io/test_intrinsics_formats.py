"""Files as the tools themselves write them, read back and checked by projecting points with the tools' formulas."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edgedepth.errors import IntrinsicsError
from edgedepth.intrinsics_io import load_intrinsics
from edgedepth.types import DistortionModel, Intrinsics

POINTS = [(0.31, -0.22, 1.9), (-0.85, 0.4, 2.4), (0.0, 0.0, 1.0), (0.6, 0.55, 1.7)]

# camera_calibration's ost.yaml: the example of the ROS camera_calibration_parsers page.
ROS_PLUMB_BOB = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [430.215550, 0.000000, 306.691343, 0.000000, 430.531693, 227.224800, 0.000000, 0.000000, 1.000000]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.337586, 0.111948, -0.000218, -0.000730, 0.000000]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1.000000, 0.000000, 0.000000, 0.000000, 1.000000, 0.000000, 0.000000, 0.000000, 1.000000]
projection_matrix:
  rows: 3
  cols: 4
  data: [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
"""

# `ros2 topic echo /camera/camera_info`: one message, then the separator.
ROS2_ECHO = """\
header:
  stamp:
    sec: 1700000000
    nanosec: 5
  frame_id: camera_color_optical_frame
height: 720
width: 1280
distortion_model: {model}
d: {d}
k:
- 900.0
- 0.0
- 640.5
- 0.0
- 901.0
- 360.25
- 0.0
- 0.0
- 1.0
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [900.0, 0.0, 640.5, 0.0, 0.0, 901.0, 360.25, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: {binning}
binning_y: {binning}
roi:
  x_offset: {x}
  y_offset: {y}
  height: {h}
  width: {w}
  do_rectify: false
---
"""

# Open3D's own camera_primesense.json.
OPEN3D = '{"width": 640, "height": 480, "intrinsic_matrix": [525.0,0,0,0,525.0,0,319.5,239.5,1]}'

# The camchain of Kalibr's wiki page "yaml formats".
KALIBR = """\
cam0:
  camera_model: pinhole
  intrinsics: [461.629, 460.152, 362.680, 246.049]
  distortion_model: radtan
  distortion_coeffs: [-0.27695497, 0.06712482, 0.00087538, 0.00011556]
  T_cam_imu:
  - [0.01779318, 0.99967549,-0.01822936, 0.07008565]
  - [-0.9998017, 0.01795239, 0.00860714,-0.01771023]
  - [0.00893160, 0.01807260, 0.99979678, 0.00399246]
  - [0.0, 0.0, 0.0, 1.0]
  timeshift_cam_imu: -8.121e-05
  rostopic: /cam0/image_raw
  resolution: [752, 480]
cam1:
  camera_model: omni
  intrinsics: [0.80065662, 833.006, 830.345, 373.850, 253.749]
  distortion_model: radtan
  distortion_coeffs: [-0.33518750, 0.13211436, 0.00055967, 0.00057686]
  rostopic: /cam1/image_raw
  resolution: [752, 480]
cam2:
  camera_model: pinhole
  intrinsics: [190.978, 190.973, 254.931, 256.897]
  distortion_model: equidistant
  distortion_coeffs: [0.0034823894022493434, 0.0007150348452162257, -0.0020532361418706202, 0.00020293673591811182]
  resolution: [512, 512]
"""

# The first three cameras are those of COLMAP's documentation of the text format.
COLMAP = """\
# Camera list with one line of data per camera:
#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]
# Number of cameras: 3
1 SIMPLE_PINHOLE 3072 2304 2559.81 1536 1152
2 PINHOLE 3072 2304 2560.56 2560.56 1536 1152
3 SIMPLE_RADIAL 3072 2304 2559.69 1536 1152 -0.0218531
4 RADIAL 640 480 500 320 240 -0.1 0.02
5 OPENCV 640 480 500 502 321 239 -0.1 0.02 0.001 -0.002
6 FULL_OPENCV 640 480 500 502 321 239 -0.1 0.02 0.001 -0.002 0.01 0.03 -0.004 0.002
7 OPENCV_FISHEYE 640 480 300 301 322 238 0.05 -0.01 0.002 -0.0003
8 SIMPLE_RADIAL_FISHEYE 640 480 300 322 238 0.05
9 RADIAL_FISHEYE 640 480 300 322 238 0.05 -0.01
10 FOV 640 480 300 301 322 238 0.9
"""

REALSENSE = {
    "width": 640, "height": 480, "ppx": 320.7, "ppy": 241.6, "fx": 615.9, "fy": 616.1,
    "model": "distortion.brown_conrady", "coeffs": [0.01, -0.02, 0.001, -0.002, 0.003],
}  # fmt: skip


def project(camera: Intrinsics, point: tuple[float, float, float]) -> tuple[float, float]:
    """Pixel of a point by OpenCV, whose pixel centres are at integers as ours."""
    lens = camera.distortion
    points, zero = np.array([[point]], dtype=np.float64), np.zeros(3)
    coefficients = np.array(lens.coefficients or (0.0,) * 4)
    if lens.model is DistortionModel.FISHEYE:
        pixels, _ = cv2.fisheye.projectPoints(points, zero, zero, camera.matrix, coefficients)
    else:
        assert lens.model in (DistortionModel.NONE, DistortionModel.BROWN_CONRADY)
        pixels, _ = cv2.projectPoints(points, zero, zero, camera.matrix, coefficients)
    return tuple(pixels.reshape(2).tolist())


def test_ros_plumb_bob() -> None:
    camera = load_intrinsics(ROS_PLUMB_BOB)
    assert camera.size_wh == (640, 480)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (430.215550, 430.531693, 306.691343, 227.224800)
    assert camera.distortion.model is DistortionModel.BROWN_CONRADY
    assert camera.distortion.coefficients == (-0.337586, 0.111948, -0.000218, -0.000730, 0.0)


def echo(
    model: str = "plumb_bob", d: str = "[]", binning: int = 0, roi: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> str:
    x, y, w, h = roi
    return ROS2_ECHO.format(model=model, d=d, binning=binning, x=x, y=y, w=w, h=h)


@pytest.mark.parametrize(
    ("model", "d", "expected_model", "count"),
    [
        ("plumb_bob", "[0.0, 0.0, 0.0, 0.0, 0.0]", DistortionModel.NONE, 0),
        ("plumb_bob", "[]", DistortionModel.NONE, 0),
        ("''", "[]", DistortionModel.NONE, 0),
        ("rational_polynomial", "[0.1, 1e-3, 0, 0, 0, 0.2, 0, 0]", DistortionModel.BROWN_CONRADY, 8),
        ("equidistant", "[0.0, 0.0, 0.0, 0.0]", DistortionModel.FISHEYE, 4),
    ],
)
def test_ros_topic_echo(model: str, d: str, expected_model: DistortionModel, count: int) -> None:
    camera = load_intrinsics(echo(model, d))
    assert camera.size_wh == (1280, 720)
    assert (camera.fx, camera.cy) == (900.0, 360.25)
    assert (camera.distortion.model, len(camera.distortion.coefficients)) == (expected_model, count)


def test_ros_region_then_binning() -> None:
    camera = load_intrinsics(echo(binning=2, roi=(100, 40, 800, 600)))
    assert camera.size_wh == (400, 300)
    # A point's full-resolution pixel, moved by the roi's offset; block i of two covers -0.5+2i .. 1.5+2i.
    x, y, z = POINTS[0]
    u_full, v_full = 900.0 * x / z + 640.5, 901.0 * y / z + 360.25
    u, v = project(camera, POINTS[0])
    assert u == pytest.approx((u_full - 100 + 0.5) / 2 - 0.5, abs=1e-9)
    assert v == pytest.approx((v_full - 40 + 0.5) / 2 - 0.5, abs=1e-9)


def test_open3d_matrix_is_stored_by_columns() -> None:
    camera = load_intrinsics(OPEN3D)
    assert camera == Intrinsics(640, 480, 525.0, 525.0, 319.5, 239.5)
    # Open3D, PointCloud::CreateFromDepthImage: x = (u - cx) z / fx with integer u.
    x, y, z = POINTS[0]
    assert project(camera, POINTS[0]) == pytest.approx((525 * x / z + 319.5, 525 * y / z + 239.5))


def test_open3d_parameters_file() -> None:
    text = json.dumps(
        {"class_name": "PinholeCameraParameters", "extrinsic": [1.0] * 16, "intrinsic": json.loads(OPEN3D)}
    )
    assert load_intrinsics(text) == load_intrinsics(OPEN3D)


def test_kalibr() -> None:
    first = load_intrinsics(KALIBR, camera="cam0")
    assert first.size_wh == (752, 480)
    assert (first.fx, first.fy, first.cx, first.cy) == (461.629, 460.152, 362.680, 246.049)
    assert first.distortion.model is DistortionModel.BROWN_CONRADY
    assert first.distortion.coefficients == (-0.27695497, 0.06712482, 0.00087538, 0.00011556)
    third = load_intrinsics(KALIBR, camera="cam2")
    assert third.distortion.model is DistortionModel.FISHEYE
    assert third.distortion.coefficients[0] == 0.0034823894022493434


def colmap_fisheye(u: float, v: float, k: list[float]) -> tuple[float, float]:
    r = math.hypot(u, v)
    if r == 0:
        return u, v
    theta = math.atan(r)
    scaled = theta * (1 + sum(c * theta ** (2 * i + 2) for i, c in enumerate(k)))
    return u * scaled / r, v * scaled / r


def colmap_tangential(u: float, v: float, p1: float, p2: float) -> tuple[float, float]:
    r2 = u * u + v * v
    return 2 * p1 * u * v + p2 * (r2 + 2 * u * u), 2 * p2 * u * v + p1 * (r2 + 2 * v * v)


def colmap_pixel(line: str, point: tuple[float, float, float]) -> tuple[float, float]:
    """src/colmap/sensor/models.h, ImgFromCam: pixel coordinates with the first centre at (0.5, 0.5)."""
    _, model, _, _, *text = line.split()
    p = [float(value) for value in text]
    fx, fy, cx, cy, *k = [p[0], *p] if "SIMPLE" in model or model.startswith("RADIAL") else p
    u, v = point[0] / point[2], point[1] / point[2]
    r2 = u * u + v * v
    if model.endswith("FISHEYE"):
        u, v = colmap_fisheye(u, v, k)
    elif model in ("SIMPLE_RADIAL", "RADIAL"):
        radial = sum(c * r2 ** (i + 1) for i, c in enumerate(k))
        u, v = u + u * radial, v + v * radial
    elif model in ("OPENCV", "FULL_OPENCV"):
        k1, k2, p1, p2, k3, k4, k5, k6 = [*k, 0, 0, 0, 0][:8]
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        du, dv = colmap_tangential(u, v, p1, p2)
        u, v = u * radial + du, v * radial + dv
    return fx * u + cx, fy * v + cy


@pytest.mark.parametrize("line", [line for line in COLMAP.splitlines() if line[0] != "#" and "FOV" not in line])
def test_colmap_projects_half_a_pixel_away(line: str) -> None:
    camera = load_intrinsics(COLMAP, camera=line.split(maxsplit=1)[0])
    for point in POINTS:
        expected = np.array(colmap_pixel(line, point)) - 0.5
        np.testing.assert_allclose(project(camera, point), expected, atol=1e-9)


def rs2_pixel(data: dict[str, object], point: tuple[float, float, float]) -> tuple[float, float]:
    """librealsense rsutil.h, rs2_project_point_to_pixel, for the models that have a closed form."""
    c = data["coeffs"]
    x, y = point[0] / point[2], point[1] / point[2]
    r2 = x * x + y * y
    if data["model"] == "brown_conrady":
        f = 1 + c[0] * r2 + c[1] * r2 * r2 + c[4] * r2**3
        x, y = (
            x * f + 2 * c[2] * x * y + c[3] * (r2 + 2 * x * x),
            y * f + 2 * c[3] * x * y + c[2] * (r2 + 2 * y * y),
        )
    elif data["model"] == "modified_brown_conrady":
        f = 1 + c[0] * r2 + c[1] * r2 * r2 + c[4] * r2**3
        x, y = x * f, y * f
        x, y = x + 2 * c[2] * x * y + c[3] * (r2 + 2 * x * x), y + 2 * c[3] * x * y + c[2] * (r2 + 2 * y * y)
    elif data["model"] == "kannala_brandt4":
        r = max(math.sqrt(r2), 1e-12)
        theta = math.atan(r)
        t2 = theta * theta
        rd = theta * (1 + t2 * (c[0] + t2 * (c[1] + t2 * (c[2] + t2 * c[3]))))
        x, y = x * rd / r, y * rd / r
    return x * data["fx"] + data["ppx"], y * data["fy"] + data["ppy"]


@pytest.mark.parametrize(
    ("model", "coeffs"),
    [
        ("none", [0, 0, 0, 0, 0]),
        ("brown_conrady", [0.1, -0.05, 0.001, -0.002, 0.01]),
        ("modified_brown_conrady", [0.1, -0.05, 0, 0, 0.01]),
        ("kannala_brandt4", [-0.006, 0.04, -0.038, 0.007, 0]),
    ],
)
def test_realsense_projects_as_the_sdk(model: str, coeffs: list[float]) -> None:
    data = REALSENSE | {"model": model, "coeffs": coeffs}
    camera = load_intrinsics(json.dumps(data))
    for point in POINTS:
        np.testing.assert_allclose(project(camera, point), rs2_pixel(data, point), atol=1e-7)


@pytest.mark.parametrize(
    "spelling",
    ["distortion.inverse_brown_conrady", "Inverse Brown Conrady", "RS2_DISTORTION_INVERSE_BROWN_CONRADY", 2],
)
def test_realsense_spellings_of_a_model(spelling: object) -> None:
    zero = REALSENSE | {"model": spelling, "coeffs": [0, 0, 0, 0, 0]}  # as a D435 reports
    assert load_intrinsics(json.dumps(zero)) == Intrinsics(640, 480, 615.9, 616.1, 320.7, 241.6)
    with pytest.raises(IntrinsicsError, match="inverse_brown_conrady has two readings"):
        load_intrinsics(json.dumps(REALSENSE | {"model": spelling}))


@pytest.mark.parametrize(
    ("text", "coefficients"),
    [
        ("525,526, 319.5,239.5", ()),
        ("525,526,319.5,239.5,-0.1,0.01,0.001,0.002", (-0.1, 0.01, 0.001, 0.002)),
        ("5.25e2,526,319.5,239.5,-0.1,0.01,0.001,0.002,0.5", (-0.1, 0.01, 0.001, 0.002, 0.5)),
    ],
)
def test_plain(text: str, coefficients: tuple[float, ...]) -> None:
    camera = load_intrinsics(text, size_wh=(640, 480))
    assert (camera.size_wh, camera.fx, camera.fy, camera.cx, camera.cy) == ((640, 480), 525, 526, 319.5, 239.5)
    assert camera.distortion.coefficients == coefficients


@pytest.mark.parametrize(
    "text", ["hfov=90", "fov:90", "HFOV: 90", f"dfov={math.degrees(2 * math.atan(math.hypot(1, 0.75)))}"]
)
def test_field_of_view(text: str) -> None:
    # 90 degrees across 640 pixels: f is half the width; the centre of 640 pixels is 319.5.
    camera = load_intrinsics(text, size_wh=(640, 480))
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((320.0, 320.0, 319.5, 239.5))


def changed(data: dict[str, object], **changes: object) -> str:
    merged = {key: value for key, value in (data | changes).items() if value is not ...}
    return json.dumps(merged)


NATIVE = {
    "width": 640, "height": 480, "fx": 500, "fy": 500, "cx": 319.5, "cy": 239.5,
    "distortion": {"model": "brown_conrady", "coefficients": [0.1, 0, 0, 0]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ROS_PLUMB_BOB.replace("430.215550", "0.0"), "not calibrated"),
        (lambda: ROS_PLUMB_BOB.replace("430.215550", "-430"), "fx must be positive"),
        (lambda: ROS_PLUMB_BOB.replace("-0.337586", ".nan"), "must be finite"),
        (lambda: ROS_PLUMB_BOB.replace("-0.337586, 0.111948, ", ""), "takes 4 or 5 or 8 coefficients, found 3"),
        (lambda: ROS_PLUMB_BOB.replace("image_width", "image_wdth"), "key 'image_width' is missing"),
        (lambda: ROS_PLUMB_BOB.replace("distortion_coefficients", "D_"), "key 'distortion_coefficients' is missing"),
        (lambda: ROS_PLUMB_BOB.replace("430.215550, 0.000000", "430.215550, 3.0"), "skew"),
        (lambda: ROS_PLUMB_BOB.replace("plumb_bob", "thin_lens"), "plumb_bob, rational_polynomial, equidistant"),
        (lambda: ROS_PLUMB_BOB.replace("image_width: 640", "image_width: many"), "'image_width' must be a number"),
        (lambda: ROS_PLUMB_BOB.replace("image_width: 640", "image_width: 640.5"), "whole number"),
        (lambda: ROS_PLUMB_BOB.replace("image_width: 640", "image_width: .nan"), "whole number"),
        (lambda: echo(roi=(1000, 0, 400, 300)), "does not lie in"),
        (lambda: echo(roi=(-3, 0, 400, 300)), "'roi x_offset' must be a whole number"),
        (lambda: echo(binning=-1), "'binning_x' must be a whole number"),
        (lambda: echo("rational_polynomial", str([0.1] * 12)), "thin prism"),
        (lambda: ROS_PLUMB_BOB + "  - [", "not valid YAML at line"),
        (lambda: "%YAML:1.0\n---\nimage_width: 3\n", "OpenCV FileStorage"),
        (lambda: OPEN3D.replace("525.0,0,0,0,525.0,0,319.5,239.5,1", "525,0,319.5,0,525,239.5,0,0,1"), "by column"),
        (lambda: OPEN3D.replace(",1]", "]"), "must hold 9 numbers, found 8"),
        (lambda: OPEN3D.replace('"width": 640, ', ""), "key 'width' is missing"),
        (lambda: OPEN3D[:-3], "not valid JSON at line 1"),
        (lambda: KALIBR, "3 cameras .*choose one, as in FILE#cam0"),
        (lambda: COLMAP, "10 cameras"),
        (lambda: "1 FOV 640 480 300 301 322 238 0.9\n", "camera model FOV is not supported"),
        (lambda: "1 OPENCV 640 480 300 301 322 238\n", "takes 8 parameters, found 4"),
        (lambda: "1 PINHOLE 640 480 300 301 322 north\n", "numbers after the model"),
        (lambda: changed(REALSENSE, coeffs=[0.1, 0.2]), "'coeffs' must hold 5 numbers, found 2"),
        (lambda: changed(REALSENSE, coeffs=...), "key 'coeffs' is missing"),
        (lambda: changed(REALSENSE, ppx=...), "key 'ppx' is missing"),
        (lambda: changed(REALSENSE, fx=True), "'fx' must be a number"),
        (lambda: changed(REALSENSE, model="F-Theta"), "f-theta lens model is not supported"),
        (lambda: changed(REALSENSE, model="modified_brown_conrady"), "tangential"),
        (lambda: changed(REALSENSE, model="barrel"), "distortion model 'barrel'"),
        (lambda: changed(NATIVE, fy=-5), "fy must be positive"),
        (lambda: changed(NATIVE, cy=...), "key 'cy' is missing"),
        (lambda: changed(NATIVE, cx=math.nan), "cx must be a finite"),
        (lambda: changed(NATIVE, distortion={"model": "brown"}), "unknown distortion model 'brown'; one of none"),
        (lambda: changed(NATIVE, distortion=[1, 2]), "'distortion' must hold"),
        (lambda: '{"a": 1}', "found a; expected one of COLMAP"),
        (lambda: "just\nsome text\n", "expected one of COLMAP"),
    ],
)  # fmt: skip
def test_refused_in_one_line(make: Callable[[], str], says: str) -> None:
    with pytest.raises(IntrinsicsError, match=says) as caught:
        load_intrinsics(make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("525,525,319.5", "found 3 numbers"),
        ("525,525,319.5,north", "found 'north'"),
        ("525,525,319.5,239.5,nan,0,0,0", "must be finite"),
        ("0,525,319.5,239.5", "fx must be positive"),
        ("hfov=180", "between 0 and 180"),
        ("hfov=wide", "found 'wide'"),
    ],
)
def test_plain_refused(text: str, says: str) -> None:
    with pytest.raises(IntrinsicsError, match=says):
        load_intrinsics(text, size_wh=(640, 480))


def test_plain_needs_the_size() -> None:
    with pytest.raises(IntrinsicsError, match="needs the size of the image"):
        load_intrinsics("525,525,319.5,239.5")


def test_kalibr_omni_is_refused() -> None:
    with pytest.raises(IntrinsicsError, match="'omni' is not a pinhole"):
        load_intrinsics(KALIBR, camera="cam1")
