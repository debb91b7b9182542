"""``edgedepth build``: a bundle's TensorRT engine for the GPU at hand, built, gated and cached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from edgedepth.backends import BackendOptions, EngineOptions
from edgedepth.bundle import check_spec, load_model
from edgedepth.cli import options as opt
from edgedepth.cli.app import print_json, print_report
from edgedepth.cli.progress import shown_progress
from edgedepth.depth import prove_backend

__all__ = ["build"]


def build(
    model: opt.BundleArgument,
    spec: opt.SpecOption = None,
    workspace: Annotated[
        int | None, typer.Option("--workspace", min=1, help="Most scratch memory, MiB. Lower it when a build runs out.")
    ] = None,
    level: Annotated[
        int | None,
        typer.Option("--level", min=0, max=5, help="Optimisation level: higher builds longer, perhaps runs faster."),
    ] = None,
    dla: Annotated[
        int | None, typer.Option("--dla", min=0, help="Deep Learning Accelerator core, with the GPU for the rest.")
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option("--timing-cache", help="File of layer timings; speeds up the next build.")
    ] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="Where engines are kept.")] = None,
    weakly_typed: Annotated[
        bool, typer.Option("--weakly-typed", help="TensorRT 10: let the builder choose precisions, where typing fails.")
    ] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build even when the engine is in the cache.")] = False,
    device: Annotated[str | None, typer.Option("--device", help="The GPU's number; default: the first.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: opt.JsonOption = False,
) -> None:
    """Build a bundle's TensorRT engine for this GPU, prove its numbers, and keep it for every later run.

    Takes minutes on a Jetson. [bold]run --backend tensorrt[/] does the same on its first use. An engine whose numbers
    are not the bundle's is refused. TensorRT-RTX is used where it alone is installed.

    Example: [bold]edgedepth build fastdepth-fp16 --workspace 1024[/]
    """
    from edgedepth.backends.tensorrt.backend import open_tensorrt
    from edgedepth.backends.tensorrt.record import read_record

    loaded = load_model(model, spec)
    engine = EngineOptions(
        workspace_mib=workspace,
        level=level,
        dla_core=dla,
        cache_root=cache,
        timing_cache=timing_cache,
        rebuild=rebuild,
        weakly_typed=weakly_typed,
    )
    with (
        shown_progress(quiet or as_json) as progress,
        open_tensorrt(loaded.onnx_path, BackendOptions(device=device, engine=engine, progress=progress)) as backend,
    ):
        check_spec(loaded.spec, backend.inputs, backend.outputs)
        progress("proving the engine's numbers", None)
        prove_backend(loaded, backend)
        folder = backend.engine.folder
        record = read_record(folder)  # again: the gate's pass has been added to it
    facts = {
        "engine": str(folder),
        "size_mb": round(record.plan_bytes / 1e6, 2),
        "build_s": round(record.build_s, 1),
        "built_at": record.built_at,
        "parts": record.parts,
        "warnings": list(record.warnings),
        "gate": record.gate,
    }
    if as_json:
        print_json(facts)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _rows(facts):
        table.add_row(f"[bold]{name}[/]", escape(value))
    print_report(table)


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    gate = facts["gate"]
    rows = [
        ("engine", facts["engine"]),
        ("size", f"{facts['size_mb']} MB, built in {facts['build_s']} s at {facts['built_at']}"),
        *(("warning", warning) for warning in facts["warnings"]),
    ]
    if gate:
        rows.append(
            ("gate", f"passed on {gate['frames']} frames: relative error {gate['relative_error']:.2e}, scale "
             f"{gate['scale_ratio']:.5f}, varying by {gate['scale_spread']:.2e}")
        )  # fmt: skip
    return rows
