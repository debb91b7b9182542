"""``edgedepth doctor``: what this machine has, what is missing, and the line that installs it."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import typer
from rich.markup import escape

from edgedepth.cli.app import print_json, print_report
from edgedepth.device import DeviceInfo, describe_device, package_version
from edgedepth.sources.gstreamer import GSTREAMER_APT

__all__ = ["Check", "doctor", "run_checks"]

Status = Literal["ok", "optional", "missing"]
_COLOURS = {"ok": "green", "optional": "yellow", "missing": "red"}


@dataclass(frozen=True)
class Check:
    """One line of the report. ``fix`` is the line that installs or repairs it."""

    name: str
    status: Status
    found: str
    fix: str | None = None


def run_checks(device: DeviceInfo) -> list[Check]:
    """Every check for ``device``, in the order they are shown."""
    return [
        Check("device", "ok", f"{device.name}, {device.cpu_count} CPUs, {device.os}"),
        Check(
            "python", "ok" if sys.version_info >= (3, 10) else "missing", device.python, "EdgeDepth needs Python 3.10+"
        ),
        *_opencv(),
        *_onnxruntime(device),
        _extra("openvino", "several times faster than onnxruntime on Intel and AMD CPUs"),
        *_nvidia(device),
        *_gstreamer(),
        *_cameras(),
    ]


def _opencv() -> Iterator[Check]:
    import cv2

    build = cv2.getBuildInformation()
    video = [name for name in ("FFMPEG", "GStreamer", "v4l/v4l2") if re.search(rf"{name}:\s+YES", build)]
    found = f"{cv2.__version__}, video: {', '.join(video) or 'none'}"
    if "FFMPEG" in video:
        yield Check("opencv", "ok", found)
    else:
        yield Check("opencv", "missing", f"{found}; files and network streams need FFmpeg",
                    "pip install --force-reinstall opencv-python-headless")  # fmt: skip


def _onnxruntime(device: DeviceInfo) -> Iterator[Check]:
    import onnxruntime

    providers = [p.removesuffix("ExecutionProvider") for p in onnxruntime.get_available_providers()]
    yield Check("onnxruntime", "ok", f"{onnxruntime.__version__}, providers: {', '.join(providers)}")
    if device.gpu and "CUDA" not in providers:
        yield Check("onnxruntime CUDA", "optional", "an NVIDIA GPU is present, the provider is not",
                    "pip uninstall onnxruntime && pip install onnxruntime-gpu")  # fmt: skip


def _nvidia(device: DeviceInfo) -> Iterator[Check]:
    if device.gpu or device.is_jetson:
        yield Check("gpu", "ok", f"{device.gpu or device.name}, driver {device.driver or device.l4t}")
    else:
        yield Check("gpu", "optional", "no NVIDIA GPU found; networks run on the CPU")
    if device.is_jetson:
        yield Check("jetpack", "ok", f"JetPack {device.jetpack or '?'} (L4T {device.l4t})")
        mode = device.power_mode
        yield Check("power mode", "ok" if mode and mode.startswith("MAXN") else "optional", mode or "unknown",
                    "sudo nvpmodel -m 0 && sudo jetson_clocks")  # fmt: skip
    if device.gpu or device.is_jetson or device.cuda:
        yield Check("cuda", "ok" if device.cuda else "optional", device.cuda or "no toolkit in /usr/local/cuda",
                    "sudo apt install nvidia-jetpack" if device.is_jetson else "pip install cuda-python")  # fmt: skip
        yield Check("tensorrt", "ok" if device.tensorrt else "optional", device.tensorrt or "not importable here",
                    "python3 -m venv --system-site-packages .venv  (JetPack brings it)" if device.is_jetson
                    else "pip install tensorrt")  # fmt: skip


def _gstreamer() -> Iterator[Check]:
    fix = f'{GSTREAMER_APT} && pip install "edgedepth[gstreamer]"'
    if importlib.util.find_spec("gi") is None:
        yield Check("gstreamer", "optional", "PyGObject is not installed; csi:// and gst: sources need it", fix)
        return
    import gi

    try:
        gi.require_version("Gst", "1.0")
        from gi.repository import Gst
    except (ValueError, ImportError) as error:
        yield Check("gstreamer", "optional", f"PyGObject is there, GStreamer's typelib is not ({error})", fix)
        return
    yield Check("gstreamer", "ok", ".".join(str(part) for part in Gst.version()[:3]))


def _extra(name: str, purpose: str) -> Check:
    """An extra of this package that brings the distribution of the same name."""
    version = package_version(name)
    if version:
        return Check(name, "ok", version)
    return Check(name, "optional", f"not installed; {purpose}", f'pip install "edgedepth[{name}]"')


def _cameras() -> Iterator[Check]:
    from edgedepth.sources.discover import list_sources

    found = [source.uri or f"{source.name}: {source.note}" for source in list_sources() if source.kind != "gstreamer"]
    if found:
        yield Check("cameras", "ok", ", ".join(found))
    else:
        yield Check("cameras", "optional", "none attached; try: edgedepth run synthetic://")


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")] = False,
) -> None:
    """Show what this machine has, what is missing, and the line that installs it.

    Exit code 1 when something every use needs is missing.

    Example: [bold]edgedepth doctor[/]
    """
    device = describe_device()
    checks = run_checks(device)
    if as_json:
        shown = [asdict(check) | {"fix": None if check.status == "ok" else check.fix} for check in checks]
        print_json({"device": device.as_dict(), "checks": shown})
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark = f"[{_COLOURS[check.status]}]{check.status:8}[/]"
            fix = "" if check.status == "ok" or not check.fix else f"\n{'':{width + 11}}[dim]{escape(check.fix)}[/]"
            # Lines, not a table: a fix is there to be copied, and a narrow cell would break it.
            print_report(f"{mark}  [bold]{check.name:{width}}[/]  {escape(check.found)}{fix}")
    if any(check.status == "missing" for check in checks):
        raise typer.Exit(1)
