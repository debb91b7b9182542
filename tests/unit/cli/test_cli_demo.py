"""``edgedepth demo`` from end to end, with a network that is no good."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from packaged import use_data_of, write_model
from refusals import refused

from edgedepth.bundle import store
from edgedepth.depth import DepthEstimator
from edgedepth.stream import Result
from edgedepth.stream.sinks.jsonl import JsonlSink
from edgedepth.types import DepthKind

Cli = Callable[..., Any]

FILES = ["depth.mp4", "report.html", "results.jsonl", "summary.json"]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny", tmp_path / "made")


class Page(HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_clip_is_streamed_live_and_everything_is_written(edgedepth: Cli, network: Path, tmp_path: Path) -> None:
    folder = tmp_path / "result"
    ended = edgedepth("demo", "--model", network, "-o", folder, "--json")
    assert ended.code == 0, ended.err
    summary = json.loads(ended.out)
    assert summary["mode"] == "live"
    stream = summary["stream"]
    # Every one of the 180 frames was either published or counted as dropped.
    assert stream["frames"] + stream["dropped"] == 180
    assert stream["wall_s"] > 5.5, "no frame is given before it is due"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert summary == json.loads((folder / "summary.json").read_text()) | {"outputs": summary["outputs"]}
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert len(lines) == stream["frames"]
    judged = [line for line in lines if line["sequence"] % 5 == 0]
    assert summary["depth"]["frames"] == len(judged)
    assert [(one["name"], one["stature_m"]) for one in summary["people"]] == [("adult", 1.78), ("child", 1.12)]
    page = Page((folder / "report.html").read_text())
    assert {link for link in page.links if not link.startswith("data:image/jpeg")} == set(FILES) - {"report.html"}
    assert f"{summary['depth']['absrel']:.3f}" in page.text
    assert "AbsRel" in page.text


def test_as_a_file_every_frame_counts_and_the_network_alone_is_compared(
    edgedepth: Cli, network: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "result"
    folder.mkdir()  # an earlier demo's: it is replaced
    (folder / "summary.json").write_text('{"made_by": "edgedepth demo"}')
    (folder / "note").touch()
    ended = edgedepth("demo", "--model", network, "-o", folder, "--fast", "-q")
    assert ended.code == 0, ended.err
    assert "of the network's own" in ended.out
    assert "180 frames at" in ended.out
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["stream"]["frames"], summary["stream"]["dropped"]) == (180, 0)
    speed = summary["throughput"]
    assert speed["ratio"] == pytest.approx(speed["pipeline_fps"] / speed["network_fps"], abs=0.01)
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_a_folder_of_something_else_is_kept(edgedepth: Cli, network: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "summary.json").write_text('{"made_by": "hand"}')
    refused(edgedepth("demo", "--model", network, "-o", tmp_path / "mine"), "not of an earlier demo", "-o")
    assert (tmp_path / "mine" / "summary.json").read_text() == '{"made_by": "hand"}'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--view"], ("--view", "none yet", "report.html")),
        (["--precision", "int4"], ("--precision is fp32, fp16, int8", "int4")),
        (["--model", "x", "--precision", "int8"], ("--precision", "--model")),
        (["--model", "nothing"], ("no model at nothing",)),
        (["--camera-height", "1.4"], ("--camera-height", "--no-camera-height")),
    ],
)
def test_what_cannot_be_asked(edgedepth: Cli, arguments: list[str], words: tuple[str, ...]) -> None:
    refused(edgedepth("demo", *arguments), *words)


def test_a_model_without_metres_is_refused_before_it_plays(edgedepth: Cli, tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny", tmp_path / "made", DepthKind.RELATIVE_DEPTH)
    refused(edgedepth("demo", "--model", model, "-o", tmp_path / "result"), "gives relative_depth", "metric model")
    assert not (tmp_path / "result").exists()


def test_a_bundle_is_read_once(edgedepth: Cli, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = store._verify
    monkeypatch.setattr(store, "_verify", lambda root, name, digest: read.append(name) or original(root, name, digest))
    interrupt(monkeypatch)
    edgedepth("demo", "--model", network, "-o", tmp_path / "result", "-q")
    assert read.count("model.onnx") == 1, "all of it is read for its SHA-256"


def interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, once, while the networks warm up."""
    signals = iter([signal.SIGINT])

    def warm_up(estimator: DepthEstimator) -> None:
        for number in signals:
            signal.raise_signal(number)

    monkeypatch.setattr(DepthEstimator, "warm_up", warm_up)


def test_stopped_before_the_first_frame_nothing_is_written(
    edgedepth: Cli, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch)
    ended = edgedepth("demo", "--model", network, "-o", tmp_path / "out" / "result", "-q")
    assert (ended.code, ended.out) == (130, "")
    assert "nothing is written" in ended.err
    assert list((tmp_path / "out").iterdir()) == []


def test_stopped_on_the_way_the_rest_is_shown_and_the_network_is_not_timed(
    edgedepth: Cli, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = JsonlSink._write

    def write(sink: JsonlSink, result: Result) -> None:
        original(sink, result)
        if result.frame.sequence == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(JsonlSink, "_write", write)
    ended = edgedepth("demo", "--model", network, "-o", tmp_path / "result", "--fast", "--json")
    assert ended.code == 130, ended.err
    summary = json.loads(ended.out)
    assert (summary["mode"], summary["throughput"], summary["stream"]["stopped"]) == ("file", None, True)
    assert summary["depth"]["frames"] >= 2
    assert sorted(path.name for path in (tmp_path / "result").iterdir()) == FILES


def test_without_a_packaged_model(edgedepth: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = use_data_of(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    refused(edgedepth("demo"), "no packaged model 'edgedepth-s-fp32'")
    write_model(models / "edgedepth-s-int8", tmp_path / "made")
    refused(edgedepth("demo"), "there are: edgedepth-s-int8")
    ended = edgedepth("demo", "--precision", "int8", "--fast", "--json")
    assert ended.code == 0, ended.err
    assert (tmp_path / "edgedepth-demo" / "report.html").is_file()


def test_its_help_has_an_example(edgedepth: Cli) -> None:
    assert "edgedepth demo --precision int8" in edgedepth("demo", "--help").out
