"""FastDepth: MobileNet encoder, NNConv5 decoder of depthwise-separable convolutions, additive skips.

Wofk et al., "FastDepth: Fast Monocular Depth Estimation on Embedded Systems", arXiv 1903.03273, before pruning. A step
up is a 5x5 depthwise and a 1x1 convolution, each with normalisation and ReLU, then nearest-neighbour upsampling: the
arithmetic happens at the smaller size. Encoder features at strides 8, 4 and 2 are added, which costs no channels.
Changed: the paper ends in normalisation and ReLU, whose zero has no gradient; here it is ``BoundedHead``.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from edgedepth.models.base import DepthNetwork
from edgedepth.models.blocks import BoundedHead, separable, start_at, strided_features, upsample

__all__ = ["FastDepth", "build"]

START = 0.25


def build(encoder: str = "mobilenetv1_100", encoder_weights: str | None = None, max_depth_m: float = 10.0) -> FastDepth:
    """FastDepth with random weights.

    Args:
        encoder: a timm model with features at strides 2 to 32; the decoder takes its widths from them, since sums need
            equal ones: "mobilenetv1_100" is the paper, "mobilenetv2_100" has a third of the arithmetic.
        encoder_weights: timm's tag of ImageNet weights ("ra4_e3600_r224_in1k"); fetched where they are not cached.
        max_depth_m: the largest depth the network can give.

    Raises:
        RecipeError: an argument that cannot be.
        CheckpointError: the encoder weights cannot be had.
    """
    features, channels = strided_features("fastdepth", encoder, encoder_weights)
    return FastDepth(features, channels, max_depth_m)


class FastDepth(DepthNetwork):
    """See the module. ``forward``: B x 3 x H x W -> B x 1 x H x W, metres."""

    size_multiple = 32

    def __init__(self, features: nn.Module, channels: list[int], max_depth_m: float) -> None:
        super().__init__()
        self.features = features
        widths = (*reversed(channels), channels[0] // 2)
        self.decoder = nn.ModuleList(separable(a, b, 5) for a, b in pairwise(widths))
        self.head = BoundedHead(start_at(nn.Conv2d(widths[-1], 1, 1), START), max_depth_m)

    @property
    def encoder(self) -> nn.Module:
        """The MobileNet without its classifier."""
        return self.features

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        half, quarter, eighth, _, x = self.features(image)
        for step, skip in zip(self.decoder, (None, eighth, quarter, half, None), strict=True):
            x = upsample(step(x), "nearest")
            if skip is not None:
                x = x + skip
        depth: Tensor = self.head(x)
        return depth
