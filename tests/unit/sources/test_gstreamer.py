"""GStreamer pipelines: colours, strides, time, failure."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from media import write_video

from edgedepth.errors import EndOfStream, InputError, SourceError, SourceLost, SourceNotFound
from edgedepth.sources import SourceOptions, open_source

pytest.importorskip("gi", reason="needs PyGObject (pip install edgedepth[gstreamer])")

# videotestsrc's pattern "red" is (255, 0, 0); an odd width makes GStreamer pad each row.
FORMATS = ["RGB", "BGR", "RGBA", "RGBx", "BGRA", "BGRx"]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_of_an_own_appsink(format: str) -> None:
    pipeline = f"videotestsrc pattern=red num-buffers=2 ! video/x-raw,format={format},width=101,height=7 ! appsink"
    with open_source(f"gst:{pipeline}") as source:
        image = source.read(5.0).image
    assert image.shape == (7, 101, 3)
    assert (image == (255, 0, 0)).all()


def test_grey() -> None:
    # videotestsrc's white in grey is studio white, 235.
    caps = "video/x-raw,format=GRAY8,width=101,height=7"
    with open_source(f"gst:videotestsrc pattern=white num-buffers=1 ! {caps} ! appsink") as source:
        assert (source.read(5.0).image == 235).all()


def test_file_pipeline_has_media_time_and_no_lost_frame() -> None:
    with open_source("gst:videotestsrc num-buffers=40 ! video/x-raw,framerate=25/1") as source:
        assert source.fps == 25
        times = []
        with pytest.raises(EndOfStream):
            while True:
                times.append(source.read(5.0).media_time_s)
                if len(times) == 1:
                    time.sleep(0.1)  # a slow reader must not lose what queues up
    assert times == pytest.approx(np.arange(40) / 25)


def test_live_frames_carry_when_they_were_captured() -> None:
    # The queue holds every frame for 0.2 s, so that is how old they are when they come out.
    delayed = "videotestsrc is-live=true ! queue min-threshold-time=200000000 ! identity"
    with open_source(f"gst:{delayed}") as source:
        ages_s = []
        for _ in range(5):
            frame = source.read(5.0)
            ages_s.append((time.monotonic_ns() - frame.timestamp_ns) / 1e9)
            assert frame.media_time_s is None
    assert 0.15 < np.median(ages_s) < 0.6


def test_stale_frames_are_withheld() -> None:
    delayed = "videotestsrc is-live=true ! queue min-threshold-time=400000000 ! identity"
    with open_source(f"gst:{delayed}", SourceOptions(max_age_s=0.2)) as source:
        with pytest.raises(SourceError, match="no frame within"):
            source.read(1.0)
        assert source.dropped > 3


def test_a_failing_pipeline_is_started_again() -> None:
    options = SourceOptions(backoff_s=0.05)
    with open_source("gst:videotestsrc is-live=true ! identity error-after=8", options) as source:
        frames = []
        deadline_s = time.monotonic() + 20
        while source.reconnects < 2:  # type: ignore[attr-defined]
            frames.append(source.read(5.0))
            assert time.monotonic() < deadline_s
    assert len(frames) > 8
    assert all(a.timestamp_ns < b.timestamp_ns for a, b in pairwise(frames))


def test_a_live_pipeline_that_ends() -> None:
    with open_source("gst:videotestsrc is-live=true num-buffers=5") as source, pytest.raises(EndOfStream):
        for _ in range(10):
            source.read(5.0)


@pytest.mark.parametrize(
    ("pipeline", "error", "words"),
    [
        ("", InputError, "expected a pipeline"),
        ("nosuchelement ! identity", InputError, 'no element "nosuchelement"'),
        ("videotestsrc ! fakesink", InputError, "not a pipeline"),
        ("filesrc location=/no/such/file ! decodebin", SourceNotFound, "filesrc"),
        ("videotestsrc num-buffers=0", SourceError, "ended before its first frame"),
        ("videotestsrc ! video/x-raw,format=NV12 ! appsink", SourceError, "gst:"),
        ("audiotestsrc", (InputError, SourceError), "gst:"),
    ],
)
def test_bad_pipelines_are_one_line(pipeline: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        open_source(f"gst:{pipeline}", SourceOptions(open_timeout_s=3.0))
    assert "\n" not in str(caught.value)


def test_file_cut_short_gives_what_it_has_then_ends(tmp_path: Path) -> None:
    data = write_video(tmp_path / "whole.avi", 60, "MJPG").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    count = 0
    uri = f'gst:filesrc location="{tmp_path / "cut.avi"}" ! avidemux ! jpegdec'
    with open_source(uri) as source, pytest.raises((EndOfStream, SourceLost)):
        while True:
            source.read(5.0)
            count += 1
    assert 10 < count < 50
