"""Importing the package loads no heavy or optional library."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "torch",
    "tensorrt",
    "tensorrt_rtx",
    "pycuda",
    "cuda",
    "pyrealsense2",
    "gi",
    "mcap",
    "openvino",
    "ray",
    "mujoco",
)
# Only these rooms may import torch (docs/architecture.md).
HOST_ONLY = ("edgedepth.models", "edgedepth.data", "edgedepth.training", "edgedepth.export")

SCRIPT = f"""
import importlib, pkgutil, sys
import edgedepth
names = [m.name for m in pkgutil.walk_packages(edgedepth.__path__, "edgedepth.")]
names = [n for n in names if not n.startswith({HOST_ONLY!r})]
for name in names:
    importlib.import_module(name)
print(len(names), sorted(m for m in {HEAVY!r} if m in sys.modules))
"""


def test_every_module_imports_without_heavy_libraries() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, _, loaded = done.stdout.strip().partition(" ")
    assert int(count) > 40
    assert loaded == "[]"
