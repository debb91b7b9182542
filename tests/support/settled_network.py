"""Untrained networks that answer as trained ones do: differently to different images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgedepth.models import build_network
from edgedepth.models.base import DepthNetwork


def scenes(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Normalised images of smooth patches and a little noise. Noise alone looks all the same to deep layers."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(batch, 3, 5, 7, generator=generator)
    smooth = functional.interpolate(patches, (height, width), mode="bilinear", align_corners=False)
    return smooth + 0.1 * torch.randn(batch, 3, height, width, generator=generator)


def settled_network(family: str, height: int, width: int, **config: object) -> DepthNetwork:
    """Reproducible, in eval mode, its batch statistics those of ``scenes``.

    With the statistics a new network has, activations fade or grow from layer to layer, and the output hardly depends
    on the image: two different graphs would then agree. Not for FP16: random layers with settled statistics and no
    residual sums amplify rounding from layer to layer, as trained ones do not (4 % in FastDepth).
    """
    torch.manual_seed(0)
    network = build_network(family, dict(config))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean over what follows
    network.train()
    with torch.no_grad():
        network(scenes(4, height, width, seed=1))
    return network.eval()
