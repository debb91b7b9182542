"""The GPU an engine is built for and runs on: the facts an engine depends on."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GpuDevice"]


@dataclass(frozen=True)
class GpuDevice:
    """One CUDA device.

    Attributes:
        name: as the driver gives it (``"Orin"``, ``"NVIDIA GeForce RTX 4090"``).
        sm: compute capability, (8, 7) on Orin.
        sm_count: streaming multiprocessors; boards of one name differ in it.
        cuda_driver_version: newest CUDA the driver supports, as the driver API gives it: 1000 major + 10 minor.
        integrated: the GPU shares the CPU's memory (Jetson).
        memory_bytes: total device memory.
    """

    name: str
    sm: tuple[int, int]
    sm_count: int
    cuda_driver_version: int
    integrated: bool
    memory_bytes: int

    @property
    def cuda_major(self) -> int:
        """Major version of CUDA."""
        return self.cuda_driver_version // 1000

    @property
    def sm_name(self) -> str:
        """``"SM87"``."""
        return f"SM{self.sm[0]}{self.sm[1]}"
