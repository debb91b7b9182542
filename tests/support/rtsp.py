"""Starts, commands and kills the RTSP server of ``rtsp_server.py``."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


class RtspServer:
    """A real RTSP server in a process of its own; use as a context manager."""

    def __init__(self, *, port: int = 0, pattern: str = "ball", user: str = "", password: str = "") -> None:
        if importlib.util.find_spec("gi") is None:
            pytest.skip("needs PyGObject (pip install edgedepth[gstreamer])")
        command = [sys.executable, str(Path(__file__).with_name("rtsp_server.py"))]
        command += ["--port", str(port), "--pattern", pattern]
        if user:
            command += ["--user", user, "--password", password]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("ready"):
            error = self._process.communicate()[1]
            if "not available" in error or "No module" in error:
                pytest.skip("needs GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0)")
            raise RuntimeError(f"the RTSP server did not start: {error}")
        self.port = int(line.split()[1])

    def url(self, path: str = "/cam", login: str = "") -> str:
        return f"rtsp://{login}127.0.0.1:{self.port}{path}"

    def show(self, pattern: str) -> None:
        """Change the picture while it runs."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{pattern}\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """As a power cut does it."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
