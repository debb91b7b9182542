"""sdist -> wheel -> fresh virtual environment -> the README's first command, as a newcomer would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(900)


def run(*command: str | Path, cwd: Path) -> str:
    # PYTHONPATH and the like would let the checkout leak into the fresh environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it and not from the checkout."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, ROOT, cwd=out)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of a fresh environment with the wheel and nothing but what it asks for."""
    home = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", home / "venv", cwd=home)
    run(home / "venv/bin/pip", "install", "-q", built[1], cwd=home)
    return home / "venv/bin"


def test_sdist_holds_what_building_and_testing_needs(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for wanted in ("pyproject.toml", "LICENSE", "README.md", "edgedepth/py.typed", "tests/conftest.py"):
        assert wanted in names


def test_wheel_holds_one_package_and_its_data(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"edgedepth"}
    assert "edgedepth/py.typed" in names
    assert "edgedepth/_data/export/README.md" in names
    assert "edgedepth/_data/calibration/README.md" in names
    assert "edgedepth/_data/models/README.md" in names
    clip = [name for name in names if name.startswith("edgedepth/_data/clips/demo/")]
    assert len(clip) == 3 + 2 * 36, "clip.json, video, background; depth and mask of every fifth of 180 frames"
    assert built[1].stat().st_size < 25e6


def test_light_install_has_no_torch(installed: Path, tmp_path: Path) -> None:
    packages = {
        row["name"].lower() for row in json.loads(run(installed / "pip", "list", "--format=json", cwd=tmp_path))
    }
    assert {"edgedepth", "numpy", "onnxruntime"} <= packages
    assert not packages & {"torch", "openvino", "pytest", "onnx"}


def test_readme_first_command_runs(installed: Path, tmp_path: Path) -> None:
    first = re.search(r"```bash\n(.+?)\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert first is not None
    arguments = first[1].rpartition(".venv/bin/edgedepth ")[2].split()
    summary = json.loads(run(installed / "edgedepth", *arguments, "--json", cwd=tmp_path))
    stream = summary["stream"]
    assert stream["errors"] == []
    assert stream["frames"] + stream["dropped"] == summary["clip"]["frames"] == 180
    video = tmp_path / summary["outputs"]["depth.mp4"]
    assert video.stat().st_size > 10_000
    assert (tmp_path / summary["outputs"]["report.html"]).is_file()
    if shutil.which("ffprobe"):
        shown = run(
            "ffprobe", "-v", "error", "-show_entries", "stream=nb_frames", "-of", "csv=p=0", video, cwd=tmp_path
        )
        assert shown.strip().strip(",") == str(stream["frames"])


def test_version_sources_and_doctor_answer(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "edgedepth", "--version", cwd=tmp_path).startswith("edgedepth 0.")
    assert "synthetic" in json.loads(run(installed / "edgedepth", "sources", "--json", cwd=tmp_path))["schemes"]
    checks = json.loads(run(installed / "edgedepth", "doctor", "--json", cwd=tmp_path))["checks"]
    assert {check["name"] for check in checks} >= {"python", "opencv", "onnxruntime", "openvino", "cameras"}
