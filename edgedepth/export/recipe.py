"""Export recipes: ``export/<model>.toml``. One says everything about one exportable model except its weights.

A recipe is data: a new checkpoint of a known family is one more TOML. This module loads no torch, so that
``edgedepth models`` works on a device.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgedepth.bundle.spec import InputSpec, License, OutputSpec, PersonSpec, Precision
from edgedepth.documents import SUFFIXES, read_document
from edgedepth.errors import InputError, RecipeError
from edgedepth.resources import find_resource, list_resources

__all__ = ["DEFAULT_RECIPE", "PrecisionNotes", "Recipe", "Weights", "list_recipes", "load_recipe", "read_recipe"]

FOLDER = "export"
DEFAULT_RECIPE = "fastdepth"
"""What is exported when no model is named: the small network every device can run."""

Fraction = Annotated[float, Field(gt=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(_Section):
    """Which network: a family of ``edgedepth.models.FAMILIES`` and the keyword arguments of its ``build``."""

    family: str
    config: dict[str, Any] = Field(default_factory=dict)
    size_multiple: int = Field(default=32, gt=0)
    """Height and width must be multiples of it."""
    parameters: int = Field(gt=0)
    """Number of weights of the built network; a test compares."""
    gflops: float = Field(gt=0)
    """Two times the multiply-adds of one forward pass at the default size, in 1e9; a test compares within 5 %."""


class Weights(_Section):
    """Where trained weights come from. None ships with the package."""

    hub_id: str | None = None
    """Model id on the Hugging Face hub, for families that load transformers folders."""
    url: str | None = None
    """Page where the checkpoint is offered."""
    training_data: str | None = None
    license: License = License()


class PrecisionNotes(_Section):
    """What is known of the model's behaviour in each precision."""

    default: Precision = "fp16"
    """What ``edgedepth export`` makes when no precision is asked for."""
    int8: bool = True
    """False where INT8 brings nothing (vision transformers); ``--int8`` is then refused unless insisted on."""
    reason: str | None = None
    """Why the default is what it is; printed by export. Required when ``int8`` is False."""
    onnx_tolerance: Fraction = 1e-3
    """Largest relative difference of the FP32 graph from torch, on the golden frames."""
    fp16_tolerance: Fraction = 1e-2
    """Largest mean relative difference of the FP16 graph from the FP32 one."""

    @model_validator(mode="after")
    def _reasoned(self) -> PrecisionNotes:
        if not self.int8 and not self.reason:
            raise ValueError("int8 = false needs a reason")
        return self


class Recipe(_Section):
    """One exportable model."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """The file's name without ``.toml``."""
    summary: str = Field(min_length=1)
    model: Architecture
    weights: Weights = Weights()
    input: InputSpec
    output: OutputSpec
    person: PersonSpec | None = None
    precision: PrecisionNotes = PrecisionNotes()

    @model_validator(mode="after")
    def _sizes_fit(self) -> Recipe:
        self.check_size(self.input.height, self.input.width)
        return self

    def check_size(self, height: int, width: int) -> None:
        """Raises ValueError when the network cannot take this size."""
        step = self.model.size_multiple
        if height <= 0 or width <= 0 or height % step or width % step:
            below = [max(step, side // step * step) for side in (height, width)]
            raise ValueError(
                f"{self.name} takes heights and widths that are multiples of {step}, found {height}x{width}; "
                f"the next below is {below[0]}x{below[1]}"
            )

    def at_size(self, height: int, width: int) -> Recipe:
        """The same recipe for another input size.

        Raises:
            RecipeError: the network cannot take it.
        """
        try:
            self.check_size(height, width)
        except ValueError as error:
            raise RecipeError(str(error)) from error
        return self.model_copy(update={"input": self.input.model_copy(update={"height": height, "width": width})})


def list_recipes() -> dict[str, Recipe]:
    """Every packaged recipe by name. Raises RecipeError when one is malformed."""
    return {name: read_recipe(path) for name, path in list_resources(FOLDER).items()}


def load_recipe(name: str) -> Recipe:
    """The packaged recipe ``name``, or the one in a ``.toml`` or ``.json`` file.

    Raises:
        RecipeError: there is none of that name (lists those there are and names the nearest), or it is malformed.
    """
    if name.endswith(SUFFIXES):
        return read_recipe(Path(name))
    try:
        return read_recipe(find_resource(FOLDER, name))
    except RecipeError:
        raise
    except InputError as error:
        known = list_resources(FOLDER)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "or give a recipe.toml"
        raise RecipeError(f"no recipe {name!r}; there are: {', '.join(known) or 'none'}; {hint}") from error


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file. Raises RecipeError."""
    recipe = read_document(path, Recipe, what="recipe", error=RecipeError)
    if recipe.name != path.stem:
        raise RecipeError(f"{path}: name is {recipe.name!r}; it must be the file's own, {path.stem!r}")
    return recipe
