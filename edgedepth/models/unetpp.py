"""U-Net++: nested, densely joined skips between encoder and decoder.

Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", arXiv 1807.10165, as
segmentation-models-pytorch builds it, with one class whose logit goes through ``BoundedHead``.
"""

from __future__ import annotations

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from edgedepth.models.base import DepthNetwork
from edgedepth.models.blocks import BoundedHead, library_network, start_at

__all__ = ["UNetPlusPlus", "build"]

START = 0.25


def build(encoder: str = "resnet34", encoder_weights: str | None = None, max_depth_m: float = 10.0) -> UNetPlusPlus:
    """U-Net++ with random weights.

    Args:
        encoder: any encoder of segmentation-models-pytorch, "tu-" and a timm name included.
        encoder_weights: that library's name of weights ("imagenet"); fetched where they are not cached.
        max_depth_m: the largest depth the network can give.

    Raises:
        RecipeError: an argument that cannot be.
        CheckpointError: the encoder weights cannot be had.
    """
    with library_network(encoder, encoder_weights):
        network = smp.UnetPlusPlus(encoder, encoder_weights=encoder_weights, classes=1)
    return UNetPlusPlus(network, max_depth_m)


class UNetPlusPlus(DepthNetwork):
    """See the module. ``forward``: B x 3 x H x W -> B x 1 x H x W, metres."""

    size_multiple = 32

    def __init__(self, network: nn.Module, max_depth_m: float) -> None:
        super().__init__()
        self.head = BoundedHead(network, max_depth_m)
        start_at(network.segmentation_head[0], START)  # type: ignore[index,arg-type]

    @property
    def encoder(self) -> nn.Module:
        """The encoder of segmentation-models-pytorch."""
        encoder: nn.Module = self.head.layer.encoder  # type: ignore[assignment]
        return encoder

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        depth: Tensor = self.head(image)
        return depth
