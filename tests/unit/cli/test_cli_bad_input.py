"""What a person gets wrong: one line that says what to do, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from networks import write_network
from packaged import use_data_of
from refusals import refused

Cli = Callable[..., Any]

K = "60,60,31.5,23.5"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A 64 x 48 image and its depth: 2 m everywhere."""
    rgb, depth = tmp_path / "rgb.png", tmp_path / "depth.png"
    cv2.imwrite(str(rgb), np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    cv2.imwrite(str(depth), np.full((48, 64), 2000, np.uint16))
    return rgb, depth


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A network that gives the mean of the colours, 1x3x32x32 -> 1x1x32x32."""
    return write_network(tmp_path / "mean.onnx", size_wh=(32, 32), weights=(1 / 3, 1 / 3, 1 / 3))


def spec_file(path: Path, **changes: str) -> Path:
    values = {"kind": "metric", "width": "32", "height": "32", "input_name": "image", "dtype": "float32"} | changes
    path.write_text(
        'name = "mean"\n[input]\n'
        f'name = "{values["input_name"]}"\nwidth = {values["width"]}\nheight = {values["height"]}\n'
        f'dtype = "{values["dtype"]}"\n[output]\nkind = "{values["kind"]}"\n'
    )
    return path


def test_what_belongs_to_heights_without_heights_is_told_before_anything_is_opened(edgedepth: Cli) -> None:
    refused(edgedepth("run", "none.mp4", "--camera-height", 1.4), "--camera-height", "add --height")
    refused(edgedepth("run", "none.mp4", "--detector", "yolox.onnx"), "--detector", "add --height")


def test_missing_source(edgedepth: Cli, tmp_path: Path) -> None:
    refused(edgedepth("run", tmp_path / "none.mp4"), "none.mp4", "no such file")


def test_zero_byte_video(edgedepth: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    refused(edgedepth("run", tmp_path / "empty.mp4"), "empty.mp4", "0 bytes")


def test_unreadable_video(edgedepth: Cli, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video, whatever its name says\n" * 50)
    refused(edgedepth("run", tmp_path / "text.mp4"), "text.mp4")


def test_unknown_scheme_names_the_known(edgedepth: Cli) -> None:
    refused(edgedepth("run", "gopher://camera"), "gopher", "rtsp", "synthetic")


def test_camera_that_does_not_exist(edgedepth: Cli) -> None:
    refused(edgedepth("run", "63"), "63")


def test_image_of_another_size_than_its_depth(edgedepth: Cli, pair: tuple[Path, Path]) -> None:
    cv2.imwrite(str(pair[1]), np.full((24, 32), 2000, np.uint16))
    refused(edgedepth("measure", "--rgb", pair[0], "--depth", pair[1], "--intrinsics", K), "64x48", "32x24")


def test_depth_of_eight_bits(edgedepth: Cli, pair: tuple[Path, Path]) -> None:
    cv2.imwrite(str(pair[1]), np.full((48, 64), 200, np.uint8))
    refused(edgedepth("measure", "--rgb", pair[0], "--depth", pair[1], "--intrinsics", K), "16-bit", "uint8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-60,60,31.5,23.5", ("fx", "-60")),
        ("nan,60,31.5,23.5", ("fx", "nan")),
        ("60,60,31.5", ("fx,fy,cx,cy",)),
        ("60,60,31.5,23.5,nan,0,0,0", ("nan", "distortion")),
        ("hfov=200", ("200",)),
        ("nothing.yaml", ("nothing.yaml",)),
    ],
)
def test_intrinsics_that_cannot_be(edgedepth: Cli, pair: tuple[Path, Path], text: str, words: tuple[str, ...]) -> None:
    refused(edgedepth("measure", "--rgb", pair[0], "--depth", pair[1], f"--intrinsics={text}"), *words)


def test_intrinsics_of_another_aspect(edgedepth: Cli, pair: tuple[Path, Path], tmp_path: Path) -> None:
    camera = {"width": 1280, "height": 720, "fx": 900, "fy": 900, "cx": 639.5, "cy": 359.5}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    ended = edgedepth("measure", "--rgb", pair[0], "--depth", pair[1], "--intrinsics", tmp_path / "camera.json")
    refused(ended, "1280x720", "64x48", "aspect")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_name": "picture"}, ("picture", "image")),
        ({"width": "64"}, ("64", "32")),
        ({"dtype": "uint8"}, ("uint8",)),
        ({"kind": "metrics"}, ("metrics",)),
    ],
)
def test_spec_that_disagrees_with_the_network(
    edgedepth: Cli, network: Path, tmp_path: Path, changes: dict[str, str], words: tuple[str, ...]
) -> None:
    spec = spec_file(tmp_path / "mean.toml", **changes)
    refused(edgedepth("run", "synthetic://", "--model", network, "--spec", spec, "--frames", 1), *words)


def test_no_spec_shows_an_example(edgedepth: Cli, network: Path) -> None:
    ended = edgedepth("run", "synthetic://", "--model", network)
    assert ended.code == 2
    assert "--spec" in ended.err and "[output]" in ended.err


def test_truncated_network(edgedepth: Cli, network: Path, tmp_path: Path) -> None:
    spec = spec_file(tmp_path / "mean.toml")
    network.write_bytes(network.read_bytes()[:40])
    refused(edgedepth("run", "synthetic://", "--model", network, "--spec", spec), "mean.onnx")


def test_relative_model_gives_no_heights_without_a_scale(edgedepth: Cli, network: Path, tmp_path: Path) -> None:
    spec = spec_file(tmp_path / "mean.toml", kind="relative_depth")
    target = tmp_path / "out.jsonl"
    ended = edgedepth("run", "synthetic://", "--model", network, "--spec", spec, "--height", "--jsonl", target)
    refused(ended, "scale", "--camera-height")
    assert not target.exists()


def test_outputs_of_a_still_are_tried_before_the_first_is_written(
    edgedepth: Cli, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    picture, points = tmp_path / "seen.png", tmp_path / "no" / "points.ply"
    outputs = ["--overlay", picture, "--cloud", points]
    refused(edgedepth("measure", "--rgb", pair[0], "--depth", pair[1], "--intrinsics", K, *outputs), str(points))
    assert not picture.exists()


def test_what_is_read_is_not_overwritten(edgedepth: Cli, pair: tuple[Path, Path], tmp_path: Path) -> None:
    before = pair[0].read_bytes()
    rgb = ["--rgb", pair[0], "--depth", pair[1], "--intrinsics", K]
    refused(edgedepth("measure", *rgb, "--overlay", tmp_path / "." / "rgb.png"), "--overlay", "--rgb")
    refused(edgedepth("run", pair[0], "--jsonl", pair[0]), "--jsonl", "the source")
    refused(edgedepth("run", f"file://{pair[0]}", "--jsonl", pair[0]), "--jsonl", "the source")
    assert pair[0].read_bytes() == before
    both = tmp_path / "out.mp4"
    refused(edgedepth("run", "synthetic://", "--jsonl", both, "--video", both), "--video", "--jsonl")
    assert not both.exists()


def test_a_path_the_system_refuses(edgedepth: Cli) -> None:
    refused(edgedepth("run", "x" * 5000), "name too long")


def test_png_into_a_file(edgedepth: Cli, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    refused(edgedepth("run", "synthetic://", "--quiet", "--frames", "2", "--png", tmp_path / "taken"), "it is a file")


def test_unwritable_output_stops_before_the_first_frame(edgedepth: Cli, tmp_path: Path) -> None:
    target = tmp_path / "no" / "such" / "folder" / "out.jsonl"
    refused(edgedepth("run", "synthetic://", "--jsonl", target), str(target), "folder")


def test_full_disk(edgedepth: Cli) -> None:
    refused(edgedepth("run", "synthetic://", "--quiet", "--frames", "5", "--jsonl", "/dev/full"), "disk is full")


def test_no_depth_at_all(
    edgedepth: Cli, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_data_of(tmp_path, monkeypatch)  # without the packaged model
    refused(edgedepth("run", pair[0], "--quiet"), "--model")


def test_a_failing_run_leaves_no_file(edgedepth: Cli, pair: tuple[Path, Path], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    refused(edgedepth("run", pair[0], "--quiet", "--video", tmp_path / "out.mp4", "--jsonl", tmp_path / "out.jsonl"))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--detector", "none.onnx"], ("none.onnx",)),
        (["--boxes", "1,2,3"], ("x,y,w,h",)),
        (["--boxes", "1,2,3,4", "--detector", "geometric"], ("one of them",)),
        (["--boxes", "500,500,20,20"], ("outside",)),
        (["--camera-height", "-1"], ("camera_height_m",)),
        (["--scale", "2"], ("--model",)),
        (["--cloud", "points.xyz"], (".ply",)),
        (["--overlay", "seen"], ("--overlay", "seen")),
        (["--overlay", "no/seen.png"], ("no/seen.png", "folder")),
    ],
)
def test_measure_options_that_cannot_be(
    edgedepth: Cli, pair: tuple[Path, Path], arguments: list[str], words: tuple[str, ...]
) -> None:
    refused(edgedepth("measure", "--rgb", pair[0], "--depth", pair[1], "--intrinsics", K, *arguments), *words)


def test_measure_needs_one_kind_of_depth(edgedepth: Cli, pair: tuple[Path, Path]) -> None:
    refused(edgedepth("measure", "--rgb", pair[0], "--intrinsics", K), "--depth", "--model")


def test_altered_bundle(edgedepth: Cli, network: Path, tmp_path: Path) -> None:
    from edgedepth.bundle import read_spec, write_bundle

    bundle = tmp_path / "bundle"
    write_bundle(bundle, read_spec(spec_file(tmp_path / "mean.toml")), network)
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[-10] ^= 1
    (bundle / "model.onnx").write_bytes(content)
    refused(edgedepth("inspect", bundle), "model.onnx", "SHA-256")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], ("SOURCE", "edgedepth run --help")),
        (["rnu", "synthetic://"], ("rnu", "'run'")),
        (["run", "synthetic://", "--heigth"], ("--heigth", "--height")),
        (["run", "synthetic://", "--frames", "0"], ("--frames", "1")),
        (["measure", "--depth", "depth.png"], ("--rgb",)),
    ],
)
def test_what_cannot_be_parsed_is_one_line_too(edgedepth: Cli, arguments: list[str], words: tuple[str, ...]) -> None:
    refused(edgedepth(*arguments), *words)


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        (">/dev/full", 2, "disk is full"),
        (">&-", 2, "standard output: it is closed"),
        ("| true", 141, ""),  # 128 + SIGPIPE; the reader knows why it left
    ],
)
@pytest.mark.parametrize("verb", ["sources --json", "run synthetic://?width=160&height=120 -q --frames 40 --jsonl -"])
def test_standard_output_that_cannot_be_written(verb: str, redirection: str, code: int, said: str) -> None:
    command = " ".join(f"'{word}'" for word in [sys.executable, "-m", "edgedepth", *verb.split()])
    script = f"set -o pipefail; {command} {redirection}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == code, ended.stderr
    assert ended.stderr.count("\n") == bool(said)
    assert said in ended.stderr
