"""Fixtures shared by every test; makes ``tests/support`` importable."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

# Before torch is loaded: its threads wait by spinning, and beside other work on the same cores that takes ten times as
# long as one thread alone.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from edgedepth.sources.opencv import quieten_opencv

# Shells start background jobs with Ctrl-C ignored, and tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.append(str(Path(__file__).with_name("support")))
# FFmpeg's log level is read once, by whatever uses it first: here often a test that writes a video.
quieten_opencv()

REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Real captures and trained networks, kept beside the project and not in it."""
    if not REALDATA.is_dir():
        pytest.skip("needs ../shared/realdata beside the checkout (real captures, not part of the project)")
    return REALDATA
