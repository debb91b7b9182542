"""LiveSource over a scripted device: what is handed out, what is dropped, and how it comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from media import picture

from edgedepth.errors import (
    EndOfStream,
    FrameInvalid,
    FrameTimeout,
    IntrinsicsError,
    SourceAuthError,
    SourceLost,
    SourceNotFound,
)
from edgedepth.sources.base import SourceOptions
from edgedepth.sources.grabber import Shot
from edgedepth.sources.live import LiveSource
from edgedepth.types import Intrinsics

BLACK = np.zeros((48, 64, 3), np.uint8)
GREEN = np.full((48, 64, 3), (0, 135, 0), np.uint8)  # an empty YUV buffer, decoded


class Device:
    """Plays a script: images, Shots, errors to raise, and callables. Silent at its end."""

    size_wh = (64, 48)
    fps = 30.0
    frame_count = None

    def __init__(self, script: list[Any], opening: list[Exception | None] | None = None) -> None:
        self.script, self.opening = list(script), list(opening or [])
        self.opened = 0
        self.is_open = True

    def open(self) -> None:
        self.opened += 1
        failure = self.opening.pop(0) if self.opening else None
        if failure is not None:
            raise failure
        self.is_open = True

    def grab(self, timeout_s: float) -> Shot:
        assert self.is_open
        if not self.script:
            time.sleep(0.002)
            raise FrameTimeout("silent")
        item = self.script.pop(0)
        if callable(item):
            item = item()
        if isinstance(item, Exception):
            raise item
        if isinstance(item, Shot):
            return item
        return Shot(item, time.monotonic_ns(), time.time_ns())

    def close(self) -> None:
        self.is_open = False


class Waits:
    """Stands in for sleeping between attempts; keeps the seconds and moves a clock."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.now_s = 0.0

    def __call__(self, stop: threading.Event, seconds: float) -> bool:
        self.seconds.append(seconds)
        self.now_s += seconds
        return stop.wait(0.001)

    def clock_s(self) -> float:
        return self.now_s


def source_of(device: Device, waits: Waits | None = None, **options: Any) -> LiveSource:
    waits = waits or Waits()
    return LiveSource(device, "fake://camera", SourceOptions(**options), wait=waits, clock_s=waits.clock_s)


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline_s, "did not happen within 5 s"
        time.sleep(0.001)


def test_newest_frame_wins_and_the_others_are_counted() -> None:
    device = Device([picture(number) for number in range(5)])
    with source_of(device) as source:
        until(lambda: not device.script and source.dropped == 4)
        frame = source.read(1.0)
        assert frame.sequence == 4
        np.testing.assert_array_equal(frame.image, picture(4))
        with pytest.raises(FrameTimeout):
            source.read(0.01)


@pytest.mark.parametrize("empty", [BLACK, GREEN, np.full((48, 64, 3), 255, np.uint8)])
def test_flat_frames_are_withheld_counted_and_named(empty: np.ndarray) -> None:
    device = Device([picture(0), empty, empty])
    with source_of(device) as source:
        until(lambda: source.dropped == 2)
        assert source.read(1.0).sequence == 0
        with pytest.raises(FrameTimeout, match="black or uniform"):
            source.read(0.01)


def test_dark_noise_is_a_picture() -> None:
    night = np.random.default_rng(0).integers(0, 5, (48, 64, 3), dtype=np.uint8)
    with source_of(Device([night])) as source:
        np.testing.assert_array_equal(source.read(1.0).image, night)


def test_old_frame_in_the_slot_is_not_handed_out() -> None:
    old = Shot(picture(1), time.monotonic_ns() - 300_000_000, time.time_ns() - 300_000_000)
    with source_of(Device([old]), max_age_s=0.2) as source:
        with pytest.raises(FrameTimeout):
            source.read(0.05)
        assert source.dropped == 1


def test_stream_that_falls_behind_is_dropped_then_reopened() -> None:
    now_ns = time.monotonic_ns()

    def at(arrival_s: float, stream_s: float) -> Shot:
        return Shot(picture(1), now_ns + int(arrival_s * 1e9), time.time_ns(), stream_s=stream_s)

    # Stream time runs at half speed: 0.6, then 1.2 s behind.
    device = Device([at(0, 0), at(1.2, 0.6), at(2.4, 1.2), FrameTimeout("silent")])
    waits = Waits()
    with source_of(device, waits, max_age_s=1.0, stall_s=3.0) as source:
        until(lambda: not device.script)
        assert source.dropped == 2  # the first was superseded, the last is 1.2 s late
        frame = source.read(1.0)
        assert frame.timestamp_ns == pytest.approx(now_ns + 0.6e9, abs=5e6)  # when it happened, not when it came
        with pytest.raises(FrameTimeout, match=r"1\.2 s late"):
            source.read(0.01)
        waits.now_s += 3.1
        device.script.append(at(4.8, 2.4))
        until(lambda: device.opened == 1)


def test_a_frame_that_comes_while_it_is_closed_is_not_handed_out() -> None:
    hold = threading.Event()

    def late() -> np.ndarray:
        hold.wait(5)
        return picture(0)

    device = Device([late])
    source = source_of(device)
    threading.Timer(0.1, hold.set).start()
    source.close()  # returns when the capture thread has ended, the frame in its slot
    assert not device.is_open
    with pytest.raises(EndOfStream):
        source.read(1.0)


def test_invalid_frames_are_skipped() -> None:
    with source_of(Device([FrameInvalid("torn"), picture(3)])) as source:
        assert source.read(1.0).sequence == 1
        assert source.dropped == 1


def test_reconnects_with_waits_that_double_up_to_the_cap() -> None:
    refused = SourceNotFound("refused")
    device = Device([picture(0), SourceLost("gone"), picture(1)], [refused] * 5 + [None])
    waits = Waits()
    with source_of(device, waits, backoff_s=1.0, backoff_cap_s=6.0) as source:
        until(lambda: source.reconnects == 1)
        until(lambda: not device.script)
        np.testing.assert_array_equal(source.read(1.0).image, picture(1))
    for waited, full in zip(waits.seconds, [1, 2, 4, 6, 6, 6], strict=True):
        assert 0.8 * full <= waited <= full


def test_waits_start_small_again_after_a_frame() -> None:
    device = Device([SourceLost("a"), picture(0), SourceLost("b"), picture(1)], [SourceNotFound("x"), None, None])
    waits = Waits()
    with source_of(device, waits, backoff_s=1.0):
        until(lambda: len(waits.seconds) == 3)
    assert waits.seconds[1] > 1.5
    assert waits.seconds[2] <= 1.0


def test_gives_up_in_the_end_and_says_why() -> None:
    device = Device([SourceLost("gone")], [SourceNotFound("fake://camera: refused")] * 99)
    waits = Waits()
    with source_of(device, waits, backoff_s=1.0, backoff_cap_s=10.0, give_up_s=60.0) as source:
        with pytest.raises(SourceLost, match=r"not back after \d+ attempts.*\(refused\)"):
            source.read(5.0)
        with pytest.raises(SourceLost):
            source.read(5.0)
    assert 60 <= waits.now_s < 72
    assert not device.is_open


def test_an_opening_device_that_never_delivers_is_given_up_too() -> None:
    device = Device([SourceLost("gone")] * 1000)
    with source_of(device, backoff_s=1.0, give_up_s=30.0) as source, pytest.raises(SourceLost, match="not back"):
        source.read(5.0)


def test_without_a_limit_it_keeps_trying() -> None:
    device = Device([SourceLost("gone"), picture(1)], [SourceNotFound("x")] * 200)
    with source_of(device, give_up_s=None) as source:
        assert source.read(5.0).sequence == 0
    assert device.opened == 201


def test_refused_credentials_end_it_at_once() -> None:
    device = Device([SourceLost("gone")], [SourceAuthError("401")])
    with source_of(device) as source, pytest.raises(SourceAuthError):
        source.read(5.0)
    assert device.opened == 1


def test_silence_is_a_loss() -> None:
    device, waits = Device([picture(0)]), Waits()
    with source_of(device, waits, stall_s=4.0) as source:
        source.read(1.0)
        waits.now_s += 4.1
        until(lambda: source.reconnects >= 1)


def test_end_of_stream_comes_after_the_last_frame() -> None:
    device = Device([picture(0), EndOfStream("done")])
    with source_of(device) as source:
        until(lambda: not device.is_open)
        assert source.read(1.0).sequence == 0
        with pytest.raises(EndOfStream):
            source.read(1.0)


def test_a_driver_that_crashes_reaches_the_reader(caplog: pytest.LogCaptureFixture) -> None:
    with source_of(Device([MemoryError("cuda")])) as source, pytest.raises(SourceLost, match="MemoryError: cuda"):
        source.read(5.0)
    assert "capture thread" in caplog.text


def test_another_resolution_after_reconnecting() -> None:
    camera = Intrinsics.from_fov(64, 48, hfov_deg=60)
    device = Device([picture(0), SourceLost("x"), picture(1, (128, 96))])
    with source_of(device, intrinsics=camera) as source:
        until(lambda: not device.script)
        assert source.read(1.0).intrinsics == camera.resized(128, 96)
    device = Device([picture(0, (64, 64))])
    with source_of(device, intrinsics=camera) as source, pytest.raises(IntrinsicsError, match="aspect"):
        source.read(5.0)


def test_wrong_intrinsics_close_the_device() -> None:
    device = Device([])
    with pytest.raises(IntrinsicsError):
        source_of(device, intrinsics=Intrinsics.from_fov(64, 64, hfov_deg=60))
    assert not device.is_open
