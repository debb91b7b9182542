"""The clip streamed by an estimator that knows the truth, or errs by a known factor."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from packaged import write_model

from edgedepth.backends import BackendOptions, TensorSpec
from edgedepth.bundle import load_model
from edgedepth.closing import Closing
from edgedepth.demo import DemoScores, Played, measure_speed, play, score
from edgedepth.demo.charts import Band, Curve, Level, chart
from edgedepth.demo.pictures import comparison, error_colours
from edgedepth.errors import BackendError, InputError
from edgedepth.geometry.measurement import Measurement
from edgedepth.people import HeightMeter, MaskFinder
from edgedepth.resources import clip_folder
from edgedepth.sources import FakeSource, open_source
from edgedepth.sources.clip import Clip, read_clip
from edgedepth.types import DepthKind, DepthMap, Frame


class Oracle(Closing):
    """The true depth times a factor, and the true people."""

    name = "oracle"
    kind = DepthKind.METRIC

    def __init__(self, clip: Clip, factor: float) -> None:
        self.clip, self.factor = clip, factor
        self.last_stage_ns: Mapping[str, int] = {}

    def grid_wh(self, frame_wh: tuple[int, int]) -> tuple[int, int]:
        return frame_wh

    def estimate(self, frame: Frame, out: NDArray[np.float32] | None = None) -> DepthMap:
        depth_m, ids = self.clip.truth(frame.sequence)
        return DepthMap(
            depth_m * np.float32(self.factor), DepthKind.METRIC, frame.intrinsics, (ids > 0).astype(np.float32)
        )

    def replica(self) -> Oracle:
        return Oracle(self.clip, self.factor)

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def clip() -> Clip:
    return read_clip(clip_folder("demo"))


@pytest.fixture(scope="module")
def frames(clip: Clip) -> list[Frame]:
    """Those that carry their truth, from two seconds on, where both people are in full view."""
    with open_source("clip://demo") as source:
        read = [source.read(5.0) for _ in range(125)]
    return [frame for frame in read if frame.sequence in clip.truth_frames and frame.sequence >= 15]


def played(clip: Clip, frames: list[Frame], factor: float, **scale: float) -> Played:
    meter = HeightMeter(MaskFinder(), origin="model", **scale)
    return play(clip, FakeSource(iter(frames), intrinsics=clip.intrinsics), Oracle(clip, factor), meter, [])


def scores(clip: Clip, frames: list[Frame], factor: float, **scale: float) -> DemoScores:
    return score(clip, played(clip, frames, factor, **scale), 0.5)


def test_the_truth_scores_perfectly_and_people_are_as_tall_as_they_are(clip: Clip, frames: list[Frame]) -> None:
    found = scores(clip, frames, 1.0, camera_height_m=1.35)
    assert len(found.frames) == len(frames) == 22
    assert found.mean("absrel") == found.mean("absrel_people") == 0
    assert found.mean("delta1") == found.mean("iou") == 1
    assert [person.name for person in found.people] == ["adult", "child"]
    for person in found.people:
        assert person.error_m is not None
        assert abs(person.error_m) < 0.03, person.name
        assert person.holds
        assert len(person.frames) >= 20


def test_a_factor_shows_in_the_depth_and_the_camera_s_height_takes_it_from_the_people(
    clip: Clip, frames: list[Frame]
) -> None:
    found = scores(clip, frames, 1.1, camera_height_m=1.35)
    assert found.mean("absrel") == pytest.approx(0.1, abs=1e-5)
    assert found.mean("delta1") == 1
    assert all(abs(person.error_m or 1) < 0.03 for person in found.people)
    alone = scores(clip, frames, 1.1)
    for person in alone.people:
        assert person.height_m == pytest.approx(1.1 * person.stature_m, abs=0.04)
        assert person.tracked is not None
        assert person.tracked.mode == "network_scale"


def test_half_of_a_mask_is_an_overlap_of_a_half(clip: Clip, frames: list[Frame]) -> None:
    run = played(clip, frames[:2], 1.0, camera_height_m=1.35)
    for result in run.judged:
        assert result.depth.person is not None
        inside = np.flatnonzero(result.depth.person)
        result.depth.person.flat[inside[::2]] = 0
    assert score(clip, run, 0.5).mean("iou") == pytest.approx(0.5, abs=0.001)
    assert score(clip, run, None).mean("iou") is None


def test_a_clip_that_shows_nothing_judged_is_refused(clip: Clip, frames: list[Frame]) -> None:
    with pytest.raises(InputError, match=r"kept up with 0, .* --fast takes every frame"):
        played(clip, [], 1.0)


def test_somebody_who_is_never_found_is_not_measured_and_the_reason_is_given(clip: Clip, frames: list[Frame]) -> None:
    run = played(clip, frames[:1], 1.0)
    run.seen = [replace(seen, measurement=Measurement(None), people=()) for seen in run.seen]
    for person in score(clip, run, 0.5).people:
        assert (person.height_m, person.error_m, person.holds) == (None, None, None)
        told = person.as_dict()
        assert (told["frames"], told["frames_found"]) == (0, 0)
        assert told["refused"].startswith("not_found: ")


class Failing:
    """A backend that cannot run."""

    inputs = (TensorSpec("image", np.dtype(np.float32), (1, 3, 48, 64)),)

    def __enter__(self) -> Failing:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def replica(self) -> Failing:
        return self

    def run(self, feeds: object) -> None:
        raise BackendError("out of memory")


def test_a_network_that_fails_while_it_is_timed_ends_the_timing(
    clip: Clip, frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[measure_speed.__module__]  # its name in the package is the function
    monkeypatch.setattr(module, "open_backend", lambda *arguments, **options: Failing())
    model = load_model(write_model(tmp_path / "tiny", tmp_path / "made"))
    source = FakeSource(iter(frames[:2]), intrinsics=clip.intrinsics)
    with pytest.raises(BackendError, match="out of memory"):
        measure_speed(source, Oracle(clip, 1.0), model, BackendOptions(), None)


def test_a_picture_has_four_panels(clip: Clip, frames: list[Frame]) -> None:
    run = played(clip, frames[:1], 1.0)
    picture = cv2.imdecode(np.frombuffer(comparison(run.judged[0], clip, 7.0, 0.5), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (324, 4 * 400 + 3 * 6, 3)
    truth, found, error = (picture[30:, x : x + 390].astype(int) for x in (410, 816, 1222))
    assert np.abs(truth - found).mean() < 1
    assert error.min() > 240, "no error is white"


def test_errors_are_red_when_too_far_and_blue_when_too_near() -> None:
    truth = np.full((1, 4), 2.0, np.float32)
    found = np.array([[2.0, 2.6, 1.4, np.nan]], np.float32)
    right, far, near, none = error_colours(found, truth)[0].tolist()
    assert right == [255, 255, 255]
    assert far == [30, 30, 200]
    assert near == [190, 80, 30]
    assert none == [0, 0, 0]


def test_a_chart_puts_numbers_where_its_axes_say() -> None:
    svg = chart(
        "A < B", [Curve("one", [0, 1, 2, 3, 4], [0, 10, None, 10, 0]), Curve("two", [2], [5], dots=True)],
        x_label="s", y_label="ms", levels=[Level("p95", 8)], bands=[Band("95 %", 4, 6)],
    )  # fmt: skip
    root = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    texts = [node.text for node in root.iter(f"{space}text")]
    assert "A < B" in texts
    path = next(root.iter(f"{space}path")).get("d", "")
    # x 0..4 spans 58..544, y 0..10 spans 256..34; the gap lifts the pen.
    assert path == "M58.0 256.0 L179.5 34.0 M422.5 34.0 L544.0 256.0"
    dot = next(root.iter(f"{space}circle"))
    assert (dot.get("cx"), dot.get("cy")) == ("301.0", "145.0")


def test_a_chart_of_one_value_or_none_can_be_drawn() -> None:
    for values in ([], [1.5]):
        ElementTree.fromstring(chart("t", [Curve("c", values, values)], x_label="", y_label="", from_zero=False))
