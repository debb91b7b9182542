"""``edgedepth train``: a network trained by a recipe, to weights that ``edgedepth export`` takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from edgedepth.cli import options as opt
from edgedepth.cli.app import console, print_json, print_report
from edgedepth.cli.progress import shown_progress
from edgedepth.errors import InputError
from edgedepth.export.recipe import load_recipe
from edgedepth.extras import require
from edgedepth.training.recipe import TrainingRecipe, list_training_recipes, load_training_recipe

if TYPE_CHECKING:
    from edgedepth.training.network import ModelSetup
    from edgedepth.training.options import TrainingResult

__all__ = ["train"]


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe of [bold]--list[/], or a recipe.toml.", metavar="[RECIPE]")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", "-d", help="PATH of the data set; NAME=PATH for a recipe that takes several."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", help="Format of the data, when it is not the recipe's (edgedepth data list); NAME=KIND."
        ),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option("--validation", help="Another data set to validate on, instead of scenes held out; NAME=PATH."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder to make; default: ./RECIPE-training.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="Weights to start from, instead of the recipe's: a checkpoint, or random."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of --output.")] = False,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Of each stage.")] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Images per batch, over all processes.")
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option("--accumulate", min=1, help="Batches per step: more images in less memory.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", min=1e-9, help="Highest learning rate of each stage.")] = None,
    size: Annotated[str | None, typer.Option("--size", help="Size HxW of the images, instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Another one than the recipe's.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu; default: a GPU where there is one.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that read images.")] = 0,
    save_steps: Annotated[
        int, typer.Option("--save-steps", min=1, help="Steps between checkpoints, beside one per epoch.")
    ] = 500,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at a sample that cannot be read, instead of counting it.")
    ] = False,
    list_recipes: Annotated[bool, typer.Option("--list", help="List the recipes.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: opt.JsonOption = False,
) -> None:
    """Train a network: data, losses, augmentation and schedule are the recipe's.

    The output folder gets weights.safetensors (the best on data that was held out, by scene), training.json (what was
    trained on what), curve.csv, TensorBoard logs, sample pictures and checkpoints. Several GPUs: torchrun
    --nproc-per-node N -m -- edgedepth train ...; the batch is divided over them and the result is the same.

    Examples:

    [bold]edgedepth train --list[/]

    [bold]edgedepth train resunet-diode --data diode/ -o resunet[/]

    [bold]edgedepth train unetpp-nyu-diw --data nyu=nyu_data/ --data diw=DIW/ --batch-size 16 --accumulate 2[/]

    [bold]edgedepth export resunet --checkpoint resunet/weights.safetensors[/]
    """
    if list_recipes or recipe is None:
        _list(as_json=as_json)
        return
    chosen = _changed(
        load_training_recipe(recipe), size, seed, epochs=epochs, batch_size=batch_size, accumulate=accumulate, lr=lr
    )
    if device not in (None, "cpu", "cuda"):
        raise InputError(f"--device is cpu or cuda, found {device!r}; CUDA_VISIBLE_DEVICES chooses among several GPUs")
    root = output or Path(f"{chosen.name}-training")
    paths = {name: Path(text) for name, text in _named(data, chosen, "--data").items()}
    apart = {name: Path(text) for name, text in _named(validation, chosen, "--validation").items()}
    require("accelerate", "train")
    require("torch", "train")
    from edgedepth.training.loop import train as run_training
    from edgedepth.training.options import TrainOptions
    from edgedepth.training.sources import open_training_data

    options = TrainOptions(
        start=start, resume=resume, device=device, strict=strict, workers=workers, save_steps=save_steps
    )
    is_first = os.environ.get("RANK", "0") == "0"  # torchrun's number of this process
    with shown_progress(quiet or as_json or not is_first) as progress:
        progress("opening the data", None)
        opened = open_training_data(
            chosen, paths, kinds=_named(kind, chosen, "--kind"), validation=apart, strict=strict
        )
        result = run_training(chosen, _setup(chosen), opened, root, options, progress)
    if is_first:
        _report(chosen, result, as_json=as_json)


def _changed(recipe: TrainingRecipe, size: str | None, seed: int | None, **changes: Any) -> TrainingRecipe:
    if size is not None:
        changes["height"], changes["width"] = opt.parse_size(size)
    changed = recipe.with_stages(**changes)
    return changed if seed is None else changed.model_copy(update={"seed": seed})


def _named(values: list[str] | None, recipe: TrainingRecipe, option: str) -> dict[str, str]:
    """``NAME=VALUE``, or a value alone where the recipe takes one data set. Raises InputError."""
    found: dict[str, str] = {}
    for text in values or ():
        name, equals, value = text.partition("=")
        if not equals or name not in recipe.data:
            if equals and name.isidentifier() and not Path(text).exists():
                raise InputError(
                    f"{recipe.name} has no data set {name!r} for {option}; it has {', '.join(recipe.data)}"
                )
            if len(recipe.data) > 1:
                raise InputError(
                    f"{recipe.name} is trained on {' and '.join(recipe.data)}: {option} is given for each as "
                    f"{next(iter(recipe.data))}=..., found {text!r}"
                )
            name, value = next(iter(recipe.data)), text
        if name in found:
            raise InputError(f"{option} was given twice for {name}: {found[name]} and {value}; give one")
        found[name] = value
    return found


def _setup(recipe: TrainingRecipe) -> ModelSetup:
    from edgedepth.training.network import ModelSetup

    exported = load_recipe(recipe.model)
    model = exported.model
    return ModelSetup(
        exported.name, model.family, exported.input, exported.output, model.config, model.size_multiple, exported.person
    )


def _report(recipe: TrainingRecipe, result: TrainingResult, *, as_json: bool) -> None:
    if as_json:
        print_json({"weights": str(result.weights), "record": str(result.record), "best": result.best,
                    "skipped": list(result.skipped)})  # fmt: skip
        return
    if result.skipped:
        console.print(
            f"{len(result.skipped)} samples were left out, the first: {result.skipped[0]}",
            highlight=False, soft_wrap=True, markup=False,
        )  # fmt: skip
    last, made = recipe.stages[-1], load_recipe(recipe.model).input
    resized = "" if (last.height, last.width) == (made.height, made.width) else f" --size {last.height}x{last.width}"
    print_report(
        f"best: {escape(_shown(result.best))}",
        f"export: edgedepth export {escape(recipe.model)} --checkpoint {escape(str(result.weights))}{resized}",
    )


def _shown(best: Mapping[str, Any]) -> str:
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in best.items() if isinstance(value, float))
    return f"stage {best['stage']}, epoch {best['epoch']}: {numbers}"


def _list(*, as_json: bool) -> None:
    recipes = list_training_recipes()
    if as_json:
        print_json([recipe.model_dump(mode="json") for recipe in recipes.values()])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("recipe", "model", "data", "stages", "what it is"):
        table.add_column(column)
    for name, recipe in recipes.items():
        data = ", ".join(f"{key} ({source.kind})" for key, source in recipe.data.items())
        stages = ", ".join(f"{stage.name} {stage.epochs}" for stage in recipe.stages)
        table.add_row(f"[bold]{name}[/]", recipe.model, data, stages, escape(recipe.summary))
    print_report(table)
