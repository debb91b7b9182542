"""Inception-ResNet-v2 encoder, decoder whose skips pass attention gates.

Encoder: Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", arXiv
1602.07261, from timm, up to stride 16 (its "repeat_1"): two fifths of the weights come after and are not used. Its
convolutions and poolings are "valid", which gives skips of odd sizes (480 -> 239, 118, 57, 28) that neither double nor
lie where the image's pixels do. Here each 3x3 of them is padded by one, so stride s gives exactly H / s, every resize
is by 2, and a skip's pixel stands where the decoder's does. No weight changes, ImageNet weights stay usable.

Attention: the additive attention gate of Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas",
arXiv 1804.03999, one per skip: a coefficient in (0, 1) per pixel from the skip and the decoder's features scales the
skip. It is computed on the skip's grid, where the decoder already is. Convolutions of 1x1 and a sigmoid: no softmax, no
token matrix, nothing that FP16 overflows or that INT8 runtimes lack.

Decoder: 256, 128, 64, 32 channels to the full size, the image itself as the last skip. Normalisation stands before the
activation, where it folds into the convolution.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgedepth.models.base import DepthNetwork
from edgedepth.models.blocks import BoundedHead, conv, double_conv, library_network, start_at, upsample

__all__ = ["AttentionGate", "IRv2Attention", "build"]

WIDTHS = (256, 128, 64, 32)
START = 0.25


def build(encoder_weights: str | None = None, max_depth_m: float = 10.0) -> IRv2Attention:
    """The network with random weights.

    Args:
        encoder_weights: timm's tag of ImageNet weights ("tf_in1k"); fetched where they are not cached.
        max_depth_m: the largest depth the network can give.

    Raises:
        RecipeError: an argument that cannot be.
        CheckpointError: the encoder weights cannot be had.
    """
    name = "inception_resnet_v2" + (f".{encoder_weights}" if encoder_weights else "")
    with library_network("inception_resnet_v2", encoder_weights):
        features: Any = timm.create_model(
            name, features_only=True, out_indices=(0, 1, 2, 3), pretrained=encoder_weights is not None
        )
    for module in features.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d) and module.kernel_size in (3, (3, 3)):
            module.padding = (1, 1)
    return IRv2Attention(features, features.feature_info.channels(), max_depth_m)


class AttentionGate(nn.Module):
    """skip * sigmoid(psi(ReLU(W_x skip + W_g signal))), eq. 1-2 of the paper, on the skip's grid."""

    def __init__(self, skip_channels: int, signal_channels: int) -> None:
        super().__init__()
        inner = max(skip_channels // 2, 8)
        self.of_skip = nn.Conv2d(skip_channels, inner, 1, bias=False)
        self.of_signal = nn.Conv2d(signal_channels, inner, 1)
        self.psi = nn.Conv2d(inner, 1, 1)

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        """B x S x h x w and B x C x h x w -> B x S x h x w."""
        return skip * torch.sigmoid(self.psi(functional.relu(self.of_skip(skip) + self.of_signal(signal))))


class GatedUp(nn.Module):
    """Twice the size, a convolution, the gated skip joined, two convolutions."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lift = conv(in_channels, out_channels)
        self.gate = AttentionGate(skip_channels, out_channels)
        self.convs = double_conv(out_channels + skip_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """B x C x h x w and B x S x 2h x 2w -> B x out_channels x 2h x 2w."""
        x = self.lift(upsample(x, "bilinear"))
        joined: Tensor = self.convs(torch.cat([x, self.gate(skip, x)], dim=1))
        return joined


class IRv2Attention(DepthNetwork):
    """See the module. ``forward``: B x 3 x H x W -> B x 1 x H x W, metres."""

    size_multiple = 16

    def __init__(self, features: nn.Module, channels: list[int], max_depth_m: float) -> None:
        super().__init__()
        self.features = features
        half, quarter, eighth, deepest = channels
        self.decoder = nn.ModuleList(
            GatedUp(below, skip, width)
            for (below, width), skip in zip(pairwise((deepest, *WIDTHS)), (eighth, quarter, half, 3), strict=True)
        )
        self.head = BoundedHead(start_at(nn.Conv2d(WIDTHS[-1], 1, 3, padding=1), START), max_depth_m)

    @property
    def encoder(self) -> nn.Module:
        """The Inception-ResNet-v2 up to stride 16."""
        return self.features

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        half, quarter, eighth, x = self.features(image)
        for step, skip in zip(self.decoder, (eighth, quarter, half, image), strict=True):
            x = step(x, skip)
        depth: Tensor = self.head(x)
        return depth
