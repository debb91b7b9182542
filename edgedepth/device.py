"""What machine this is: device name, CUDA, TensorRT, JetPack and power mode, read without loading any of them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["DeviceInfo", "describe_device", "fastest_power_mode", "package_version", "usable_cpus"]

# L4T release -> JetPack, from NVIDIA's release archive.
_JETPACK_OF_L4T = {
    "35": "5",
    "36.3": "6.0",
    "36.4": "6.1/6.2",
    "36.5": "6.2.2",
    "38.2": "7.0",
    "38.4": "7.1",
    "39": "7.2",
}


@dataclass(frozen=True)
class DeviceInfo:
    """Facts about the machine; None where a fact does not apply or could not be read."""

    name: str
    machine: str
    cpu_count: int
    os: str
    python: str
    l4t: str | None = None
    jetpack: str | None = None
    power_mode: str | None = None
    gpu: str | None = None
    driver: str | None = None
    cuda: str | None = None
    tensorrt: str | None = None
    tensorrt_rtx: str | None = None

    @property
    def is_jetson(self) -> bool:
        """True on an NVIDIA Jetson board."""
        return self.l4t is not None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def describe_device(root: Path = Path("/")) -> DeviceInfo:
    """Describe this machine. ``root`` is where its file system is mounted (tests give a made one)."""
    l4t = _l4t(root)
    gpu, driver = _nvidia_smi()
    return DeviceInfo(
        name=_board(root) or _cpu_name(root),
        machine=platform.machine(),
        cpu_count=usable_cpus(root),
        os=_os_name(root),
        python=platform.python_version(),
        l4t=l4t,
        jetpack=_jetpack(l4t),
        power_mode=_power_mode() if l4t else None,
        gpu=gpu,
        driver=driver,
        cuda=_cuda(root),
        tensorrt=package_version(*_variants("tensorrt")),
        tensorrt_rtx=package_version(*_variants("tensorrt-rtx")),
    )


def usable_cpus(root: Path = Path("/")) -> int:
    """CPUs this process may use: its affinity mask (taskset), and the container's quota when there is one."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    # cgroup v2, microseconds of CPU per period: "200000 100000" is two CPUs, "max 100000" is no quota.
    match = re.match(r"(\d+) (\d+)", _read(root / "sys/fs/cgroup/cpu.max"))
    return min(cpus, max(1, round(int(match[1]) / int(match[2])))) if match else cpus


def package_version(*distributions: str) -> str | None:
    """Version of the first of these distributions that is installed, or None."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _variants(name: str) -> Iterator[str]:
    """The names a TensorRT may be installed under: alone, for one CUDA, or its Python bindings without the rest."""
    yield name
    for cuda in ("cu13", "cu12"):
        yield f"{name}-{cuda}"
        yield f"{name}-{cuda}-bindings"


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\x00\n ")
    except OSError:
        return ""


def _output_of(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _board(root: Path) -> str | None:
    return _read(root / "proc/device-tree/model") or None


def _cpu_name(root: Path) -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", _read(root / "proc/cpuinfo"), re.MULTILINE)
    return match.group(1).strip() if match else platform.processor() or platform.machine()


def _os_name(root: Path) -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)', _read(root / "etc/os-release"), re.MULTILINE)
    return match.group(1) if match else platform.platform()


def _l4t(root: Path) -> str | None:
    # "# R36 (release), REVISION: 4.3, GCID: ..."
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", _read(root / "etc/nv_tegra_release"))
    return f"{match.group(1)}.{match.group(2)}" if match else None


def _jetpack(l4t: str | None) -> str | None:
    if l4t is None:
        return None
    for release, jetpack in _JETPACK_OF_L4T.items():
        if l4t == release or l4t.startswith(release + "."):
            return jetpack
    return None


def _power_mode() -> str | None:
    # "NV Power Mode: MAXN\n0"
    match = re.search(r"Power Mode:\s*(\S+)", _output_of("nvpmodel", "-q"))
    return match.group(1) if match else None


def fastest_power_mode(root: Path = Path("/")) -> tuple[int, str] | None:
    """ID and name of the board's power mode without a cap, or None when its modes cannot be read.

    The IDs differ: MAXN_SUPER is 0 on Orin NX and 2 on Orin Nano, where 0 is one of the slower modes.
    """
    # "< POWER_MODEL ID=2 NAME=MAXN_SUPER >"
    modes = re.findall(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(MAXN\w*)", _read(root / "etc/nvpmodel.conf"), re.M)
    # MAXN_SUPER, where there is one, comes after MAXN.
    return max(((int(number), name) for number, name in modes), key=lambda mode: mode[1], default=None)


def _nvidia_smi() -> tuple[str | None, str | None]:
    first = _output_of("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").partition("\n")[0]
    name, _, driver = first.partition(",")
    return (name.strip() or None, driver.strip() or None)


def _cuda(root: Path) -> str | None:
    match = re.search(r'"cuda"\s*:\s*{[^}]*"version"\s*:\s*"([\d.]+)"', _read(root / "usr/local/cuda/version.json"))
    return match.group(1) if match else None
