"""Source -> FP32 graph -> the precision asked for -> gate -> bundle. Nothing appears before everything has passed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from edgedepth import __version__
from edgedepth.bundle import Model, ModelSpec, PrecisionReport, write_bundle
from edgedepth.bundle.spec import Precision
from edgedepth.calibration.int8_set import check_image_set, load_image_set, network_feeds
from edgedepth.device import describe_device, package_version
from edgedepth.errors import BudgetError, CalibrationSetError, ExportError, OutputError
from edgedepth.export.fp16 import Fp16Method, Fp16Result
from edgedepth.export.frames import ProofFrames, proof_frames
from edgedepth.export.measure import Measured, measure_precisions
from edgedepth.export.sensitivity import Int8Result, search_int8
from edgedepth.export.sources import ExportSource

__all__ = ["ExportOptions", "Exported", "Progress", "check_request", "export_bundle"]

Progress = Callable[[str, float | None], None]
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxslim", "onnxruntime", "openvino", "transformers", "timm")


@dataclass(frozen=True)
class ExportOptions:
    """What to make.

    Attributes:
        precision: None takes the recipe's default.
        calibration_set: folder or manifest; INT8 needs one, the others are better proved with one.
        backend: what measures (``open_backend`` name); None is the default one.
        fp16_method: ``"half"`` (torch) or the graph converter where there is no torch, or ``"autocast"`` (ModelOpt).
        keep_fp32: parts to keep in FP32 beside those that are found to overflow.
        keep: write the bundle although INT8 missed its budget or brings no speed, and say so in its report.
    """

    precision: Precision | None = None
    calibration_set: Path | None = None
    backend: str | None = None
    fp16_method: Fp16Method = "half"
    keep_fp32: tuple[str, ...] = ()
    keep: bool = False


@dataclass(frozen=True)
class Exported:
    """The bundle that was written and what was measured."""

    model: Model
    report: PrecisionReport


def export_bundle(
    source: ExportSource,
    output: Path,
    options: ExportOptions,
    progress: Progress = lambda step, fraction: None,
) -> Exported:
    """Make one bundle.

    Args:
        source: the network.
        output: the folder to make; must not exist.
        progress: called with what is being done and the fraction of it, or None.

    Raises:
        OutputError: ``output`` exists or cannot be written.
        CalibrationSetError: INT8 without a fit image set.
        ExportError, ParityError: a graph cannot be made or is wrong.
        BudgetError: the precision is further from FP32 than a device's gate allows; or INT8 costs too much accuracy or
            brings no speed, and ``keep`` is not set.
    """
    precision = options.precision or source.notes.default
    check_request(output, replace(options, precision=precision))
    if precision == "int8" and not source.notes.int8 and not options.keep:
        raise BudgetError(
            f"{source.spec.name} is not worth INT8: {source.notes.reason}; use --fp16, or --keep to try all the same"
        )
    image_set = None
    if options.calibration_set is not None:
        progress("reading the image set", None)
        image_set = load_image_set(options.calibration_set)
        if precision == "int8":
            for advice in check_image_set(image_set):
                progress(advice, None)
    frames = proof_frames(image_set)
    feeds = list(network_feeds(source.spec.input, frames.evaluated[:4]))
    with tempfile.TemporaryDirectory(prefix="edgedepth-export-") as folder:
        fp32 = Path(folder) / "fp32.onnx"
        progress("exporting FP32", None)
        source.write_fp32(fp32, feeds)
        graphs: dict[Precision, tuple[ModelSpec, Path]] = {"fp32": (source.spec, fp32)}
        fp16: Fp16Result | None = None
        int8: Int8Result | None = None
        if precision == "fp16":
            progress("making FP16", None)
            path = Path(folder) / "fp16.onnx"
            probes = list(network_feeds(source.spec.input, frames.probed))
            fp16 = source.write_fp16(fp32, path, probes, method=options.fp16_method, keep_fp32=options.keep_fp32)
            graphs["fp16"] = (_as(source.spec, "fp16"), path)
        elif precision == "int8" and image_set is not None:
            path = Path(folder) / "int8.onnx"
            int8 = search_int8(fp32, path, source.spec, image_set, keep=options.keep, progress=progress)
            graphs["int8"] = (_as(source.spec, "int8"), path)
        measured = measure_precisions(graphs, frames, backend=options.backend, progress=progress)
        faults = _faults(measured, precision, int8)
        if faults and not (options.keep and precision == "int8"):
            remedy = {
                "fp32": "measure with another --backend",
                "fp16": "keep parts in FP32 (--keep-fp32), or use --fp32",
                "int8": "--keep writes it all the same",
            }[precision]
            raise BudgetError(f"{source.spec.name} in {precision}: {'; '.join(faults)}; {remedy}")
        report = _report(measured, frames, fp16, int8, precision, faults)
        progress("writing the bundle", None)
        spec, graph = graphs[precision]
        model = write_bundle(
            output,
            spec,
            graph,
            golden=measured.golden,
            report=report,
            license_text=_license_text(spec),
        )
    return Exported(model, report)


def check_request(output: Path | None, options: ExportOptions) -> None:
    """What can be known before anything is loaded. ``output`` None is a name yet to be made.

    Raises:
        OutputError: ``output`` exists.
        CalibrationSetError: INT8 without an image set.
    """
    if output is not None and output.exists():
        raise OutputError(f"{output} exists already; remove it or choose another folder with -o")
    if options.precision == "int8" and options.calibration_set is None:
        raise CalibrationSetError(
            "INT8 needs images like those the camera will see, to find the range of every activation: "
            "give --calibration-set FOLDER or MANIFEST.toml"
        )


def _as(spec: ModelSpec, precision: Precision) -> ModelSpec:
    return spec.model_copy(update={"precision": precision})


def _faults(measured: Measured, precision: Precision, int8: Int8Result | None) -> list[str]:
    """What speaks against shipping the precision, in words: what a device's gate would refuse is not written."""
    gate = measured.gates[precision]
    if gate.invalid_pixels:
        raise ExportError(f"{'; '.join(gate.failures)} in {precision}; use --fp32 and report this")
    faults = list(gate.failures)
    if int8 is not None:
        faults += int8.faults
        row = next(row for row in measured.rows if row.precision == precision)
        others = [other for other in measured.rows if other.precision != "int8"]
        fastest = min(others, key=lambda other: other.latency_ms_p50)
        if row.latency_ms_p50 >= fastest.latency_ms_p50:
            faults.append(
                f"takes {row.latency_ms_p50:.1f} ms here and {fastest.precision} takes {fastest.latency_ms_p50:.1f} ms"
            )
    return faults


def _report(
    measured: Measured,
    frames: ProofFrames,
    fp16: Fp16Result | None,
    int8: Int8Result | None,
    precision: Precision,
    faults: list[str],
) -> PrecisionReport:
    passed = f"{precision} passed" if precision != "fp32" else "FP32 equals the network"
    versions = {"edgedepth": __version__} | {
        name: version for name in _PACKAGES if (version := package_version(name)) is not None
    }
    return PrecisionReport(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        host=describe_device().name,
        backend=measured.backend,
        versions=versions,
        frame_set=frames.frame_set,
        rows=measured.rows,
        kept_fp32=fp16.kept_fp32 if fp16 else (),
        notes=_notes(fp16) if fp16 else (),
        not_quantized=int8.excluded if int8 else (),
        calibration=int8.calibration if int8 else None,
        verdict=f"kept on request in spite of: {'; '.join(faults)}" if faults else passed,
    )


def _notes(fp16: Fp16Result) -> tuple[str, ...]:
    lost = [f"{weight.tensor} loses {weight.lost:.1%} in FP16: its numbers are too small" for weight in fp16.underflow]
    return (*((fp16.reason,) if fp16.reason else ()), *lost)


def _license_text(spec: ModelSpec) -> str:
    provenance = spec.provenance
    licence = provenance.license
    commercial = {True: "allowed", False: "NOT allowed", None: "not stated; ask its authors"}[licence.commercial_use]
    lines = [
        f"Weights of {spec.name}",
        f"Licence: {licence.name}{f' ({licence.url})' if licence.url else ''}",
        f"Commercial use: {commercial}",
        f"Training data: {provenance.training_data or 'not stated'}",
    ]
    return "\n".join(lines) + "\n"
