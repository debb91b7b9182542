"""GStreamer and the inference libraries in one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from edgedepth.backends import open_backend
from edgedepth.errors import BackendError
from edgedepth.sources import open_source

with open_source("gst:videotestsrc num-buffers=3") as source:
    source.read(10.0)
try:
    open_backend(sys.argv[1], name=sys.argv[2])
except BackendError:
    print("refused")
"""


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_an_exception_inside_a_library_loaded_after_gstreamer_is_caught(name: str, tmp_path: Path) -> None:
    """GStreamer's libunwind must not take over the unwinding of C++ exceptions: the process would die."""
    pytest.importorskip(name)
    gi = pytest.importorskip("gi")
    try:
        gi.require_version("Gst", "1.0")
    except ValueError:
        pytest.skip("GStreamer is not installed")
    path = tmp_path / "damaged.onnx"
    path.write_bytes(b"MThd" * 100)
    command = [sys.executable, "-c", SCRIPT, str(path), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr
