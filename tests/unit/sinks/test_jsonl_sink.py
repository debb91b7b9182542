from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from edgedepth.errors import OutputError
from edgedepth.geometry.measurement import HeightMeasurement, Measurement
from edgedepth.geometry.plane import FloorPlane
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.jsonl import JsonlSink
from edgedepth.stream.sinks.stats import MAX_SAMPLES, center_value, depth_stats
from edgedepth.types import DepthKind, DepthMap, Frame


def strict(line: str) -> dict[str, object]:
    """JSON as the standard has it: no NaN, no Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(line, parse_constant=refuse)


def make_result(values: np.ndarray, kind: DepthKind = DepthKind.METRIC, **frame: object) -> Result:
    h, w = values.shape
    return Result(Frame(np.zeros((h, w, 3), np.uint8), **frame), DepthMap(values.astype(np.float32), kind))  # type: ignore[arg-type]


def test_statistics_of_a_ramp_in_closed_form() -> None:
    # 1 .. 3 m across 101 columns: the p-quantile is 1 + 2 p; a small map is not sampled.
    ramp = np.tile(np.linspace(1, 3, 101, dtype=np.float32), (20, 1))
    stats = depth_stats(DepthMap(ramp, DepthKind.METRIC))
    assert stats == {
        "kind": "metric", "unit": "m", "valid_fraction": 1.0,
        "min_m": 1.0, "p05_m": 1.1, "median_m": 2.0, "p95_m": 2.9, "max_m": 3.0, "center_m": 2.0,
    }  # fmt: skip


def test_invalid_pixels_are_counted_and_left_out() -> None:
    values = np.full((40, 100), 2.0, np.float32)
    values[:, :25] = np.nan
    values[:, 25:30] = np.inf
    stats = depth_stats(DepthMap(values, DepthKind.METRIC))
    assert stats["valid_fraction"] == 0.7
    assert (stats["min_m"], stats["max_m"]) == (2.0, 2.0)


def test_nothing_valid_is_null_not_nan() -> None:
    stats = depth_stats(DepthMap(np.full((9, 9), np.nan, np.float32), DepthKind.METRIC))
    assert stats["valid_fraction"] == 0.0
    assert {stats[key] for key in ("min_m", "p05_m", "median_m", "p95_m", "max_m", "center_m")} == {None}


@pytest.mark.parametrize("kind", [DepthKind.RELATIVE_DEPTH, DepthKind.DISPARITY, DepthKind.ORDINAL])
def test_what_is_not_metres_is_not_called_so(kind: DepthKind) -> None:
    stats = depth_stats(DepthMap(np.full((9, 9), 0.123456789, np.float32), kind))
    assert stats["unit"] is None
    assert stats["median"] == 0.123457
    assert not [key for key in stats if key.endswith("_m")]


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (480, 640), (720, 1280), (5, 4000), (1080, 1920)])
def test_sample_is_bounded_and_fair(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 5, shape).astype(np.float32)
    seen = []
    original = np.percentile
    stats = depth_stats(DepthMap(values, DepthKind.METRIC))
    if values.size > 1000:
        assert stats["median_m"] == pytest.approx(original(values, 50), abs=0.15)
    # The grid alone, from the definition: every step-th pixel, with the smallest step that fits.
    step = math.ceil(math.sqrt(values.size / MAX_SAMPLES)) or 1
    seen = values[step // 2 :: step, step // 2 :: step]
    assert seen.size <= MAX_SAMPLES * 1.1
    assert stats["max_m"] == pytest.approx(float(seen.max()), abs=1e-4)


def test_center_is_the_median_of_what_is_valid_around_it() -> None:
    values = np.full((11, 21), np.nan, np.float32)
    values[5, 10], values[4, 9], values[6, 12] = 1.0, 2.0, 9.0
    values[0, 0] = 100.0
    assert center_value(DepthMap(values, DepthKind.METRIC)) == 2.0


def test_a_line_says_what_was_measured(tmp_path: Path) -> None:
    measurement = Measurement(
        FloorPlane((0.0, -1.0, 0.0), 1.2), (HeightMeasurement((1, 2, 3, 4), 1.7, 0.01, (1.68, 1.72)),), scale=1.5
    )
    result = Result(
        Frame(
            np.zeros((4, 6, 3), np.uint8), sequence=7, timestamp_ns=10_000_000, wall_time_ns=5, media_time_s=0.7,
            source="rtsp://camera/1",
        ),
        DepthMap(np.full((4, 6), 2.5, np.float32), DepthKind.METRIC),
        measurement,
        {"capture": 1_500_000, "infer": 20_000_000},
        published_ns=52_250_000,
        dropped=3,
    )  # fmt: skip
    with JsonlSink(tmp_path / "a.jsonl") as sink:
        sink.write(result)
        sink.write(result)
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    record = strict(lines[0])
    assert record["sequence"] == 7
    assert record["source"] == "rtsp://camera/1"
    assert (record["timestamp_ns"], record["wall_time_ns"], record["media_time_s"]) == (10_000_000, 5, 0.7)
    assert record["image_size_wh"] == [6, 4]
    assert record["stage_ms"] == {"capture": 1.5, "infer": 20.0}
    assert record["age_ms"] == 42.25
    assert record["dropped"] == 3
    assert record["depth"]["center_m"] == 2.5
    assert record["measurement"] == json.loads(json.dumps(measurement.as_dict()))
    assert record["measurement"]["people"][0]["interval_m"] == [1.68, 1.72]


def test_no_nan_reaches_the_file(tmp_path: Path) -> None:
    person = HeightMeasurement((0, 0, 1, 1), 1.7, math.nan, (1.6, math.inf), distance_m=math.nan)
    result = Result(
        Frame(np.zeros((4, 4, 3), np.uint8), media_time_s=math.nan),
        DepthMap(np.full((4, 4), np.nan, np.float32), DepthKind.METRIC),
        Measurement(None, (person,), floor_refused="too_few_points: 3"),
    )
    with JsonlSink(tmp_path / "a.jsonl") as sink:
        sink.write(result)
    record = strict((tmp_path / "a.jsonl").read_text(encoding="utf-8"))
    assert record["media_time_s"] is None
    assert record["measurement"]["people"][0]["interval_m"] == [1.6, None]


def test_standard_output_stays_open(capsys: pytest.CaptureFixture[str]) -> None:
    sink = JsonlSink("-")
    sink.write(make_result(np.ones((4, 4)), sequence=1))
    sink.write(make_result(np.ones((4, 4)), sequence=2))
    sink.close()
    print("still open")
    lines = capsys.readouterr().out.splitlines()
    assert [strict(line)["sequence"] for line in lines[:2]] == [1, 2]
    assert lines[2] == "still open"


def test_a_full_device() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    sink = JsonlSink("/dev/full")
    with pytest.raises(OutputError, match="cannot write /dev/full: the disk is full"):
        sink.write(make_result(np.ones((4, 4))))
    sink.close()
    assert Path("/dev/full").exists()


def test_real_sensor_depth(realdata: Path, tmp_path: Path) -> None:
    import cv2

    raw = cv2.imread(str(realdata / "rgbd/pcl_five_people/depth.png"), cv2.IMREAD_UNCHANGED)
    depth_m = np.where(raw == 0, np.nan, raw * np.float32(0.001)).astype(np.float32)
    stats = depth_stats(DepthMap(depth_m, DepthKind.METRIC))
    assert stats["valid_fraction"] == pytest.approx((raw > 0).mean(), abs=0.01)
    assert stats["median_m"] == pytest.approx(np.nanmedian(depth_m), rel=0.01)
