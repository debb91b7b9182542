"""DenseDepth: DenseNet encoder, plain convolutional decoder, half-resolution reciprocal depth.

Alhashim and Wonka, "High Quality Monocular Depth Estimation via Transfer Learning", arXiv 1812.11941. Two changes:

- The paper trains on 10 m / Z with a linear last layer, which can go negative, where 1 / Z has no meaning. Here the
  output is 1 / Z in 1/m through ``BoundedHead``: depth is at least ``min_depth_m``, and far points are limited by the
  recipe's valid range.
- LeakyReLU follows each of a block's two convolutions, as in the authors' Keras code; a widely copied PyTorch port has
  it after the second alone, which leaves two convolutions that are one linear map.

The decoder has no normalisation, as in the paper, and wants the paper's learning rate of 1e-4: Adam at 1e-3 drives the
sigmoid to its end within a step.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from edgedepth.errors import RecipeError
from edgedepth.models.base import DepthNetwork
from edgedepth.models.blocks import BoundedHead, UpBlock, library_network, start_at

__all__ = ["DenseDepth", "build"]

ENCODERS = ("densenet121", "densenet161", "densenet169", "densenet201")
SKIPS = ("relu0", "pool0", "transition1", "transition2")
"""Layers of torchvision's DenseNet at strides 2, 4, 8, 16: the paper's conv1/relu, pool1, pool2_pool, pool3_pool."""
START_M = 2.0


def build(
    encoder: str = "densenet169",
    encoder_weights: str | None = None,
    decoder_width: float = 1.0,
    min_depth_m: float = 0.1,
) -> DenseDepth:
    """DenseDepth with random weights.

    Args:
        encoder: one of ENCODERS.
        encoder_weights: torchvision's name of ImageNet weights ("IMAGENET1K_V1"); fetched where they are not cached.
        decoder_width: channels of the decoder as a share of the encoder's last; 1 is the paper, 0.5 its "half
            features" model (the decoder then takes a quarter of the arithmetic).
        min_depth_m: the smallest depth the network can give, metres.

    Raises:
        RecipeError: an argument that cannot be.
        CheckpointError: the encoder weights cannot be had.
    """
    if encoder not in ENCODERS:
        raise RecipeError(f"densedepth takes the encoders {', '.join(ENCODERS)}, found {encoder!r}")
    if not 0 < min_depth_m < START_M:
        raise RecipeError(f"min_depth_m is between 0 and {START_M:g} m, found {min_depth_m}")
    with library_network(encoder, encoder_weights):
        features = models.get_model(encoder, weights=encoder_weights).features
    return DenseDepth(features, decoder_width, min_depth_m)


class DenseDepth(DepthNetwork):
    """See the module. ``forward``: B x 3 x H x W -> B x 1 x H/2 x W/2, 1 / Z in 1/m, at most 1 / min_depth_m."""

    size_multiple = 32

    def __init__(self, features: nn.Sequential, decoder_width: float, min_depth_m: float) -> None:
        super().__init__()
        self.features = features
        layers = dict(features.named_children())
        *skip_channels, last = [_channels_after(layers, name) for name in (*SKIPS, "norm5")]
        width = round(last * decoder_width)
        self.bottleneck = nn.Conv2d(last, width, 1)
        blocks: list[UpBlock] = []
        for skip in reversed(skip_channels):
            blocks.append(UpBlock(width, skip, width // 2, mode="bilinear", norm=False))
            width //= 2
        self.decoder = nn.ModuleList(blocks)
        self.head = BoundedHead(start_at(nn.Conv2d(width, 1, 3, padding=1), min_depth_m / START_M), 1 / min_depth_m)

    @property
    def encoder(self) -> nn.Module:
        """The DenseNet without its classifier."""
        return self.features

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        skips: list[Tensor] = []
        x = image
        for name, layer in self.features.named_children():
            x = layer(x)
            if name in SKIPS:
                skips.append(x)
        # torchvision leaves the encoder's last ReLU to the classifier.
        x = self.bottleneck(functional.relu(x))
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            x = block(x, skip)
        depth: Tensor = self.head(x)
        return depth


def _channels_after(layers: dict[str, nn.Module], name: str) -> int:
    """Channels a DenseNet's layer gives, read from the normalisation or convolution that decides them."""
    if name in ("relu0", "pool0"):
        name = "norm0"
    layer = layers[name]
    if isinstance(layer, nn.BatchNorm2d):
        return layer.num_features
    (convolution,) = (part for part in layer.children() if isinstance(part, nn.Conv2d))
    return convolution.out_channels
