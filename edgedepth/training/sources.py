"""The data a recipe is trained on: opened, divided by subject or scene, and named so that a record can tell it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedepth.data import KINDS, Dataset, open_dataset, require_unit, shared_groups, split_by_group
from edgedepth.errors import DataError
from edgedepth.training.recipe import DataSource, TrainingRecipe, Validation

__all__ = ["TrainingData", "open_training_data"]


@dataclass(frozen=True)
class TrainingData:
    """One of a recipe's data sets, opened.

    Attributes:
        source: what the recipe says of it.
        training, validation: parts that share no subject or scene.
        left_out: what it names and does not hold, one sentence each.
    """

    source: DataSource
    training: Dataset
    validation: Dataset
    left_out: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the ids on both sides, in order: the same data, divided the same way."""
        lines = [self.source.kind, *self.training.ids, "--", *self.validation.ids]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def open_training_data(
    recipe: TrainingRecipe,
    paths: Mapping[str, Path],
    *,
    kinds: Mapping[str, str] | None = None,
    validation: Mapping[str, Path] | None = None,
    strict: bool = False,
) -> dict[str, TrainingData]:
    """Open what the recipe is trained on.

    Args:
        recipe: names the data sets.
        paths: where each lies, by its name in the recipe.
        kinds: formats that differ from the recipe's; their training split is read, or all where they have no splits,
            with the reader's own options.
        validation: folders of the same format to validate on, instead of a part of the first.
        strict: what a data set names and does not hold is an error; else it is left out.

    Raises:
        DataError: a data set that is missing, of another kind or unit, cannot be divided, or shares subjects or scenes
            with its validation.
    """
    for name in (*paths, *(kinds or {}), *(validation or {})):
        if name not in recipe.data:
            raise DataError(f"{recipe.name} has no data set {name!r}; it has {', '.join(recipe.data)}")
    opened = {}
    for name, stated in recipe.data.items():
        if name not in paths:
            raise DataError(
                f"{recipe.name} is trained on {' and '.join(recipe.data)}, and no folder of {name} "
                f"({KINDS[stated.kind].title}) was given; add --data {name}=PATH"
            )
        source = _of_kind(stated, (kinds or {}).get(name))
        apart = (validation or {}).get(name)
        opened[name] = _open(recipe, source, paths[name], apart, strict=strict)
    return opened


def _of_kind(source: DataSource, kind: str | None) -> DataSource:
    if kind is None or kind == source.kind:
        return source
    if kind not in KINDS:
        raise DataError(f"there is no data set kind {kind!r}; one of {', '.join(KINDS)}")
    # Its own training split, where it has one: what results are reported on is not learnt.
    split = next((name for name in KINDS[kind].splits if name.startswith("train")), None)
    update: dict[str, Any] = {"kind": kind, "split": split, "options": {}, "validation": Validation(fraction=0.1)}
    return source.model_copy(update=update)


def _open(recipe: TrainingRecipe, source: DataSource, path: Path, apart: Path | None, *, strict: bool) -> TrainingData:
    whole = _opened(path, source, source.split, strict=strict)
    held = source.validation
    if apart is not None:
        other = _opened(apart, source, None, strict=strict)
    elif held.split is not None:
        other = _opened(path, source, held.split, strict=strict)
    else:
        assert held.fraction is not None
        parts = split_by_group(whole, {"train": 1 - held.fraction, "validation": held.fraction}, recipe.seed)
        return TrainingData(source, parts["train"], parts["validation"], tuple(whole.left_out))
    shared = shared_groups(whole, other)
    if shared:
        raise DataError(
            f"{whole.name} and its validation {other.name} share {len(shared)} subjects or scenes, such as {shared[0]}:"
            " the score would be of memory; give others"
        )
    return TrainingData(source, whole, other, (*whole.left_out, *other.left_out))


def _opened(path: Path, source: DataSource, split: str | None, *, strict: bool) -> Dataset:
    """What is not whole is left out; depth of another unit is refused either way."""
    opened = open_dataset(path, source.kind, split, lenient=not strict, **source.options)
    if not strict:
        require_unit(opened)
    return opened
