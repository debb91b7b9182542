"""GLPN: hierarchical transformer encoder (MiT-B4), light decoder with selective feature fusion; metres.

Kim et al., "Global-Local Path Networks for Monocular Depth Estimation with Vertical CutDepth", arXiv 2201.07436.
The network is that of transformers; the configuration that of its published checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from edgedepth.models.base import DepthNetwork
from edgedepth.models.hub import HubNetwork, merged, whole

__all__ = ["GLPN", "build"]

CONFIG: dict[str, Any] = {
    "hidden_sizes": [64, 128, 320, 512],
    "depths": [3, 8, 27, 3],
    "num_attention_heads": [1, 2, 5, 8],
    "decoder_hidden_size": 64,
}


class GLPN(HubNetwork):
    """Depth in metres at the input's size: max_depth * sigmoid. Takes RGB in 0..1, without mean and std."""

    model_type = "glpn"
    size_multiple = 32

    @property
    def encoder(self) -> nn.Module:
        """See DepthNetwork."""
        return self.model.get_submodule("glpn")

    @classmethod
    def facts(cls, config: Any) -> dict[str, Any]:
        """See HubNetwork."""
        return {
            "max_depth": float(config.max_depth),
            "num_attention_heads": list(config.num_attention_heads),
            "strides": list(config.strides),
        }


def build(max_depth_m: float = 10.0, overrides: Mapping[str, Any] | None = None) -> DepthNetwork:
    """A GLPN with random weights.

    Args:
        max_depth_m: the depth that the sigmoid's 1 stands for (NYU 10, KITTI 80).
        overrides: keys of transformers' GLPNConfig that differ from the published checkpoints.
    """
    return GLPN(merged({**CONFIG, "max_depth": whole(max_depth_m)}, overrides))
