"""What every Source promises, over every kind that can run without a camera."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from media import number_of, picture, write_images, write_rgbd, write_video
from rtsp import RtspServer

from edgedepth.errors import EndOfStream, IntrinsicsError
from edgedepth.sources import FakeSource, Source, SourceOptions, open_source
from edgedepth.types import Frame, Intrinsics

FRAMES = 10
Opener = Callable[..., Source]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def _http(folder: Path, stack: ExitStack) -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return f"http://127.0.0.1:{server.server_address[1]}"


def _open_gst(pipeline: str) -> Opener:
    pytest.importorskip("gi", reason="needs PyGObject (pip install edgedepth[gstreamer])")
    return functools.partial(open_source, f"gst:{pipeline}")


def _fake(options: SourceOptions | None = None, *, is_live: bool, intrinsics: Intrinsics | None = None) -> Source:
    count = 10_000 if is_live else FRAMES
    return FakeSource((picture(i % 10) for i in range(count)), intrinsics=intrinsics, is_live=is_live)


def _http_file(folder: Path, stack: ExitStack) -> Opener:
    write_video(folder / "a.mp4")
    return functools.partial(open_source, f"{_http(folder, stack)}/a.mp4")


def _gst_file(folder: Path) -> Opener:
    video = write_video(folder / "a.avi", fourcc="MJPG")
    return _open_gst(f'filesrc location="{video}" ! avidemux ! jpegdec')


def _gst_rtsp(stack: ExitStack) -> Opener:
    url = stack.enter_context(RtspServer()).url()
    return _open_gst(f"rtspsrc location={url} latency=20 ! decodebin")


of = functools.partial
ORDERED: dict[str, Callable[[Path, ExitStack], Opener]] = {
    "video": lambda folder, _: of(open_source, write_video(folder / "a.mp4")),
    "file uri": lambda folder, _: of(open_source, write_video(folder / "a b.avi", fourcc="MJPG").as_uri()),
    "http file": _http_file,
    "glob": lambda folder, _: of(open_source, str(write_images(folder) / "shot_*.png")),
    "folder": lambda folder, _: of(open_source, write_images(folder / "shots")),
    "rgbd": lambda folder, _: of(open_source, write_rgbd(folder / "recording")),
    "gst file": lambda folder, _: _gst_file(folder),
    "fake": lambda *_: of(_fake, is_live=False),
}
LIVE: dict[str, Callable[[Path, ExitStack], Opener]] = {
    "gst": lambda *_: _open_gst("videotestsrc is-live=true ! video/x-raw,width=320,height=240"),
    "gst appsink": lambda *_: _open_gst("videotestsrc is-live=true ! video/x-raw,format=BGRx,width=322 ! appsink"),
    "rtsp": lambda _, stack: of(open_source, stack.enter_context(RtspServer()).url()),
    "gst rtsp": lambda _, stack: _gst_rtsp(stack),
    "clip": lambda *_: of(open_source, "clip://demo?live=1"),
    "fake live": lambda *_: of(_fake, is_live=True),
}
KINDS = ORDERED | LIVE


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as it:
        yield it


@pytest.fixture(params=ORDERED)
def ordered(request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack) -> Opener:
    return ORDERED[request.param](tmp_path, stack)


@pytest.fixture(params=LIVE)
def live(request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack) -> Opener:
    return LIVE[request.param](tmp_path, stack)


@pytest.fixture(params=KINDS)
def opener(request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack) -> Opener:
    return KINDS[request.param](tmp_path, stack)


def _check(frame: Frame, source: Source, began_ns: int) -> None:
    assert frame.image.dtype == np.uint8
    assert frame.image.flags.c_contiguous
    assert began_ns - 1_000_000_000 < frame.timestamp_ns <= time.monotonic_ns()
    assert abs((time.time_ns() - frame.wall_time_ns) - (time.monotonic_ns() - frame.timestamp_ns)) < 50_000_000
    assert frame.source
    assert (frame.media_time_s is None) or not source.is_live


def test_ordered_source_gives_every_frame_once_in_order_then_ends(ordered: Opener) -> None:
    began_ns = time.monotonic_ns()
    with ordered() as source:
        assert isinstance(source, Source)
        assert not source.is_live
        frames = [source.read(5.0) for _ in range(FRAMES)]
        for _ in range(2):
            with pytest.raises(EndOfStream):
                source.read(1.0)
        assert source.dropped == 0
        assert source.frame_count in (FRAMES, None)
        for frame in frames:
            _check(frame, source, began_ns)
    # Looked at only now: a buffer that is used again too early would show a later picture.
    assert [number_of(frame.image) for frame in frames] == list(range(FRAMES))
    assert [frame.sequence for frame in frames] == list(range(FRAMES))
    stamps = [frame.timestamp_ns for frame in frames]
    assert stamps == sorted(stamps)


def test_live_source_gives_newer_frames_each_time(live: Opener) -> None:
    began_ns = time.monotonic_ns()
    with live() as source:
        assert isinstance(source, Source)
        assert source.is_live
        assert source.frame_count is None
        frames = [source.read(5.0) for _ in range(6)]
        for frame in frames:
            _check(frame, source, began_ns)
    assert all(a.sequence < b.sequence and a.timestamp_ns < b.timestamp_ns for a, b in pairwise(frames))


def test_close_is_final_and_may_be_repeated(opener: Opener) -> None:
    source = opener()
    source.read(5.0)
    source.close()
    source.close()
    with pytest.raises(EndOfStream):
        source.read(1.0)


def test_close_releases_a_blocked_reader(live: Opener) -> None:
    source = live()
    ended = threading.Event()

    def read_on() -> None:
        with pytest.raises(EndOfStream):
            while True:
                source.read(60.0)
        ended.set()

    reader = threading.Thread(target=read_on, daemon=True)
    reader.start()
    time.sleep(0.05)
    source.close()
    assert ended.wait(5.0)


def test_intrinsics_are_scaled_to_the_stream(opener: Opener) -> None:
    with opener() as source:
        width, height = source.read(5.0).size_wh
    twice = Intrinsics.from_fov(2 * width, 2 * height, hfov_deg=60)
    if opener.func is _fake:  # type: ignore[attr-defined]
        return
    with opener(intrinsics=twice) as source:
        assert source.read(5.0).intrinsics == twice.resized(width, height)
        assert source.intrinsics is not None
    with pytest.raises(IntrinsicsError, match="aspect"), opener(intrinsics=twice.cropped(0, 0, width, height * 2)) as s:
        s.read(5.0)
