"""evaluate: the numbers of a whole set, what is skipped and said, and the JSON it becomes."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from datasets import write_diw
from rich.console import Console
from scored_rooms import Crooked, room_depth_mm, write_rooms

from edgedepth.bundle import parse_spec
from edgedepth.cli.evaluation_table import report_lines
from edgedepth.data import open_dataset
from edgedepth.depth import SensorDepth
from edgedepth.errors import DataError, InputError, NotMetricError
from edgedepth.evaluation.protocols import PROTOCOLS
from edgedepth.evaluation.report import METRICS, EvaluationReport, FrameRecord
from edgedepth.evaluation.report_html import html_report
from edgedepth.evaluation.runner import evaluate
from edgedepth.evaluation.scoring import score_range
from edgedepth.types import DepthKind, DepthMap, Frame


def test_means_intervals_ranges_and_worst(tmp_path: Path) -> None:
    dataset = open_dataset(write_rooms(tmp_path), "rgbd")
    report = evaluate(Crooked(1.1), dataset, "rgbd")
    assert report.alignment == "none"
    assert [record.id for record in report.frames] == list(dataset.ids)
    assert report.mean["absrel"] == pytest.approx(0.1, rel=1e-4)
    assert report.mean["delta1"] == report.mean["coverage"] == 1
    assert report.mean["boundary_f1"] == pytest.approx(1, abs=0.01), "a factor moves no edge"
    assert (report.resampled, report.samples, report.skipped) == ("groups", 6, ())
    assert report.interval95["absrel"].low == pytest.approx(0.1, rel=1e-4)
    assert "tae_percent" not in report.mean, "no poses"
    for row in report.by_range:
        assert row.bias is None or row.bias == pytest.approx(0.1, abs=1e-4)
    pixels = sum(int(((mm := room_depth_mm(n)) > 100).sum() - (mm >= 10_000).sum()) for n in range(6))
    assert sum(row.pixels for row in report.by_range) == pixels


def test_the_mean_is_over_frames_and_the_worst_come_first(tmp_path: Path) -> None:
    class Uneven(SensorDepth):
        def estimate(self, frame: Frame, out: object = None) -> DepthMap:
            factor = 1 + 0.1 * int(frame.source[-1])
            return DepthMap(np.nan_to_num(frame.depth_m) * np.float32(factor), DepthKind.METRIC, frame.intrinsics)

    report = evaluate(Uneven(), open_dataset(write_rooms(tmp_path), "rgbd"), "rgbd")
    assert report.mean["absrel"] == pytest.approx((0 + 0.1 + 0.2 + 0.3 + 0.4 + 0.5) / 6, rel=1e-3)
    assert report.worst == ("room_5", "room_4", "room_3", "room_2", "room_1", "room_0")
    # Scenes are (0, 1), (2, 3), (4, 5): means 0.05, 0.25, 0.45.
    interval = report.interval95["absrel"]
    assert (interval.low, interval.high) == pytest.approx((0.05, 0.45), abs=1e-3)


@pytest.mark.parametrize("align", ["median", "scale-shift-depth", "scale-shift-disparity"])
def test_alignments_take_a_factor_away_and_say_so(tmp_path: Path, align: str) -> None:
    dataset = open_dataset(write_rooms(tmp_path, 2), "rgbd")
    relative = Crooked(0.2, DepthKind.RELATIVE_DEPTH)
    report = evaluate(relative, dataset, "rgbd", align)  # type: ignore[arg-type]
    assert report.alignment == align
    assert report.mean["absrel"] < 1e-4
    factor = 0.2 if align == "scale-shift-disparity" else 5.0
    assert [record.scale for record in report.frames] == pytest.approx([factor] * 2, rel=1e-3)
    with pytest.raises(NotMetricError, match="relative_depth map cannot be compared with metres"):
        evaluate(relative, dataset, "rgbd")


def test_disparity_is_compared_in_disparity(tmp_path: Path) -> None:
    dataset = open_dataset(write_rooms(tmp_path, 2), "rgbd")
    report = evaluate(Crooked(3.0, DepthKind.DISPARITY), dataset, "rgbd", "scale-shift-disparity")
    assert report.mean["absrel"] < 1e-4


class Watchful(Crooked):
    """Takes rows 10..29 of columns 10..29 for a person, at 0.6, and does not see the last ten columns."""

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__()
        if threshold is not None:
            self.spec = parse_spec(
                {
                    "name": "watchful",
                    "input": {"height": 48, "width": 64},
                    "output": {"kind": "metric"},
                    "person": {"name": "person", "threshold": threshold},
                }
            )

    def estimate(self, frame: Frame, out: object = None) -> DepthMap:
        person = np.zeros((48, 64), np.float32)
        person[10:30, 10:30] = 0.6
        person[:, 54:] = np.nan
        return replace(super().estimate(frame), person=person)


def _with_masks(folder: Path, *masks: np.ndarray | None) -> Path:
    manifest = write_rooms(folder, len(masks))
    rows = json.loads(manifest.read_text())
    for number, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        if mask is not None:
            row["mask"] = f"{number}_mask.png"
            cv2.imwrite(str(folder / row["mask"]), mask)
    manifest.write_text(json.dumps(rows))
    return manifest


def test_masks_of_people_are_scored_where_both_sides_have_them(tmp_path: Path) -> None:
    two, nobody = np.zeros((48, 64), np.uint8), np.zeros((48, 64), np.uint8)
    two[20:40, 10:30] = 1  # half of it is found
    two[0:10, 54:64] = 2  # where the network does not look
    dataset = open_dataset(_with_masks(tmp_path, two, nobody, None), "rgbd")
    report = evaluate(Watchful(), dataset, "rgbd")
    assert [record.person_iou for record in report.frames] == [pytest.approx(200 / (400 + 100 + 200)), None, None]
    expected = [200 / (48 * 64 - 500), 400 / (48 * 64)]
    assert [record.person_false for record in report.frames] == [*map(pytest.approx, expected), None]
    assert report.mean["person_iou"] == pytest.approx(2 / 7)
    assert report.mean["person_false"] == pytest.approx(np.mean(expected))
    strict = evaluate(Watchful(0.7), dataset, "rgbd")
    assert (strict.mean["person_iou"], strict.mean["person_false"]) == (0, 0)
    assert "person_iou" not in evaluate(Crooked(), dataset, "rgbd").mean
    text = html_report([report])
    assert "person IoU" in text
    assert "0.2857" in text
    table = Console(width=200, record=True, file=io.StringIO())
    table.print(*report_lines([report]))
    assert "person IoU" in table.export_text()


def test_what_cannot_be_scored_is_counted_with_its_reason(tmp_path: Path) -> None:
    manifest = write_rooms(tmp_path)
    (tmp_path / "1_depth.png").write_bytes(b"not a png")
    cv2.imwrite(str(tmp_path / "3_depth.png"), np.zeros((48, 64), np.uint16))
    cv2.imwrite(str(tmp_path / "4_depth.png"), np.full((10, 10), 2000, np.uint16))
    dataset = open_dataset(manifest, "rgbd")
    report = evaluate(Crooked(), dataset, "rgbd")
    assert [record.id for record in report.frames] == ["room_0", "room_2", "room_5"]
    assert report.samples == 6
    reasons = {skipped.id: skipped.reason for skipped in report.skipped}
    assert "1_depth.png" in reasons["room_1"]
    assert "0 of 3072" in reasons["room_3"]
    assert "10x10" in reasons["room_4"]
    with pytest.raises(DataError, match=r"1_depth\.png"):
        evaluate(Crooked(), dataset, "rgbd", strict=True)


def test_nothing_to_score_is_an_error_with_the_first_reason(tmp_path: Path) -> None:
    manifest = write_rooms(tmp_path, 2)
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}_depth.png"), np.zeros((48, 64), np.uint16))
    with pytest.raises(DataError, match=r"none of 2 samples of .* could be scored: .*0 of 3072"):
        evaluate(Crooked(), open_dataset(manifest, "rgbd"), "rgbd")
    with pytest.raises(InputError, match="no protocol 'nyuv2'"):
        evaluate(Crooked(), open_dataset(manifest, "rgbd"), "nyuv2")
    with pytest.raises(InputError, match="1 or more, found 0"):
        evaluate(Crooked(), open_dataset(manifest, "rgbd"), "rgbd", limit=0)


def test_a_crop_of_another_size_is_a_reason(tmp_path: Path) -> None:
    dataset = open_dataset(write_rooms(tmp_path, 2), "rgbd")
    with pytest.raises(DataError, match="of 640x480 images and this one is 64x48"):
        evaluate(Crooked(), dataset, "nyu")


def test_a_clip_brings_the_prediction_into_the_range(tmp_path: Path) -> None:
    dataset = open_dataset(write_rooms(tmp_path, 1), "rgbd")
    clipped = evaluate(Crooked(100.0), dataset, PROTOCOLS["kitti-garg"])
    truth = room_depth_mm(0)[int(0.40810811 * 48) : int(0.99189189 * 48), int(0.03594771 * 64) : int(0.96405229 * 64)]
    truth_m = truth[truth > 0] / 1000
    expected = np.mean(np.abs(np.minimum(100 * truth_m, 80) - truth_m) / truth_m)
    assert clipped.mean["absrel"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("nothing", [0.0, -1.0, np.inf])
def test_a_clip_makes_no_depth_where_none_was_found(tmp_path: Path, nothing: float) -> None:
    class Holey(Crooked):
        def estimate(self, frame: Frame, out: object = None) -> DepthMap:
            depth = super().estimate(frame).values.copy()
            depth[:, ::2] = nothing
            return DepthMap(depth, DepthKind.METRIC, frame.intrinsics)

    dataset = open_dataset(write_rooms(tmp_path, 1), "rgbd")
    for rules in ("rgbd", "kitti-garg"):  # the second clips
        report = evaluate(Holey(1.1), dataset, rules)
        assert report.mean["absrel"] == pytest.approx(0.1, rel=1e-4), rules
        assert report.mean["coverage"] == pytest.approx(0.5, abs=0.03), rules


def test_poses_give_the_temporal_error_inside_a_scene(tmp_path: Path) -> None:
    dataset = open_dataset(write_rooms(tmp_path, 6, poses=True, scenes=2), "rgbd")
    report = evaluate(SensorDepth(), dataset, "rgbd")
    given = [record.tae_percent is not None for record in report.frames]
    assert given == [False, True, True, False, True, True]
    first, second = (room_depth_mm(n).astype(float) for n in (0, 1))
    both = (first > 0) & (second > 0)  # a camera that stands still: pixel on pixel
    there, back = (np.mean(np.abs(a[both] - b[both]) / b[both]) for a, b in ((first, second), (second, first)))
    assert report.frames[1].tae_percent == pytest.approx(100 * (there + back) / 2, rel=1e-3)


def test_ordinal_pairs(tmp_path: Path) -> None:
    write_diw(tmp_path)
    dataset = open_dataset(tmp_path, "diw")

    class Oracle(SensorDepth):
        """Depth that puts the first point of every pair farther."""

        kind = DepthKind.ORDINAL

        def estimate(self, frame: Frame, out: object = None) -> DepthMap:
            sample = dataset[dataset.ids.index(frame.source)]
            depth = np.ones(frame.image.shape[:2], np.float32)
            x, y = np.rint(sample.pairs.first_xy[0]).astype(int)
            depth[y, x] = 2
            return DepthMap(depth, DepthKind.ORDINAL)

    report = evaluate(Oracle(), dataset, "diw")
    farther = [dataset[i].pairs.relation[0] == 1 for i in range(len(dataset))]
    assert [record.ordinal_accuracy for record in report.frames] == [float(right) for right in farther]
    assert report.mean["ordinal_accuracy"] == pytest.approx(np.mean(farther))
    assert report.mean["whdr"] == pytest.approx(1 - np.mean(farther))
    assert report.by_range == ()


def test_the_report_is_json_and_reads_back(tmp_path: Path) -> None:
    report = evaluate(Crooked(), open_dataset(write_rooms(tmp_path), "rgbd"), "rgbd", "median", limit=4)
    text = report.model_dump_json()
    assert EvaluationReport.model_validate_json(text) == report
    plain = json.loads(text)
    assert {"frames", "mean", "alignment", "protocol", "skipped", "interval95"} <= plain.keys()
    assert {"id", "absrel", "delta1"} <= plain["frames"][0].keys()
    assert len(plain["frames"]) == 4
    assert "NaN" not in text
    assert set(METRICS) == set(FrameRecord.model_fields) - {"id", "group", "scale", "shift"}


def test_parts_of_a_data_set_give_the_numbers_of_the_whole(tmp_path: Path) -> None:
    dataset = open_dataset(write_rooms(tmp_path, 6, poses=True, scenes=2), "rgbd")
    rules = PROTOCOLS["rgbd"]
    whole, *parts = (
        [outcome.record for outcome in score_range(SensorDepth(), dataset, rules, "none", indices)]
        for indices in (range(6), range(2), range(2, 6))
    )
    assert parts[0] + parts[1] == whole
    assert whole[2] is not None
    assert whole[2].tae_percent is not None


def test_a_part_after_a_frame_that_cannot_be_scored_is_that_of_the_whole(tmp_path: Path) -> None:
    manifest = write_rooms(tmp_path, 3, poses=True, scenes=1)
    cv2.imwrite(str(tmp_path / "1_depth.png"), np.full((48, 64), 20_000, np.uint16))  # beyond the protocol's 10 m
    dataset = open_dataset(manifest, "rgbd")
    rules = PROTOCOLS["rgbd"]
    whole = list(score_range(SensorDepth(), dataset, rules, "none", range(3)))
    (part,) = score_range(SensorDepth(), dataset, rules, "none", range(2, 3))
    assert whole[1].skipped is not None
    assert whole[2].record is not None
    assert whole[2].record.tae_percent is None, "the frame before is no part of the evaluation"
    assert part.record == whole[2].record
