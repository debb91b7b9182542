"""ZoeDepth: BEiT encoder, DPT decoder, metric bins head; metres.

Bhat et al., "ZoeDepth: Zero-shot Transfer by Combining Relative and Metric Depth", arXiv 2302.12288. The network is
that of transformers, with one head: the two-head checkpoint (NK) chooses a head by what it sees in the image, and a
graph without branches cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

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

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self._indices = _Indices()
        for module in list(self.model.modules()):
            for name, child in list(module.named_children()):
                if type(child).__name__ == "BeitRelativePositionBias":
                    setattr(module, name, _PositionBias(child, self._indices))

    def forward(self, image: Tensor) -> Tensor:
        """See DepthNetwork."""
        patch = self.hub_config.backbone_config.patch_size
        self._indices.prepare(image.shape[2] // patch, image.shape[3] // patch, image.device)
        return super().forward(image)

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


class _Indices:
    """Which entry of the table of relative positions each pair of tokens reads; the same in every layer.

    transformers computes it anew in every layer, which makes a graph of a thousand scatters. Here it is a constant of
    the graph, once the network has run at a size; at another size it is part of the graph. No module: a traced forward
    pass may set it.
    """

    def __init__(self) -> None:
        self.current = self._kept = torch.zeros(0, dtype=torch.int64)
        self._grid = (0, 0)

    def prepare(self, rows: int, columns: int, device: torch.device) -> None:
        if self._grid == (rows, columns) and self._kept.device == device:
            self.current = self._kept
            return
        self.current = _relative_positions(rows, columns, device)
        if not torch.compiler.is_compiling():
            self._grid, self._kept = (rows, columns), self.current


def _relative_positions(rows: int, columns: int, device: torch.device) -> Tensor:
    """Index (N + 1) x (N + 1) into a table of (2 rows - 1)(2 columns - 1) + 3 entries, N = rows * columns.

    Token 0 is the class token: the last three entries are from it, to it, and to itself (BEiT, arXiv 2106.08254).
    """
    entries = (2 * rows - 1) * (2 * columns - 1)
    row = torch.arange(rows, device=device).repeat_interleave(columns)
    column = torch.arange(columns, device=device).repeat(rows)
    down = row[:, None] - row[None, :] + rows - 1
    right = column[:, None] - column[None, :] + columns - 1
    index = functional.pad(down * (2 * columns - 1) + right, (1, 0), value=entries + 1)
    first = functional.pad(index.new_full((1, rows * columns), entries), (1, 0), value=entries + 2)
    return torch.cat([first, index])


class _PositionBias(nn.Module):
    """transformers' BeitRelativePositionBias, with the same weights, names and numbers, as one Gather."""

    def __init__(self, original: nn.Module, indices: _Indices) -> None:
        super().__init__()
        self.relative_position_bias_table = original.get_parameter("relative_position_bias_table")
        self.trained_grid: tuple[int, int] = tuple(original.window_size)  # type: ignore[arg-type]
        self._indices = indices

    def forward(self, window_size: tuple[int, int], *_: Any, **__: Any) -> Tensor:
        indices = self._indices.current
        height, width = (2 * tokens - 1 for tokens in self.trained_grid)
        size = [2 * tokens - 1 for tokens in window_size]
        table = self.relative_position_bias_table.t()
        grid = table[:, : height * width].reshape(1, -1, height, width)
        if size != [height, width]:
            grid = functional.interpolate(grid, size=size, mode="bilinear")
        table = torch.cat([grid.flatten(2)[0], table[:, height * width :]], dim=1)
        tokens = indices.shape[0]
        return table.index_select(1, indices.reshape(-1)).reshape(1, -1, tokens, tokens)


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
