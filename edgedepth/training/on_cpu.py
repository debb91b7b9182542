"""What makes a step on a CPU faster and changes nothing else."""

from __future__ import annotations

import ctypes
import platform

import torch
from torch import Tensor, nn

__all__ = ["depthwise_in_float32", "keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
"""Parameters of mallopt(3)."""


def keep_freed_memory() -> bool:
    """Tell the C library to keep what is freed for what is allocated next; of no effect, False, on other than glibc.

    It gives each large tensor back to the kernel, and every page of the next one is then zeroed anew: with activations
    of 10 MB, a sixth of a step's time (benchmarks/training.py).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # One arena: the others are not large enough for a tensor, and backward runs in a thread of its own.
    return all(mallopt(name, value) for name, value in (
        (_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**26),
    ))  # fmt: skip


class _InFloat32(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float()).to(input.dtype)


def depthwise_in_float32(network: nn.Module) -> None:
    """Let depthwise convolutions of stride 2 or more than 3x3 leave autocast's bfloat16.

    oneDNN has no fast gradient of these in bfloat16: it takes 2 to 60 times as long as in float32
    (benchmarks/training.py). Weights and their names stay as they are.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and module.groups == module.in_channels > 1 and (
            max(module.stride) > 1 or max(module.kernel_size) > 3
        ):  # fmt: skip
            module.__class__ = _InFloat32
