"""The CUDA kernels, compiled by the host's C++ compiler: their arithmetic runs where there is no GPU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from edgedepth.backends.tensorrt.kernels import KERNELS, kernel_source

Launch = Callable[[tuple[int, int, int], tuple[int, int, int], ctypes.Structure], None]


@cache
def cpu_kernels() -> dict[str, Launch]:
    """Kernel name -> a function (grid, block, parameters) that runs it now. Skips where there is no compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("needs g++ or clang++ to run the CUDA kernel on the CPU")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
        entries = "\n".join(
            f'extern "C" void run_{name}(const int* grid, const int* block, const Job* job) '
            f"{{ for_every_thread(grid, block, {name}, *job); }}"
            for name in KERNELS.values()
        )
        shim = Path(__file__).with_name("cuda_on_cpu.h").read_text()
        source.write_text(f"{shim}\n{kernel_source()}\n{entries}\n")
        flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
        subprocess.run([compiler, *flags, str(source), "-o", str(library)], check=True)
        loaded = ctypes.CDLL(str(library))
    return {name: _launcher(loaded, name) for name in KERNELS.values()}


def _launcher(library: ctypes.CDLL, name: str) -> Launch:
    function = getattr(library, f"run_{name}")
    function.restype = None

    def launch(grid: tuple[int, int, int], block: tuple[int, int, int], parameters: ctypes.Structure) -> None:
        function((ctypes.c_int * 3)(*grid), (ctypes.c_int * 3)(*block), ctypes.byref(parameters))

    return launch
