"""A file played at its own frame rate, on a clock that the test moves."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from media import number_of, write_video

from edgedepth.errors import EndOfStream, FrameTimeout, InputError
from edgedepth.sources import SourceOptions
from edgedepth.sources.grabber import Shot
from edgedepth.sources.opencv import open_video_file
from edgedepth.sources.paced import PacedSource

PERIOD_NS = 100_000_000


class Clock:
    """Time passes only where somebody sleeps, or where the test says so."""

    def __init__(self) -> None:
        self.now_ns = time.monotonic_ns()
        self.slept_s: list[float] = []

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_ns += round(seconds * 1e9)


class Numbers:
    """Ten images, each filled with its number."""

    size_wh = (4, 4)
    frame_count = 10

    def __init__(self, clock: Clock, fps: float | None = 10.0) -> None:
        self.clock, self.fps, self.next, self.closed = clock, fps, 0, False

    def open(self) -> None:
        self.next = 0

    def grab(self, timeout_s: float) -> Shot:
        if self.next >= 10:
            raise EndOfStream("end")
        image = np.full((4, 4, 3), self.next, np.uint8)
        self.next += 1
        return Shot(image, self.clock(), 10**18 + self.clock(), media_time_s=1.0)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def paced(clock: Clock, **options: bool) -> PacedSource:
    return PacedSource(Numbers(clock), "numbers", SourceOptions(**options), clock_ns=clock, sleep=clock.sleep)


def test_frames_come_when_they_are_due(clock: Clock) -> None:
    start_ns = clock.now_ns
    with paced(clock) as source:
        frames = [source.read(1.0) for _ in range(10)]
        with pytest.raises(EndOfStream):
            source.read(1.0)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == list(range(10))
    assert [frame.timestamp_ns - start_ns for frame in frames] == [number * PERIOD_NS for number in range(10)]
    assert source.dropped == 0


def test_what_is_late_is_dropped_and_counted_and_the_newest_is_given(clock: Clock) -> None:
    with paced(clock) as source:
        source.read(1.0)
        clock.now_ns += 350_000_000  # frames 1 and 2 are over, 3 was due 50 ms ago
        late = source.read(1.0)
        assert (late.sequence, int(late.image[0, 0, 0]), source.dropped) == (3, 3, 2)
        # Its age counts from when it was due, on both clocks.
        assert clock.now_ns - late.timestamp_ns == 50_000_000
        assert late.wall_time_ns - late.timestamp_ns == 10**18
        assert source.read(1.0).sequence == 4


def test_the_clock_starts_with_the_first_read(clock: Clock) -> None:
    with paced(clock) as source:
        clock.now_ns += 5 * 10**9
        assert source.read(1.0).sequence == 0
        assert source.dropped == 0


def test_it_goes_on_at_its_rate_where_it_starts_again(clock: Clock) -> None:
    with paced(clock, loop=True) as source:
        frames = [source.read(1.0) for _ in range(12)]
    assert [frame.sequence for frame in frames] == list(range(12))
    assert int(frames[10].image[0, 0, 0]) == 0
    assert frames[11].timestamp_ns - frames[0].timestamp_ns == 11 * PERIOD_NS


def test_a_wait_that_is_too_short_times_out_and_loses_nothing(clock: Clock) -> None:
    with paced(clock) as source:
        source.read(1.0)
        with pytest.raises(FrameTimeout, match="due later than"):
            source.read(0.01)
        assert source.read(1.0).sequence == 1


def test_closing_it_ends_a_wait(clock: Clock) -> None:
    source = paced(clock)
    source.read(1.0)
    source.close()
    with pytest.raises(EndOfStream, match="was closed"):
        source.read(1.0)
    assert not clock.slept_s


def test_without_a_frame_rate_it_cannot_be_played(clock: Clock) -> None:
    grabber = Numbers(clock, fps=None)
    with pytest.raises(InputError, match="frame rate"):
        PacedSource(grabber, "numbers", SourceOptions())
    assert grabber.closed


def test_a_real_video_plays(tmp_path: Path) -> None:
    ordered = open_video_file(write_video(tmp_path / "a.mp4"), "a.mp4", SourceOptions())
    with PacedSource(ordered._grabber, "a.mp4", SourceOptions()) as source:
        frames = [source.read(5.0) for _ in range(3)]
    assert [number_of(frame.image) for frame in frames] == [frame.sequence for frame in frames]
