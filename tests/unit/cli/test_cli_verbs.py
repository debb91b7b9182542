"""The verbs on what they are for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from networks import write_network

from edgedepth.bundle import Golden, InputSpec, ModelSpec, OutputSpec, write_bundle
from edgedepth.cli.doctor import run_checks
from edgedepth.device import DeviceInfo
from edgedepth.synthetic.render import Rendering, render
from edgedepth.synthetic.scene import Camera, Person, Scene
from edgedepth.types import DepthKind, Intrinsics

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def seen() -> Rendering:
    """An adult of 1.75 m and a child of 1.10 m, 2.6 m away."""
    camera = Camera(Intrinsics(640, 480, 460, 460, 319.5, 239.5), height_m=1.3, pitch_deg=6.0)
    return render(Scene(camera, (Person(1.75, ((-0.5, 2.6),)), Person(1.10, ((0.5, 2.6),)))))


@pytest.fixture
def still(seen: Rendering, tmp_path: Path) -> tuple[Path, Path]:
    """That scene as an image and 16-bit millimetres."""
    rgb, depth = tmp_path / "rgb.png", tmp_path / "depth.png"
    cv2.imwrite(str(rgb), cv2.cvtColor(seen.image, cv2.COLOR_RGB2BGR))
    cv2.imwrite(str(depth), np.nan_to_num(seen.depth_m * 1000).round().astype(np.uint16))
    return rgb, depth


def boxes_of(seen: Rendering) -> str:
    return ";".join(
        ",".join(map(str, cv2.boundingRect(seen.mask(index).astype(np.uint8))))
        for index in range(len(seen.scene.people))
    )


def test_run_publishes_every_frame_once_in_order(edgedepth: Cli, tmp_path: Path) -> None:
    lines = tmp_path / "out.jsonl"
    ended = edgedepth("run", "synthetic://?width=320&height=240", "--frames", 12, "--jsonl", lines, "--json")
    assert ended.code == 0, ended.err
    summary = json.loads(ended.out)
    assert summary["frames"] == 12
    assert summary["dropped"] == summary["invalid"] == 0
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record["sequence"] for record in records] == list(range(12))
    # The far wall is 5 m from the camera, which is at y = 0; the room's floor begins 1 m away.
    assert all(1 < record["depth"]["median_m"] < 5.2 for record in records)


def test_run_to_standard_output_is_json_lines_alone(edgedepth: Cli) -> None:
    ended = edgedepth("run", "synthetic://?width=320&height=240", "--frames", 3, "--jsonl", "-", "--quiet")
    assert ended.code == 0
    assert [json.loads(line)["sequence"] for line in ended.out.splitlines()] == [0, 1, 2]


def test_png_folder_is_a_source_again(edgedepth: Cli, tmp_path: Path) -> None:
    uri = "synthetic://?width=320&height=240"
    assert (
        edgedepth("run", uri, "--frames", 3, "--png", tmp_path / "a", "--jsonl", tmp_path / "a.jsonl", "-q").code == 0
    )
    assert edgedepth("run", tmp_path / "a", "--jsonl", tmp_path / "b.jsonl", "-q").code == 0
    first, second = (
        [json.loads(line)["depth"]["median_m"] for line in (tmp_path / name).read_text().splitlines()]
        for name in ("a.jsonl", "b.jsonl")
    )
    assert first == pytest.approx(second, abs=0.0006)  # millimetres


def test_measure_finds_the_floor_and_both_statures(
    edgedepth: Cli, still: tuple[Path, Path], seen: Rendering, tmp_path: Path
) -> None:
    ended = edgedepth(
        "measure", "--rgb", still[0], "--depth", still[1], "--intrinsics", "460,460,319.5,239.5",
        "--boxes", boxes_of(seen), "--overlay", tmp_path / "seen.png", "--cloud", tmp_path / "seen.ply", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    answer = json.loads(ended.out)
    assert answer["floor"]["camera_height_m"] == pytest.approx(1.3, abs=0.005)
    assert answer["floor"]["pitch_deg"] == pytest.approx(6.0, abs=0.1)
    assert [person["height_m"] for person in answer["people"]] == pytest.approx([1.75, 1.10], abs=0.005)
    for person, truth in zip(answer["people"], (1.75, 1.10), strict=True):
        assert person["refused"] is None
        assert person["interval_m"][0] < truth < person["interval_m"][1]
    assert cv2.imread(str(tmp_path / "seen.png")) is not None
    assert (tmp_path / "seen.ply").read_bytes().startswith(b"ply\nformat binary_little_endian")


def test_camera_height_rescales_what_the_sensor_says(edgedepth: Cli, still: tuple[Path, Path], seen: Rendering) -> None:
    ended = edgedepth(
        "measure", "--rgb", still[0], "--depth", still[1], "--depth-scale", "0.0008",  # 20 % too near
        "--intrinsics", "460,460,319.5,239.5", "--boxes", boxes_of(seen), "--camera-height", "1.3", "--json",
    )  # fmt: skip
    answer = json.loads(ended.out)
    assert answer["scale_source"] == "camera_height"
    assert answer["scale"] == pytest.approx(1.25, abs=0.005)
    assert [person["height_m"] for person in answer["people"]] == pytest.approx([1.75, 1.10], abs=0.01)


def test_a_cameras_pitch_that_was_typed_is_where_the_floor_is_looked_for(
    edgedepth: Cli, still: tuple[Path, Path], seen: Rendering
) -> None:
    command = ["measure", "--rgb", still[0], "--depth", still[1], "--intrinsics", "460,460,319.5,239.5",
               "--boxes", boxes_of(seen), "--json"]  # fmt: skip
    right = json.loads(edgedepth(*command, "--camera-pitch", 6, "--camera-roll", 0).out)
    assert [person["height_m"] for person in right["people"]] == pytest.approx([1.75, 1.10], abs=0.005)
    for wrong in (("--camera-pitch", 40), ("--camera-pitch", 6, "--camera-roll", 40)):
        answer = json.loads(edgedepth(*command, *wrong).out)
        assert answer["floor"] is None, "nothing there is level"
        assert all(person["height_m"] is None for person in answer["people"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--height", "--camera-roll", 3), "--camera-roll says nothing without --camera-pitch; give both (0 is level)"),
        (("--camera-pitch", 3), "add --height"),
        (("--height", "--camera-pitch", 120), "'--camera-pitch': Input should be less than or equal to 90"),
    ],
)
def test_a_tilt_that_cannot_be_meant(edgedepth: Cli, arguments: tuple[str, ...], says: str) -> None:
    ended = edgedepth("run", "synthetic://", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


def test_measure_answers_a_person_on_standard_output(edgedepth: Cli, still: tuple[Path, Path]) -> None:
    ended = edgedepth("measure", "--rgb", *still[:1], "--depth", still[1], "--intrinsics", "460,460,319.5,239.5")
    assert ended.code == 0
    assert ended.out.startswith("floor: camera 1.3")
    assert ended.err == ""


def test_fastdepth_inspected(edgedepth: Cli, realdata: Path) -> None:
    nets = realdata / "nets" / "fastdepth"
    specs = Path(__file__).resolve().parents[2] / "specs"
    ended = edgedepth(
        "inspect", nets / "fastdepth_224_qdq_int8.onnx", "--spec", specs / "fastdepth_int8.toml", "--json"
    )
    assert ended.code == 0, ended.err
    facts = json.loads(ended.out)
    assert facts["inputs"][0]["dtype"] == "uint8"
    assert facts["spec"]["output"]["metres_per_unit"] == pytest.approx(0.0716998)


def test_inspect_proves_the_backend_on_golden_data(edgedepth: Cli, tmp_path: Path) -> None:
    network = write_network(tmp_path / "sum.onnx", size_wh=(8, 8))
    spec = ModelSpec(name="sum", input=InputSpec(height=8, width=8), output=OutputSpec(kind=DepthKind.METRIC))
    pictures = np.random.default_rng(0).random((2, 1, 3, 8, 8)).astype(np.float32)
    sums = pictures.sum(axis=2, keepdims=True)
    write_bundle(tmp_path / "right", spec, network, golden=Golden(pictures, sums))
    write_bundle(tmp_path / "wrong", spec, network, golden=Golden(pictures, 1.05 * sums))

    facts = json.loads(edgedepth("inspect", tmp_path / "right", "--json").out)
    assert facts["gate"]["frames"] == 2
    assert facts["gate"]["relative_error"] < 1e-6
    refused = edgedepth("inspect", tmp_path / "wrong")
    assert refused.code == 2
    assert "scale off by -4.76%" in refused.err  # 1 / 1.05


def test_inspect_says_what_the_second_output_is(edgedepth: Cli, tmp_path: Path) -> None:
    network = write_network(tmp_path / "two.onnx", size_wh=(8, 8), person=(1, 0, 0))
    (tmp_path / "two.toml").write_text(
        'name = "two"\n[input]\nheight = 8\nwidth = 8\n[output]\nname = "depth"\nkind = "metric"\n'
        '[person]\nname = "person"\nthreshold = 0.7\n'
    )
    told = " ".join(edgedepth("inspect", network).out.split())
    assert "output person: float32 1 x 1 x 8 x 8" in told
    assert "person person: probability of a person, who is one from 0.7 on" in told
    (tmp_path / "two.toml").write_text((tmp_path / "two.toml").read_text().replace('"person"', '"people"'))
    refused = edgedepth("inspect", network)
    assert (refused.code, "person.name = 'people' is not in the network" in refused.err) == (2, True)


def test_version_and_help(edgedepth: Cli) -> None:
    import edgedepth as package

    assert edgedepth("--version").out == f"edgedepth {package.__version__}\n"
    helped = edgedepth("--help").out
    for verb in ("run", "measure", "inspect", "sources", "doctor", "--install-completion"):
        assert verb in helped


def test_doctor_names_what_a_jetson_lacks() -> None:
    board = DeviceInfo("NVIDIA Jetson Orin Nano", "aarch64", 6, "Ubuntu 22.04", "3.10.12", "36.4.3", "6.2", "15W")
    checks = {check.name: check for check in run_checks(board)}
    assert checks["jetpack"].found == "JetPack 6.2 (L4T 36.4.3)"
    assert checks["power mode"].status == "optional"
    assert "nvpmodel" in (checks["power mode"].fix or "")
    assert checks["tensorrt"].status == "optional"
    assert "--system-site-packages" in (checks["tensorrt"].fix or "")


def test_doctor_on_this_machine(edgedepth: Cli) -> None:
    ended = edgedepth("doctor", "--json")
    assert ended.code == 0
    checks = {check["name"]: check for check in json.loads(ended.out)["checks"]}
    assert checks["opencv"]["status"] == "ok"
    assert "CPU" in checks["onnxruntime"]["found"]


CTRL_C_SOON = """
import os, signal, sys, threading
from edgedepth.cli import main
sys.argv = ["edgedepth", "doctor"]
threading.Timer({wait_s}, os.kill, (os.getpid(), signal.SIGINT)).start()
main()
"""


@pytest.mark.parametrize("wait_s", [0.02, 0.2])
def test_ctrl_c_while_libraries_load_is_quiet(wait_s: float) -> None:
    # The process sends it to itself: from outside it may come before any of our lines runs.
    script = CTRL_C_SOON.format(wait_s=wait_s)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 130
    assert ended.stderr == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_live_run_with_whole_files(tmp_path: Path, number: signal.Signals, code: int) -> None:
    lines = tmp_path / "live.jsonl"
    command = [sys.executable, "-m", "edgedepth", "run", "synthetic://?live=1&width=320&height=240&seconds=60"]
    process = subprocess.Popen(
        [*command, "--jsonl", str(lines), "--video", str(tmp_path / "live.mp4"), "--json"], stdout=subprocess.PIPE
    )
    deadline_s = time.monotonic() + 30
    while not any(part.stat().st_size > 2000 for part in tmp_path.glob(".live.*.jsonl")):  # it is under way
        assert time.monotonic() < deadline_s and process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == code
    summary = json.loads(out)
    assert summary["stopped"] is True
    assert len(lines.read_text().splitlines()) == summary["frames"] > 0
    assert cv2.VideoCapture(str(tmp_path / "live.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == summary["frames"]
    assert {path.name for path in tmp_path.iterdir()} == {"live.jsonl", "live.mp4"}
