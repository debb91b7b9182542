from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgedepth.errors import InputError, OutputError
from edgedepth.geometry.measurement import HeightMeasurement, Measurement
from edgedepth.geometry.plane import FloorPlane
from edgedepth.people.track import TrackedHeight
from edgedepth.stream.result import Result
from edgedepth.stream.sinks import video
from edgedepth.stream.sinks.picture import ResultPicture
from edgedepth.stream.sinks.video import CODECS, VideoSink
from edgedepth.types import DepthKind, DepthMap, Frame


def make_result(
    size_wh: tuple[int, int] = (320, 240),
    depth: float = 2.0,
    rgb: tuple[int, int, int] = (200, 30, 30),
    people: tuple[HeightMeasurement, ...] | None = None,
    depth_wh: tuple[int, int] | None = None,
) -> Result:
    (w, h), (dw, dh) = size_wh, depth_wh or size_wh
    measurement = None if people is None else Measurement(FloorPlane((0.0, -1.0, 0.0), 1.0), people)
    return Result(
        Frame(np.full((h, w, 3), rgb, np.uint8)),
        DepthMap(np.full((dh, dw), depth, np.float32), DepthKind.METRIC),
        measurement,
        published_ns=10_000_000,
    )


def frames_of(path: Path) -> list[np.ndarray]:
    reader = cv2.VideoCapture(str(path))
    frames = []
    while True:
        ok, frame = reader.read()
        if not ok:
            reader.release()
            return frames
        frames.append(frame)


@pytest.mark.parametrize("suffix", list(CODECS))
def test_every_frame_at_the_rate_of_the_source(suffix: str, tmp_path: Path) -> None:
    target = tmp_path / f"a{suffix}"
    with VideoSink(target, fps=12.5) as sink:
        for _ in range(9):
            sink.write(make_result())
    assert len(frames_of(target)) == 9
    reader = cv2.VideoCapture(str(target))
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5, abs=0.01)
    reader.release()


def test_image_left_depth_right_and_colours_as_they_are(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "a.mp4", range_m=(0.0, 4.0)) as sink:
        sink.write(make_result(depth=0.2))
        sink.write(make_result(depth=3.9))
    near, far = frames_of(tmp_path / "a.mp4")
    for frame in (near, far):
        np.testing.assert_allclose(frame[130, 100].astype(int), (30, 30, 200), atol=12)  # BGR of a red image
    assert int(near[130, 480, 2]) > int(near[130, 480, 0]) + 60
    assert int(far[130, 480, 0]) > int(far[130, 480, 2]) + 20


def test_range_is_kept_from_the_first_frame_with_depth() -> None:
    picture = ResultPicture((320, 240))
    picture.draw(make_result(depth=np.nan))
    first = picture.draw(make_result(depth=2.0)).copy()
    picture.draw(make_result(depth=30.0))
    again = picture.draw(make_result(depth=2.0))
    np.testing.assert_array_equal(first, again)


def test_a_given_range_is_used() -> None:
    warm = ResultPicture((320, 240), (0.0, 50.0)).draw(make_result(depth=2.0))[130, 480].astype(int)
    cold = ResultPicture((320, 240), (0.0, 2.1)).draw(make_result(depth=2.0))[130, 480].astype(int)
    assert warm[2] > warm[0] + 60
    assert cold[0] > cold[2] + 20


def test_depth_that_is_missing_is_black() -> None:
    canvas = ResultPicture((320, 240)).draw(make_result(depth=np.nan))
    assert canvas[40:-4, 325:635].max() == 0


def test_canvas_is_even_for_odd_images(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "a.mp4") as sink:
        sink.write(make_result((321, 243)))
    h, w = frames_of(tmp_path / "a.mp4")[0].shape[:2]
    assert (h % 2, w % 2) == (0, 0)


def test_images_of_another_size_are_fitted(tmp_path: Path) -> None:
    picture = ResultPicture((320, 240), (0.0, 4.0))
    shape = picture.draw(make_result()).shape
    canvas = picture.draw(make_result((640, 240)))  # twice as wide: 320 x 120 in the middle
    assert canvas.shape == shape
    top = canvas.shape[0] - 240
    assert canvas[top + 30, 100].tolist() == [0, 0, 0]
    assert canvas[top + 120, 100].tolist() == [30, 30, 200]


def test_small_depth_fills_its_panel() -> None:
    picture = ResultPicture((320, 240), (0.0, 4.0))
    full = picture.draw(make_result()).copy()
    small = picture.draw(make_result(depth_wh=(64, 48)))
    np.testing.assert_array_equal(full, small)


def changed_box(people: tuple[HeightMeasurement, ...]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of what people add to the image panel, header excluded."""
    picture = ResultPicture((320, 240), (0.0, 4.0))
    without = picture.draw(make_result(people=())).copy()
    top = without.shape[0] - 240
    changed = (picture.draw(make_result(people=people)) != without).any(axis=2)[top:, :320]
    ys, xs = np.nonzero(changed)
    return int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())


def test_people_are_boxed_where_they_are() -> None:
    person = HeightMeasurement((100, 60, 80, 120), 1.72, 0.01, (1.70, 1.74))
    x0, _, x1, y1 = changed_box((person,))
    assert x0 in range(97, 101)
    assert x1 in range(179, 260)
    assert y1 in range(179, 183)


def test_who_is_followed_is_shown_with_the_height_of_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr("cv2.putText", lambda image, text, *rest: texts.append(text))
    seen = HeightMeasurement((100, 60, 80, 120), refused="not_upright: leans")
    followed = TrackedHeight(4, 1.76, 0.02, 0.01, (1.70, 1.82), 31, 33, "sensor", (100, 60, 80, 120))
    alone = HeightMeasurement((200, 60, 80, 120), 1.10, 0.01, (1.08, 1.12))
    result = replace(make_result(people=(seen, alone)), people=(followed,))
    ResultPicture((320, 240), (0.0, 4.0)).draw(result)
    assert texts.count("4: 1.76 +-0.06 m") == texts.count("1.10 +-0.02 m") == 2, "on the image and on the depth"
    assert "not upright" not in texts


@pytest.mark.parametrize("box", [(-50, -20, 100, 100), (280, 200, 100, 100), (0, 0, 320, 240), (300, 5, 500, 10)])
def test_boxes_that_leave_the_image_are_drawn_inside_it(box: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = changed_box((HeightMeasurement(box, refused="crown_cut_off: out of view"),))
    assert 0 <= x0 <= x1 < 320
    assert 0 <= y0 <= y1 < 240


def test_refused_where_the_disk_took_only_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """cv2.VideoWriter says nothing of failed writes: the file is cut behind its back, as a full disk does."""
    sink = VideoSink(tmp_path / "a.mp4")
    for _ in range(5):
        sink.write(make_result())
    original = video._readable_frames

    def cut_first(path: Path) -> int:
        path.write_bytes(path.read_bytes()[:1000])
        return original(path)

    monkeypatch.setattr(video, "_readable_frames", cut_first)
    with pytest.raises(OutputError, match="5 frames were written and 0 read back"):
        sink.close()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """A real file system of 400 kB, where one may be mounted."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def noise(index: int) -> Result:
    rng = np.random.default_rng(index)
    image = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
    return Result(Frame(image), DepthMap(np.ones((240, 320), np.float32), DepthKind.METRIC))


@pytest.mark.parametrize("reserve", [16 * 2**20, 0])
def test_a_disk_that_is_really_full(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch, reserve: int) -> None:
    # With the reserve the first frame is refused; without, the check of the finished file has to see it.
    monkeypatch.setattr(video, "_RESERVE_BYTES", reserve)
    sink = VideoSink(tiny_disk / "a.mp4")
    with pytest.raises(OutputError, match="cannot write"):
        for index in range(60):
            sink.write(noise(index))
        sink.close()
    sink.close()
    assert list(tiny_disk.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        ("a.gif", {}, "ends in .mp4"),
        ("a", {}, "ends in .mp4"),
        ("a.mp4", {"fps": 0}, "frame rate"),
        ("a.mp4", {"fps": float("nan")}, "frame rate"),
        ("a.mp4", {"range_m": (2.0, 2.0)}, "two different finite ends"),
        ("a.mp4", {"colormap": "jet"}, "unknown colour map"),
        ("a.mp4", {"codec": "h264x"}, "four letters"),
    ],
)
def test_refused_before_anything_is_made(target: str, options: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        VideoSink(tmp_path / target, **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_is_not_there(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "a.mp4", codec="zzzz")
    with pytest.raises(OutputError, match="no encoder 'zzzz'"):
        sink.write(make_result())
    assert list(tmp_path.iterdir()) == []


def test_real_frame(realdata: Path, tmp_path: Path) -> None:
    folder = realdata / "rgbd/pcl_five_people"
    image = cv2.cvtColor(cv2.imread(str(folder / "rgb.png")), cv2.COLOR_BGR2RGB)
    raw = cv2.imread(str(folder / "depth.png"), cv2.IMREAD_UNCHANGED)
    depth = np.where(raw == 0, np.nan, raw * np.float32(0.001)).astype(np.float32)
    with VideoSink(tmp_path / "a.mp4", fps=10) as sink:
        sink.write(Result(Frame(image), DepthMap(depth, DepthKind.METRIC)))
    frame = frames_of(tmp_path / "a.mp4")[0]
    top = frame.shape[0] - 480
    # The left panel is the photograph, within what the codec loses.
    difference = cv2.absdiff(frame[top:, :640], cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert difference.mean() < 6
    holes = (raw == 0)[10:-10, 10:-10]
    darkness = frame[top:, 640:1280].max(axis=2)[10:-10, 10:-10]
    assert np.median(darkness[holes]) < 20
    assert np.median(darkness[~holes]) > 100
