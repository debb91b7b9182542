"""ONNX to TensorRT plan, on every TensorRT from 8.6 to 11 and TensorRT-RTX, by the features each has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedepth.backends.base import EngineOptions
from edgedepth.backends.feeds import one_line
from edgedepth.backends.tensorrt.diagnosis import explain, notable_warnings
from edgedepth.backends.tensorrt.flavour import Flavour
from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.backends.tensorrt.logger import Captured
from edgedepth.backends.tensorrt.progress import BuildProgress, Progress, make_monitor
from edgedepth.backends.tensorrt.timings import TimingCache
from edgedepth.bundle.onnxfacts import OnnxFacts, read_facts
from edgedepth.errors import EngineError, InputError

__all__ = ["Build", "Target", "build_engine", "check_buildable"]

Target = GpuDevice | tuple[tuple[int, int], ...]
"""The GPU at hand, or compute capabilities to build for with none at hand (TensorRT-RTX only)."""

_MIB = 1 << 20
_LEVELS = range(6)

_REFUSED_QUANTISATION = {
    # Parsers take it with a warning and saturate at 127: wrong numbers, no error.
    "uint8": "TensorRT reads uint8 quantisation as int8, which changes its values",
    "int32": "TensorRT takes no quantised bias",
    "int16": "TensorRT has no 16-bit quantisation",
    "uint16": "TensorRT has no 16-bit quantisation",
}


@dataclass(frozen=True)
class Build:
    """A plan and how it came about.

    Attributes:
        plan: the serialised engine.
        seconds: how long it took.
        strongly_typed: the file's precisions were followed to the letter; else the builder could choose among them.
        warnings: what TensorRT warned of, each thing once.
    """

    plan: bytes
    seconds: float
    strongly_typed: bool
    warnings: tuple[str, ...]


def build_engine(
    onnx_path: Path,
    options: EngineOptions,
    *,
    flavour: Flavour,
    target: Target,
    facts: OnnxFacts | None = None,
    progress: Progress | None = None,
) -> Build:
    """Compile a network. Precision stands in the file: FP16 tensors and Q/DQ nodes are used as they are found.

    Args:
        onnx_path: the network; fixed sizes only.
        options: workspace, level, DLA core, typing, and the timing cache file (None: none is kept).
        flavour: the TensorRT to build with.
        target: what to build for.
        facts: of ``onnx_path``, when they are at hand.
        progress: called during the build; what it raises stops the build and comes out of here.

    Raises:
        InputError: an option out of range.
        BundleError: no whole ONNX file.
        EngineError: TensorRT cannot take the network, or cannot build it here; names the node, TensorRT's words and
            what to do.
    """
    facts = facts or read_facts(onnx_path)
    check_buildable(onnx_path, facts, options, flavour)
    started = time.monotonic()
    with flavour.messages.capture() as said:
        try:
            plan, note = _build(onnx_path, options, flavour, target, facts, said, progress)
        except MemoryError as error:
            raise _build_error(onnx_path, flavour, ("out of memory",)) from error
    return Build(
        plan=plan,
        seconds=time.monotonic() - started,
        strongly_typed=_is_strong(flavour, options),
        warnings=(*notable_warnings(said.texts("warning")), *((note,) if note else ())),
    )


def check_buildable(onnx_path: Path, facts: OnnxFacts, options: EngineOptions, flavour: Flavour) -> None:
    """Refuse what is known not to work before any work is done.

    Raises:
        InputError: an option out of range.
        EngineError: sizes left open, quantisation TensorRT would misread, or an option this library does not have.
    """
    if options.level is not None and options.level not in _LEVELS:
        raise InputError(f"--level is 0 to {_LEVELS[-1]}, found {options.level}; leave it out for TensorRT's own")
    if options.workspace_mib is not None and options.workspace_mib < 1:
        raise InputError(f"--workspace is in MiB and at least 1, found {options.workspace_mib}; leave it out")
    for tensor in facts.inputs:
        if None in tensor.shape:
            shape = "x".join("?" if n is None else str(n) for n in tensor.shape)
            raise EngineError(
                f"input {tensor.name!r} of {onnx_path} has no fixed size ({shape}); an engine has one: export the "
                "model with --size HxW and batch 1"
            )
    for dtype in sorted(facts.quantized_dtypes):
        if dtype in _REFUSED_QUANTISATION:
            raise EngineError(
                f"{onnx_path} is quantised in {dtype}: {_REFUSED_QUANTISATION[dtype]}; quantise it with "
                "edgedepth export --int8 (int8, symmetric, bias left in floating point)"
            )
    if options.weakly_typed and not flavour.has("fp16_flag"):
        raise EngineError(f"{flavour.title} types networks strongly and in no other way; leave weak typing out")
    if options.dla_core is not None:
        if flavour.is_rtx:
            raise EngineError(f"{flavour.title} has no Deep Learning Accelerator; leave out --dla")
        if facts.precision == "fp32":
            raise EngineError(
                f"the Deep Learning Accelerator computes in FP16 and INT8 only and {onnx_path} is FP32; export it with "
                "--fp16 or --int8, or leave out --dla"
            )


def _build(
    onnx_path: Path,
    options: EngineOptions,
    flavour: Flavour,
    target: Target,
    facts: OnnxFacts,
    said: Captured,
    progress: Progress | None,
) -> tuple[bytes, str | None]:
    trt = flavour.trt
    try:
        builder = trt.Builder(flavour.logger)
        config = builder.create_builder_config()
    except (TypeError, RuntimeError) as error:  # pybind11: "factory function returned nullptr"
        raise _build_error(onnx_path, flavour, (*said.texts("error"), one_line(error))) from error
    network = builder.create_network(_network_flags(flavour, options))
    parser = trt.OnnxParser(network, flavour.logger)
    if progress:
        progress(f"{flavour.title}: reading {onnx_path.name}", None)
    if not parser.parse_from_file(str(onnx_path)):
        raise _parse_error(onnx_path, flavour, parser, said)
    _configure(config, options, flavour, facts)
    _set_target(config, flavour, target)
    _set_dla(config, builder, options, flavour)
    timings = None if flavour.is_rtx else TimingCache.attach(config, options.timing_cache)
    what = f"{flavour.title}: building the engine"
    monitor, steps = None, BuildProgress(progress or (lambda _what, _fraction: None), what)
    if flavour.has("progress"):
        monitor = make_monitor(trt, steps)
        config.progress_monitor = monitor
    elif progress:
        progress(what, None)
    serialized = builder.build_serialized_network(network, config)
    if steps.error is not None:
        raise steps.error
    if serialized is None or serialized.nbytes == 0:
        raise _build_error(onnx_path, flavour, _reasons(said))
    if timings is not None:
        timings.save(config)
    if progress:
        progress(what, 1.0)
    return bytes(serialized), timings.note if timings else None


def _is_strong(flavour: Flavour, options: EngineOptions) -> bool:
    return flavour.has("strong_typing") and not options.weakly_typed


def _network_flags(flavour: Flavour, options: EngineOptions) -> int:
    flags = flavour.trt.NetworkDefinitionCreationFlag
    if _is_strong(flavour, options):
        return 1 << int(flags.STRONGLY_TYPED)
    return 1 << int(flags.EXPLICIT_BATCH) if flavour.has("explicit_batch") else 0


def _configure(config: Any, options: EngineOptions, flavour: Flavour, facts: OnnxFacts) -> None:
    trt = flavour.trt
    # Layer names, types and shapes stay in the plan for the inspector; run time is not touched.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * _MIB)
    if options.level is not None:
        config.builder_optimization_level = options.level
    if not _is_strong(flavour, options):
        if facts.has_float16:
            config.set_flag(trt.BuilderFlag.FP16)
        if facts.is_quantized:
            config.set_flag(trt.BuilderFlag.INT8)


def _set_target(config: Any, flavour: Flavour, target: Target) -> None:
    known = flavour.compute_capabilities
    if isinstance(target, GpuDevice):
        if flavour.is_rtx:  # else it always builds for the present GPU
            _set_compute_capabilities(config, flavour, (target.sm_name if target.sm in known else "CURRENT",))
        return
    if not known:
        raise EngineError(f"{flavour.title} builds for the GPU at hand only; build on the device itself")
    unknown = [sm for sm in target if sm not in known]
    if unknown or not target:
        raise EngineError(
            f"{flavour.title} cannot build for {_sm_list(unknown) or 'nothing'}; it builds for {_sm_list(known)}"
        )
    _set_compute_capabilities(config, flavour, tuple(f"SM{major}{minor}" for major, minor in target))


def _set_compute_capabilities(config: Any, flavour: Flavour, names: tuple[str, ...]) -> None:
    config.num_compute_capabilities = len(names)
    for index, name in enumerate(names):
        if not config.set_compute_capability(getattr(flavour.trt.ComputeCapability, name), index):
            raise EngineError(f"{flavour.title} refuses to build for {name}; use full TensorRT on this GPU")


def _set_dla(config: Any, builder: Any, options: EngineOptions, flavour: Flavour) -> None:
    if options.dla_core is None:
        return
    cores = builder.num_DLA_cores
    if not 0 <= options.dla_core < cores:
        raise EngineError(
            f"DLA core {options.dla_core} was asked for and {flavour.title} finds {cores} here (Orin Nano and Thor "
            "have none, and TensorRT 10.8 to 11.3 do not support Orin's); leave out --dla"
        )
    config.default_device_type = flavour.trt.DeviceType.DLA
    config.DLA_core = options.dla_core
    config.set_flag(flavour.trt.BuilderFlag.GPU_FALLBACK)


def _parse_error(onnx_path: Path, flavour: Flavour, parser: Any, said: Captured) -> EngineError:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    where = ""
    if errors and errors[0].node() >= 0:
        where = f" at node {errors[0].node()}"
        if flavour.has("node_names"):
            where += f" {errors[0].node_name()!r} ({errors[0].node_operator()})"
    words, remedy = explain(
        [error.desc() for error in errors] or list(said.texts("error")),
        "export the model again with edgedepth, or update TensorRT",
    )
    return EngineError(f"{flavour.title} cannot read {onnx_path}{where}: {words}; {remedy}")


def _reasons(said: Captured) -> tuple[str, ...]:
    """Errors; and warnings where the error is only that nothing was left to choose from: they say why."""
    errors = said.texts("error")
    if errors and not any("implementation" in text for text in errors):
        return errors
    return (*errors, *said.texts("warning"))


def _build_error(onnx_path: Path, flavour: Flavour, texts: tuple[str, ...]) -> EngineError:
    words, remedy = explain(texts, "try a lower --level, another precision, or another version of TensorRT")
    return EngineError(f"{flavour.title} cannot build {onnx_path}: {words}; {remedy}")


def _sm_list(sms: tuple[tuple[int, int], ...] | list[tuple[int, int]]) -> str:
    return ", ".join(f"SM{major}{minor}" for major, minor in sms)
