"""``edgedepth models``: what can be exported."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from edgedepth.cli import options as opt
from edgedepth.cli.app import print_json, print_report
from edgedepth.export.recipe import Recipe, list_recipes, load_recipe

__all__ = ["models"]

_COMMERCIAL = {True: "yes", False: "no", None: "not stated"}


def models(
    name: Annotated[str | None, typer.Argument(help="One model, in full.", metavar="[MODEL]")] = None,
    as_json: opt.JsonOption = False,
) -> None:
    """List the models that can be exported: what they give, how large they are, and whether they may be sold.

    Example: [bold]edgedepth models depth-anything-v2-small[/]
    """
    recipes = list_recipes() if name is None else {name: load_recipe(name)}
    if as_json:
        print_json([recipe.model_dump(mode="json") for recipe in recipes.values()])
    elif name is None:
        print_report(_table(recipes))
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for key, value in _facts(recipes[name]).items():
            table.add_row(f"[bold]{key}[/]", escape(str(value)))
        print_report(table)


def _table(recipes: dict[str, Recipe]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, justify in (
        ("model", "left"), ("gives", "left"), ("input", "right"), ("parameters", "right"), ("GFLOPs", "right"),
        ("default", "left"), ("licence of the weights", "left"), ("commercial", "left"),
    ):  # fmt: skip
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for name, recipe in recipes.items():
        licence = recipe.weights.license
        table.add_row(
            f"[bold]{name}[/]",
            recipe.output.kind.value,
            f"{recipe.input.width}x{recipe.input.height}",
            f"{recipe.model.parameters / 1e6:.1f} M",
            f"{recipe.model.gflops:.1f}",
            recipe.precision.default,
            escape(licence.name),
            _COMMERCIAL[licence.commercial_use],
        )
    return table


def _facts(recipe: Recipe) -> dict[str, Any]:
    weights, precision = recipe.weights, recipe.precision
    return {
        "model": recipe.name,
        "summary": recipe.summary,
        "gives": recipe.output.kind.value,
        "input": f"{recipe.input.width}x{recipe.input.height}, multiples of {recipe.model.size_multiple}",
        "parameters": f"{recipe.model.parameters / 1e6:.2f} M",
        "GFLOPs": f"{recipe.model.gflops:.2f}",
        "precision": f"{precision.default}{f': {precision.reason}' if precision.reason else ''}",
        "INT8": "yes" if precision.int8 else "not worth it",
        "weights": weights.hub_id or weights.url or "your own (--checkpoint)",
        "training data": weights.training_data or "not stated",
        "licence": weights.license.name,
        "commercial use": _COMMERCIAL[weights.license.commercial_use],
        "export": f"edgedepth export {recipe.name} --{precision.default} --checkpoint {weights.hub_id or 'FILE'}",
    }
