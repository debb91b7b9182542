"""Which of two points is farther: the ranking loss of Depth in the Wild."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgedepth.training.tensors import LossBatch

__all__ = ["ordinal"]


def ordinal(batch: LossBatch, options: Mapping[str, float]) -> Tensor:
    """Mean over an image's pairs of ln(1 + exp(-r (z_A - z_B))), and (z_A - z_B)^2 where r = 0.

    Chen et al., arXiv 1604.03901, eq. 1; r = +1: A is farther. z is the nearest pixel's value in the term's space. In
    log space it asks for a ratio of depths and not for metres, which ordinal labels do not know.
    """
    images = len(batch.predicted)
    index, xa, ya, xb, yb, relation = batch.pairs.unbind(1)
    z = batch.predicted[:, 0]
    gap = (z[index, ya, xa] - z[index, yb, xb]) * batch.farther
    loss = torch.where(relation == 0, gap**2, functional.softplus(-relation * gap))
    zeros = z.new_zeros(images)
    counts = zeros.index_add(0, index, torch.ones_like(loss))
    return zeros.index_add(0, index, loss) / counts.clamp_min(1)
