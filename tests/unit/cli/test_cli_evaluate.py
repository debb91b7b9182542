"""``edgedepth evaluate`` as a user types it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import write_diw, write_kitti
from networks import write_network
from scored_rooms import write_rooms

SPEC = """
name = "{name}"
[input]
height = 8
width = 8
[output]
kind = "{kind}"
"""
Call = Callable[..., Any]


def net(folder: Path, name: str = "net", kind: str = "metric", weight: float = 1.0) -> Path:
    """A network that gives ``weight`` times the sum of the three channels, 0..1 each."""
    folder.mkdir(exist_ok=True)
    path = write_network(folder / f"{name}.onnx", weights=(weight,) * 3)
    path.with_suffix(".toml").write_text(SPEC.format(name=name, kind=kind))
    return path


def test_json_of_one_model(edgedepth: Call, tmp_path: Path) -> None:
    manifest = write_rooms(tmp_path)
    ended = edgedepth("evaluate", net(tmp_path), "--protocol", "rgbd", "--data", manifest, "--json")
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)
    assert len(report["frames"]) == 6
    assert {"id", "absrel", "delta1"} <= report["frames"][0].keys()
    assert report["alignment"] == "none"
    assert report["mean"]["absrel"] == pytest.approx(sum(f["absrel"] for f in report["frames"]) / 6)
    assert report["estimator"]["name"] == "net on onnxruntime:cpu"
    assert len(report["estimator"]["sha256"]) == 64
    assert "evaluating net" in ended.err


def test_several_models_are_one_table_with_what_they_depend_on(edgedepth: Call, tmp_path: Path) -> None:
    manifest = write_rooms(tmp_path)
    (tmp_path / "2_depth.png").write_bytes(b"broken")
    models = [net(tmp_path, "one"), net(tmp_path, "two", weight=2.0)]
    document = tmp_path / "out.json"
    ended = edgedepth(
        "evaluate", *models, "--data", manifest, "--align", "median", "--limit", 5, "--json-file", document, "-q"
    )
    assert ended.code == 0, ended.err
    assert ended.err == ""
    lines = ended.out.splitlines()
    assert sum(line.startswith(("one on", "two on")) for line in lines) == 2
    assert "alignment: median" in ended.out
    assert "0.1 - 10 m, crop none, not clipped" in ended.out
    assert "4 of 5 samples" in ended.out
    assert ended.out.count("skipped room_2") == 1
    assert [one["estimator"]["model"] for one in json.loads(document.read_text())["evaluations"]] == ["one", "two"]


def test_backends_side_by_side(edgedepth: Call, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    manifest = write_rooms(tmp_path, 2)
    ended = edgedepth(
        "evaluate", net(tmp_path), "--data", manifest, "--backend", "onnxruntime", "--backend", "openvino", "--json"
    )
    assert ended.code == 0, ended.err
    first, second = json.loads(ended.out)["evaluations"]
    assert [first["estimator"]["name"], second["estimator"]["name"]] == [
        "net on onnxruntime:cpu",
        "net on openvino:cpu",
    ]
    assert second["mean"] == pytest.approx(first["mean"], rel=1e-3)


def test_html_and_figures(edgedepth: Call, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "report.html"
    ended = edgedepth("evaluate", net(tmp_path), "--data", write_rooms(tmp_path, 2), "--html", page)
    assert ended.code == 0, ended.err
    assert page.read_text().count("<img") == 2 + 2


def test_without_a_model_it_is_the_sensor_s_own_depth(edgedepth: Call, tmp_path: Path) -> None:
    ended = edgedepth("evaluate", "--data", write_rooms(tmp_path, 4, poses=True, scenes=1), "--json")
    report = json.loads(ended.out)
    assert report["estimator"]["name"] == "sensor depth"
    assert report["mean"]["absrel"] == 0
    assert report["mean"]["tae_percent"] > 0


def test_a_checkpoint_with_its_recipe(edgedepth: Call, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    manifest = write_rooms(tmp_path, 1)
    ended = edgedepth("evaluate", "--recipe", "fastdepth", "--allow-untrained", "--data", manifest, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["estimator"]["name"] == "fastdepth on torch:cpu"
    ended = edgedepth("evaluate", "--recipe", "fastdepth", "--checkpoint", tmp_path / "none.pth", "--data", manifest)
    assert ended.code == 2
    assert "none.pth" in ended.err


def test_a_checkpoint_of_another_size_has_the_numbers_of_its_export(edgedepth: Call, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from safetensors.torch import save_file

    from edgedepth.export.recipe import load_recipe
    from edgedepth.models.checkpoint import load_network

    model = load_recipe("resunet").model
    weights, bundle, manifest = tmp_path / "w.safetensors", tmp_path / "bundle", write_rooms(tmp_path, 2)
    save_file(load_network(model.family, model.config, None)[0].state_dict(), weights)
    ended = edgedepth("export", "resunet", "--fp32", "--size", "32x48", "-c", weights, "-o", bundle, "-q")
    assert ended.code == 0, ended.err
    own = ["--recipe", "resunet", "-c", weights]
    exported, there, elsewhere = (
        json.loads(edgedepth("evaluate", *what, "-d", manifest, "--json", "-q").out)["mean"]
        for what in ([bundle], [*own, "--size", "32x48"], own)
    )
    assert there == pytest.approx(exported, abs=1e-3)
    assert elsewhere["absrel"] != pytest.approx(exported["absrel"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own defaults' names
def test_over_ray(edgedepth: Call, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra scale (ray[data])")
    before = signal.getsignal(signal.SIGTERM)
    manifest = write_rooms(tmp_path, 4)
    plain, spread = (
        edgedepth("evaluate", net(tmp_path), "--data", manifest, "--json", *more) for more in ([], ["--ray"])
    )
    assert spread.code == 0, spread.err
    assert json.loads(spread.out)["frames"] == json.loads(plain.out)["frames"]
    assert signal.getsignal(signal.SIGTERM) is before, "a run that follows is still ended by SIGTERM's handler"


def test_other_kinds_of_data_and_protocols(edgedepth: Call, tmp_path: Path) -> None:
    (tmp_path / "kitti").mkdir()
    write_kitti(tmp_path / "kitti")
    ended = edgedepth("evaluate", net(tmp_path), "-p", "kitti-garg", "-d", tmp_path / "kitti", "--json")
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)
    assert report["protocol"]["crop"].startswith("rows 0.40810811:0.99189189")
    assert {frame["group"] for frame in report["frames"]} == {"2011_09_28_drive_0002_sync"}, "the val split alone"
    (tmp_path / "diw").mkdir()
    write_diw(tmp_path / "diw")
    ended = edgedepth("evaluate", net(tmp_path, "o", "ordinal"), "-p", "diw", "-d", tmp_path / "diw", "--json")
    assert ended.code == 0, ended.err
    mean = json.loads(ended.out)["mean"]
    assert mean["whdr"] == pytest.approx(1 - mean["ordinal_accuracy"])
    shown = edgedepth("evaluate", net(tmp_path, "o", "ordinal"), "-p", "diw", "-d", tmp_path / "diw").out
    (row,) = [line.split() for line in shown.splitlines() if line.startswith("DIW_test/0000")]
    assert row[1] in ("0.0000", "1.0000"), "right or wrong"
    assert "protocol diw: ordinal pairs; alignment: none" in shown.splitlines()
    ended = edgedepth("evaluate", net(tmp_path, "o", "ordinal"), "-p", "diw", "-d", tmp_path / "diw", "-a", "median")
    assert ended.code == 2
    assert "ordinal pairs are scored without an alignment" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL"], "needs a data set: give --data"),
        (["MODEL", "-d", "DATA", "-p", "nyuv2"], "no protocol 'nyuv2'; there are nyu, kitti-garg"),
        (["MODEL", "-d", "DATA", "-a", "mean"], "--align is none, median, scale-shift-depth"),
        (["MODEL", "-d", "DATA", "-p", "diode"], r"the protocol diode is for diode data and .* is rgbd"),
        (["MODEL", "-d", "DATA", "--option", "frames=a.txt"], "takes no option 'frames'"),
        (["MODEL", "-d", "nowhere"], "no data set at nowhere"),
        (["none.onnx", "-d", "DATA"], "no model at none.onnx"),
        (["MODEL", "-d", "DATA", "--checkpoint", "w.pth"], "give --recipe NAME and --checkpoint FILE"),
        (
            ["MODEL", "-d", "DATA", "--size", "32x48"],
            "--size is of --recipe; a bundle and an .onnx file have their size",
        ),
        (["--recipe", "fastdepth", "-c", "w.pth", "-d", "DATA", "--size", "32"], "--size is HEIGHTxWIDTH in pixels"),
        (["--backend", "openvino", "-d", "DATA"], "--spec and --backend can only be given with a model"),
        (["MODEL", "-d", "DATA", "--html", "DATA"], "would overwrite --data"),
        (["MODEL", "-d", "DATA", "--seed", "-1"], "'--seed': Input should be greater than or equal to 0"),
        (["MODEL", "-d", "FOLDER", "--html", "DATA"], "would overwrite a file of --data"),
        (["MODEL", "-d", "DATA", "--json-file", "no/folder/x.json"], "folder does not exist"),
        (["RELATIVE", "-d", "DATA"], r"disparity map cannot be compared with metres .* use scale-shift-disparity"),
        (["MODEL", "-d", "BROKEN", "--strict"], r"0_depth\.png"),
    ],
)
def test_one_line_says_what_is_wrong(edgedepth: Call, tmp_path: Path, arguments: list[str], message: str) -> None:
    import re

    names = {"MODEL": str(net(tmp_path)), "RELATIVE": str(net(tmp_path, "r", "disparity"))}
    names["DATA"] = str(write_rooms(tmp_path, 2))
    names["FOLDER"] = str(tmp_path)
    (tmp_path / "broken").mkdir()
    names["BROKEN"] = str(write_rooms(tmp_path / "broken", 2))
    (tmp_path / "broken" / "0_depth.png").write_bytes(b"broken")
    ended = edgedepth("evaluate", *(names.get(argument, argument) for argument in arguments), "-q")
    assert ended.code == 2
    assert re.search(message, ended.err), ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert ended.out == ""
