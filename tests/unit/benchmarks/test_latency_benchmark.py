"""The latency benchmark runs and says what its page promises; its numbers mean nothing here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from networks import write_network

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "latency.py"
SPEC = """
name = "red channel"
[input]
height = 12
width = 16
[output]
kind = "metric"
"""


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """A clip of 40 frames and a network whose depth is the red channel."""
    video = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for n in range(40):
        writer.write(np.full((48, 64, 3), n, np.uint8))
    writer.release()
    model, spec = write_network(tmp_path / "red.onnx", size_wh=(16, 12), weights=(1, 0, 0)), tmp_path / "red.toml"
    spec.write_text(SPEC)
    return [str(video), "--model", str(model), "--spec", str(spec)]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


def test_report(inputs: list[str], tmp_path: Path) -> None:
    output = tmp_path / "made" / "report.json"
    done = run(*inputs, "--frames", "10", "--repeats", "1", "-o", str(output))
    assert done.returncode == 0, done.stderr
    report = json.loads(output.read_text())
    assert {"device", "cores", "versions", "threads", "date", "frames"} <= set(report)
    assert str(tmp_path) not in output.read_text()  # names, not this machine's paths
    result = report["results"]["onnxruntime"]
    assert set(result["stages"]["cpu_ms"]) == {"capture", "preprocess", "infer", "postprocess"}
    assert set(result["pipeline"]["stages_ms"]["infer"]) == {"p50", "p95", "p99", "mean"}
    fps, plain = result["pipeline"]["fps"], report["results"]["plain"]["fps"]
    assert result["ratios"]["pipeline_to_plain"] == pytest.approx(fps / plain, rel=1e-3)
    cpu_ms = sum(result["stages"]["cpu_ms"].values())
    assert result["stages"]["ceiling_fps"] == pytest.approx(report["cores"] / cpu_ms * 1e3, rel=0.05)


def test_more_frames_than_there_are_is_one_line(inputs: list[str], tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    done = run(*inputs, "--frames", "400", "--repeats", "1", "-o", str(output))
    assert done.returncode != 0
    assert "40 frames" in done.stderr.splitlines()[-1]
    assert not output.exists()
