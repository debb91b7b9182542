"""The kernel that makes the image tensor of a frame: its CUDA source, its compiler, and what it is launched with."""

from edgedepth.backends.tensorrt.kernels.compiler import compile_kernels, kernel_source
from edgedepth.backends.tensorrt.kernels.resample import KERNELS, Job, Taps, grid_of, taps

__all__ = ["KERNELS", "Job", "Taps", "compile_kernels", "grid_of", "kernel_source", "taps"]
