"""Training recipes: ``export/training/<name>.toml``. One says how the network of one export recipe is trained.

A recipe is data. This module loads no torch, so that recipes can be listed and checked anywhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edgedepth.data import KINDS
from edgedepth.documents import SUFFIXES, read_document
from edgedepth.errors import InputError, RecipeError
from edgedepth.resources import find_resource, list_resources

__all__ = [
    "LOSS_OPTIONS", "Augmentation", "DataSource", "LossTerm", "Schedule", "Space", "Stage", "TrainingRecipe",
    "list_training_recipes", "load_training_recipe",
]  # fmt: skip

FOLDER = "export/training"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0)]

Space = Literal["depth", "log", "inverse"]
"""What a loss compares: metres, ln(metres), or 1/metres."""

LOSS_OPTIONS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "l1": {},
        "mse": {},
        "berhu": {"share": 0.2},
        "ssim": {"data_range": 0.0},
        "gradient": {},
        "smoothness": {},
        "silog": {"variance_focus": 0.5},
        "scale-shift-invariant": {"gradient_weight": 0.5, "scales": 4},
        "ordinal": {},
        "person": {},
    }
)
"""The losses there are, with their options and defaults; the formulae stand in edgedepth/training/losses.py."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Validation(_Section):
    """What a data set is validated on. Exactly one of the two."""

    fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the frames, by whole subjects or scenes, that training never sees."""
    split: str | None = None
    """A split of the data set that is not the one the results will be reported on."""

    @model_validator(mode="after")
    def _one(self) -> Validation:
        if (self.fraction is None) == (self.split is None):
            raise ValueError("validation is either a fraction or a split")
        return self


class DataSource(_Section):
    """One data set."""

    kind: str
    """A format of ``edgedepth.data.KINDS``."""
    split: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the reader."""
    min_depth_m: Positive = 0.1
    max_depth_m: Positive = 10.0
    """Depth outside of the two is not learnt from."""
    per_epoch: Count | None = None
    """Samples drawn in each epoch at most, others in the next; None takes all."""
    validation: Validation = Validation(fraction=0.1)

    @model_validator(mode="after")
    def _can_be(self) -> DataSource:
        if self.kind not in KINDS:
            near = difflib.get_close_matches(self.kind, KINDS, n=1)
            raise ValueError(f"no data set kind {self.kind!r}; {f'did you mean {near[0]}?' if near else list(KINDS)}")
        if not self.min_depth_m < self.max_depth_m:
            raise ValueError(f"min_depth_m < max_depth_m, found {self.min_depth_m} and {self.max_depth_m}")
        return self


class LossTerm(_Section):
    """One loss of the weighted sum."""

    name: str
    """A key of LOSS_OPTIONS."""
    weight: Positive = 1.0
    space: Space = "depth"
    options: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> LossTerm:
        if self.name not in LOSS_OPTIONS:
            near = difflib.get_close_matches(self.name, LOSS_OPTIONS, n=1)
            raise ValueError(f"no loss {self.name!r}; {f'did you mean {near[0]}?' if near else list(LOSS_OPTIONS)}")
        known = LOSS_OPTIONS[self.name]
        for key in self.options:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known) or 'none'}"
                raise ValueError(f"the {self.name} loss has no option {key!r}; {hint}")
        if self.name == "person" and self.space != "depth":
            raise ValueError("the person loss compares probabilities; leave space out")
        if self.name == "silog" and self.space != "depth":
            raise ValueError("silog takes the logarithm itself: space is depth")
        return self

    @property
    def key(self) -> str:
        """Its name in logs."""
        return self.name if self.name == "person" else f"{self.name}_{self.space}"


class Colour(_Section):
    """Changes of the picture alone: each factor is drawn from 1 - x .. 1 + x, the hue from -x .. x turns."""

    probability: Share = 0.5
    brightness: Share = 0.0
    contrast: Share = 0.0
    gamma: Share = 0.0
    saturation: Share = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    channel_shuffle: Share = 0.0
    """Probability of another order of the channels."""


class Augmentation(_Section):
    """What is varied from epoch to epoch; all off by default. The camera moves with the picture."""

    flip: Share = 0.0
    """Probability of a mirrored picture."""
    aspect: tuple[Positive, Positive] | None = None
    """Half of the pictures are cut to a width over height drawn from this range: cameras are 4:3, 16:9, upright."""
    zoom: Annotated[float, Field(ge=1, le=4)] = 1.0
    """Largest enlargement; depth is divided by it, as it is for the same camera nearer to the scene."""
    crop: tuple[Count, Count] | None = None
    """Height and width cut at random out of the stage's size, not rescaled: the focal length stays what it is."""
    colour: Colour | None = None
    cutdepth: Share = 0.0
    """Probability of Vertical CutDepth (arXiv 2107.07684)."""


class Schedule(_Section):
    """The learning rate over a stage."""

    name: Literal["one-cycle", "constant"] = "one-cycle"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of the stage in which the rate rises. Rise and fall are half cosines."""
    start: Annotated[float, Field(gt=0, le=1)] = 0.04
    """First rate as a share of the highest."""
    end: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Last rate as a share of the highest."""


class Stage(_Section):
    """A part of the training with its data, size and learning rate. The optimiser starts anew with each."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    data: tuple[str, ...] = Field(min_length=1)
    """Names of the recipe's [data] that are mixed."""
    epochs: Count
    batch_size: Count
    """Images per step, over all processes, accumulated ones not counted."""
    accumulate: Count = 1
    """Batches whose gradients make one step."""
    height: Count
    width: Count
    lr: Positive
    schedule: Schedule = Schedule()
    freeze_encoder: bool = False
    encoder_lr: Share = 1.0
    """Learning rate of the encoder as a share of ``lr``."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Further factor per block of the encoder, from its last to its first."""
    losses: tuple[LossTerm, ...] | None = None
    """None takes the recipe's; the same for ``augment``."""
    augment: Augmentation | None = None


class Optimizer(_Section):
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101). Biases and normalisations do not decay."""

    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Positive | None = 1.0
    """Largest norm of the gradient; None does not clip."""


class Start(_Section):
    """The weights training starts from: at most one of the two; neither is random."""

    encoder_weights: str | None = None
    """ImageNet weights of the encoder, as the family's ``build`` names them."""
    checkpoint: str | None = None
    """Hub id of the whole network."""

    @model_validator(mode="after")
    def _one(self) -> Start:
        if self.encoder_weights and self.checkpoint:
            raise ValueError("encoder_weights or checkpoint, not both")
        return self


class TrainingRecipe(_Section):
    """How one network is trained."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """The file's name without ``.toml``."""
    summary: str = Field(min_length=1)
    model: str
    """The export recipe of the network: its architecture, its input and what its output means."""
    start: Start = Start()
    data: dict[str, DataSource] = Field(min_length=1)
    losses: tuple[LossTerm, ...] = Field(min_length=1)
    augment: Augmentation = Augmentation()
    optimizer: Optimizer = Optimizer()
    stages: tuple[Stage, ...] = Field(min_length=1)
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the averaged weights, which are those kept; 0 keeps the plain ones."""
    freeze_batch_norm: bool = False
    """Keep the running statistics: for fine-tuning with few images per process."""
    join_batch_norm: bool = True
    """Batch normalisation sees the images of all processes; False: of its own, which is faster on a CPU."""
    batch_norm_momentum: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of each batch in the running statistics; None keeps the network's. Some libraries' 0.01 is for hundreds of
    thousands of steps: in a short training the statistics lag behind the weights, and validation is far worse."""
    precision: Literal["mixed", "bf16", "fp32"] = "mixed"
    """mixed: bfloat16 on GPUs that have it, else float16; on a CPU float32. bf16: on CPUs too, twice as fast where
    they have instructions for it (AVX-512 BF16, AMX) and much slower where not."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @field_validator("model")
    @classmethod
    def _known_model(cls, name: str) -> str:
        known = list_resources("export")
        if not name.endswith(SUFFIXES) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ValueError(f"no export recipe {name!r}; {f'did you mean {near[0]}?' if near else list(known)}")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> TrainingRecipe:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages have different names, found {', '.join(names)}")
        for stage in self.stages:
            for name in stage.data:
                if name not in self.data:
                    raise ValueError(f"stage {stage.name}: no [data.{name}]; there are {', '.join(self.data)}")
            crop = self.augment_of(stage).crop
            if crop and (crop[0] > stage.height or crop[1] > stage.width):
                raise ValueError(f"stage {stage.name}: crop {crop} is larger than {stage.height}x{stage.width}")
        unused = [name for name in self.data if not any(name in stage.data for stage in self.stages)]
        if unused:
            raise ValueError(f"[data.{unused[0]}] belongs to no stage")
        return self

    def losses_of(self, stage: Stage) -> tuple[LossTerm, ...]:
        """The losses of one of the stages."""
        return self.losses if stage.losses is None else stage.losses

    def augment_of(self, stage: Stage) -> Augmentation:
        """The augmentation of one of the stages."""
        return self.augment if stage.augment is None else stage.augment

    def with_stages(self, **changes: Any) -> TrainingRecipe:
        """The same recipe with these keys of every stage changed; those that are None are not.

        Raises:
            RecipeError: a value that cannot be.
        """
        given = {key: value for key, value in changes.items() if value is not None}
        data = self.model_dump()
        data["stages"] = [stage | given for stage in data["stages"]]
        try:
            return TrainingRecipe.model_validate(data)
        except ValueError as error:
            raise RecipeError(f"{self.name}: {error}") from error


def list_training_recipes() -> dict[str, TrainingRecipe]:
    """Every packaged recipe by name. Raises RecipeError when one is malformed."""
    return {name: _read(path) for name, path in list_resources(FOLDER).items()}


def load_training_recipe(name: str) -> TrainingRecipe:
    """The packaged recipe ``name``, or the one in a ``.toml`` or ``.json`` file.

    Raises:
        RecipeError: there is none of that name (lists those there are), or it is malformed; an unknown key names the
            nearest valid one.
    """
    if name.endswith(SUFFIXES):
        return _read(Path(name))
    try:
        path = find_resource(FOLDER, name)
    except InputError as error:
        known = list_resources(FOLDER)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "or give a recipe.toml"
        raise RecipeError(f"no training recipe {name!r}; there are: {', '.join(known)}; {hint}") from error
    return _read(path)


def _read(path: Path) -> TrainingRecipe:
    recipe = read_document(path, TrainingRecipe, what="training recipe", error=RecipeError)
    if recipe.name != path.stem:
        raise RecipeError(f"{path}: name is {recipe.name!r}; it must be the file's own, {path.stem!r}")
    return recipe
