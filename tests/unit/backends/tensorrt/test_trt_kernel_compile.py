"""NVRTC and nvcc compile the kernel for the GPUs we name; neither needs a GPU for that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from edgedepth.backends.tensorrt.kernels import KERNELS, compile_kernels, kernel_source
from edgedepth.errors import BackendUnavailable, EngineError

ORIN, HOPPER, THOR, SPARK = (8, 7), (9, 0), (11, 0), (12, 1)


@pytest.fixture
def nvrtc():
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    try:
        nvrtc.nvrtcVersion()
    except RuntimeError as error:
        pytest.skip(f"needs NVRTC ({error})")
    return nvrtc


@pytest.mark.parametrize("sm", [ORIN, HOPPER, THOR, SPARK])
def test_nvrtc_makes_machine_code(nvrtc, sm: tuple[int, int]) -> None:
    if sm[0] * 10 + sm[1] not in nvrtc.nvrtcGetSupportedArchs()[1]:
        pytest.skip(f"this NVRTC does not know {sm}")
    image = compile_kernels(sm)
    assert image.startswith(b"\x7fELF")
    for name in KERNELS.values():
        assert name.encode() + b"\0" in image  # the names are C's, not mangled


def test_a_gpu_newer_than_the_compiler_gets_ptx(nvrtc) -> None:
    newest = nvrtc.nvrtcGetSupportedArchs()[1][-1]
    image = compile_kernels((99, 9))
    assert f".target sm_{newest}".encode() in image
    assert b".visible .entry preprocess_4" in image


def test_a_gpu_older_than_the_compiler_knows_is_refused(nvrtc) -> None:
    with pytest.raises(EngineError, match=r"SM50.*nvidia-cuda-nvrtc"):
        compile_kernels((5, 0))


def test_the_compiler_s_words_are_passed_on(nvrtc, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgedepth.backends.tensorrt.kernels import compiler

    monkeypatch.setattr(compiler, "kernel_source", lambda: 'extern "C" __global__ void preprocess_1() { oops; }')
    with pytest.raises(EngineError, match='identifier "oops" is undefined') as caught:
        compiler.compile_kernels.__wrapped__(ORIN)
    assert "\n" not in str(caught.value)


def test_without_any_compiler_it_says_what_installs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(BackendUnavailable, match="pip install"):
        compile_kernels.__wrapped__(ORIN)


def test_nvrtc_that_cannot_be_loaded_says_what_installs_it(nvrtc, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise RuntimeError("Failure finding libnvrtc.so:\n tried everything")

    monkeypatch.setattr(nvrtc, "nvrtcGetSupportedArchs", missing)
    with pytest.raises(BackendUnavailable, match=r"libnvrtc\.so.*pip install nvidia-cuda-nvrtc") as caught:
        compile_kernels.__wrapped__(ORIN)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sm", [ORIN, HOPPER])
def test_nvcc_compiles_it_without_warnings(sm: tuple[int, int], tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    source, target = tmp_path / "preprocess.cu", tmp_path / "preprocess.cubin"
    source.write_text(kernel_source())
    command = [nvcc, "-cubin", f"-arch=sm_{sm[0]}{sm[1]}", "-std=c++17", "-Werror", "all-warnings", "-o", str(target)]
    done = subprocess.run(
        [*command, str(source)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    if "Unsupported gpu architecture" in done.stderr or "is not defined for option" in done.stderr:
        pytest.skip(f"this nvcc does not know {sm}")
    assert done.returncode == 0, done.stderr
    assert target.read_bytes().startswith(b"\x7fELF")


def test_the_source_is_part_of_the_package() -> None:
    assert files("edgedepth.backends.tensorrt.kernels").joinpath("preprocess.cu").is_file()
    assert "#include" not in kernel_source()  # NVRTC has no headers to include
