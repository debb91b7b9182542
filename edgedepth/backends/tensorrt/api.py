"""The names of TensorRT's Python API this package uses, as data: what every version must have, and what some have.

Versions 8.6 to 11.4 and TensorRT-RTX differ in names more than in meaning. A feature is detected by the presence of
its names, never by a version number, so one table serves both: ``Flavour.has`` looks a capability up in a live module,
and the conformance test looks every name up in the recorded API of each version.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

__all__ = ["CAPABILITIES", "REQUIRED", "missing_names"]

Names = Mapping[str, tuple[str, ...]]
"""Class name -> its members."""

REQUIRED: Names = {
    # Building.
    "Builder": ("create_network", "create_builder_config", "build_serialized_network", "num_DLA_cores"),
    "IBuilderConfig": (
        "set_memory_pool_limit",
        "builder_optimization_level",
        "profiling_verbosity",
        "set_flag",
        "default_device_type",
        "DLA_core",
        "create_timing_cache",
        "set_timing_cache",
        "get_timing_cache",
    ),
    "OnnxParser": ("parse_from_file", "num_errors", "get_error"),
    "ParserError": ("node", "desc"),
    "ITimingCache": ("serialize",),
    "MemoryPoolType": ("WORKSPACE",),
    "ProfilingVerbosity": ("DETAILED",),
    "BuilderFlag": ("GPU_FALLBACK",),
    "DeviceType": ("DLA",),
    "ILogger": ("log", "INTERNAL_ERROR", "ERROR", "WARNING"),
    "IHostMemory": ("nbytes",),
    # Running.
    "Runtime": ("deserialize_cuda_engine", "DLA_core"),
    "ICudaEngine": (
        "create_execution_context",
        "num_io_tensors",
        "get_tensor_name",
        "get_tensor_mode",
        "get_tensor_shape",
        "get_tensor_dtype",
    ),
    "IExecutionContext": ("set_tensor_address", "execute_async_v3"),
    "TensorIOMode": ("INPUT",),
}
"""In every supported version."""

CAPABILITIES: Mapping[str, Names] = {
    # Precision stands in the ONNX file and is followed to the letter (10.0 and later).
    "strong_typing": {"NetworkDefinitionCreationFlag": ("STRONGLY_TYPED",)},
    # 8.6 parses ONNX into explicit-batch networks only when told; 11 has no other kind and no name for it.
    "explicit_batch": {"NetworkDefinitionCreationFlag": ("EXPLICIT_BATCH",)},
    # Weak typing: the builder may choose these precisions, and must be allowed to (gone in 11).
    "fp16_flag": {"BuilderFlag": ("FP16",)},
    "int8_flag": {"BuilderFlag": ("INT8",)},
    "progress": {
        "IProgressMonitor": ("phase_start", "step_complete", "phase_finish"),
        "IBuilderConfig": ("progress_monitor",),
    },
    # Which node of the ONNX file an error is about (10.0 and later).
    "node_names": {"ParserError": ("node_name", "node_operator")},
    # TensorRT-RTX: builds for named GPUs with none at hand, and has no timings, hence no timing cache, and no DLA.
    "ahead_of_time": {
        "ComputeCapability": ("CURRENT",),
        "IBuilderConfig": ("num_compute_capabilities", "set_compute_capability"),
    },
    # TensorRT-RTX: says whether a run can be captured in a CUDA graph.
    "stream_capture": {"IExecutionContext": ("is_stream_capturable",)},
}
"""In some versions; used only where ``Flavour.has`` says so."""


def missing_names(trt: ModuleType, names: Names) -> tuple[str, ...]:
    """Those of ``names`` that ``trt`` lacks, as ``"Class.member"``."""
    return tuple(
        f"{owner}.{member}"
        for owner, members in names.items()
        for member in members
        if not hasattr(getattr(trt, owner, None), member)
    )
