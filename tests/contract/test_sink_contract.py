"""One suite over every sink: what the pipeline relies on, whatever is behind it."""

from __future__ import annotations

import errno
import gc
import io
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from edgedepth.errors import NotMetricError, OutputError, SinkError
from edgedepth.geometry.measurement import HeightMeasurement, Measurement
from edgedepth.geometry.plane import FloorPlane
from edgedepth.stream.result import Result
from edgedepth.stream.sinks import Sink, open_sink, sink_kinds
from edgedepth.types import DepthKind, DepthMap, Frame, Intrinsics

Opener = Callable[[], Sink]
CAMERA = Intrinsics(64, 48, 60.0, 60.0, 31.5, 23.5)


def make_result(sequence: int = 0, kind: DepthKind = DepthKind.METRIC, fill: float = 2.0) -> Result:
    values = np.full((48, 64), fill, np.float32)
    values[:5] = np.nan
    image = np.full((48, 64, 3), 40 + sequence, np.uint8)
    people = (
        HeightMeasurement((10, 10, 12, 30), 1.72, 0.012, (1.697, 1.743), distance_m=2.0),
        HeightMeasurement((30, 0, 12, 40), refused="crown_cut_off: the head leaves the frame"),
    )
    return Result(
        Frame(
            image, CAMERA, sequence, 1_000_000_000 + sequence, 1_700_000_000_000_000_000, sequence / 10, source="a.mp4"
        ),
        DepthMap(values, kind, CAMERA),
        Measurement(FloorPlane((0.0, -1.0, 0.0), 1.2), people),
        {"capture": 1_000_000, "infer": 12_000_000},
        1_030_000_000 + sequence,
        dropped=2,
    )


TARGETS: dict[str, Callable[[Path], tuple[Any, dict[str, Any]]]] = {
    "jsonl": lambda folder: (folder / "out.jsonl", {}),
    "video": lambda folder: (folder / "out.mp4", {"fps": 10}),
    "png": lambda folder: (folder / "out", {}),
    "console": lambda folder: (None, {"console": Console(file=io.StringIO(), width=100)}),
    "callback": lambda folder: (lambda result: None, {}),
}
FILES = ("jsonl", "video")
WRITERS = ("jsonl", "video", "png")


def opened(kind: str, folder: Path) -> Sink:
    target, options = TARGETS[kind](folder)
    return open_sink(kind, target, **options)


def parts(folder: Path) -> list[str]:
    """Files under a temporary name."""
    return [path.name for path in folder.rglob("*") if ".part" in path.name]


@pytest.fixture(params=list(TARGETS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_built_in_kind_is_tested_here() -> None:
    assert set(sink_kinds()) >= set(TARGETS)


def test_is_a_sink_and_takes_results(kind: str, tmp_path: Path) -> None:
    sink = opened(kind, tmp_path)
    assert isinstance(sink, Sink)
    for sequence in range(3):
        sink.write(make_result(sequence))
    sink.close()
    assert parts(tmp_path) == []


def test_close_twice_and_never_write_again(kind: str, tmp_path: Path) -> None:
    sink = opened(kind, tmp_path)
    sink.write(make_result())
    sink.close()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    sink.close()
    with pytest.raises(SinkError, match="closed"):
        sink.write(make_result(1))
    sink.close()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_close_without_a_result(kind: str, tmp_path: Path) -> None:
    """A run that ended before its first frame leaves no trace, and what the name held stays."""
    if kind in FILES:
        Path(TARGETS[kind](tmp_path)[0]).write_bytes(b"old")
    before = sorted(tmp_path.rglob("*"))
    sink = opened(kind, tmp_path)
    sink.close()
    assert sorted(tmp_path.rglob("*")) == before
    assert all(path.read_bytes() == b"old" for path in before)


@pytest.mark.parametrize("writer", FILES)
def test_a_forgotten_sink_leaves_nothing(writer: str, tmp_path: Path) -> None:
    sink = opened(writer, tmp_path)
    assert parts(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del sink
        gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_depth_without_a_valid_pixel(kind: str, tmp_path: Path) -> None:
    sink = opened(kind, tmp_path)
    sink.write(make_result(0, fill=np.nan))
    sink.write(make_result(1, fill=np.inf))
    sink.write(make_result(2))
    sink.close()


@pytest.mark.parametrize("meaning", [DepthKind.RELATIVE_DEPTH, DepthKind.DISPARITY, DepthKind.ORDINAL])
def test_depth_that_is_not_metric(kind: str, meaning: DepthKind, tmp_path: Path) -> None:
    sink = opened(kind, tmp_path)
    if kind == "png":
        with pytest.raises(NotMetricError, match="which has no scale"):
            sink.write(make_result(kind=meaning))
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    else:
        sink.write(make_result(kind=meaning))
    sink.close()


def test_result_without_measurement_or_times(kind: str, tmp_path: Path) -> None:
    bare = Result(Frame(np.zeros((48, 64, 3), np.uint8)), DepthMap(np.ones((48, 64), np.float32), DepthKind.METRIC))
    sink = opened(kind, tmp_path)
    sink.write(bare)
    sink.close()


def test_keeps_nothing_of_a_recycled_depth_array(kind: str, tmp_path: Path) -> None:
    outputs = []
    for name, recycle in (("a", False), ("b", True)):
        (tmp_path / name).mkdir()
        console = Console(file=io.StringIO(), width=200)
        target, options = TARGETS[kind](tmp_path / name)
        sink = open_sink(kind, target, **(options | ({"console": console} if kind == "console" else {})))
        result = make_result()
        sink.write(result)
        if recycle:
            result.depth.values[:] = 77.0
        sink.close()
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        outputs.append((console.file.getvalue(), [path.read_bytes() for path in files]))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("file_kind", FILES)
def test_the_final_name_appears_at_close(file_kind: str, tmp_path: Path) -> None:
    target = Path(TARGETS[file_kind](tmp_path)[0])
    target.write_bytes(b"old")
    sink = opened(file_kind, tmp_path)
    sink.write(make_result())
    assert target.read_bytes() == b"old"
    sink.close()
    assert target.read_bytes() != b"old"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("file_kind", FILES)
@pytest.mark.parametrize("place", ["no/such/folder", "file/below"])
def test_a_place_that_cannot_be_written_is_known_when_opened(file_kind: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        opened(file_kind, tmp_path / place)


def test_png_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        opened("png", tmp_path / "file")


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_that_fills_up(writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame that does not fit fails the sink; the final name is never half a file, and nothing is left over."""
    target = Path(TARGETS[writer](tmp_path)[0])
    if writer in FILES:
        target.write_bytes(b"old")
    sink = opened(writer, tmp_path)
    sink.write(make_result(0))
    if writer == "jsonl":
        monkeypatch.setattr(sink._file, "flush", no_space, raising=False)  # type: ignore[attr-defined]
    elif writer == "video":
        full = shutil.disk_usage(tmp_path)._replace(free=0)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    else:
        monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(OutputError, match="the disk is full") as caught:
        sink.write(make_result(1))
    assert "\n" not in str(caught.value)
    with pytest.raises(SinkError, match="has failed"):
        sink.write(make_result(2))
    sink.close()
    monkeypatch.undo()
    assert parts(tmp_path) == []
    if writer in FILES:
        assert target.read_bytes() == b"old"
    else:
        assert sorted(path.name for path in target.glob("*/*")) == ["000000.png", "000000.png"]


@pytest.mark.parametrize("file_kind", FILES)
def test_a_disk_that_fails_at_the_last_moment(file_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Path(TARGETS[file_kind](tmp_path)[0])
    target.write_bytes(b"old")
    sink = opened(file_kind, tmp_path)
    sink.write(make_result())
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OutputError, match="the disk is full"):
        sink.close()
    sink.close()
    assert target.read_bytes() == b"old"
    assert parts(tmp_path) == []


def test_unknown_kind_and_unknown_option(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="unknown sink 'tape'; one of jsonl, video"):
        open_sink("tape", tmp_path / "x")
    with pytest.raises(SinkError, match=r"jsonl sink cannot be opened like this: .*speed"):
        open_sink("jsonl", tmp_path / "x", speed=3)
    with pytest.raises(SinkError, match="target"):
        open_sink("video")


def test_sinks_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "tape"

        def load(self) -> Callable[..., Sink]:
            return lambda target, **options: open_sink("callback", options["then"])

    monkeypatch.setattr(
        "edgedepth.stream.sinks.entry_points", lambda group: [Point()] if group == "edgedepth.sinks" else []
    )
    seen: list[Result] = []
    assert "tape" in sink_kinds()
    sink = open_sink("tape", "anywhere", then=seen.append)
    sink.write(make_result())
    assert len(seen) == 1
