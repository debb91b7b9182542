"""Rendered rooms as a data set, and small networks to train on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edgedepth.bundle.spec import InputSpec, OutputSpec
from edgedepth.data import Entry, Listed, OrdinalPairs, Sample, subset
from edgedepth.data.base import DepthFacts
from edgedepth.export.recipe import load_recipe
from edgedepth.synthetic.render import Renderer
from edgedepth.synthetic.scene import default_scene
from edgedepth.training.network import ModelSetup
from edgedepth.training.recipe import DataSource, TrainingRecipe
from edgedepth.training.sources import TrainingData

FACTS = DepthFacts("rendered metres", 1.0, (0.1, 20.0), 30.0)


class Rooms(Listed[Entry]):
    """Views of rendered rooms; every group is a scene of its own. ``broken``: ids that cannot be read."""

    def __init__(self, count: int, width: int = 96, height: int = 64, *, pairs: int = 0, first: int = 0,
                 broken: tuple[int, ...] = (), has_depth: bool = True) -> None:  # fmt: skip
        entries = [Entry(f"room{number:03d}", f"scene{number}") for number in range(first, first + count)]
        super().__init__("rgbd", "rooms", entries, FACTS)
        self.made: dict[int, Sample] = {}
        self.size, self.pairs, self.broken, self.has_depth = (width, height), pairs, broken, has_depth

    def load(self, entry: Entry) -> Sample:
        number = int(entry.id[4:])
        if number in self.broken:
            raise OSError(5, "broken on purpose", entry.id)
        if number not in self.made:
            self.made[number] = self.render(entry, number)
        return self.made[number]

    def render(self, entry: Entry, number: int) -> Sample:
        scene = default_scene(*self.size)
        angle = 25.0 * np.sin(2.4 * number)
        camera = replace(scene.camera, yaw_deg=float(angle), pitch_deg=4.0 * (number % 5), height_m=1.0 + 0.1 * number)
        frame = Renderer(replace(scene, camera=camera)).render(0.7 * number).frame()
        assert frame.depth_m is not None
        pairs = None
        if self.pairs:
            random = np.random.default_rng(number)
            points = random.integers(0, self.size, (2, self.pairs, 2))
            near, far = (frame.depth_m[p[:, 1], p[:, 0]] for p in points)
            pairs = OrdinalPairs(points[0].astype(float), points[1].astype(float), np.sign(near - far).astype(np.int8))
        return Sample(frame.image, frame.depth_m if self.has_depth else None, frame.intrinsics, entry.id, entry.group,
                      pairs=pairs)  # fmt: skip


def rooms(count: int, *, times: int = 1, **keys: Any) -> TrainingData:
    """The same rooms to train and to validate on. ``times``: so often they come in an epoch."""
    made = Rooms(count, **keys)
    source = DataSource(kind="rgbd", min_depth_m=0.1, max_depth_m=10.0)
    return TrainingData(source, subset(made, [*range(count)] * times), made)


def setup_of(model: str, **config: Any) -> ModelSetup:
    """What the export recipe says, with another config."""
    recipe = load_recipe(model)
    return ModelSetup(
        recipe.name, recipe.model.family, recipe.input, recipe.output, {**recipe.model.config, **config},
        recipe.model.size_multiple,
    )  # fmt: skip


def tiny_setup() -> ModelSetup:
    """A residual U-Net of a few thousand weights."""
    return ModelSetup(
        "resunet", "resunet", InputSpec(height=32, width=48), OutputSpec(kind="metric", valid_range_m=(0.1, 10.0)),
        {"channels": [8, 16, 32]}, 4,
    )  # fmt: skip


def recipe_of(model: str = "resunet", *, losses: tuple[dict[str, Any], ...] = ({"name": "l1", "space": "log"},),
              stage: dict[str, Any] | None = None, **keys: Any) -> TrainingRecipe:  # fmt: skip
    """A recipe of one stage on rooms."""
    stages = [{"name": "rooms", "data": ["rooms"], "epochs": 2, "batch_size": 4, "height": 32, "width": 48, "lr": 1e-3,
               **(stage or {})}]  # fmt: skip
    content = {"name": "test", "summary": "a test", "model": model, "data": {"rooms": {"kind": "rgbd"}},
               "losses": losses, "stages": stages, **keys}  # fmt: skip
    return TrainingRecipe.model_validate(content)
