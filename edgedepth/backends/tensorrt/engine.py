"""The engine of a network on this device: from the cache when everything about it is right, else built."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from edgedepth.backends.base import BackendOptions, EngineOptions
from edgedepth.backends.tensorrt.builder import Build, build_engine, check_buildable
from edgedepth.backends.tensorrt.cache import CachedEngine, EngineCache
from edgedepth.backends.tensorrt.flavour import Flavour
from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.backends.tensorrt.key import engine_parts
from edgedepth.backends.tensorrt.known_bad import explain_gate_failure, warnings_for
from edgedepth.bundle.onnxfacts import read_facts
from edgedepth.device import describe_device

__all__ = ["engine_for"]


def engine_for(onnx_path: Path, options: BackendOptions, *, flavour: Flavour, device: GpuDevice) -> CachedEngine:
    """The engine of a network for the GPU at hand.

    Args:
        onnx_path: the network.
        options: ``engine`` says how it is built and where it is kept; ``progress`` is told of the build, of known
            faults of this combination, and of why an engine that is there is not used.
        flavour: the TensorRT at hand.
        device: the GPU at hand.

    Raises:
        InputError: an option out of range.
        BundleError: the network cannot be read whole.
        EngineError: it cannot be built here, or somebody else may have written the cache.
        OutputError: the cache cannot be written.
    """
    progress = options.progress or (lambda _what, _fraction: None)
    facts = read_facts(onnx_path)
    check_buildable(onnx_path, facts, options.engine, flavour)
    cache = EngineCache(options.engine.cache_root)
    here = describe_device()
    parts = engine_parts(
        onnx_path,
        facts,
        options.engine,
        flavour,
        device,
        board=here.name if here.is_jetson else None,
        l4t=here.l4t,
    )

    def build() -> Build:
        for warning in warnings_for(flavour, facts, device, weakly_typed=options.engine.weakly_typed):
            progress(warning, None)
        engine_options = _with_timing_cache(options.engine, cache, flavour, device)
        built = build_engine(
            onnx_path, engine_options, flavour=flavour, target=device, facts=facts, progress=options.progress
        )
        for warning in built.warnings:
            progress(f"{flavour.title}: {warning}", None)
        return built

    engine = cache.get_or_build(parts, build, rebuild=options.engine.rebuild, report=lambda text: progress(text, None))
    hint = explain_gate_failure(flavour, facts, device, weakly_typed=options.engine.weakly_typed)
    return dataclasses.replace(engine, gate_hint=hint)


def _with_timing_cache(
    options: EngineOptions, cache: EngineCache, flavour: Flavour, device: GpuDevice
) -> EngineOptions:
    if options.timing_cache is not None:
        return options
    # Timings are of one TensorRT on one GPU.
    where = f"{flavour.name} {flavour.version} {device.name} {device.sm_name} {device.sm_count}"
    name = f"timings-{hashlib.sha256(where.encode()).hexdigest()[:16]}.cache"
    return dataclasses.replace(options, timing_cache=cache.root / name)
