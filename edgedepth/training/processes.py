"""Several processes that train as one: batch statistics over all of them, gradients averaged by Accelerate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import all_reduce, get_world_size

from edgedepth.extras import require
from edgedepth.models.base import DepthNetwork

__all__ = ["join_batch_norm"]


class _Sum(torch.autograd.Function):
    """The sum over the processes. What each makes of it adds to the gradient of all."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        all_reduce(total)
        return total


class _JointBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d with the statistics of every process's images, on the CPU, where torch's SyncBatchNorm cannot run.

    Every process has the same number of images, as StepPlan gives them.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        processes = get_world_size()
        own = torch.cat([x.mean((0, 2, 3)), (x * x).mean((0, 2, 3))])
        total: Tensor = _Sum.apply(own) / processes
        mean, square = total.chunk(2)
        variance = (square - mean**2).clamp_min(0)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                count = processes * x.numel() / x.shape[1]
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(variance * count / (count - 1), momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul((self.bias - mean * scale).view(1, -1, 1, 1), x, scale.view(1, -1, 1, 1))


class _JointBatchNormAct2d(_JointBatchNorm2d):
    """timm's, which holds its activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(self.drop(super().forward(x)))
        return activated


def join_batch_norm(network: DepthNetwork, device: torch.device, processes: int) -> None:
    """Make the network's batch normalisations see the whole batch. Names of weights stay. One process: as it is."""
    if processes == 1:
        return
    timm = require("timm.layers", "export")
    if device.type != "cpu":
        timm.convert_sync_batchnorm(network)  # torch's own does not know timm's normalisation with an activation
        return
    joint: dict[type, type] = {nn.BatchNorm2d: _JointBatchNorm2d, timm.BatchNormAct2d: _JointBatchNormAct2d}
    for module in network.modules():
        if type(module) in joint and module.affine:
            module.__class__ = joint[type(module)]
