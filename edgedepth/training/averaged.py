"""Exponential moving average of the weights, better than the last ones (Polyak and Juditsky, 1992)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from edgedepth.models.base import DepthNetwork

__all__ = ["average_of"]


def average_of(network: DepthNetwork, decay: float) -> AveragedModel:
    """An average that follows ``network`` by ``update_parameters``, running statistics included.

    The decay starts low, min(decay, (1 + n) / (10 + n)) at update n: the random start is forgotten soon, however short
    the training.
    """
    return AveragedModel(network, multi_avg_fn=_mix(decay), use_buffers=True)


def _mix(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    @torch.no_grad()
    def mix(averages: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        count = int(updates)
        share = 1 - min(decay, (1 + count) / (10 + count))
        for average, value in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value.to(average.dtype), share)
            else:  # counters
                average.copy_(value)

    return mix
