"""CUDA source -> machine code of the GPU at hand.

Compiled again by every process: it takes a tenth of a second, and code nobody keeps nobody
can tamper with.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from edgedepth.backends.feeds import one_line
from edgedepth.errors import BackendUnavailable, EngineError

__all__ = ["compile_kernels", "kernel_source"]

_INSTALL = (
    "install the one of the driver's CUDA version: pip install nvidia-cuda-nvrtc (CUDA 12: nvidia-cuda-nvrtc-cu12)"
)


def kernel_source() -> str:
    """The CUDA C++ of the kernels."""
    return resources.files(__package__).joinpath("preprocess.cu").read_text(encoding="utf-8")


@cache
def compile_kernels(sm: tuple[int, int]) -> bytes:
    """Machine code for compute capability ``sm``, or PTX for the driver to finish where the compiler is older.

    Raises:
        BackendUnavailable: neither NVRTC (with cuda-python) nor nvcc (with pycuda) is installed.
        EngineError: the compiler refuses the source or the GPU; carries its words.
    """
    try:
        from cuda.bindings import nvrtc
    except ImportError:
        return _by_nvcc(sm)
    try:
        return _by_nvrtc(nvrtc, sm)
    except RuntimeError as error:  # cuda.bindings, of a library it does not find
        raise BackendUnavailable(f"NVRTC could not be loaded ({one_line(error)}); {_INSTALL}") from error


def _by_nvrtc(nvrtc: Any, sm: tuple[int, int]) -> bytes:
    wanted = sm[0] * 10 + sm[1]
    known = [int(arch) for arch in _value(nvrtc, nvrtc.nvrtcGetSupportedArchs())]
    older = [arch for arch in known if arch <= wanted]
    if not older:
        raise EngineError(f"this NVRTC compiles for SM{min(known)} and later, the GPU is SM{wanted}; {_INSTALL}")
    kind, size_of, read = (
        ("sm", nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
        if wanted in known
        else ("compute", nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
    )
    program = _value(nvrtc, nvrtc.nvrtcCreateProgram(kernel_source().encode(), b"preprocess.cu", 0, [], []))
    try:
        options = [f"--gpu-architecture={kind}_{older[-1] if wanted not in known else wanted}".encode(), b"--std=c++17"]
        status = nvrtc.nvrtcCompileProgram(program, len(options), options)[0]
        if int(status) != 0:
            log = bytes(_value(nvrtc, nvrtc.nvrtcGetProgramLogSize(program)))
            nvrtc.nvrtcGetProgramLog(program, log)
            raise EngineError(f"NVRTC cannot compile preprocess.cu for SM{wanted}: {_words(log)}")
        image = bytes(_value(nvrtc, size_of(program)))  # filled in place
        _value(nvrtc, read(program, image))
        return image
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _words(log: bytes) -> str:
    """A compiler's log without its line breaks."""
    return " ".join(log.rstrip(b"\0").decode(errors="replace").split())


def _value(nvrtc: Any, returned: tuple[Any, ...]) -> Any:
    status, *values = returned
    if int(status) != 0:
        text = nvrtc.nvrtcGetErrorString(status)[1]
        raise EngineError(f"NVRTC failed: {text.decode() if isinstance(text, bytes) else text}; {_INSTALL}")
    return values[0] if values else None


def _by_nvcc(sm: tuple[int, int]) -> bytes:
    try:
        from pycuda import compiler
    except ImportError as error:
        raise BackendUnavailable(
            f"no compiler for CUDA kernels ({one_line(error)}); pip install cuda-python, and {_INSTALL}"
        ) from error
    try:
        image: bytes = compiler.compile(
            kernel_source(), arch=f"sm_{sm[0]}{sm[1]}", no_extern_c=True, options=["--std=c++17"]
        )
    except Exception as error:  # no nvcc on the PATH, or its own CompileError
        raise EngineError(
            f"nvcc cannot compile preprocess.cu ({one_line(error)}); put nvcc on the PATH, or install "
            "cuda-python, which brings NVRTC"
        ) from error
    return image
