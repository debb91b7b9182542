"""``edgedepth doctor``: what this machine has, what is missing, and the line that installs it."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from edgedepth.backends.tensorrt.cache import default_cache_root
from edgedepth.backends.tensorrt.known_bad import KNOWN_BAD
from edgedepth.backends.tensorrt.record import PLAN_FILE
from edgedepth.cli.app import print_json, print_report
from edgedepth.device import DeviceInfo, describe_device, fastest_power_mode, package_version
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
        *_tensorrt(device),
        *_gstreamer(),
        _extra("export", "only for export, which runs on the host"),
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
        fix = None if device.is_jetson else "pip uninstall onnxruntime && pip install onnxruntime-gpu"
        hint = "; the package index has none for Jetson, see docs/jetson.md" if device.is_jetson else ""
        yield Check("onnxruntime CUDA", "optional", f"an NVIDIA GPU is present, the provider is not{hint}", fix)


def _nvidia(device: DeviceInfo) -> Iterator[Check]:
    if device.gpu or device.is_jetson:
        yield Check("gpu", "ok", f"{device.gpu or device.name}, driver {device.driver or device.l4t}")
    else:
        yield Check("gpu", "optional", "no NVIDIA GPU found; networks run on the CPU")
    if device.is_jetson:
        yield Check("jetpack", "ok", f"JetPack {device.jetpack or '?'} (L4T {device.l4t})")
        yield _power_mode(device)
    if _is_nvidia(device):
        yield Check("cuda", "ok" if device.cuda else "optional", device.cuda or "no toolkit in /usr/local/cuda",
                    "sudo apt install nvidia-jetpack" if device.is_jetson else None)  # fmt: skip


def _is_nvidia(device: DeviceInfo) -> bool:
    return any((device.gpu, device.is_jetson, device.cuda, device.tensorrt, device.tensorrt_rtx))


def _power_mode(device: DeviceInfo) -> Check:
    mode, fastest = device.power_mode, fastest_power_mode()
    uncapped = mode is not None and mode.startswith("MAXN")
    number = "ID" if fastest is None else str(fastest[0])
    fix = f"sudo nvpmodel -m {number} && sudo jetson_clocks"
    if fastest is None:
        fix += "  (grep POWER_MODEL /etc/nvpmodel.conf lists the IDs)"
    return Check("power mode", "ok" if uncapped else "optional", mode or "unknown", fix)


def _tensorrt(device: DeviceInfo) -> Iterator[Check]:
    """What engines are built and run with. Read from package metadata: nothing is imported."""
    if not _is_nvidia(device):
        return
    if device.tensorrt or not device.tensorrt_rtx:
        yield Check("tensorrt", "ok" if device.tensorrt else "optional", device.tensorrt or "not importable here",
                    "python3 -m venv --system-site-packages .venv  (JetPack brings it)" if device.is_jetson
                    else "pip install tensorrt")  # fmt: skip
    if device.tensorrt_rtx:
        able = "" if device.gpu else "; builds engines here, runs none: no GPU"
        yield Check("tensorrt_rtx", "ok", f"{device.tensorrt_rtx}{able}")
    for name, version in (("tensorrt", device.tensorrt), ("tensorrt_rtx", device.tensorrt_rtx)):
        yield from _known_faults(name, version or "")
    yield _cuda_bindings(device)
    yield _nvrtc(device)
    yield _engine_cache()


def _known_faults(name: str, version: str) -> Iterator[Check]:
    """Faults of this version. Those of every version depend on the network; they are named before a build."""
    installed = tuple(int(part) for part in version.split(".") if part.isdigit())
    for bad in KNOWN_BAD:
        if bad.flavour == name and any(bad.since) and bad.since <= installed < bad.before:
            yield Check(f"{name} fault", "optional", f"{version}: {bad.consequence}; {bad.remedy} ({bad.source})")


def _cuda_bindings(device: DeviceInfo) -> Check:
    major = (device.cuda or "").partition(".")[0]
    fix = f'pip install "cuda-python=={major}.*"' if major else "pip install cuda-python"
    bindings, pycuda = package_version("cuda-bindings", "cuda-python"), package_version("pycuda")
    if bindings and major and int(bindings.partition(".")[0]) > int(major):
        return Check("cuda bindings", "optional", f"cuda-python {bindings} is for a newer CUDA than {device.cuda}", fix)
    if bindings:
        return Check("cuda bindings", "ok", f"cuda-python {bindings}")
    if pycuda:
        return Check("cuda bindings", "ok", f"pycuda {pycuda}, which has no CUDA graphs")
    return Check("cuda bindings", "optional", "neither cuda-python nor pycuda; running an engine needs one", fix)


def _nvrtc(device: DeviceInfo) -> Check:
    """The compiler of the kernel that fits frames to the network on the GPU."""
    version = package_version("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")
    if version or any(Path("/usr/local/cuda/lib64").glob("libnvrtc.so*")):
        return Check("nvrtc", "ok", version or "of the CUDA toolkit")
    twelve = (device.cuda or "").startswith("12")
    return Check("nvrtc", "optional", "not found; frames are prepared on the CPU without it",
                 f"pip install nvidia-cuda-nvrtc{'-cu12' if twelve else ''}")  # fmt: skip


def _engine_cache() -> Check:
    root = default_cache_root()
    plans = [plan.stat().st_size for plan in root.glob(f"*/{PLAN_FILE}")]
    return Check("engine cache", "ok", f"{root}, {len(plans)} engines, {sum(plans) / 2**20:.0f} MiB")


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
    """Whether what an extra of this package brings is installed."""
    versions = {wanted: package_version(wanted) for wanted in _distributions_of(name)}
    missing = [wanted for wanted, version in versions.items() if version is None]
    if not missing:
        return Check(name, "ok", ", ".join(f"{wanted} {version}" for wanted, version in versions.items()))
    found = "not installed" if len(missing) == len(versions) else f"lacks {', '.join(missing)}"
    return Check(name, "optional", f"{found}; {purpose}", f'pip install "edgedepth[{name}]"')


def _distributions_of(extra: str) -> list[str]:
    try:
        requirements = metadata.requires("edgedepth") or []
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        requirements = []
    names = [re.match(r"[\w.-]+", line) for line in requirements if re.search(rf"extra == .{extra}.", line)]
    return [name[0] for name in names if name] or [extra]


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
