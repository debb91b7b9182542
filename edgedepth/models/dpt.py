"""DPT (MiDaS 3.0): vision transformer encoder, convolutional decoder; disparity.

Ranftl et al., "Vision Transformers for Dense Prediction", arXiv 2103.13413. The network is that of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from edgedepth.models.base import DepthNetwork
from edgedepth.models.hub import HubNetwork, merged, variant_of

__all__ = ["DPT", "build"]

VARIANTS: dict[str, dict[str, Any]] = {
    "hybrid": {
        "is_hybrid": True,
        "backbone_config": {
            "model_type": "bit",
            "global_padding": "same",
            "layer_type": "bottleneck",
            "depths": [3, 4, 9],
            "out_features": ["stage1", "stage2", "stage3"],
            "embedding_dynamic_padding": True,
        },
        "hidden_size": 768,
        "reassemble_factors": [1, 1, 1, 0.5],
        "neck_hidden_sizes": [256, 512, 768, 768],
        "backbone_out_indices": [2, 5, 8, 11],
        "image_size": 384,
        "patch_size": 16,
    },
    "large": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "neck_hidden_sizes": [256, 512, 1024, 1024],
        "backbone_out_indices": [5, 11, 17, 23],
        "image_size": 384,
        "patch_size": 16,
    },
}


class DPT(HubNetwork):
    """Disparity (ReLU) at the input's size. Takes RGB of mean 0.5 and std 0.5, of one square size alone."""

    model_type = "dpt"
    size_multiple = 384

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        # transformers reads the token grid as a square, and the hybrid refuses every size but its own.
        self.size_multiple = int(self.hub_config.image_size)

    @property
    def encoder(self) -> nn.Module:
        """See DepthNetwork."""
        return self.model.get_submodule("dpt")

    @classmethod
    def facts(cls, config: Any) -> dict[str, Any]:
        """See HubNetwork."""
        return {
            "is_hybrid": bool(config.is_hybrid),
            "readout_type": config.readout_type,
            "reassemble_factors": [float(factor) for factor in config.reassemble_factors],
            "backbone_out_indices": list(config.backbone_out_indices),
            "num_attention_heads": config.num_attention_heads,
            "add_projection": bool(config.add_projection),
        }


def build(variant: str = "hybrid", overrides: Mapping[str, Any] | None = None) -> DepthNetwork:
    """A DPT network with random weights.

    Args:
        variant: hybrid (ResNet stem and ViT-B, 123 M weights) or large (ViT-L, 343 M).
        overrides: keys of transformers' DPTConfig that differ from the published checkpoints.
    """
    return DPT(merged(variant_of(VARIANTS, variant, "dpt"), overrides))
