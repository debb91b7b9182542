"""``edgedepth export``: a trained network to a gated bundle in FP32, FP16 or INT8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from edgedepth.bundle import License, Model, load_model
from edgedepth.bundle.spec import Precision
from edgedepth.cli import options as opt
from edgedepth.cli.app import console, print_json, print_report
from edgedepth.cli.precision_table import report_lines
from edgedepth.cli.progress import shown_progress
from edgedepth.errors import InputError, OutputError
from edgedepth.export.recipe import DEFAULT_RECIPE, load_recipe
from edgedepth.extras import require

if TYPE_CHECKING:
    from edgedepth.export.sources import ExportSource

__all__ = ["export"]


def export(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model of [bold]edgedepth models[/], a recipe.toml, an FP32 bundle, or an FP32 .onnx with its spec.",
            metavar="[MODEL]",
        ),
    ] = None,
    fp32: Annotated[bool, typer.Option("--fp32", help="Make FP32.")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Make FP16; what it cannot hold stays in FP32.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Make INT8; needs --calibration-set.")] = False,
    size: Annotated[str | None, typer.Option("--size", help="Input size HxW, instead of the recipe's.")] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", "-c", help="Trained weights: .safetensors, .pth, a transformers folder or hub id."
        ),
    ] = None,
    random_init: Annotated[
        bool, typer.Option("--random-init", help="Random weights, to try the export; metres are then refused.")
    ] = False,
    spec: opt.SpecOption = None,
    calibration_set: Annotated[
        Path | None,
        typer.Option(
            "--calibration-set", help="Images like the camera's: a folder or a manifest.toml, best with depth."
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Write INT8 even when it misses its accuracy budget or is not faster.")
    ] = False,
    keep_fp32: Annotated[
        list[str] | None, typer.Option("--keep-fp32", help="Part of the network to keep in FP32; can be repeated.")
    ] = None,
    autocast: Annotated[
        bool, typer.Option("--autocast", help="Let NVIDIA ModelOpt AutoCast choose what is FP16.")
    ] = False,
    backend: opt.BackendOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The bundle to make; default: ./MODEL-PRECISION.")
    ] = None,
    triton: Annotated[
        Path | None,
        typer.Option("--triton", help="Also write the bundle into this Triton model repository."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: opt.JsonOption = False,
) -> None:
    """Make a bundle: ONNX with its contract, golden data and a report of what the precision cost.

    Every graph is compared with the network it came from; one that is off is not written.
    A bundle and --triton alone writes the model repository without exporting again.

    Examples:

    [bold]edgedepth export fastdepth --fp16 --checkpoint fastdepth.pth[/]

    [bold]edgedepth export depth-anything-v2-metric-indoor-small --fp16 --checkpoint weights/ --size 252x336[/]

    [bold]edgedepth export net.onnx --spec net.toml --int8 --calibration-set rooms.toml -o net-int8[/]

    [bold]edgedepth export net-int8 --triton models/[/]
    """
    precision = _precision(fp32=fp32, fp16=fp16, int8=int8)
    if triton is not None and precision is None and model is not None and Path(model).is_dir():
        _write_triton(load_model(model), triton, allow_untrained=random_init, as_json=as_json)
        return
    name, made, load = _source(model, spec, size, checkpoint, random_init=random_init)
    require("onnx", "export")
    from edgedepth.export.exporter import ExportOptions, check_request, export_bundle

    chosen = ExportOptions(
        precision=precision,
        calibration_set=calibration_set,
        backend=backend,
        fp16_method="autocast" if autocast else "half",
        keep_fp32=tuple(keep_fp32 or ()),
        keep=keep,
    )
    made = precision or made
    root = output or Path(f"{name}-{made}")
    # Before the network is loaded and anything is measured, which takes a while.
    check_request(root, replace(chosen, precision=made))
    if triton is not None and (triton / name).exists():
        raise OutputError(f"{triton / name} exists already; remove it or choose another --triton folder")
    with shown_progress(quiet or as_json) as progress:
        progress("loading the network", None)
        source = load()
        if not (quiet or as_json):
            _say(source, made)
        exported = export_bundle(source, root, chosen, progress)
    if as_json:
        print_json({"bundle": str(root), "spec": exported.model.spec.model_dump(mode="json"),
                    "report": exported.report.model_dump(mode="json")})  # fmt: skip
    else:
        print_report(*report_lines(exported.report), f"written: {escape(str(root))}")
    if triton is not None:
        _write_triton(exported.model, triton, allow_untrained=random_init, as_json=False, say=not as_json)


def _precision(**wanted: bool) -> Precision | None:
    names: list[Precision] = [name for name, is_wanted in wanted.items() if is_wanted]  # type: ignore[misc]
    if len(names) > 1:
        raise InputError(f"one precision at a time: found {' and '.join(f'--{name}' for name in names)}; run it twice")
    return names[0] if names else None


def _source(
    model: str | None, spec: Path | None, size: str | None, checkpoint: str | None, *, random_init: bool
) -> tuple[str, Precision, Callable[[], ExportSource]]:
    """The model's name, its default precision, and what loads it."""
    from edgedepth.export.sources import GraphSource, NetworkSource

    if model is not None and (Path(model).is_dir() or model.endswith(".onnx")):
        given = [n for n, v in (("--size", size), ("--checkpoint", checkpoint), ("--random-init", random_init)) if v]
        if given:
            raise InputError(f"{model} is a graph with its weights and size in it; leave out {' and '.join(given)}")
        source = GraphSource.of_model(load_model(model, spec))
        return source.spec.name, source.notes.default, lambda: source
    if spec is not None:
        raise InputError("--spec is for an .onnx file; a recipe has its own contract")
    recipe = load_recipe(model or DEFAULT_RECIPE)
    if size is not None:
        recipe = recipe.at_size(*opt.parse_size(size))
    return (
        recipe.name,
        recipe.precision.default,
        lambda: NetworkSource.of_recipe(recipe, checkpoint, random_init=random_init),
    )


def _say(source: ExportSource, precision: Precision) -> None:
    """What must not go unread: the licence, and why this precision."""
    licence: License = source.spec.provenance.license
    if licence.commercial_use is False:
        console.print(f"[bold yellow]{escape(licence.name)}: no commercial use of these weights[/]", highlight=False)
    if not source.spec.provenance.trained:
        console.print("[yellow]random weights: run and measure will refuse metres from this bundle[/]")
    if precision == source.notes.default and source.notes.reason:
        console.print(f"{precision} by default: {escape(source.notes.reason)}", highlight=False, soft_wrap=True)


def _write_triton(model: Model, root: Path, *, allow_untrained: bool, as_json: bool, say: bool = True) -> None:
    from edgedepth.export.triton import write_triton_repository

    folder = write_triton_repository(model, root, allow_untrained=allow_untrained)
    if as_json:
        print_json({"triton": str(folder)})
    elif say:
        print_report(f"Triton model: {escape(str(folder))}")
