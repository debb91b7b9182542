"""Depth Pro: two DINOv2-L encoders on 35 patches of a 1536 x 1536 image; inverse depth in a canonical camera.

Bochkovskii et al., "Depth Pro: Sharp Monocular Metric Depth in Less Than a Second", arXiv 2410.02073. The network is
that of transformers without its field-of-view head: the graph gives canonical inverse depth C, and metres follow from
the camera's focal length by the focal rule, Z = f_px / (1536 C) with f_px that of the 1536 pixels wide image (kind
metric, reciprocal, canonical_f_px = 1536 in a spec; exact for square images, which alone keep their shape).

There is no recipe for it: 648 M weights are 2.6 GB in FP32, more than the 2 GiB that one ONNX file holds, and 18.9
TFLOP per image are seconds on an embedded GPU. Networks of the family export at smaller configurations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from edgedepth.models.base import DepthNetwork
from edgedepth.models.hub import HubNetwork, merged

__all__ = ["DepthPro", "build"]

_ENCODER = {
    "model_type": "dinov2",
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 16,
    "use_mask_token": False,
}
CONFIG: dict[str, Any] = {
    "image_model_config": _ENCODER,
    "patch_model_config": _ENCODER,
    "fov_model_config": _ENCODER,
    "patch_size": 384,
    "use_fov_model": False,
}


class DepthPro(HubNetwork):
    """Canonical inverse depth at the input's size. Takes RGB of mean 0.5 and std 0.5, 1536 x 1536 alone."""

    model_type = "depth_pro"
    size_multiple = 1536

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.size_multiple = round(self.hub_config.patch_size / min(self.hub_config.scaled_images_ratios))

    @property
    def encoder(self) -> nn.Module:
        """See DepthNetwork."""
        return self.model.get_submodule("depth_pro.encoder")

    @classmethod
    def facts(cls, config: Any) -> dict[str, Any]:
        """See HubNetwork."""
        return {
            "intermediate_hook_ids": list(config.intermediate_hook_ids),
            "scaled_images_ratios": [float(ratio) for ratio in config.scaled_images_ratios],
            "scaled_images_overlap_ratios": [float(ratio) for ratio in config.scaled_images_overlap_ratios],
            "merge_padding_value": config.merge_padding_value,
            "image_model_config.num_attention_heads": config.image_model_config.num_attention_heads,
            "patch_model_config.num_attention_heads": config.patch_model_config.num_attention_heads,
        }


def build(overrides: Mapping[str, Any] | None = None) -> DepthNetwork:
    """A Depth Pro network with random weights (648 M).

    Args:
        overrides: keys of transformers' DepthProConfig that differ from the published checkpoint.
    """
    return DepthPro(merged(CONFIG, overrides))
