"""``edgedepth export``, ``models`` and ``build`` as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from networks import write_network

from edgedepth.bundle import load_model, read_golden
from edgedepth.export.recipe import list_recipes

Cli = Callable[..., Any]

SPEC = 'name = "net"\n[input]\nheight = 8\nwidth = 8\n[output]\nkind = "metric"\n'


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = write_network(tmp_path / "net.onnx", weights=(2.0, 1.0, 1.0))
    path.with_suffix(".toml").write_text(SPEC)
    return path


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``edgedepth export fastdepth --random-init --fp32 --size 64x96`` writes; made once."""
    root = tmp_path_factory.mktemp("export") / "small"
    command = ["export", "fastdepth", "--random-init", "--fp32", "--size", "64x96", "-o", str(root), "-q"]
    done = subprocess.run([sys.executable, "-m", "edgedepth", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return root


def test_models_lists_every_recipe(edgedepth: Cli) -> None:
    ended = edgedepth("models", "--json")
    assert [row["name"] for row in json.loads(ended.out)] == list(list_recipes())
    assert "fastdepth" in edgedepth("models").out
    assert "--checkpoint" in edgedepth("models", "fastdepth").out


def test_an_unknown_model_lists_those_there_are(edgedepth: Cli) -> None:
    for verb in ("models", "export"):
        ended = edgedepth(verb, "fastdpeth")
        assert ended.code == 2
        assert "no recipe 'fastdpeth'; there are: " in ended.err
        assert "; did you mean fastdepth?" in ended.err
    assert "zoedepth-nyu; or give a recipe.toml" in edgedepth("export", "no-such-network").err


def test_a_misspelt_model_is_named_before_a_missing_package(edgedepth: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "no recipe 'fastdpeth'" in edgedepth("export", "fastdpeth").err
    ended = edgedepth("export", "fastdepth", "--random-init")
    assert ended.code == 2
    assert ended.err.startswith("edgedepth: error: onnx is needed here")


def test_a_recipe_becomes_a_bundle_that_says_it_is_untrained(edgedepth: Cli, bundle: Path) -> None:
    model = load_model(bundle)
    assert (model.spec.input.height, model.spec.input.width, model.spec.precision) == (64, 96, "fp32")
    assert not model.spec.provenance.trained
    assert model.report is not None
    assert model.report.rows[0].nan_inf == 0
    ended = edgedepth("run", "synthetic://", "--model", bundle, "--frames", 1)
    assert ended.code == 2
    assert "untrained (random) weights" in ended.err
    assert edgedepth("run", "synthetic://", "--model", bundle, "--frames", 1, "--allow-untrained", "-q").code == 0


def test_inspect_proves_it_and_shows_the_report(edgedepth: Cli, bundle: Path) -> None:
    ended = edgedepth("inspect", bundle)
    assert ended.code == 0
    for words in ("passes on 4 frames", "off FP32", "FP32 equals the network"):
        assert words in ended.out
    assert json.loads(edgedepth("inspect", bundle, "--json").out)["report"]["rows"][0]["precision"] == "fp32"


def test_a_third_party_graph_becomes_fp16(edgedepth: Cli, network: Path, tmp_path: Path) -> None:
    ended = edgedepth("export", network, "--fp16", "-o", tmp_path / "b", "--json")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert [row["precision"] for row in said["report"]["rows"]] == ["fp32", "fp16"]
    model = load_model(tmp_path / "b")
    session = onnxruntime.InferenceSession(str(model.onnx_path), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)
    (depth,) = session.run(None, {"image": image})
    assert depth.dtype == np.float32  # half inside, single at the door
    np.testing.assert_allclose(depth[0, 0], 2 * image[0, 0] + image[0, 1] + image[0, 2], rtol=3e-3)
    assert model.golden_path is not None
    golden = read_golden(model.golden_path)  # the FP32 answers, not those of FP16
    first = golden.inputs[0][0]
    np.testing.assert_allclose(golden.outputs[0][0, 0], 2 * first[0] + first[1] + first[2], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fastdepth", "--fp16"), ("ships no weights", "--checkpoint", "--random-init")),
        (("fastdepth", "--fp16", "--int8", "--random-init"), ("one precision at a time", "--fp16 and --int8")),
        (("fastdepth", "--int8", "--random-init"), ("--calibration-set",)),
        (("fastdepth", "--random-init", "--size", "65x96"), ("multiples of 32", "65x96", "64x96")),
        (("fastdepth", "--random-init", "--size", "big"), ("HEIGHTxWIDTH", "'big'")),
        (("fastdepth", "--random-init", "--checkpoint", "x.pth"), ("--checkpoint and --random-init",)),
        (("fastdepth", "--checkpoint", "nowhere.pth"), ("nowhere.pth",)),
        (("fastdepth", "--random-init", "--spec", "x.toml"), ("--spec is for an .onnx",)),
        (("net.onnx", "--size", "16x16"), ("leave out --size",)),
        (("nothing.onnx",), ("no model at nothing.onnx",)),
        (("fastdepth", "--random-init", "-o", "."), ("exists already", "-o")),
    ],
)
def test_what_cannot_be_exported(
    edgedepth: Cli, network: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(network.parent)
    before = sorted(path.name for path in network.parent.iterdir())
    ended = edgedepth("export", *arguments)
    assert ended.code == 2
    for word in words:
        assert word in ended.err
    assert sorted(path.name for path in network.parent.iterdir()) == before


def test_what_is_not_fp32_is_not_exported_again(edgedepth: Cli, network: Path, tmp_path: Path) -> None:
    assert edgedepth("export", network, "--fp16", "-o", tmp_path / "half", "-q").code == 0
    ended = edgedepth("export", tmp_path / "half", "--fp32", "-o", tmp_path / "again")
    assert ended.code == 2
    assert "is fp16; export starts from the FP32 network" in ended.err


def test_build_without_a_gpu_says_what_is_missing(edgedepth: Cli, bundle: Path) -> None:
    ended = edgedepth("build", bundle)
    if ended.code == 0:
        pytest.skip("a GPU and TensorRT are here; tests/gpu builds for real")
    assert ended.code == 2
    assert len(ended.err.strip().splitlines()) == 1


def test_a_bundle_goes_into_a_triton_repository(edgedepth: Cli, network: Path, tmp_path: Path) -> None:
    assert edgedepth("export", network, "--fp32", "-o", tmp_path / "b", "-q").code == 0
    ended = edgedepth("export", tmp_path / "b", "--triton", tmp_path / "models")
    assert ended.code == 0, ended.err
    assert (tmp_path / "models" / "net" / "config.pbtxt").is_file()
    assert (tmp_path / "models" / "net" / "1" / "model.onnx").is_file()


def test_a_graph_of_free_size_becomes_one_of_the_spec_s_size(edgedepth: Cli, network: Path, tmp_path: Path) -> None:
    model = onnx.load(network)
    for value in (*model.graph.input, *model.graph.output):
        for index, letter in ((2, "h"), (3, "w")):
            value.type.tensor_type.shape.dim[index].dim_param = letter
    onnx.save(model, network)
    ended = edgedepth("export", network, "--fp32", "-o", tmp_path / "b", "-q")
    assert ended.code == 0, ended.err
    session = onnxruntime.InferenceSession(str(load_model(tmp_path / "b").onnx_path))
    assert session.get_inputs()[0].shape == [1, 3, 8, 8]
    assert session.get_outputs()[0].shape == [1, 1, 8, 8]


def test_a_network_that_gives_no_numbers_is_told_so(edgedepth: Cli, tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx", weights=(float("nan"), 1.0, 1.0))
    path.with_suffix(".toml").write_text(SPEC)
    ended = edgedepth("export", path, "--fp32", "-o", tmp_path / "b", "-q")
    assert ended.code == 2
    assert "NaN" in ended.err
    assert not (tmp_path / "b").exists()


def test_the_default_name_and_the_repository_are_looked_at_first(
    edgedepth: Cli, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(network.parent)
    monkeypatch.setattr("edgedepth.export.sources.NetworkSource.of_recipe", lambda *_, **__: pytest.fail("too late"))
    Path("fastdepth-fp16").mkdir()
    assert "fastdepth-fp16 exists already" in edgedepth("export", "fastdepth", "--random-init").err
    Path("models/fastdepth").mkdir(parents=True)
    ended = edgedepth("export", "fastdepth", "--random-init", "--fp32", "--triton", "models")
    assert "models/fastdepth exists already" in ended.err
