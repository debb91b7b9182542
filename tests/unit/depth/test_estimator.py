from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import write_network

from edgedepth.backends import BackendOptions, FakeBackend, TensorSpec
from edgedepth.bundle import ModelSpec, parse_spec, write_bundle
from edgedepth.depth import DepthEstimator, FrameEstimator, Grid, MetricScale, SensorDepth
from edgedepth.errors import BackendError, InputError, NotMetricError, SpecError
from edgedepth.types import DepthKind, Frame, Intrinsics

F32 = np.dtype(np.float32)
CAMERA = Intrinsics.from_fov(64, 48, hfov_deg=70)


def tiny_spec(kind: str = "metric", **keys: object) -> ModelSpec:
    image = {"height": 8, "width": 8, **keys.pop("input", {})}  # type: ignore[dict-item]
    return parse_spec({"name": "tiny", "input": image, "output": {"kind": kind}, **keys})


def red_backend(height: int | None = 8, width: int | None = 8) -> FakeBackend:
    """Depth = 10 x the red channel, so what is seen where can be told."""
    return FakeBackend(
        (TensorSpec("image", F32, (1, 3, height, width)),),
        (TensorSpec("depth", F32, (1, 1, height, width)),),
        lambda feeds: {"depth": feeds["image"][:, :1] * 10},
    )


def frame(red: int = 51, size_wh: tuple[int, int] = (64, 48), intrinsics: Intrinsics | None = None) -> Frame:
    image = np.zeros((*size_wh[::-1], 3), np.uint8)
    image[..., 0] = red
    return Frame(image, intrinsics)


def test_a_frame_becomes_metres_on_its_own_grid() -> None:
    with DepthEstimator(tiny_spec(), red_backend()) as estimator:
        depth = estimator.estimate(frame(51, intrinsics=CAMERA))
    np.testing.assert_allclose(depth.depth_m, 2.0, rtol=1e-6)  # 51 / 255 x 10
    assert (depth.size_wh, depth.intrinsics) == ((64, 48), CAMERA)


def test_on_the_network_s_grid_the_map_has_its_size_and_camera() -> None:
    estimator = DepthEstimator(tiny_spec(), red_backend(), grid="network")
    depth = estimator.estimate(frame(51, intrinsics=CAMERA))
    assert depth.size_wh == estimator.grid_wh((64, 48)) == (8, 8)
    assert depth.intrinsics == CAMERA.resized(8, 8)


def test_frames_of_another_size_are_fitted_anew() -> None:
    estimator = DepthEstimator(tiny_spec(), red_backend())
    for size_wh in ((64, 48), (32, 32), (64, 48)):
        assert estimator.estimate(frame(51, size_wh)).size_wh == estimator.grid_wh(size_wh) == size_wh


def test_a_kept_map_is_not_overwritten_by_the_next_frame() -> None:
    estimator = DepthEstimator(tiny_spec(), red_backend())
    first = estimator.estimate(frame(51))
    estimator.estimate(frame(102))
    np.testing.assert_allclose(first.depth_m, 2.0, rtol=1e-6)


def test_out_holds_the_map() -> None:
    estimator = DepthEstimator(tiny_spec(), red_backend())
    out = np.empty((48, 64), np.float32)
    assert estimator.estimate(frame(51), out).values is out
    with pytest.raises(InputError, match="out must be"):
        estimator.estimate(frame(51), np.empty((8, 8), np.float32))


def two_outputs() -> FakeBackend:
    """Depth = 10 x red, person = green: on the pixel grid of the network."""
    tensors = tuple(TensorSpec(name, F32, (1, 1, 8, 8)) for name in ("depth", "person"))
    return FakeBackend(
        (TensorSpec("image", F32, (1, 3, 8, 8)),),
        tensors,
        lambda feeds: {"depth": feeds["image"][:, :1] * 10, "person": feeds["image"][:, 1:2]},
    )


def person_spec(resize: str) -> ModelSpec:
    return tiny_spec(output={"kind": "metric", "name": "depth"}, person={"name": "person"}, input={"resize": resize})


@pytest.mark.parametrize("grid", ["frame", "network"])
def test_people_come_on_the_depth_s_grid_and_only_where_the_network_looked(grid: Grid) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0], image[:, 32:, 1] = 51, 255  # everything 2 m away, a person in the right half
    with DepthEstimator(person_spec("letterbox"), two_outputs(), grid=grid) as estimator:
        depth = estimator.estimate(Frame(image, CAMERA))
    assert depth.person is not None
    assert depth.person.shape == depth.values.shape
    half = depth.size_wh[0] // 2
    seen = np.isfinite(depth.person)
    np.testing.assert_array_equal(seen, np.isfinite(depth.values))  # of the network's image the padding is neither
    assert seen.all() == (grid == "frame")
    beside = half // 4  # one network pixel, over which the edge is drawn out
    np.testing.assert_allclose(depth.person[:, : half - beside][seen[:, : half - beside]], 0, atol=1e-6)
    np.testing.assert_allclose(depth.person[:, half + beside :][seen[:, half + beside :]], 1, atol=1e-6)


def test_a_cropped_frame_has_people_where_the_network_looked() -> None:
    image = np.full((48, 64, 3), 255, np.uint8)
    with DepthEstimator(person_spec("center_crop"), two_outputs()) as estimator:
        depth = estimator.estimate(Frame(image, CAMERA))
    assert depth.person is not None
    assert np.isnan(depth.person[:, :8]).all()
    assert np.isnan(depth.person[:, 56:]).all()
    np.testing.assert_allclose(depth.person[:, 8:56], 1, atol=1e-6)


def test_people_are_kept_whatever_the_next_frame_shows_and_wherever_the_depth_goes() -> None:
    estimator, out = DepthEstimator(person_spec("stretch"), two_outputs()), np.empty((48, 64), np.float32)
    first = estimator.estimate(Frame(np.full((48, 64, 3), 255, np.uint8)), out)
    second = estimator.estimate(Frame(np.zeros((48, 64, 3), np.uint8)), out)
    assert first.person is not None
    assert second.person is not None
    assert (first.person == 1).all()
    assert (second.person == 0).all()


def test_a_network_without_people_says_nothing_of_them() -> None:
    assert DepthEstimator(tiny_spec(), red_backend()).estimate(frame()).person is None


def test_stage_times_are_the_stages_own() -> None:
    backend = FakeBackend(red_backend().inputs, red_backend().outputs, delay_s=0.02)
    estimator = DepthEstimator(tiny_spec(), backend)
    estimator.estimate(frame())
    first = estimator.last_stage_ns
    assert list(first) == ["preprocess", "infer", "postprocess"]
    assert first["infer"] >= 20e6  # the sleep is in there, and in no other stage for certain
    estimator.estimate(frame())
    assert estimator.last_stage_ns is not first


def test_replicas_share_the_network_and_nothing_else() -> None:
    backend = red_backend()
    estimator = DepthEstimator(tiny_spec("relative_depth"), backend, grid="network", metric=MetricScale(3))
    replica = estimator.replica()
    one, two = estimator.estimate(frame(51)), replica.estimate(frame(102))
    np.testing.assert_allclose(one.depth_m, 6.0, rtol=1e-6)
    np.testing.assert_allclose(two.depth_m, 12.0, rtol=1e-6)
    assert backend.open_count == 2
    replica.close()
    estimator.estimate(frame())
    estimator.close()
    estimator.close()
    assert backend.open_count == 0
    with pytest.raises(BackendError, match="closed"):
        estimator.estimate(frame())


def test_a_network_of_free_size_follows_the_frame() -> None:
    spec = tiny_spec(input={"resize": "keep_aspect_multiple", "multiple_of": 4})
    estimator = DepthEstimator(spec, red_backend(None, None), grid="network")
    assert estimator.grid_wh((64, 32)) == (16, 8)
    assert estimator.estimate(frame(51, (64, 32))).size_wh == (16, 8)
    assert estimator.estimate(frame(51, (32, 64))).size_wh == (8, 16)


def test_a_network_of_free_size_is_asked_for_its_size_once() -> None:
    backend = red_backend(None, None)
    estimator = DepthEstimator(
        tiny_spec(input={"resize": "keep_aspect_multiple", "multiple_of": 4}), backend, grid="network"
    )
    for _ in range(3):
        assert estimator.grid_wh((64, 32)) == (16, 8)
        assert estimator.estimate(frame(51, (64, 32))).size_wh == (16, 8)
    assert backend.runs == 1 + 3


def test_warm_up_runs_the_network_once() -> None:
    backend = red_backend()
    DepthEstimator(tiny_spec(), backend).warm_up()
    assert backend.runs == 1


@pytest.mark.parametrize(
    ("kind", "metric", "expected"),
    [
        ("metric", None, DepthKind.METRIC),
        ("disparity", None, DepthKind.DISPARITY),
        ("disparity", MetricScale(0.5, 0.1), DepthKind.METRIC),
        ("relative_depth", MetricScale(2), DepthKind.METRIC),
        ("ordinal", None, DepthKind.ORDINAL),
    ],
)
def test_kind_is_known_before_the_first_frame(kind: str, metric: MetricScale | None, expected: DepthKind) -> None:
    estimator = DepthEstimator(tiny_spec(kind), red_backend(), metric=metric)
    assert estimator.kind is expected
    assert estimator.estimate(frame()).kind is expected


def test_untrained_weights_give_no_metres_unless_allowed() -> None:
    spec = tiny_spec(provenance={"trained": False})
    with pytest.raises(NotMetricError, match=r"untrained.*--allow-untrained"):
        DepthEstimator(spec, red_backend())
    allowed = DepthEstimator(spec, red_backend(), allow_untrained=True)
    assert allowed.replica().estimate(frame()).is_metric
    relative = DepthEstimator(tiny_spec("relative_depth", provenance={"trained": False}), red_backend())
    assert relative.kind is DepthKind.RELATIVE_DEPTH
    with pytest.raises(NotMetricError, match=r"untrained.*--allow-untrained"):
        DepthEstimator(tiny_spec("relative_depth", provenance={"trained": False}), red_backend(), metric=MetricScale(2))


def test_a_spec_that_disagrees_with_the_network_is_refused_when_made() -> None:
    with pytest.raises(SpecError, match=r"input\.layout"):
        DepthEstimator(tiny_spec(input={"layout": "NHWC"}), red_backend())
    with pytest.raises(InputError, match="grid is frame or network"):
        DepthEstimator(tiny_spec(), red_backend(), grid="image")  # type: ignore[arg-type]


def test_both_estimators_are_frame_estimators() -> None:
    assert isinstance(DepthEstimator(tiny_spec(), red_backend()), FrameEstimator)
    assert isinstance(SensorDepth(), FrameEstimator)


@pytest.fixture
def sum_onnx(tmp_path: Path) -> Path:
    return write_network(tmp_path / "sum.onnx")


def test_open_takes_a_bundle_and_a_bare_onnx_alike(sum_onnx: Path, tmp_path: Path) -> None:
    spec = tiny_spec()
    write_bundle(tmp_path / "bundle", spec, sum_onnx)
    beside = sum_onnx.with_suffix(".json")
    beside.write_text(spec.model_dump_json())
    options = BackendOptions(threads=1)
    for path, spec_path in ((tmp_path / "bundle", None), (sum_onnx, None), (sum_onnx, beside)):
        with DepthEstimator.open(path, spec_path, backend="onnxruntime", options=options) as estimator:
            np.testing.assert_allclose(estimator.estimate(frame(51)).depth_m, 0.2, rtol=1e-6)
            assert estimator.name == "tiny on onnxruntime:cpu"


def test_open_closes_the_backend_when_the_spec_disagrees(sum_onnx: Path, monkeypatch) -> None:
    backend = red_backend(16, 16)
    monkeypatch.setattr("edgedepth.depth.estimator.open_backend", lambda *args, **kwargs: backend)
    sum_onnx.with_suffix(".json").write_text(tiny_spec().model_dump_json())
    with pytest.raises(SpecError):
        DepthEstimator.open(sum_onnx)
    assert backend.open_count == 0


# --- sensor depth -----------------------------------------------------------------------------------------------------


def test_sensor_depth_passes_the_frame_s_own_depth() -> None:
    depth_m = np.full((48, 64), 1.5, np.float32)
    given = Frame(np.zeros((48, 64, 3), np.uint8), CAMERA, depth_m=depth_m)
    with SensorDepth() as sensor:
        depth = sensor.estimate(given)
        assert depth.values is depth_m
        assert (depth.kind, depth.intrinsics) == (DepthKind.METRIC, CAMERA)
        assert list(sensor.last_stage_ns) == ["preprocess", "infer", "postprocess"]
        out = np.empty((48, 64), np.float32)
        assert sensor.replica().estimate(given, out).values is out
        np.testing.assert_array_equal(out, depth_m)
        with pytest.raises(InputError, match="out must be"):
            sensor.estimate(given, np.empty((8, 8), np.float32))


def test_sensor_depth_of_a_frame_without_any_says_what_to_give() -> None:
    with pytest.raises(InputError, match=r"brings no sensor depth; give a depth model \(--model\)"):
        SensorDepth().estimate(frame())
