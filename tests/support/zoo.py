"""The zoo's recipes at the smallest size that still says something, for tests in every run."""

from __future__ import annotations

from edgedepth.export.recipe import Recipe, list_recipes

_SIDE = 64
# True widths, a third of the encoder's layers: the others are the same again, and most of an export's time.
_FEWER_LAYERS = {"overrides": {"backbone_config": {"num_hidden_layers": 4, "out_indices": [1, 2, 3, 4]}}}


def small(name: str) -> Recipe:
    """About 64x64; transformers with four layers."""
    recipe = list_recipes()[name]
    side = -(-_SIDE // recipe.model.size_multiple) * recipe.model.size_multiple
    recipe = recipe.at_size(side, side)
    if recipe.model.family != "depth_anything":
        return recipe
    fewer = recipe.model.model_copy(update={"config": {**recipe.model.config, **_FEWER_LAYERS}})
    return recipe.model_copy(update={"model": fewer})
