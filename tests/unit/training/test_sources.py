"""What a recipe is trained and validated on: parts that share no scene, and never the part results are reported on."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import write_diode, write_nyu_csv, write_nyu_mat, write_rgbd

from edgedepth.errors import DataError
from edgedepth.training.recipe import load_training_recipe
from edgedepth.training.sources import open_training_data

SCENES = ("kitchen_0001", "office_0002", "bath_0003", "den_0004")


def test_another_format_is_read_with_its_training_split(tmp_path: Path) -> None:
    """The recipe is of the csv files, whose split and options another format does not have."""
    write_nyu_mat(tmp_path, SCENES, train=(1, 3), test=(2, 4))
    recipe = load_training_recipe("densedepth-transfer")
    opened = open_training_data(recipe, {"nyu": tmp_path}, kinds={"nyu": "nyu-mat"})["nyu"]
    assert sorted({*opened.training.groups, *opened.validation.groups}) == ["bath_0003", "kitchen_0001"]
    assert (opened.source.kind, opened.source.split) == ("nyu-mat", "train")
    assert opened.source.max_depth_m == recipe.data["nyu"].max_depth_m
    write_rgbd(tmp_path / "own")
    own = open_training_data(recipe, {"nyu": tmp_path / "own"}, kinds={"nyu": "rgbd"})["nyu"]
    assert len(own.training) + len(own.validation) == 3, "a format without splits is taken whole"


def test_a_recipe_s_own_split_is_divided_by_scene(tmp_path: Path) -> None:
    write_nyu_csv(tmp_path, scenes=("kitchen_0001a", "kitchen_0001b", "office_0002"))
    opened = open_training_data(load_training_recipe("densedepth-transfer"), {"nyu": tmp_path})["nyu"]
    sides = {frozenset(opened.training.groups), frozenset(opened.validation.groups)}
    assert sides == {frozenset({"kitchen_0001"}), frozenset({"office_0002"})}


def test_data_that_is_missing_unknown_or_shared(tmp_path: Path) -> None:
    write_diode(tmp_path, split="train")
    recipe = load_training_recipe("resunet-diode")
    with pytest.raises(DataError, match=r"no folder of diode .* was given; add --data diode=PATH"):
        open_training_data(recipe, {})
    with pytest.raises(DataError, match="has no data set 'diod'; it has diode"):
        open_training_data(recipe, {"diod": tmp_path})
    with pytest.raises(DataError, match="share 2 subjects or scenes, such as scene_00000"):
        open_training_data(recipe, {"diode": tmp_path}, validation={"diode": tmp_path})
