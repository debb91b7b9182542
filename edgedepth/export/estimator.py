"""A checkpoint as an estimator, without exporting it first."""

from __future__ import annotations

from pathlib import Path

from edgedepth.depth import DepthEstimator
from edgedepth.export.recipe import load_recipe
from edgedepth.export.sources import NetworkSource

__all__ = ["open_checkpoint"]


def open_checkpoint(
    recipe: str,
    checkpoint: str | Path | None,
    *,
    size_hw: tuple[int, int] | None = None,
    device: str | None = None,
    allow_untrained: bool = False,
) -> DepthEstimator:
    """The network of an export recipe with trained weights, run by torch.

    Args:
        recipe: a packaged recipe's name, or a ``.toml``.
        checkpoint: as ``edgedepth export --checkpoint``; None = random weights, with ``allow_untrained``.
        size_hw: input height and width, instead of the recipe's.
        device: ``"cpu"``, ``"cuda"``; None = the CPU.
        allow_untrained: see DepthEstimator.

    Raises:
        RecipeError, CheckpointError, MissingExtraError: see ``NetworkSource.of_recipe``.
        NotMetricError: random weights, and it is not allowed.
    """
    chosen = load_recipe(recipe)
    if size_hw is not None:
        chosen = chosen.at_size(*size_hw)
    source = NetworkSource.of_recipe(chosen, checkpoint, random_init=checkpoint is None and allow_untrained)
    from edgedepth.models.backend import TorchBackend

    backend = TorchBackend(source.network, chosen.input.height, chosen.input.width, device=device)
    return DepthEstimator(source.spec, backend, allow_untrained=allow_untrained)
