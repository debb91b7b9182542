"""LR-ASPP on MobileNetV3-Large: two scales of features, one gated by global pooling, and no decoder.

Howard et al., "Searching for MobileNetV3", arXiv 1905.02244, as torchvision builds it (dilated, features at strides 8
and 16), with one class whose logit goes through ``BoundedHead`` and is then enlarged: what is interpolated is metres.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.segmentation import lraspp as torchvision_lraspp

from edgedepth.models.base import DepthNetwork
from edgedepth.models.blocks import BoundedHead, library_network, start_at

__all__ = ["LRASPP", "build"]

START = 0.25


def build(encoder_weights: str | None = None, max_depth_m: float = 10.0) -> LRASPP:
    """LR-ASPP with random weights.

    Args:
        encoder_weights: torchvision's name of ImageNet weights of MobileNetV3-Large ("IMAGENET1K_V1"); fetched where
            they are not cached.
        max_depth_m: the largest depth the network can give.

    Raises:
        RecipeError: an argument that cannot be.
        CheckpointError: the encoder weights cannot be had.
    """
    with library_network("mobilenet_v3_large", encoder_weights):
        network = torchvision_lraspp.lraspp_mobilenet_v3_large(
            weights=None, weights_backbone=encoder_weights, num_classes=1
        )
    return LRASPP(network, max_depth_m)


class LRASPP(DepthNetwork):
    """See the module. ``forward``: B x 3 x H x W -> B x 1 x H x W, metres; detail no finer than 8 pixels."""

    size_multiple = 16

    def __init__(self, network: torchvision_lraspp.LRASPP, max_depth_m: float) -> None:
        super().__init__()
        self.backbone: nn.Module = network.backbone
        start_at(network.classifier.high_classifier, START)
        self.head = BoundedHead(network.classifier, max_depth_m)

    @property
    def encoder(self) -> nn.Module:
        """The MobileNetV3 without its classifier."""
        return self.backbone

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        return functional.interpolate(
            self.head(self.backbone(image)), scale_factor=8.0, mode="bilinear", align_corners=False
        )
