"""The checks of ``doctor`` on made machines. What is installed is what package metadata says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgedepth.cli import doctor
from edgedepth.cli.doctor import Check, run_checks
from edgedepth.device import DeviceInfo

PLAIN = DeviceInfo("AMD EPYC", "x86_64", 2, "Debian GNU/Linux 12", "3.11.7")
ORIN = DeviceInfo("NVIDIA Jetson Orin Nano", "aarch64", 6, "Ubuntu 22.04", "3.10.12", "36.4.3", "6.2", "15W",
                  gpu="Orin (nvgpu)", cuda="12.6.11", tensorrt="10.3.0")  # fmt: skip
DESKTOP = dataclasses.replace(PLAIN, gpu="NVIDIA RTX 4090", driver="580.95", cuda="13.0.1", tensorrt="10.16.1.11")


@pytest.fixture(autouse=True)
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "edgedepth" / "engines"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Distribution -> version; all that is installed."""
    versions: dict[str, str] = {}

    def version(*names: str) -> str | None:
        return next((versions[name] for name in names if name in versions), None)

    monkeypatch.setattr(doctor, "package_version", version)
    return versions


def checks(device: DeviceInfo) -> dict[str, list[Check]]:
    found: dict[str, list[Check]] = {}
    for check in run_checks(device):
        found.setdefault(check.name, []).append(check)
    return found


def test_without_nvidia_nothing_of_nvidia_is_asked_for(installed: dict[str, str]) -> None:
    names = checks(PLAIN)
    assert not {"cuda", "tensorrt", "tensorrt_rtx", "cuda bindings", "nvrtc", "engine cache"} & names.keys()


def test_stock_jetpack_6_is_told_what_its_tensorrt_gets_wrong(installed: dict[str, str]) -> None:
    faults = [check.found for check in checks(ORIN)["tensorrt fault"]]
    assert any("NVIDIA/TensorRT#4723" in fault and "FP16" in fault for fault in faults)
    assert all(fault.startswith("10.3.0: ") for fault in faults)


def test_a_tensorrt_that_is_right_is_not_blamed(installed: dict[str, str]) -> None:
    found = checks(DESKTOP)
    assert found["tensorrt"][0] == Check("tensorrt", "ok", "10.16.1.11", "pip install tensorrt")
    assert "tensorrt fault" not in found


def test_tensorrt_rtx_alone_builds_and_does_not_run(installed: dict[str, str]) -> None:
    found = checks(dataclasses.replace(PLAIN, tensorrt_rtx="1.7.1.116"))
    assert found["tensorrt_rtx"][0].found.startswith("1.7.1.116; builds engines here, runs none")
    assert "tensorrt" not in found
    with_gpu = checks(dataclasses.replace(DESKTOP, tensorrt_rtx="1.7.1.116"))
    assert with_gpu["tensorrt_rtx"][0].found == "1.7.1.116"
    assert with_gpu["tensorrt"][0].status == "ok"


@pytest.mark.parametrize(
    ("distributions", "cuda", "status", "said"),
    [
        ({"cuda-bindings": "13.5.0"}, "13.0.1", "ok", "cuda-python 13.5.0"),
        ({"cuda-bindings": "12.9.2"}, "13.0.1", "ok", "cuda-python 12.9.2"),
        ({"cuda-bindings": "13.5.0"}, "12.6.11", "optional", "for a newer CUDA than 12.6.11"),
        ({"pycuda": "2026.1"}, "12.6.11", "ok", "no CUDA graphs"),
        ({}, "12.6.11", "optional", "neither cuda-python nor pycuda"),
    ],
)
def test_cuda_bindings(
    installed: dict[str, str], distributions: dict[str, str], cuda: str, status: str, said: str
) -> None:
    installed.update(distributions)
    (check,) = checks(dataclasses.replace(ORIN, cuda=cuda))["cuda bindings"]
    assert check.status == status
    assert said in check.found
    if status != "ok":
        assert check.fix == 'pip install "cuda-python==12.*"'


def test_nvrtc_of_the_right_cuda_is_offered(installed: dict[str, str]) -> None:
    if list(Path("/usr/local/cuda/lib64").glob("libnvrtc.so*")):
        pytest.skip("this machine's CUDA toolkit has NVRTC")
    (check,) = checks(ORIN)["nvrtc"]
    assert (check.status, check.fix) == ("optional", "pip install nvidia-cuda-nvrtc-cu12")
    assert checks(DESKTOP)["nvrtc"][0].fix == "pip install nvidia-cuda-nvrtc"
    installed["nvidia-cuda-nvrtc"] = "13.2.86"
    assert checks(DESKTOP)["nvrtc"][0] == Check("nvrtc", "ok", "13.2.86")


def test_engine_cache_is_measured_and_not_made(installed: dict[str, str], cache_root: Path) -> None:
    assert checks(DESKTOP)["engine cache"][0].found == f"{cache_root}, 0 engines, 0 MiB"
    assert not cache_root.exists()
    for key in ("a" * 64, "b" * 64):
        (cache_root / key).mkdir(parents=True)
        (cache_root / key / "engine.plan").write_bytes(bytes(3 * 2**20))
    assert checks(DESKTOP)["engine cache"][0].found == f"{cache_root}, 2 engines, 6 MiB"


def test_what_export_lacks_is_named(installed: dict[str, str]) -> None:
    assert checks(PLAIN)["export"][0].found.startswith("not installed; ")
    installed.update(torch="2.15.0", onnx="1.23.2")
    (check,) = checks(PLAIN)["export"]
    assert check.status == "optional"
    assert check.found.startswith("lacks onnxscript, onnxslim, ") and "transformers" in check.found
    assert check.fix == 'pip install "edgedepth[export]"'


def test_power_mode_is_that_of_this_board(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "fastest_power_mode", lambda: (2, "MAXN_SUPER"))
    (check,) = checks(ORIN)["power mode"]
    assert (check.status, check.fix) == ("optional", "sudo nvpmodel -m 2 && sudo jetson_clocks")
    assert checks(dataclasses.replace(ORIN, power_mode="MAXN_SUPER"))["power mode"][0].status == "ok"


def test_a_jetson_is_not_sent_for_a_wheel_that_is_not_there(installed: dict[str, str]) -> None:
    (check,) = checks(ORIN)["onnxruntime CUDA"]
    assert check.fix is None
    assert "docs/jetson.md" in check.found
    assert "onnxruntime-gpu" in (checks(DESKTOP)["onnxruntime CUDA"][0].fix or "")
