"""URIs, plugins, secrets, and what a wrong input is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import SIZE_WH, number_of, picture, write_images, write_rgbd, write_video

from edgedepth.errors import (
    EdgeDepthError,
    EndOfStream,
    FrameInvalid,
    InputError,
    IntrinsicsError,
    SourceError,
    SourceLost,
    SourceNotFound,
)
from edgedepth.sources import FakeSource, SourceOptions, factory, known_schemes, open_source, redact
from edgedepth.sources._uri import query_of, scheme_of
from edgedepth.types import Intrinsics


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("rtsp://admin:12345@10.0.0.7:554/h264", "rtsp://***@10.0.0.7:554/h264"),
        ("rtsp://admin@10.0.0.7/", "rtsp://***@10.0.0.7/"),
        ("rtsp://admin:p@ss@10.0.0.7/", "rtsp://***@10.0.0.7/"),
        ("rtsp://admin:p/ss@10.0.0.7/", "rtsp://***@10.0.0.7/"),
        ("http://cam/v?user=joe&password=x%21&width=3", "http://cam/v?user=***&password=***&width=3"),
        ("gst:rtspsrc location=rtsp://u:p@h/x user-pw=a_b ! d", "gst:rtspsrc location=rtsp://***@h/x user-pw=*** ! d"),
        ('gst:rtspsrc user-pw="a b" ! d', "gst:rtspsrc user-pw=*** ! d"),
        ("rtsp://cam/user=admin_password=tlJwpbo6_channel=1", "rtsp://cam/user=***_password=***_channel=1"),
        ("rtsp://10.0.0.7:554/cam@home", "rtsp://10.0.0.7:554/cam@home"),
        ("/videos/a@b.mp4", "/videos/a@b.mp4"),
    ],
)  # fmt: skip
def test_redact(secret: str, shown: str) -> None:
    assert redact(secret) == shown


@pytest.mark.parametrize(
    ("uri", "scheme"),
    [("rtsp://x", "rtsp"), ("RTSP://x", "rtsp"), ("gst:a ! b", "gst"), ("a.mp4", ""), ("C:/a.mp4", ""), ("a:b", "")],
)
def test_scheme(uri: str, scheme: str) -> None:
    assert scheme_of(uri) == scheme


def test_query_refuses_what_it_does_not_know() -> None:
    assert query_of("csi://0?width=640&fps=30", "width", "fps") == {"width": "640", "fps": "30"}
    for uri in ("csi://0?widht=640", "csi://0?width="):
        with pytest.raises(InputError, match="width="):
            query_of(uri, "width", "fps")


def test_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown scheme webrtc.*csi.*gst.*rtsp.*v4l2"):
        open_source("webrtc://user:pw@x/y")
    assert {"csi", "file", "gst", "http", "https", "rtsp", "rtsps", "usb", "v4l2"} <= set(known_schemes())


def opened_by_plugin(uri: str, options: SourceOptions) -> FakeSource:
    return FakeSource([], uri=uri, intrinsics=options.intrinsics)


def test_plugins_bring_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("lidar", f"{__name__}:opened_by_plugin", "edgedepth.sources"),
        EntryPoint("broken", "no_such_module_here:thing", "edgedepth.sources"),
        EntryPoint("file", f"{__name__}:opened_by_plugin", "edgedepth.sources"),
    ]
    monkeypatch.setattr(
        EntryPoint, "load", lambda self: opened_by_plugin if "opened" in self.value else __import__(self.value)
    )
    monkeypatch.setattr(factory, "entry_points", lambda group: points if group == "edgedepth.sources" else [])
    camera = Intrinsics.from_fov(64, 48, hfov_deg=60)
    with open_source("lidar://7?a=b", intrinsics=camera) as source:
        assert source.uri == "lidar://7?a=b"
        assert source.intrinsics == camera
    assert "lidar" in known_schemes()
    with pytest.raises(SourceError, match=r"broken://.*does not load"):
        open_source("broken://")
    with pytest.raises(SourceNotFound):  # built-in schemes cannot be taken over
        open_source("file:///no/such/file.mp4")


def zero_byte_video(folder: Path) -> str:
    (folder / "empty.mp4").touch()
    return str(folder / "empty.mp4")


def text_video(folder: Path) -> str:
    (folder / "a.mp4").write_text("this is no video at all\n" * 100)
    return str(folder / "a.mp4")


def headless_video(folder: Path) -> str:
    whole = write_video(folder / "whole.mp4").read_bytes()
    (folder / "a.mp4").write_bytes(whole[: len(whole) // 2])  # the index of an MP4 comes last
    return str(folder / "a.mp4")


def broken_image(folder: Path) -> str:
    (folder / "a.jpg").write_bytes(b"garbage")
    return str(folder / "a.jpg")


def cut_image(suffix: str) -> Callable[[Path], str]:
    """The first two thirds of an image: libpng and libjpeg would write to stderr of it by themselves."""

    def make(folder: Path) -> str:
        path = folder / f"a{suffix}"
        cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
        content = path.read_bytes()
        # A thumbnail in the header, as cameras put there, has an end mark of its own.
        thumbnail = b"\xff\xe1\x00\x08\xff\xda\xff\xd9ok" if suffix == ".jpg" else b""
        path.write_bytes(content[:2] + thumbnail + content[2 : len(content) * 2 // 3])
        return str(path)

    return make


def depth_alone(folder: Path) -> str:
    cv2.imwrite(str(folder / "a.png"), np.full((48, 64), 2000, np.uint16))
    return str(folder / "a.png")


def unreadable(folder: Path) -> str:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = write_video(folder / "a.mp4")
    path.chmod(0)
    return str(path)


def empty_folder(folder: Path) -> str:
    return str(folder)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda _: "/no/such/file.mp4", SourceNotFound, "no such file"),
        (lambda _: "/no/such/*.png", SourceNotFound, "no file matches"),
        (zero_byte_video, InputError, "0 bytes"),
        (text_video, InputError, "no video"),
        (headless_video, InputError, "complete"),
        (broken_image, InputError, "not an image"),
        (cut_image(".png"), InputError, "cut short"),
        (cut_image(".jpg"), InputError, "cut short"),
        (depth_alone, InputError, "expected a colour image"),
        (lambda _: " ", InputError, "the source is empty"),
        (unreadable, InputError, "permission"),
        (empty_folder, SourceNotFound, "no images"),
        (lambda _: "99", SourceNotFound, "no camera /dev/video99"),
        (lambda _: "v4l2:///dev/video99?width=0", InputError, "width must be a whole number"),
        (lambda _: "v4l2:///dev/video99?fourcc=MJ", InputError, "four characters"),
        (lambda _: "v4l2://front", InputError, "expected a camera number"),
        (lambda _: "usb://99", SourceNotFound, "USB cameras"),
        (lambda _: "usb://one", InputError, "NUMBER"),
    ],
)
def test_bad_input_is_one_clear_line(make, error: type[EdgeDepthError], words: str, tmp_path: Path, capfd) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words) as caught:
        open_source(make(tmp_path))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # the libraries below do not chatter either


def test_video_cut_short_says_so_after_the_frames_it_has(tmp_path: Path) -> None:
    # MJPEG in AVI: the header with the number of frames comes first.
    data = write_video(tmp_path / "whole.avi", 60, "MJPG").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    numbers = []
    with open_source(tmp_path / "cut.avi") as source, pytest.raises(SourceLost, match=r"of 60 frames .* cut short"):
        while True:
            numbers.append(source.read(1.0).sequence)
    assert 10 < len(numbers) < 50


def test_an_undecodable_image_keeps_its_place_and_the_rest_go_on(tmp_path: Path) -> None:
    write_images(tmp_path, 4)
    (tmp_path / "shot_1.png").write_bytes(b"garbage")
    (tmp_path / "shot_2.png").write_bytes(b"")
    with open_source(tmp_path) as source:
        assert number_of(source.read(1.0).image) == 0
        with pytest.raises(FrameInvalid, match=r"shot_1\.png: not an image"):
            source.read(1.0)
        with pytest.raises(FrameInvalid, match=r"shot_2\.png: the file is empty"):
            source.read(1.0)
        last = source.read(1.0)
        assert (number_of(last.image), last.sequence) == (3, 3)
        assert last.source.endswith("shot_3.png")


def test_images_come_in_natural_order(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"f{(1, 2, 10)[number]}.png"), picture(number)[..., ::-1])
    with open_source(tmp_path) as source:
        assert [number_of(source.read(1.0).image) for _ in range(3)] == [0, 1, 2]


def test_loop_counts_broken_images_and_ends_when_all_are(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "shots", 2)
    (folder / "shot_0.png").write_bytes(b"no image")
    with open_source(folder, loop=True) as source:
        for sequence in range(4):
            if sequence % 2:
                assert source.read(1.0).sequence == sequence
            else:
                with pytest.raises(FrameInvalid):
                    source.read(1.0)
    (folder / "shot_1.png").write_bytes(b"no image either")
    with open_source(folder, loop=True) as source:
        for _ in range(2):
            with pytest.raises(FrameInvalid):
                source.read(1.0)
        with pytest.raises(EndOfStream):
            source.read(1.0)


def test_loop_starts_again_and_keeps_counting(tmp_path: Path) -> None:
    with open_source(write_video(tmp_path / "a.mp4", 3), loop=True) as source:
        frames = [source.read(1.0) for _ in range(7)]
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 0, 1, 2, 0]
    assert [frame.sequence for frame in frames] == list(range(7))
    assert [frame.media_time_s for frame in frames[:4]] == pytest.approx([0, 0.1, 0.2, 0])


def test_intrinsics_of_another_aspect_are_refused_before_the_first_frame(tmp_path: Path) -> None:
    square = Intrinsics.from_fov(100, 100, hfov_deg=60)
    for source in (write_video(tmp_path / "a.mp4"), write_images(tmp_path / "shots"), write_rgbd(tmp_path / "rgbd")):
        with pytest.raises(IntrinsicsError, match="aspect"):
            open_source(source, intrinsics=square)


def test_keywords_and_options_agree(tmp_path: Path) -> None:
    camera = Intrinsics.from_fov(*SIZE_WH, hfov_deg=60)
    with open_source(write_video(tmp_path / "a.mp4", 1), SourceOptions(intrinsics=camera), loop=True) as source:
        assert source.intrinsics == camera
        assert [source.read(1.0).sequence for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="max_age_s must be positive"):
        SourceOptions(max_age_s=0)


def test_fake_plays_its_script() -> None:
    camera = Intrinsics.from_fov(*SIZE_WH, hfov_deg=60)
    source = FakeSource([picture(0), SourceLost("gone"), picture(1)], intrinsics=camera, fps=10)
    assert source.read(0).intrinsics == camera
    with pytest.raises(SourceLost, match="gone"):
        source.read(0)
    again = source.read(0)
    assert (again.sequence, again.media_time_s) == (1, 0.1)
    np.testing.assert_array_equal(again.image, picture(1))
    with pytest.raises(EndOfStream):
        source.read(0)


def test_real_video_every_frame_once_in_order(realdata: Path) -> None:
    with open_source(realdata / "video" / "one-by-one-person-detection.mp4") as source:
        assert (source.frame_count, source.fps) == (1394, 10.0)
        reference = cv2.VideoCapture(str(realdata / "video" / "one-by-one-person-detection.mp4"), cv2.CAP_FFMPEG)
        for number in range(1394):
            frame = source.read(1.0)
            assert frame.sequence == number
            assert frame.media_time_s == pytest.approx(number * 0.1, abs=1e-3)
            if number % 100 == 0 or number > 1390:
                reference.set(cv2.CAP_PROP_POS_FRAMES, number)
                np.testing.assert_array_equal(frame.image, reference.read()[1][..., ::-1])
        reference.release()
        with pytest.raises(EndOfStream):
            source.read(1.0)
