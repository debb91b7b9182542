"""Training recipes: what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgedepth.errors import RecipeError
from edgedepth.export.recipe import load_recipe
from edgedepth.training.recipe import list_training_recipes, load_training_recipe

GOOD = """
name = "mine"
summary = "mine"
model = "resunet"
[data.rooms]
kind = "rgbd"
[[losses]]
name = "l1"
[[stages]]
name = "one"
data = ["rooms"]
epochs = 1
batch_size = 2
height = 64
width = 64
lr = 1e-3
"""


def read(tmp_path: Path, text: str):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_training_recipe(str(path))


def test_a_recipe_of_one_s_own_is_read(tmp_path: Path) -> None:
    recipe = read(tmp_path, GOOD)
    assert recipe.stages[0].schedule.name == "one-cycle"
    assert recipe.losses_of(recipe.stages[0])[0].key == "l1_depth"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs = 1", "epoch = 1", "did you mean stages.0.epochs?"),
        ('model = "resunet"', 'modle = "resunet"', "did you mean model?"),
        ('kind = "rgbd"', 'kind = "rgbd"\nsplits = "a"', "did you mean data.rooms.split?"),
        ('name = "l1"', 'name = "l1"\nwieght = 2.0', "did you mean losses.0.weight?"),
        ('model = "resunet"', 'model = "resnet"', "mine.toml: model: no export recipe 'resnet'; did you mean resunet?"),
        ('model = "resunet"', 'model = "vgg"', r"no export recipe 'vgg'; \['densedepth', "),
        ('kind = "rgbd"', 'kind = "rbgd"', "no data set kind 'rbgd'; did you mean rgbd?"),
        ('name = "l1"', 'name = "silgo"', "no loss 'silgo'; did you mean silog?"),
        ('name = "l1"', 'name = "silog"\noptions = { variance = 1 }', "has no option 'variance'"),
        ('data = ["rooms"]', 'data = ["room"]', r"no \[data.room\]; there are rooms"),
        ("[[losses]]", "[augment]\ncrop = [128, 64]\n[[losses]]", "crop .* is larger than 64x64"),
        ("lr = 1e-3", "lr = -1", "stages.0.lr"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_near(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(RecipeError, match=words):
        read(tmp_path, GOOD.replace(old, new))


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean resunet-diode"):
        load_training_recipe("resnet-diode")


def test_changes_of_the_command_line_are_checked_too() -> None:
    recipe = load_training_recipe("unetpp-nyu-diw")
    changed = recipe.with_stages(epochs=3, batch_size=None)
    assert [stage.epochs for stage in changed.stages] == [3, 3]
    assert [stage.batch_size for stage in changed.stages] == [32, 32]
    with pytest.raises(RecipeError, match="epochs"):
        recipe.with_stages(epochs=0)


@pytest.mark.parametrize("name", list_training_recipes())
def test_packaged_recipes_fit_their_networks_and_hold_out_by_group(name: str) -> None:
    recipe = load_training_recipe(name)
    model = load_recipe(recipe.model)
    for stage in recipe.stages:
        model.check_size(stage.height, stage.width)
    assert all(source.split != "test" for source in recipe.data.values()), "the test part is for reporting"
    assert all(source.validation.split != "test" for source in recipe.data.values())
