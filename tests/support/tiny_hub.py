"""The transformers families at a size that runs in milliseconds: the true wiring, few channels and layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

_DINO = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 70,
    "out_indices": [1, 2, 3, 4],
}
_PATCH_ENCODER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}

OVERRIDES: dict[str, dict[str, Any]] = {
    "glpn": {
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 2, 1],
        "num_attention_heads": [1, 2, 3, 4],
        "decoder_hidden_size": 16,
    },
    "depth_anything": {
        "backbone_config": _DINO,
        "reassemble_hidden_size": 32,
        "neck_hidden_sizes": [8, 16, 32, 32],
        "fusion_hidden_size": 16,
        "head_hidden_size": 8,
    },
    "zoedepth": {
        "backbone_config": {
            "image_size": 64,
            "num_hidden_layers": 4,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_attention_heads": 2,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        "neck_hidden_sizes": [8, 16, 32, 32],
        "fusion_hidden_size": 16,
        "bottleneck_features": 16,
        "num_relative_features": 8,
        "bin_embedding_dim": 16,
        "num_attractors": [4, 3, 2, 1],
        "bin_configurations": [{"name": "nyu", "n_bins": 8, "min_depth": 1e-3, "max_depth": 10.0}],
    },
    "dpt": {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": 64,
        "backbone_featmap_shape": [1, 64, 4, 4],
        "neck_hidden_sizes": [16, 32, 32, 32],
        "fusion_hidden_size": 16,
        "backbone_out_indices": [0, 1, 2, 3],
        "backbone_config": {"depths": [1, 1, 1], "hidden_sizes": [16, 32, 64], "embedding_size": 16, "num_groups": 4},
    },
    "depth_pro": {
        "image_model_config": _PATCH_ENCODER,
        "patch_model_config": _PATCH_ENCODER,
        "fov_model_config": _PATCH_ENCODER,
        "patch_size": 32,
        "fusion_hidden_size": 16,
        "intermediate_hook_ids": [1, 0],
        "intermediate_feature_dims": [16, 16],
        "scaled_images_feature_dims": [32, 32, 16],
        "merge_padding_value": 1,
    },
}
"""Overrides of each family's ``build``."""

SIZES = {"glpn": (64, 96), "depth_anything": (42, 56), "zoedepth": (64, 96), "dpt": (64, 64), "depth_pro": (128, 128)}
"""Height and width; where a family allows it, other than square."""

# The same networks as transformers' own configurations state them, so that what is compared has another source.
_CONFIGS = {
    "glpn": lambda: transformers.GLPNConfig(
        hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1], num_attention_heads=[1, 2, 3, 4], decoder_hidden_size=16
    ),
    "depth_anything": lambda: transformers.DepthAnythingConfig(
        backbone_config=transformers.Dinov2Config(
            **_DINO, patch_size=14, apply_layernorm=True, reshape_hidden_states=False
        ),
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16,
        head_hidden_size=8,
        patch_size=14,
    ),
    "zoedepth": lambda: transformers.ZoeDepthConfig(
        **{key: value for key, value in OVERRIDES["zoedepth"].items() if key != "backbone_config"},
        backbone_config=transformers.BeitConfig(
            **OVERRIDES["zoedepth"]["backbone_config"],
            patch_size=16,
            use_relative_position_bias=True,
            reshape_hidden_states=False,
        ),
    ),
    "dpt": lambda: transformers.DPTConfig(
        **{key: value for key, value in OVERRIDES["dpt"].items() if key != "backbone_config"},
        is_hybrid=True,
        reassemble_factors=[1, 1, 1, 0.5],
        backbone_config=transformers.BitConfig(
            **OVERRIDES["dpt"]["backbone_config"],
            global_padding="same",
            layer_type="bottleneck",
            out_features=["stage1", "stage2", "stage3"],
            embedding_dynamic_padding=True,
        ),
    ),
    "depth_pro": lambda: transformers.DepthProConfig(
        **OVERRIDES["depth_pro"]
        | {f"{part}_model_config": {**_PATCH_ENCODER, "use_mask_token": False} for part in ("image", "patch", "fov")},
        use_fov_model=False,
    ),
}


def reference(family: str, seed: int = 1) -> nn.Module:
    """transformers' own tiny model, every weight drawn so that it matters."""
    with quiet_transformers():
        model = transformers.AutoModelForDepthEstimation.from_config(_CONFIGS[family]())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0, generator=generator)
    return model.eval()


def saved(family: str, folder: Path, seed: int = 1, **kwargs: Any) -> tuple[Path, nn.Module]:
    """A folder as on the hub, and the model it holds."""
    model = reference(family, seed)
    with quiet_transformers():
        model.save_pretrained(folder, **kwargs)
    return folder, model


def answer(model: nn.Module, image: Tensor) -> Tensor:
    """transformers' own depth, B x h x w."""
    with torch.inference_mode():
        depth: Tensor = model(pixel_values=image).predicted_depth
    return depth


def picture(height: int, width: int, batch: int = 1, seed: int = 3) -> Tensor:
    return torch.randn((batch, 3, height, width), generator=torch.Generator().manual_seed(seed))


@contextmanager
def quiet_transformers() -> Iterator[None]:
    logging = transformers.utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity_warning()
        logging.enable_progress_bar()
