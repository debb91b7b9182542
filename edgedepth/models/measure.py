"""What a network costs: weights and arithmetic, as recipes state them."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_parameters", "gflops"]


def count_parameters(network: nn.Module) -> int:
    """Number of trainable numbers, each once; running statistics of normalisations do not count."""
    return sum(parameter.numel() for parameter in network.parameters())


def gflops(network: nn.Module, height: int, width: int) -> float:
    """Arithmetic of one forward pass for one image, in 1e9 operations; a multiply-add is two.

    Counts convolutions, matrix products and attention, as is the custom; not normalisation, activation, resizing.
    Runs the network once on its own device; on ``torch.device("meta")`` nothing is computed or stored.
    """
    first = next(network.parameters())
    image = torch.zeros(1, 3, height, width, device=first.device, dtype=first.dtype)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(image)
    finally:
        network.train(was_training)
    return float(counter.get_total_flops()) / 1e9
