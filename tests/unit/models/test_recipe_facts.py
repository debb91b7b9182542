"""What every recipe states of its network is what the network is."""

from __future__ import annotations

import pytest
import torch

from edgedepth.export.recipe import list_recipes
from edgedepth.models import build_network
from edgedepth.models.measure import count_parameters, gflops

RECIPES = list_recipes()


@pytest.mark.parametrize("name", RECIPES)
def test_parameters_and_arithmetic_are_as_stated(name: str) -> None:
    recipe = RECIPES[name]
    with torch.device("meta"):  # shapes without numbers: no memory, no arithmetic
        network = build_network(recipe.model.family, recipe.model.config)
    assert count_parameters(network) == recipe.model.parameters
    assert gflops(network, recipe.input.height, recipe.input.width) == pytest.approx(recipe.model.gflops, rel=0.05)
    assert network.size_multiple == recipe.model.size_multiple
    assert count_parameters(network.encoder) > 0


def test_arithmetic_of_one_convolution_is_two_per_multiply_add() -> None:
    conv = torch.nn.Conv2d(3, 8, 3, padding=1)
    assert gflops(conv, 10, 20) == pytest.approx(2 * 10 * 20 * 8 * 3 * 9 / 1e9)
    assert count_parameters(conv) == 8 * 3 * 9 + 8
