"""The INT8 benchmark runs and says what its page promises; its numbers mean nothing here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from networks import write_network

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "int8.py"
SPEC = 'name = "sum"\n[input]\nheight = 24\nwidth = 32\n[output]\nkind = "metric"\n'


def test_report(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "rooms" / "rgb").mkdir(parents=True)
    (tmp_path / "rooms" / "depth").mkdir()
    for number in range(24):
        image = cv2.resize(rng.integers(50, 200, (6, 8, 3), dtype=np.uint8), (32, 24))
        depth_mm = np.rint(image.sum(axis=2, dtype=np.float64) / 255 * 1000).astype(np.uint16)
        cv2.imwrite(str(tmp_path / "rooms" / "rgb" / f"{number}.png"), image)
        cv2.imwrite(str(tmp_path / "rooms" / "depth" / f"{number}.png"), depth_mm)
    model = write_network(tmp_path / "sum.onnx", size_wh=(32, 24))
    (tmp_path / "sum.toml").write_text(SPEC)
    output = tmp_path / "report.json"
    command = [sys.executable, str(SCRIPT), "--model", str(model), "--calibration-set", str(tmp_path / "rooms")]
    options = ["--backends", "onnxruntime", "--turns", "3", "-o", str(output)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in output.read_text()  # names, not this machine's paths
    report = json.loads(output.read_text())
    assert report["benchmark"] == "int8"
    assert report["images"] == {"calibration": 18, "set": "rooms"}
    result = report["results"]["onnxruntime"]
    assert result["fp32"]["abs_rel"] == pytest.approx(0, abs=1e-3)  # the network is the sum the depth was made of
    assert set(result["run_ms"]) == {"fp32", "int8"}
    assert result["speed_up"] > 0
    assert report["results"]["size_mb"]["ratio"] > 0
