"""Pieces the project's own networks share."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgedepth.errors import CheckpointError, RecipeError
from edgedepth.extras import require

__all__ = [
    "BoundedHead", "UpBlock", "conv", "double_conv", "library_network", "separable", "start_at", "strided_features",
    "upsample",
]  # fmt: skip

Upsampling = Literal["nearest", "bilinear"]
LEAKY_SLOPE = 0.2


@contextmanager
def library_network(encoder: str, weights: str | None) -> Iterator[None]:
    """Around a library's constructor: an encoder or weights it does not have become one message.

    Raises:
        RecipeError: no such encoder.
        CheckpointError: no such weights, or they cannot be fetched.
    """
    try:
        yield
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        cause = textwrap.shorten(str(error), 200)
        if weights is None:
            raise RecipeError(
                f"encoder = {encoder!r} cannot be built ({cause}); give one the family's library has"
            ) from error
        raise CheckpointError(
            f"encoder_weights = {weights!r} of {encoder} cannot be had ({cause}); expected a name its library knows, "
            "on a connected host; or leave it out and load a checkpoint"
        ) from error


def strided_features(family: str, encoder: str, weights: str | None) -> tuple[nn.Module, list[int]]:
    """A timm encoder that gives its features at strides 2, 4, 8, 16 and 32, and their channels.

    Raises:
        RecipeError: no such encoder, or one without features at these strides.
        CheckpointError: the weights cannot be had. MissingExtraError: timm is not installed.
    """
    timm = require("timm", "export")
    with library_network(encoder, weights):
        name = f"{encoder}.{weights}" if weights else encoder
        features: Any = timm.create_model(name, features_only=True, pretrained=weights is not None)
    info = features.feature_info
    if info.reduction() != [2, 4, 8, 16, 32]:
        raise RecipeError(
            f"{family} takes an encoder with features at strides 2, 4, 8, 16 and 32; {encoder} has them at "
            f"{info.reduction()}"
        )
    return features, info.channels()


def separable(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """Depthwise and 1x1 convolution, each with normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, kernel, padding=kernel // 2, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def conv(in_channels: int, out_channels: int, *, norm: bool = True) -> nn.Sequential:
    """3x3 convolution, batch normalisation (or a bias), LeakyReLU 0.2.

    The normalisation stands between the two, where it folds into the convolution and costs nothing on the device.
    He initialisation (arXiv 1502.01852): torch's own loses a factor of 1.7 per layer, which a decoder without
    normalisation does not recover from.
    """
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=not norm)
    nn.init.kaiming_normal_(layer.weight, a=LEAKY_SLOPE)
    middle = [nn.BatchNorm2d(out_channels)] if norm else []
    return nn.Sequential(layer, *middle, nn.LeakyReLU(LEAKY_SLOPE))


def double_conv(in_channels: int, out_channels: int, *, norm: bool = True) -> nn.Sequential:
    """Two of ``conv``."""
    return nn.Sequential(conv(in_channels, out_channels, norm=norm), conv(out_channels, out_channels, norm=norm))


def upsample(x: Tensor, mode: Upsampling) -> Tensor:
    """Twice the height and width, on pixel centres: one ONNX Resize with constant scales, whatever the size."""
    align = None if mode == "nearest" else False
    return functional.interpolate(x, scale_factor=2.0, mode=mode, align_corners=align)


class UpBlock(nn.Module):
    """U-Net step up: twice the size, joined to the encoder's features of that size, two convolutions."""

    def __init__(
        self, in_channels: int, skip_channels: int, out_channels: int, *, mode: Upsampling, norm: bool
    ) -> None:
        super().__init__()
        self.mode: Upsampling = mode
        self.convs = double_conv(in_channels + skip_channels, out_channels, norm=norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """B x C x h x w and B x S x 2h x 2w -> B x out_channels x 2h x 2w."""
        joined: Tensor = self.convs(torch.cat([upsample(x, self.mode), skip], dim=1))
        return joined


class BoundedHead(nn.Module):
    """A last layer's x -> ``limit`` * sigmoid(x): positive and below ``limit``, in the limit's own unit.

    With y = limit * sigmoid(x), d ln(y) / dx = 1 - y / limit, which is at most 1. So noise in x, be it of FP16 or of
    an INT8 layer before it, moves the output by at most as much *relative* error, near and far alike. A linear
    layer or ReLU has the same *absolute* error at 0.5 m as at 10 m, the one can give depth below zero, and the other
    learns nothing from the pixels where it starts below zero. Sigmoid and Mul exist on every runtime and on the DLA.

    Args:
        layer: gives the one plane of x.
        limit: the largest value.

    Raises:
        RecipeError: the limit is not a positive number.
    """

    def __init__(self, layer: nn.Module, limit: float) -> None:
        super().__init__()
        if not (math.isfinite(limit) and limit > 0):
            raise RecipeError(f"a network's depth limit is a positive number of metres, found {limit}; change it")
        self.layer = layer
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        """What the layer takes -> B x 1 x h x w."""
        return torch.sigmoid(self.layer(x)) * self.limit


def start_at(layer: nn.Conv2d, fraction: float) -> nn.Conv2d:
    """Set a last layer's bias so that an untrained ``BoundedHead`` gives about ``fraction`` of its limit.

    Training then starts from a typical distance, not from the middle of the range. Returns the layer.
    """
    assert layer.bias is not None
    nn.init.constant_(layer.bias, math.log(fraction / (1 - fraction)))
    return layer
