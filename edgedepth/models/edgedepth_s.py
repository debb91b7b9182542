"""The project's own small network: metric depth in a canonical camera, and who of the picture is a person.

Encoder: MobileNetV4-Conv-Small (Qin et al., arXiv 2404.10518), chosen for having nothing but convolutions and ReLU: no
squeeze-and-excite, no hard-swish, so INT8 and every accelerator take it whole. Decoder: FastDepth's idea (arXiv
1903.03273), depthwise and 1x1 convolutions at the smaller size, nearest upsampling, additive skips; in addition the
mean of the deepest features, for a room's scale is a property of the whole picture. Depthwise kernels are 3x3: 5x5 cost
training on a CPU seven times as much. Both heads stand at half size and give four values a pixel, laid out by
depth-to-space (Shi et al., arXiv 1609.05158): edges are as sharp as the input's pixels for a quarter of the arithmetic.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from edgedepth.errors import RecipeError
from edgedepth.models.base import DepthNetwork
from edgedepth.models.blocks import BoundedHead, separable, start_at, strided_features, upsample

__all__ = ["EdgeDepthS", "build"]

HEAD_WIDTH = 16
START_DEPTH = 0.15
START_PERSON = 0.1


def build(
    encoder: str = "mobilenetv4_conv_small",
    encoder_weights: str | None = None,
    widths: tuple[int, int, int, int, int] = (192, 128, 96, 64, 32),
    refinements: tuple[int, int, int, int, int] = (2, 4, 2, 0, 0),
    max_depth_m: float = 25.0,
) -> EdgeDepthS:
    """The network with random weights.

    Args:
        encoder: a timm model with features at strides 2 to 32.
        encoder_weights: timm's tag of ImageNet weights; fetched where they are not cached.
        widths: channels of the decoder at strides 32, 16, 8, 4 and 2.
        refinements: residual blocks of the decoder at these strides.
        max_depth_m: the largest depth in the canonical camera.

    Raises:
        RecipeError: an argument that cannot be.
        CheckpointError: the encoder weights cannot be had.
    """
    for name, values in (("widths", widths), ("refinements", refinements)):
        if len(values) != 5:
            raise RecipeError(f"edgedepth_s takes five {name}, of strides 32 to 2, found {len(values)}")
    features, channels = strided_features("edgedepth_s", encoder, encoder_weights)
    return EdgeDepthS(features, channels, tuple(widths), tuple(refinements), max_depth_m)


class EdgeDepthS(DepthNetwork):
    """See the module. ``forward``: B x 3 x H x W -> depth and person, each B x 1 x H x W.

    Depth is in metres for a camera of the recipe's canonical focal length; person is a probability.
    """

    size_multiple = 32
    output_names = ("depth", "person")

    def __init__(
        self, features: nn.Module, channels: list[int], widths: tuple[int, ...], refinements: tuple[int, ...],
        max_depth_m: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.features = features
        deepest = channels[-1]
        self.bottom = nn.Conv2d(deepest, widths[0], 1)
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(deepest, widths[0], 1))
        self.skips = nn.ModuleList(nn.Conv2d(c, w, 1) for c, w in zip(channels[-2::-1], widths[1:], strict=True))
        self.refine = nn.ModuleList(
            nn.Sequential(*(Refinement(width) for _ in range(count)))
            for width, count in zip(widths, refinements, strict=True)
        )
        self.steps = nn.ModuleList(separable(a, b, 3) for a, b in pairwise(widths))
        self.last = nn.Sequential(
            nn.Conv2d(widths[-1], HEAD_WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(HEAD_WIDTH), nn.ReLU()
        )
        self.depth = BoundedHead(_four_per_pixel(START_DEPTH), max_depth_m)
        self.person = _four_per_pixel(START_PERSON)

    @property
    def encoder(self) -> nn.Module:
        """The MobileNetV4 without its classifier."""
        return self.features

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        *shallower, x = self.features(image)
        first, *others = self.refine
        x = first(self.bottom(x) + self.whole(x))
        for step, skip, features, refine in zip(self.steps, self.skips, reversed(shallower), others, strict=True):
            x = refine(upsample(step(x), "nearest") + skip(features))
        x = self.last(x)
        return self.depth(x), torch.sigmoid(self.person(x))


class Refinement(nn.Module):
    """Inverted residual (Sandler et al., arXiv 1801.04381), with nothing to add at the start: put into a network that
    is trained already, it leaves what that gives as it was."""

    def __init__(self, width: int, expansion: int = 2) -> None:
        super().__init__()
        inner = width * expansion
        *spread, norm, _ = separable(inner, width, 3)
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)
        self.layers = nn.Sequential(nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
                                    *spread, norm)  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w -> the same."""
        added: Tensor = x + self.layers(x)
        return added


def _four_per_pixel(start: float) -> nn.Sequential:
    """1x1 convolution to one plane of twice the height and width, about ``start`` after a sigmoid."""
    layer = start_at(nn.Conv2d(HEAD_WIDTH, 4, 1), start)
    nn.init.normal_(layer.weight, std=0.01)
    return nn.Sequential(layer, nn.PixelShuffle(2))
