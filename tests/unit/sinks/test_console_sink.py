from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from edgedepth.geometry.measurement import HeightMeasurement, Measurement
from edgedepth.geometry.plane import FloorPlane
from edgedepth.people.track import TrackedHeight
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.console import ConsoleSink
from edgedepth.types import DepthKind, DepthMap, Frame

MEASUREMENT = Measurement(
    FloorPlane((0.0, -1.0, 0.0), 1.2),
    (
        HeightMeasurement((0, 0, 9, 9), 1.724, 0.011, (1.702, 1.746), distance_m=2.31),
        HeightMeasurement((9, 0, 9, 9), refused="crown_cut_off: the head leaves the frame", distance_m=1.5),
        HeightMeasurement((20, 0, 9, 9), 0.91, 0.02, (0.87, 0.95), label="upright_object"),
    ),
)


def make_result(
    sequence: int, measurement: Measurement | None = MEASUREMENT, kind: DepthKind = DepthKind.METRIC
) -> Result:
    # 25 results a second, published 40 ms after capture.
    captured_ns = 1_000_000_000 + sequence * 40_000_000
    return Result(
        Frame(np.zeros((12, 16, 3), np.uint8), sequence=sequence, timestamp_ns=captured_ns),
        DepthMap(np.full((12, 16), 2.5, np.float32), kind),
        measurement,
        {"capture": 2_000_000, "infer": 11_500_000, "own_stage": 1_000_000},
        captured_ns + 40_000_000,
        dropped=4,
    )


def shown(*, terminal: bool, results: list[Result]) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=terminal, _environ={})
    with ConsoleSink(console=console, interval_s=1e9) as sink:
        for result in results:
            sink.write(result)
    return console.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_shows_rate_age_depth_drops_and_heights(terminal: bool) -> None:
    text = shown(terminal=terminal, results=[make_result(sequence) for sequence in range(30)])
    for expected in ("25.0", "40/40 ms", "2.50 m", "1.72 m (1.70 to 1.75)", "refused: crown_cut_off", "upright object"):
        assert expected in text


def test_a_person_who_is_followed_has_a_number_one_height_of_all_frames_and_a_distance() -> None:
    followed = TrackedHeight(4, 1.76, 0.02, 0.01, (1.72, 1.80), 31, 33, "camera_height", (0, 0, 9, 9))
    text = shown(terminal=True, results=[replace(make_result(0), people=(followed,))])
    row = next(line for line in text.splitlines() if "person 4" in line)
    assert "1.76 m (1.72 to 1.80), 31 frames, camera height" in row
    assert "2.31 m" in row
    assert "1.72 m (1.70" not in text, "the frame's own height is not shown beside it"


def test_table_has_every_stage() -> None:
    text = shown(terminal=True, results=[make_result(sequence) for sequence in range(3)])
    for expected in ("capture", "2.0", "infer", "11.5", "own_stage", "1.0", "2.31 m"):
        assert expected in text
    assert "preprocess" not in text


def test_plain_lines_are_few_and_without_control_codes() -> None:
    text = shown(terminal=False, results=[make_result(sequence) for sequence in range(100)])
    assert "\x1b" not in text
    lines = text.splitlines()
    assert len(lines) == 2  # the first frame, and the last at close
    assert lines[0].startswith("frame 0  fps -")
    assert lines[1].startswith("frame 99  fps 25.0  age p50/p95 40/40 ms  centre 2.50 m  dropped 4")


def test_the_last_line_is_said_once() -> None:
    assert len(shown(terminal=False, results=[make_result(0)]).splitlines()) == 1


def test_a_floor_that_was_refused() -> None:
    refused = Measurement(None, floor_refused="too_few_points: 12 of 300")
    assert "floor refused: too_few_points: 12 of 300" in shown(terminal=False, results=[make_result(0, refused)])


def test_no_metres_of_what_has_none() -> None:
    text = shown(terminal=False, results=[make_result(0, None, DepthKind.DISPARITY)])
    assert "centre 2.5 (disparity)" in text


def test_brackets_in_a_message_are_text() -> None:
    refused = Measurement(None, floor_refused="odd: [bold]x[/bold] [/]")
    for terminal in (True, False):
        assert "[bold]x[/bold] [/]" in shown(terminal=terminal, results=[make_result(0, refused)])
