"""Machine facts, read from a made file system in the layout of a Jetson."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgedepth import device


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    files = {
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\x00",
        # The first line of the file on JetPack 6.2 (L4T 36.4.3).
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
        "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
        "usr/local/cuda/version.json": '{"cuda" : {"name" : "CUDA SDK", "version" : "12.6.11"}}',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_jetson_is_recognised(jetson: Path) -> None:
    found = device.describe_device(jetson)
    assert found.is_jetson
    assert found.name == "NVIDIA Jetson Orin Nano Developer Kit"
    assert (found.l4t, found.jetpack, found.cuda) == ("36.4.3", "6.1/6.2", "12.6.11")
    assert found.os == "Ubuntu 22.04.5 LTS"


def test_ordinary_machine_is_no_jetson(tmp_path: Path) -> None:
    found = device.describe_device(tmp_path)
    assert not found.is_jetson
    assert found.jetpack is None and found.power_mode is None
    assert found.cpu_count >= 1


@pytest.mark.parametrize(
    ("release", "revision", "jetpack"),
    [(36, "3.0", "6.0"), (36, "5.0", "6.2.2"), (38, "4.0", "7.1"), (39, "2.0", "7.2"), (99, "1.0", None)],
)
def test_jetpack_of_l4t(jetson: Path, release: int, revision: str, jetpack: str | None) -> None:
    (jetson / "etc/nv_tegra_release").write_text(f"# R{release} (release), REVISION: {revision}, GCID: 1\n")
    assert device.describe_device(jetson).jetpack == jetpack


# IDs of an Orin Nano and an Orin NX with JetPack 6.2 (github.com/ARK-Electronics/ark_jetson_kernel/pull/20).
NANO = "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
NX = "# < POWER_MODEL ID=9 NAME=MAXN >\n< POWER_MODEL ID=0 NAME=MAXN_SUPER >\n< POWER_MODEL ID=1 NAME=10W >\n"


@pytest.mark.parametrize(
    ("text", "mode"),
    [(NANO, (2, "MAXN_SUPER")), (NX, (0, "MAXN_SUPER")), ("< POWER_MODEL ID=0 NAME=MAXN >", (0, "MAXN")), ("", None)],
)
def test_fastest_power_mode_is_found_by_name(jetson: Path, text: str, mode: tuple[int, str] | None) -> None:
    (jetson / "etc/nvpmodel.conf").write_text(text)
    assert device.fastest_power_mode(jetson) == mode


def test_both_kinds_of_tensorrt_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in (("tensorrt", "10.3.0"), ("tensorrt_rtx_cu13", "1.7.1.116")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = device.describe_device(tmp_path)
    assert (found.tensorrt, found.tensorrt_rtx) == ("10.3.0", "1.7.1.116")
