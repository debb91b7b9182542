"""Residual U-Net: additive shortcuts in the way down, concatenated skips in the way up.

After the Keras example "Monocular Depth Estimation" (V. Basu, 2021), a U-Net (Ronneberger et al., arXiv 1505.04597)
whose blocks going down add the first convolution's output to the block's result. Small: 2 M weights, no pre-trained
encoder. Changed: the example's last layer is a tanh on log depth, which cannot say more than e = 2.72 m; here it is
``BoundedHead``. Convolutions before a normalisation have no bias, which the normalisation would remove.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from edgedepth.errors import RecipeError
from edgedepth.models.base import DepthNetwork
from edgedepth.models.blocks import LEAKY_SLOPE, BoundedHead, UpBlock, conv, double_conv, start_at

__all__ = ["DownscaleBlock", "ResidualUNet", "build"]

START = 0.25


def build(channels: tuple[int, ...] = (16, 32, 64, 128, 256), max_depth_m: float = 10.0) -> ResidualUNet:
    """The network with random weights.

    Args:
        channels: of each block going down, then of the bottleneck; each but the last halves the size.
        max_depth_m: the largest depth the network can give.

    Raises:
        RecipeError: an argument that cannot be.
    """
    if len(channels) < 2 or min(channels) < 1:
        raise RecipeError(f"channels are at least two positive numbers, found {list(channels)}")
    return ResidualUNet(tuple(channels), max_depth_m)


class DownscaleBlock(nn.Module):
    """Two of convolution, normalisation, LeakyReLU; the first convolution's own output is added; then max pooling."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        # This one keeps its bias: the shortcut bypasses the normalisation.
        self.conv_in = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.conv_out = conv(out_channels, out_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """B x C x H x W -> the skip at H x W, and the pooled features at H/2 x W/2."""
        shortcut = self.conv_in(x)
        skip = self.conv_out(functional.leaky_relu(self.norm(shortcut), LEAKY_SLOPE)) + shortcut
        return skip, functional.max_pool2d(skip, 2)


class ResidualUNet(DepthNetwork):
    """See the module. ``forward``: B x 3 x H x W -> B x 1 x H x W, metres."""

    def __init__(self, channels: tuple[int, ...], max_depth_m: float) -> None:
        super().__init__()
        *widths, deepest = channels
        self.size_multiple = 2 ** len(widths)
        self.down = nn.ModuleList(DownscaleBlock(a, b) for a, b in pairwise((3, *widths)))
        self.bottleneck = double_conv(widths[-1], deepest, norm=False)
        self.up = nn.ModuleList(
            UpBlock(below, width, width, mode="nearest", norm=True)
            for below, width in pairwise((deepest, *reversed(widths)))
        )
        self.head = BoundedHead(start_at(nn.Conv2d(widths[0], 1, 1), START), max_depth_m)

    @property
    def encoder(self) -> nn.Module:
        """The blocks going down."""
        return self.down

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        skips: list[Tensor] = []
        x = image
        for block in self.down:
            skip, x = block(x)
            skips.append(skip)
        x = self.bottleneck(x)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(x, skip)
        depth: Tensor = self.head(x)
        return depth
