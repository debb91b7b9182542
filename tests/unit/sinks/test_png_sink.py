from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgedepth.errors import EndOfStream, OutputError, SinkError
from edgedepth.sources.factory import open_source
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.png import PngSink, depth_to_millimetres
from edgedepth.types import DepthKind, DepthMap, Distortion, Frame, Intrinsics

CAMERA = Intrinsics(64, 48, 60.0, 61.0, 30.5, 22.25, Distortion("brown_conrady", (0.1, -0.02, 0.001, 0.002)))


def make_result(
    sequence: int = 0, camera: Intrinsics | None = CAMERA, depth_wh: tuple[int, int] = (64, 48),
    depth_camera: Intrinsics | None = None,
) -> Result:  # fmt: skip
    rng = np.random.default_rng(sequence)
    image = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    depth = rng.uniform(0.3, 12, depth_wh[::-1]).astype(np.float32)
    depth[:4] = np.nan
    return Result(Frame(image, camera, sequence), DepthMap(depth, DepthKind.METRIC, depth_camera))


def test_millimetres() -> None:
    metres = np.array([[0.0, 0.001, 1.2344, 1.2346, 65.535, 65.536, 1e9, np.inf, np.nan, -1.0, -np.inf]], np.float32)
    found, too_far = depth_to_millimetres(metres)
    assert found.dtype == np.uint16
    assert found.tolist() == [[0, 1, 1234, 1235, 65535, 0, 0, 0, 0, 0, 0]]
    assert too_far == 3
    assert np.isnan(metres[0, 8])  # the input is left alone


def test_reads_back_as_an_rgbd_source(tmp_path: Path) -> None:
    results = [make_result(sequence) for sequence in (0, 1, 12)]
    with PngSink(tmp_path / "out") as sink:
        for result in results:
            sink.write(result)
    with open_source(str(tmp_path / "out")) as source:
        for result in results:
            frame = source.read(1.0)
            np.testing.assert_array_equal(frame.image, result.frame.image)
            assert frame.depth_m is not None
            np.testing.assert_allclose(frame.depth_m, result.depth.depth_m, atol=0.00051)
            assert frame.intrinsics == CAMERA
        with pytest.raises(EndOfStream):
            source.read(1.0)
    assert json.loads((tmp_path / "out/intrinsics.json").read_text(encoding="utf-8"))["depth_scale_m"] == 0.001


def test_names_and_format(tmp_path: Path) -> None:
    with PngSink(tmp_path / "a/b/out", rgb=False) as sink:
        sink.write(make_result(7))
    raw = cv2.imread(str(tmp_path / "a/b/out/depth/000007.png"), cv2.IMREAD_UNCHANGED)
    assert (raw.dtype, raw.shape) == (np.uint16, (48, 64))
    assert raw[:4].max() == 0
    assert not (tmp_path / "a/b/out/rgb").exists()


def test_depth_of_the_network_takes_the_image_with_it(tmp_path: Path) -> None:
    with PngSink(tmp_path) as sink:
        sink.write(make_result(depth_wh=(32, 24), depth_camera=CAMERA.resized(32, 24)))
    assert cv2.imread(str(tmp_path / "rgb/000000.png")).shape == (24, 32, 3)
    fields = json.loads((tmp_path / "intrinsics.json").read_text(encoding="utf-8"))
    assert (fields["width"], fields["fx"], fields["cx"]) == (32, 30.0, (30.5 + 0.5) / 2 - 0.5)


@pytest.mark.parametrize("cameras", [True, False])
def test_depth_of_a_part_of_the_image_makes_no_pair(cameras: bool, tmp_path: Path) -> None:
    crop = CAMERA.cropped(8, 0, 48, 48)
    result = make_result(camera=CAMERA if cameras else None, depth_wh=(48, 48), depth_camera=crop if cameras else None)
    with pytest.raises(SinkError, match="may not show the whole 64x48 image"):
        PngSink(tmp_path / "a").write(result)
    PngSink(tmp_path / "b", rgb=False).write(result)


def test_no_intrinsics_file_when_they_are_unknown(tmp_path: Path) -> None:
    with PngSink(tmp_path) as sink:
        sink.write(make_result(camera=None))
    assert not (tmp_path / "intrinsics.json").exists()


def test_another_camera_needs_another_folder(tmp_path: Path) -> None:
    sink = PngSink(tmp_path)
    sink.write(make_result(0))
    with pytest.raises(SinkError, match="a folder holds one camera"):
        sink.write(make_result(1, camera=Intrinsics(64, 48, 70.0, 70.0, 31.5, 23.5)))


def test_an_old_sequence_is_not_mixed_with_a_new_one(tmp_path: Path) -> None:
    with PngSink(tmp_path) as sink:
        sink.write(make_result())
    with pytest.raises(OutputError, match="holds a sequence already"):
        PngSink(tmp_path)


def test_pixels_out_of_range_are_counted(tmp_path: Path) -> None:
    result = make_result()
    result.depth.values[10:12] = 70.0
    with PngSink(tmp_path) as sink:
        sink.write(result)
        assert sink.too_far_pixels == 2 * 64


def test_an_image_never_stands_without_its_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = PngSink(tmp_path)
    sink.write(make_result(0))
    original, calls = Path.write_bytes, []

    def second_fails(self: Path, data: bytes) -> int:
        calls.append(self)
        if len(calls) == 2:
            original(self, data[:100])
            raise OSError(28, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", second_fails)
    with pytest.raises(OutputError, match="the disk is full"):
        sink.write(make_result(1))
    monkeypatch.undo()
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["depth/000000.png", "intrinsics.json", "rgb/000000.png"]
