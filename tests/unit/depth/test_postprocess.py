from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgedepth.bundle import FocalRule, InputSpec, OutputSpec
from edgedepth.depth.conversion import MetricScale
from edgedepth.depth.postprocess import postprocess
from edgedepth.depth.resize import ResizePlan
from edgedepth.errors import InputError, NotMetricError, SpecError
from edgedepth.types import DepthMap, Intrinsics

NAN = np.nan


def depth_of(
    raw: np.ndarray,
    output: OutputSpec,
    *,
    metric: MetricScale | None = None,
    intrinsics: Intrinsics | None = None,
) -> DepthMap:
    """Converted on a grid of its own size, so nothing is resampled."""
    h, w = [n for n in raw.shape if n != 1]
    plan = ResizePlan.for_frame(InputSpec(height=h, width=w), (w, h))
    return postprocess(output, plan, (w, h), metric=metric)(raw, intrinsics)


def output(kind: str = "metric", **keys: object) -> OutputSpec:
    return OutputSpec(kind=kind, **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "spec", "expected"),
    [
        ([[1.5, 2.5], [0.25, 9]], output(), [[1.5, 2.5], [0.25, 9]]),
        ([[150, 250], [25, 900]], output(metres_per_unit=0.01), [[1.5, 2.5], [0.25, 9]]),
        ([[28, 128], [18, 255]], output(metres_per_unit=0.05, zero_point=18), [[0.5, 5.5], [NAN, 11.85]]),
        ([[0.5, 2], [0, -1]], output(reciprocal=True), [[2, 0.5], [NAN, NAN]]),
        ([[1, 10], [0, 3]], output(reciprocal=True, metres_per_unit=0.1), [[10, 1], [NAN, 10 / 3]]),
        ([[0.05, 0.1], [10, 10.5]], output(valid_range_m=(0.1, 10)), [[NAN, 0.1], [10, NAN]]),
        ([[np.inf, NAN], [-np.inf, 1]], output(), [[NAN, NAN], [NAN, 1]]),
        ([[0, -2], [1, 2]], output(), [[NAN, NAN], [1, 2]]),
        ([[0, -2], [np.inf, 2]], output("disparity"), [[0, -2], [NAN, 2]]),
        ([[0, -2], [1, 2]], output("relative_depth", metres_per_unit=3), [[0, -6], [3, 6]]),
        ([[0, 5], [1, 2]], output("ordinal", valid_range_m=(1, 2)), [[NAN, NAN], [1, 2]]),
    ],
)
def test_raw_values_by_hand(raw: list, spec: OutputSpec, expected: list) -> None:
    # float32 limits are not exact decimals: compare with the tolerance of the type.
    found = depth_of(np.array(raw, np.float32), spec)
    np.testing.assert_allclose(found.values, np.array(expected, np.float32), rtol=1e-6)
    assert found.kind is spec.kind


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("shape", [(3, 4), (1, 3, 4), (1, 1, 3, 4), (1, 3, 4, 1)])
def test_every_number_type_and_shape_comes_out_as_float32_metres(dtype: str, shape: tuple[int, ...]) -> None:
    raw = np.arange(1, 13).reshape(shape).astype(dtype)
    found = depth_of(raw, output(metres_per_unit=0.25))
    np.testing.assert_array_equal(found.depth_m, np.arange(1, 13, dtype=np.float32).reshape(3, 4) / 4)


def test_the_raw_tensor_is_not_written_to() -> None:
    raw = np.array([[1, np.inf], [20, 3]], np.float32)
    before = raw.copy()
    depth_of(raw, output(valid_range_m=(0.1, 10)))
    np.testing.assert_array_equal(raw, before)


@pytest.mark.parametrize(
    ("spec", "metric", "raw", "expected"),
    [
        (output("relative_depth"), MetricScale(2.5), [[1, 2], [0, 4]], [[2.5, 5], [NAN, 10]]),
        (output("relative_depth", valid_range_m=(1, 2)), MetricScale(2.5), [[1, 2], [0.5, 4]], [[2.5, 5], [NAN, NAN]]),
        (output("disparity"), MetricScale(0.5, 0), [[1, 4], [0, -1]], [[2, 0.5], [NAN, NAN]]),
        (output("disparity"), MetricScale(0.5, 0.1), [[1, 4], [0, -0.2]], [[1 / 0.6, 1 / 2.1], [10, NAN]]),
        (output("disparity", valid_range_m=(1, 4)), MetricScale(0.5, 0), [[1, 4], [0.9, 5]], [[2, 0.5], [NAN, NAN]]),
        (
            output("disparity", metres_per_unit=2, zero_point=1),
            MetricScale(0.5, 0),
            [[3, 2], [5, 9]],
            [[0.5, 1], [0.25, 0.125]],
        ),
        (output(), MetricScale(1.1), [[1, 2], [3, 4]], [[1.1, 2.2], [3.3, 4.4]]),
        (output(reciprocal=True), MetricScale(1.1), [[1, 2], [4, 5]], [[1.1, 0.55], [0.275, 0.22]]),
    ],
)
def test_a_scale_makes_metres(spec: OutputSpec, metric: MetricScale, raw: list, expected: list) -> None:
    found = depth_of(np.array(raw, np.float32), spec, metric=metric)
    np.testing.assert_allclose(found.depth_m, np.array(expected, np.float32), rtol=1e-6)


def test_scales_that_make_no_metres_are_refused() -> None:
    raw = np.ones((2, 2), np.float32)
    with pytest.raises(NotMetricError, match="ordinal"):
        depth_of(raw, output("ordinal"), metric=MetricScale(1))
    with pytest.raises(InputError, match="shift belongs to disparity"):
        depth_of(raw, output("relative_depth"), metric=MetricScale(1, 0.5))
    with pytest.raises(InputError, match="S,SHIFT"):
        depth_of(raw, output("disparity"), metric=MetricScale(1))
    for scale, shift in ((0, 0), (-1, 0), (NAN, 0), (1, np.inf)):
        with pytest.raises(InputError, match="positive number"):
            MetricScale(scale, shift)


def test_without_a_scale_metres_are_refused() -> None:
    with pytest.raises(NotMetricError):
        _ = depth_of(np.ones((2, 2), np.float32), output("disparity")).depth_m


@pytest.mark.parametrize(("reciprocal", "expected"), [(False, 2 * 1.25), (True, 0.5 * 1.25)])
def test_the_focal_rule_takes_f_px_at_network_resolution(reciprocal: bool, expected: float) -> None:
    # f = 750 px at 640x480 is 375 px at 320x240; canonical 300 px: depth times 1.25.
    spec = output(focal=FocalRule(canonical_f_px=300), reciprocal=reciprocal)
    plan = ResizePlan.for_frame(InputSpec(height=240, width=320), (640, 480))
    post = postprocess(spec, plan, (320, 240))
    raw = np.full((1, 1, 240, 320), 2, np.float32)
    depth = post(raw, Intrinsics(640, 480, 750, 750, 319.5, 239.5))
    np.testing.assert_allclose(depth.depth_m, expected, rtol=1e-6)
    # Another camera on the next frame: its own focal length.
    longer = post(raw, Intrinsics(640, 480, 1500, 1500, 319.5, 239.5))
    np.testing.assert_allclose(longer.depth_m, 2 * expected, rtol=1e-6)
    with pytest.raises(NotMetricError, match=r"300 px.*--intrinsics"):
        post(raw, None)


# --- grids ----------------------------------------------------------------------------------------------------------

CAMERA = Intrinsics(640, 480, 500, 510, 330, 220)
# depth = a + b x + c y in frame pixels: bilinear resampling keeps a plane exactly, wherever it is not at an edge.
A, B, C = 2.0, 0.003, 0.002


def plane_at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return A + B * x + C * y


def network_plane(plan: ResizePlan, output_wh: tuple[int, int]) -> np.ndarray:
    """The plane as the network would see it at its output's pixel centres."""
    w, h = output_wh
    v, u = np.mgrid[0:h, 0:w].astype(float)
    u = (u + 0.5) * plan.network_wh[0] / w - 0.5
    v = (v + 0.5) * plan.network_wh[1] / h - 0.5
    return plane_at(*plan.to_frame(u, v)).astype(np.float32)


@pytest.mark.parametrize("division", [1, 2, 4])
@pytest.mark.parametrize(
    "image",
    [
        InputSpec(height=224, width=224),
        InputSpec(height=224, width=224, resize="letterbox"),
        InputSpec(height=232, width=200, resize="letterbox"),  # 200x150 from row 41: not between pixels of a quarter
        InputSpec(height=224, width=224, resize="center_crop"),
        InputSpec(height=56, width=56, resize="keep_aspect_multiple", multiple_of=28),
    ],
    ids=lambda s: f"{s.resize}{s.width}",
)
def test_a_plane_comes_back_where_it_was_on_the_frame(image: InputSpec, division: int) -> None:
    plan = ResizePlan.for_frame(image, (640, 480))
    output_wh = plan.network_wh[0] // division, plan.network_wh[1] // division
    depth = postprocess(output(), plan, output_wh)(network_plane(plan, output_wh), CAMERA)
    assert depth.size_wh == (640, 480)
    assert depth.intrinsics == CAMERA
    y, x = np.mgrid[0:480, 0:640].astype(float)
    expected = plane_at(x, y)
    x0, y0, w, h = plan.source
    outside = np.ones((480, 640), bool)
    outside[y0 : y0 + h, x0 : x0 + w] = False
    assert np.isnan(depth.values[outside]).all()
    # Half an output pixel along the edge has no neighbour to interpolate with.
    margin = int(np.ceil(max(1 / s for s in plan.scale_xy) * division)) + 1
    inside = (slice(y0 + margin, y0 + h - margin), slice(x0 + margin, x0 + w - margin))
    np.testing.assert_allclose(depth.values[inside], expected[inside], atol=2e-5)
    assert np.isfinite(depth.values[~outside]).all()


@pytest.mark.parametrize("division", [1, 4])
@pytest.mark.parametrize("rule", ["stretch", "letterbox", "center_crop"])
def test_on_the_network_s_grid_the_intrinsics_place_the_same_plane(rule: str, division: int) -> None:
    plan = ResizePlan.for_frame(InputSpec(height=224, width=224, resize=rule), (640, 480))
    output_wh = 224 // division, 224 // division
    depth = postprocess(output(), plan, output_wh, grid="network")(network_plane(plan, output_wh), CAMERA)
    assert depth.size_wh == output_wh
    assert depth.intrinsics is not None
    v, u = np.mgrid[0 : output_wh[1], 0 : output_wh[0]]
    # The ray of a network pixel, put back through the frame's camera, must meet the frame's plane there.
    x = (u - depth.intrinsics.cx) / depth.intrinsics.fx * CAMERA.fx + CAMERA.cx
    y = (v - depth.intrinsics.cy) / depth.intrinsics.fy * CAMERA.fy + CAMERA.cy
    known = np.isfinite(depth.values)
    np.testing.assert_allclose(depth.values[known], plane_at(x, y)[known], atol=1e-5)
    in_frame = (x > -0.5) & (x < 639.5) & (y > -0.5) & (y < 479.5)
    np.testing.assert_array_equal(known, in_frame)  # only the padding of a letterbox is missing


def test_an_invalid_pixel_spoils_its_neighbours_and_nothing_else() -> None:
    plan = ResizePlan.for_frame(InputSpec(height=56, width=56), (224, 224))
    raw = np.full((56, 56), 3, np.float32)
    raw[20, 30] = 1000  # beyond the range: must not leak into its neighbours as a large depth
    depth = postprocess(output(valid_range_m=(0.1, 10)), plan, (56, 56))(raw).values
    invalid = np.isnan(depth)
    rows, columns = np.nonzero(invalid)
    # Output pixel 4 k + j samples around k: those within one network pixel of the bad one, at most 8 + 2 wide.
    assert invalid[82, 122]
    assert rows.min() >= 77 and rows.max() <= 86 and columns.min() >= 117 and columns.max() <= 126
    assert (depth[~invalid] == 3).all()


def test_out_is_filled_and_held() -> None:
    plan = ResizePlan.for_frame(InputSpec(height=4, width=4, resize="center_crop"), (16, 8))
    post = postprocess(output(), plan, (4, 4))
    out = np.zeros((8, 16), np.float32)
    depth = post(np.ones((4, 4), np.float32), None, out)
    assert depth.values is out
    assert (out[:, 4:12] == 1).all()
    assert np.isnan(out[:, :4]).all() and np.isnan(out[:, 12:]).all()
    again = post(np.ones((4, 4), np.float32))
    assert again.values is not out


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((16, 8), np.float32),
        np.zeros((8, 16)),
        np.zeros((8, 32), np.float32)[:, ::2],
        np.frombuffer(bytes(8 * 16 * 4), np.float32).reshape(8, 16),
    ],
    ids=["shape", "dtype", "strided", "read-only"],
)
def test_an_out_that_does_not_fit_is_refused(out: np.ndarray) -> None:
    plan = ResizePlan.for_frame(InputSpec(height=4, width=4), (16, 8))
    with pytest.raises(InputError, match="out must be"):
        postprocess(output(), plan, (4, 4))(np.ones((4, 4), np.float32), None, out)


def test_a_tensor_that_is_no_depth_map_is_refused() -> None:
    plan = ResizePlan.for_frame(InputSpec(height=4, width=4), (16, 8))
    post = postprocess(output(), plan, (4, 4))
    with pytest.raises(SpecError, match="one depth map"):
        post(np.ones((1, 2, 4, 4), np.float32))
    with pytest.raises(SpecError, match="depth of 8x8, expected 4x4"):
        post(np.ones((8, 8), np.float32))


@pytest.mark.parametrize("grid", ["frame", "network"])
@pytest.mark.parametrize("rule", ["stretch", "letterbox", "center_crop"])
@pytest.mark.parametrize(
    ("dtype", "spec"),
    [
        ("float32", output()),
        ("float32", output(valid_range_m=(0.1, 1))),
        ("uint8", output(metres_per_unit=0.07, zero_point=3)),
        ("float16", output(reciprocal=True, metres_per_unit=0.07)),
    ],
)
def test_no_array_is_allocated_per_frame(grid: str, rule: str, dtype: str, spec: OutputSpec) -> None:
    plan = ResizePlan.for_frame(InputSpec(height=460, width=460, resize=rule), (768, 432))
    post = postprocess(spec, plan, (230, 230), grid=grid)  # type: ignore[arg-type]
    raw = np.random.default_rng(0).integers(0, 200, (1, 230, 230, 1)).astype(dtype)
    out = np.empty(post.grid_wh[::-1], np.float32)
    camera = Intrinsics.from_fov(768, 432, hfov_deg=70)
    post(raw, camera, out)
    tracemalloc.start()
    try:
        for _ in range(5):
            post(raw, camera, out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 45_000  # bytes; the smallest array here is 53 kB, and numpy 1 has a fixed scratch buffer of 33 kB
