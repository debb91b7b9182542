"""Models that ship with the package, by name, and for whoever names none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from media import write_rgbd, write_video
from packaged import use_data_of, write_model

Cli = Callable[..., Any]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's folder of models, with two of them."""
    folder = use_data_of(tmp_path, monkeypatch)
    write_model(folder / "edgedepth-s-fp32", tmp_path / "made")
    shutil.copytree(folder / "edgedepth-s-fp32", folder / "edgedepth-s-int8")
    return folder


def test_run_without_a_model_takes_the_packaged_one_and_says_so(edgedepth: Cli, models: Path, tmp_path: Path) -> None:
    ended = edgedepth("run", write_video(tmp_path / "a.mp4"), "--json")
    assert ended.code == 0, ended.err
    assert "edgedepth-s-fp32 of the package" in ended.err
    assert json.loads(ended.out)["estimator"].startswith("tiny on onnxruntime")


def test_run_without_a_model_keeps_to_the_depth_of_its_source(edgedepth: Cli, models: Path) -> None:
    ended = edgedepth("run", "synthetic://?width=64&height=48", "--frames", 2, "--json")
    assert json.loads(ended.out)["estimator"] == "sensor depth"
    assert "edgedepth-s" not in ended.err


def test_a_packaged_model_is_named_where_a_path_is(edgedepth: Cli, models: Path, tmp_path: Path) -> None:
    for name in ("edgedepth-s", "edgedepth-s-int8"):
        ended = edgedepth("run", "clip://demo", "--model", name, "--frames", 2, "--json")
        assert json.loads(ended.out)["estimator"].startswith("tiny"), ended.err
    shown = json.loads(edgedepth("inspect", "edgedepth-s-int8", "--json").out)
    assert Path(shown["onnx"]).parent == models / "edgedepth-s-int8"
    room = write_rgbd(tmp_path / "room")
    evaluated = edgedepth("evaluate", "edgedepth-s", "edgedepth-s-int8", "--data", room, "--align", "median", "--json")
    assert len(json.loads(evaluated.out)["evaluations"]) == 2, evaluated.err


def test_a_path_of_that_name_comes_first(
    edgedepth: Cli, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(models / "edgedepth-s-fp32", tmp_path / "edgedepth-s")
    monkeypatch.chdir(tmp_path)
    assert json.loads(edgedepth("inspect", "edgedepth-s", "--json").out)["onnx"] == "edgedepth-s/model.onnx"


def test_an_installation_without_models_says_what_to_give(
    edgedepth: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_data_of(tmp_path, monkeypatch)
    for arguments in (["run", write_video(tmp_path / "a.mp4")], ["run", "clip://demo", "--model", "edgedepth-s"]):
        ended = edgedepth(*arguments)
        assert ended.code == 2
        assert ended.err.startswith("edgedepth: error: no ")
        assert ended.err.count("\n") == 1
