"""What an engine depends on. Two builds that agree in all of it are interchangeable; in any other case they are not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from edgedepth.backends.base import EngineOptions
from edgedepth.backends.tensorrt.flavour import Flavour
from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.bundle.onnxfacts import OnnxFacts
from edgedepth.bundle.store import network_sha256

__all__ = ["CACHE_FORMAT", "difference", "engine_parts", "key_of"]

CACHE_FORMAT = 1
"""Goes up when what this package asks of the builder changes, so that older engines are built again."""


def engine_parts(
    onnx_path: Path,
    facts: OnnxFacts,
    options: EngineOptions,
    flavour: Flavour,
    device: GpuDevice,
    *,
    board: str | None = None,
    l4t: str | None = None,
) -> dict[str, Any]:
    """Everything an engine depends on, JSON-ready.

    Args:
        onnx_path, facts: the network.
        options: how it is built.
        flavour, device: by what and for what.
        board: the Jetson's name: boards of one GPU name differ in clocks and memory. None elsewhere.
        l4t: the Jetson's L4T release; None elsewhere.

    Raises:
        BundleError: the network cannot be read whole.
    """
    return {
        "format": CACHE_FORMAT,
        "onnx_sha256": network_sha256(onnx_path),
        "precision": facts.precision,
        "inputs": {tensor.name: [tensor.dtype, *tensor.shape] for tensor in facts.inputs},
        "tensorrt": flavour.version,
        "flavour": flavour.name,
        "cuda": device.cuda_major,
        "sm": device.sm_name,
        "device": device.name,
        "sm_count": device.sm_count,
        "board": board,
        "l4t": l4t,
        "level": options.level,
        "workspace_mib": options.workspace_mib,
        "dla_core": options.dla_core,
        "weakly_typed": options.weakly_typed,
    }


def key_of(parts: dict[str, Any]) -> str:
    """SHA-256, in hexadecimal, of the parts as canonical JSON."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The parts that differ, in words: ``"tensorrt 10.3.0 (here 10.13.3)"``; empty when none does."""
    names = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    return ", ".join(f"{name} {found.get(name)} (here {wanted.get(name)})" for name in names)
