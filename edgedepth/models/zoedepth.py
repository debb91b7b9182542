"""ZoeDepth: BEiT encoder, DPT decoder, metric bins head; metres.

Bhat et al., "ZoeDepth: Zero-shot Transfer by Combining Relative and Metric Depth", arXiv 2302.12288. The network is
that of transformers, with one head: the two-head checkpoint (NK) chooses a head by what it sees in the image, and a
graph without branches cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from edgedepth.errors import RecipeError
from edgedepth.models.base import DepthNetwork
from edgedepth.models.hub import HubNetwork, merged

__all__ = ["ZoeDepth", "build"]

CONFIG: dict[str, Any] = {
    "backbone_config": {
        "model_type": "beit",
        "image_size": 384,
        "patch_size": 16,
        "num_hidden_layers": 24,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "use_relative_position_bias": True,
        "reshape_hidden_states": False,
        "out_features": ["stage6", "stage12", "stage18", "stage24"],
    },
    "neck_hidden_sizes": [256, 512, 1024, 1024],
    "bin_centers_type": "softplus",
    "bin_configurations": [{"name": "nyu", "n_bins": 64, "min_depth": 1e-3, "max_depth": 10.0}],
}


class ZoeDepth(HubNetwork):
    """Depth in metres at the input's size, a weighted sum of bin centres. Takes RGB of mean 0.5 and std 0.5."""

    model_type = "zoedepth"
    size_multiple = 32

    @property
    def encoder(self) -> nn.Module:
        """See DepthNetwork."""
        return self.model.get_submodule("backbone")

    @classmethod
    def facts(cls, config: Any) -> dict[str, Any]:
        """See HubNetwork."""
        keys = ("n_bins", "min_depth", "max_depth")
        return {
            "bin_configurations": [{key: float(bins[key]) for key in keys} for bins in config.bin_configurations],
            "bin_centers_type": config.bin_centers_type,
            "readout_type": config.readout_type,
            "backbone_config.out_indices": list(config.backbone_config.out_indices),
            "backbone_config.num_attention_heads": config.backbone_config.num_attention_heads,
        }


def build(overrides: Mapping[str, Any] | None = None) -> DepthNetwork:
    """A ZoeDepth (NYU) network with random weights.

    Args:
        overrides: keys of transformers' ZoeDepthConfig that differ from the published checkpoint.

    Raises:
        RecipeError: more than one head.
    """
    config = merged(CONFIG, overrides)
    heads = len(config["bin_configurations"])
    if heads != 1:
        raise RecipeError(
            f"a ZoeDepth graph has one head, found {heads} bin_configurations: with more, the image decides which head "
            "runs; export a one-head checkpoint (Intel/zoedepth-nyu, Intel/zoedepth-kitti)"
        )
    return ZoeDepth(config)
