"""``edgedepth inspect``: what a model takes, what its numbers mean, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from edgedepth.backends import Backend, BackendOptions, TensorSpec, open_backend
from edgedepth.bundle import Model, check_spec, load_model, read_golden
from edgedepth.cli import options as opt
from edgedepth.cli.app import print_json, print_report
from edgedepth.cli.precision_table import report_lines
from edgedepth.depth import GateReport, check_backend

__all__ = ["inspect"]


def inspect(
    model: opt.BundleArgument,
    spec: opt.SpecOption = None,
    backend: opt.BackendOption = None,
    as_json: opt.JsonOption = False,
) -> None:
    """Show a model's contract, check its files and tensors against it, and prove the backend on its golden data.

    Example: [bold]edgedepth inspect fastdepth.onnx --spec fastdepth.toml[/]
    """
    loaded = load_model(model, spec)
    with open_backend(loaded.onnx_path, BackendOptions(), name=backend) as opened:
        check_spec(loaded.spec, opened.inputs, opened.outputs)
        gate = None
        if loaded.golden_path is not None:
            gate = check_backend(loaded.spec, read_golden(loaded.golden_path), opened)
        facts = _facts(loaded, opened, gate)
    if as_json:
        print_json(facts)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _rows(loaded, facts):
        table.add_row(f"[bold]{name}[/]", escape(value))
    print_report(table)
    if loaded.report is not None:
        print_report("", *report_lines(loaded.report))


def _facts(model: Model, backend: Backend, gate: GateReport | None) -> dict[str, Any]:
    return {
        "spec": model.spec.model_dump(mode="json"),
        "onnx": str(model.onnx_path),
        "size_mb": round(model.onnx_path.stat().st_size / 1e6, 2),
        "checksums": "verified" if model.root else "none (a bare .onnx)",
        "gate": None if gate is None else asdict(gate),
        "report": None if model.report is None else model.report.model_dump(mode="json"),
        "backend": backend.name,
        "inputs": [_tensor(tensor) for tensor in backend.inputs],
        "outputs": [_tensor(tensor) for tensor in backend.outputs],
    }


def _tensor(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": str(tensor.dtype), "shape": list(tensor.shape)}


def _rows(model: Model, facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    spec, source, output = model.spec, model.spec.input, model.spec.output
    yield "model", f"{spec.name}, {spec.precision}, {facts['size_mb']} MB"
    yield "file", f"{facts['onnx']}, checksums {facts['checksums']}"
    for role in ("inputs", "outputs"):
        for tensor in facts[role]:
            shape = " x ".join("?" if side is None else str(side) for side in tensor["shape"])
            yield role.removesuffix("s"), f"{tensor['name']}: {tensor['dtype']} {shape}"
    yield (
        "image",
        (
            f"{source.width}x{source.height} {source.color} {source.layout}, {source.resize}, "
            f"(pixel * {source.scale:.6g} - {list(source.mean)}) / {list(source.std)}"
        ),
    )
    focal = f" * f_px / {output.focal.canonical_f_px:g}" if output.focal else ""
    zero = f" - {output.zero_point:g}" if output.zero_point else ""
    yield "depth", f"{output.kind.value}, (value{zero}) * {output.metres_per_unit:g}{focal}"
    if spec.person:
        yield "person", f"{spec.person.name}: probability of a person, who is one from {spec.person.threshold:g} on"
    if output.valid_range_m:
        yield "valid", f"{output.valid_range_m[0]:g} .. {output.valid_range_m[1]:g}"
    licence = spec.provenance.license
    commercial = {True: "allowed", False: "not allowed", None: "not stated"}[licence.commercial_use]
    yield "licence", f"{licence.name}; commercial use {commercial}"
    if not spec.provenance.trained:
        yield "weights", "random: metres are refused"
    if facts["gate"] is None:
        yield "gate", "no golden data: a backend cannot be proved against this model"
    else:
        gate = facts["gate"]
        yield (
            "gate",
            (
                f"{facts['backend']} passes on {gate['frames']} frames: relative error {gate['relative_error']:.2e}, "
                f"scale {gate['scale_ratio']:.5f}, varying by {gate['scale_spread']:.2e}"
            ),
        )
