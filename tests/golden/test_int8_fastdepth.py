"""INT8 of a trained FastDepth, calibrated on a real video and real rooms, judged by the sensor in other rooms."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rtx import build_with_rtx

from edgedepth.backends import BackendOptions, available_backends, open_backend
from edgedepth.bundle import Golden, ModelSpec, read_spec
from edgedepth.calibration.int8_set import ImageSet, check_image_set, load_image_set, network_feeds
from edgedepth.depth import DepthEstimator, check_backend
from edgedepth.errors import CalibrationSetError, GateError
from edgedepth.evaluation.frames import score_estimator, scored_range_m
from edgedepth.evaluation.metrics import DepthScores
from edgedepth.export.quantize import load_float_model, quantizable_nodes, quantize_int8
from edgedepth.export.sensitivity import search_int8
from edgedepth.export.simplify import simplify
from edgedepth.types import Frame

SPECS = Path(__file__).resolve().parents[1] / "specs"
OPTIONS = BackendOptions(threads=1)
BACKENDS = [name for name in ("onnxruntime", "openvino") if available_backends()[name]]


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return read_spec(SPECS / "fastdepth_fp32.toml")


@pytest.fixture(scope="module")
def fp32(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fp32") / "model.onnx"
    shutil.copyfile(realdata / "nets" / "fastdepth" / "fastdepth_224_dequantised_fp32.onnx", path)
    simplify(path)
    return path


@pytest.fixture(scope="module")
def rooms(realdata: Path) -> ImageSet:
    found = load_image_set(SPECS.parent / "image_sets" / "rooms.toml")
    assert (len(found.calibration), len(found.held_out)) == (105, 6)
    assert [text.split()[0] for text in check_image_set(found)] == ["6"]
    return found


def scores(spec: ModelSpec, path: Path, frames: list[Frame], backend: str = "onnxruntime") -> DepthScores:
    low, high = scored_range_m(spec.output)
    with DepthEstimator(spec, open_backend(path, OPTIONS, name=backend)) as estimator:
        return score_estimator(estimator, frames, min_depth_m=low, max_depth_m=high)


@pytest.fixture(scope="module")
def golden(spec: ModelSpec, fp32: Path, rooms: ImageSet) -> Golden:
    inputs = np.stack(list(network_feeds(spec.input, rooms.held_out)))
    with open_backend(fp32, OPTIONS) as backend:
        return Golden(inputs, np.stack([backend.run({"image": image})["depth_m"].copy() for image in inputs]))


@pytest.fixture(scope="module")
def int8(spec: ModelSpec, fp32: Path, rooms: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a quarter of the images and the four layers that the search ranks worst, the first, in float32."""
    names = [node.name for node in quantizable_nodes(load_float_model(fp32, spec.name))]
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    feeds = network_feeds(spec.input, rooms.calibration[::4])
    result = quantize_int8(fp32, path, spec, feeds, exclude=names[:4])
    assert (len(result.quantized), len(result.excluded)) == (34, 4)
    return path


def test_it_is_as_accurate_as_fp32_against_the_sensor_and_a_quarter_as_large(
    spec: ModelSpec, fp32: Path, int8: Path, rooms: ImageSet
) -> None:
    frames = list(rooms.held_out)
    original = scores(spec, fp32, frames)
    for backend in BACKENDS:
        found = scores(spec, int8, frames, backend)
        assert found.abs_rel == pytest.approx(original.abs_rel, rel=0.02), backend
        # In one of the six rooms a wall lies just at a ratio of 1.25: a shift of 1 % moves it, the search's own
        # result (below) is within 0.005.
        assert found.delta1 == pytest.approx(original.delta1, abs=0.015), backend
        assert found.coverage == original.coverage == 1
    assert 0.2 < int8.stat().st_size / fp32.stat().st_size < 0.3


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_passes_the_gate(spec: ModelSpec, int8: Path, golden: Golden, backend: str) -> None:
    with open_backend(int8, OPTIONS, name=backend) as opened:
        report = check_backend(spec.model_copy(update={"precision": "int8"}), golden, opened)
    assert 0.005 < report.relative_error < 0.07  # a real comparison: quantisation shows


def test_tensorrt_builds_it(int8: Path) -> None:
    assert build_with_rtx(int8, "SM86", "SM120") > 1_000_000


def black(spec: ModelSpec) -> Iterator[NDArray[np.float32]]:
    return network_feeds(spec.input, [Frame(np.zeros((480, 640, 3), np.uint8))] * 3)


def test_three_black_images_make_a_network_that_the_gate_refuses(
    spec: ModelSpec, fp32: Path, golden: Golden, tmp_path: Path
) -> None:
    for calibrator in ("minmax", "percentile", "entropy"):
        path = quantize_int8(fp32, tmp_path / f"{calibrator}.onnx", spec, black(spec), calibrator=calibrator).path
        with (
            open_backend(path, OPTIONS) as opened,
            pytest.raises(GateError, match="does not give fastdepth-fp32's numbers on 6 golden frames: relative error"),
        ):
            check_backend(spec.model_copy(update={"precision": "int8"}), golden, opened)


def test_three_black_images_are_refused_before_that(tmp_path: Path) -> None:
    import cv2

    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(CalibrationSetError, match="are blank"):
        check_image_set(load_image_set(tmp_path))


@pytest.mark.slow
def test_the_search_finds_what_to_leave_out(spec: ModelSpec, fp32: Path, rooms: ImageSet, tmp_path: Path) -> None:
    found = search_int8(fp32, tmp_path / "int8.onnx", spec, rooms)
    assert found.calibrator == "percentile"
    assert 1 <= len(found.excluded) <= 4
    assert found.int8.abs_rel == pytest.approx(found.fp32.abs_rel, rel=0.02)
    assert found.int8.delta1 == pytest.approx(found.fp32.delta1, abs=0.005)
    frames = list(rooms.held_out)
    assert scores(spec, found.path, frames).abs_rel == pytest.approx(found.int8.abs_rel)
    assert scores(spec, fp32, frames).delta1 == pytest.approx(found.fp32.delta1)
    assert found.path.stat().st_size < 0.3 * fp32.stat().st_size
    assert build_with_rtx(found.path) > 0
