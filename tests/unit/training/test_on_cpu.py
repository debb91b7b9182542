"""What makes training faster on a CPU does what it says, and changes no number that it should not."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgedepth.training.on_cpu import depthwise_in_float32

FAULTS = """
import resource, sys
import torch
from edgedepth.training.on_cpu import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(20):  # the heap finds its size
    torch.ones(10_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.Conv2d(8, 8, 3, padding=1, stride=2, groups=8),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 16, 5, padding=2),
        nn.Conv2d(16, 16, 3, padding=1, stride=2, groups=4),
    )


def test_only_the_slow_ones_are_changed_and_names_stay() -> None:
    plain, changed = network(), network()
    depthwise_in_float32(changed)
    assert [type(layer) is nn.Conv2d for layer in changed] == [False, False, True, True, True]
    assert list(changed.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, 8, 16, 16)
    assert torch.equal(changed(x), plain(x)), "in float32 it is the same network"


@pytest.mark.parametrize("layer", [0, 1])
def test_under_autocast_the_gradient_is_that_of_float64(layer: int) -> None:
    changed = network()
    depthwise_in_float32(changed)
    conv = changed[layer]
    x, weight = torch.randn(2, 8, 16, 16, requires_grad=True), conv.weight.detach().double().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = conv(x)
    exact_x = x.detach().double().requires_grad_()
    exact = functional.conv2d(exact_x, weight, conv.bias.double(), conv.stride, conv.padding, groups=8)
    pull = torch.randn_like(y)
    (y * pull).sum().backward()
    (exact * pull.double()).sum().backward()
    for found, true in ((conv.weight.grad, weight.grad), (x.grad, exact_x.grad)):
        # bfloat16 has 8 bits: it would be off by 4e-3.
        torch.testing.assert_close(found.double(), true, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_used_again_without_asking_the_kernel() -> None:
    def faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True)
        return int(done.stdout)

    pages = 20 * 40_000_000 // 4096
    assert faults("plain") > pages // 2, "the C library gives large blocks back: without that there is nothing to do"
    assert faults("keep") < pages // 10
