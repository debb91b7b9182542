"""Depth Anything V1 and V2: DINOv2 encoder, DPT decoder; disparity, or metres where fine-tuned for them.

Yang et al., "Depth Anything", arXiv 2401.10891, and "Depth Anything V2", arXiv 2406.09414. The network is that of
transformers; the two versions differ in which layers of the encoder feed the decoder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from edgedepth.errors import RecipeError
from edgedepth.models.base import DepthNetwork
from edgedepth.models.hub import HubNetwork, merged, variant_of, whole

__all__ = ["DepthAnything", "build"]


def _variant(hidden: int, layers: int, heads: int, fusion: int, neck: list[int]) -> dict[str, Any]:
    return {
        "backbone_config": {
            "model_type": "dinov2",
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "image_size": 518,
            "patch_size": 14,
            "apply_layernorm": True,
            "reshape_hidden_states": False,
        },
        "reassemble_hidden_size": hidden,
        "neck_hidden_sizes": neck,
        "fusion_hidden_size": fusion,
        "patch_size": 14,
    }


VARIANTS = {
    "small": _variant(384, 12, 6, 64, [48, 96, 192, 384]),
    "base": _variant(768, 12, 12, 128, [96, 192, 384, 768]),
    "large": _variant(1024, 24, 16, 256, [256, 512, 1024, 1024]),
}
FEATURE_LAYERS = {
    (1, 12): [9, 10, 11, 12],
    (1, 24): [21, 22, 23, 24],
    (2, 12): [3, 6, 9, 12],
    (2, 24): [5, 12, 18, 24],
}
"""Encoder layers the decoder reads, by version and number of layers."""


class DepthAnything(HubNetwork):
    """Disparity (ReLU), or metres (max_depth * sigmoid), at the input's size. Takes RGB of ImageNet's mean and std.

    The position embeddings are those of 518 x 518 and are interpolated to the size of the image: constants of the
    graph once the size is fixed.
    """

    model_type = "depth_anything"
    size_multiple = 14

    @property
    def encoder(self) -> nn.Module:
        """See DepthNetwork."""
        return self.model.get_submodule("backbone")

    @classmethod
    def facts(cls, config: Any) -> dict[str, Any]:
        """See HubNetwork."""
        metric = config.depth_estimation_type == "metric"
        return {
            "depth_estimation_type": config.depth_estimation_type,
            "max_depth": float(config.max_depth) if metric else None,
            "backbone_config.out_indices": list(config.backbone_config.out_indices),
            "backbone_config.num_attention_heads": config.backbone_config.num_attention_heads,
        }

    def renamed(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """From the names of the original repositories (``pretrained.blocks.0.attn.qkv.weight``, ``depth_head...``)."""
        if not all(name.startswith(("pretrained.", "depth_head.")) for name in weights):
            return None
        result: dict[str, Tensor] = {}
        for name, value in weights.items():
            new = name
            for pattern, replacement in _ORIGINAL_NAMES:
                new = re.sub(pattern, replacement, new)
            new = re.sub(r"refinenet(\d)", lambda match: f"layers.{4 - int(match[1])}", new)
            new = re.sub(r"layer(\d)_rn", lambda match: f"{int(match[1]) - 1}", new)
            if "attn.qkv" in new:  # one matrix of three, in this order
                for part, tensor in zip(("query", "key", "value"), value.chunk(3), strict=True):
                    result[new.replace("attn.qkv", f"attention.attention.{part}")] = tensor
            else:
                result[new] = value
        return result


# Applied in this order. The names on the right are those of the files on the hub.
_ORIGINAL_NAMES = (
    (r"^pretrained\.blocks\.", "backbone.encoder.layer."),
    (r"^pretrained\.(cls_token|mask_token)$", r"backbone.embeddings.\1"),
    (r"^pretrained\.pos_embed$", "backbone.embeddings.position_embeddings"),
    (r"^pretrained\.patch_embed\.proj\.", "backbone.embeddings.patch_embeddings.projection."),
    (r"^pretrained\.norm\.", "backbone.layernorm."),
    (r"\.ls(\d)\.gamma$", r".layer_scale\1.lambda1"),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"^depth_head\.projects\.(\d)\.", r"neck.reassemble_stage.layers.\1.projection."),
    (r"^depth_head\.resize_layers\.(\d)\.", r"neck.reassemble_stage.layers.\1.resize."),
    (r"^depth_head\.scratch\.(?=layer\d_rn)", "neck.convs."),
    (r"^depth_head\.scratch\.(?=refinenet)", "neck.fusion_stage."),
    (r"^depth_head\.scratch\.output_conv1\.", "head.conv1."),
    (r"^depth_head\.scratch\.output_conv2\.0\.", "head.conv2."),
    (r"^depth_head\.scratch\.output_conv2\.2\.", "head.conv3."),
    (r"\.out_conv\.", ".projection."),
    (r"\.resConfUnit(\d)\.conv(\d)\.", r".residual_layer\1.convolution\2."),
)


def build(
    variant: str = "small",
    version: int = 2,
    max_depth_m: float | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> DepthNetwork:
    """A Depth Anything network with random weights.

    Args:
        variant: small (25 M weights), base (97 M) or large (335 M).
        version: 1 or 2.
        max_depth_m: for the metric checkpoints, the depth that the sigmoid's 1 stands for (indoor 20, outdoor 80);
            None builds the relative network, whose output is disparity.
        overrides: keys of transformers' DepthAnythingConfig that differ from the published checkpoints.
    """
    config = variant_of(VARIANTS, variant, "depth_anything")
    layers = FEATURE_LAYERS.get((version, config["backbone_config"]["num_hidden_layers"]))
    if layers is None:
        raise RecipeError(f"Depth Anything has versions 1 and 2, found {version!r}")
    config["backbone_config"]["out_indices"] = layers
    if max_depth_m is not None:
        config |= {"depth_estimation_type": "metric", "max_depth": whole(max_depth_m)}
    return DepthAnything(merged(config, overrides))
