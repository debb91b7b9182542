"""FP16 in the graph, with FP32 islands where the network's own numbers need them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import ExportError
from edgedepth.export.fp16_converters import CONVERTERS
from edgedepth.export.onnx_export import export_onnx
from edgedepth.export.overflow import Overflow, Underflow, find_overflow, find_underflow, module_path, name_nodes
from edgedepth.export.simplify import simplify
from edgedepth.extras import require
from edgedepth.output import atomic_output

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Fp16Method", "Fp16Result", "convert_fp16", "export_fp16"]

Fp16Method = Literal["half", "graph", "autocast"]
"""half: the torch network in half precision, islands are modules. graph: the FP32 graph converted, islands are nodes.
autocast: the FP32 graph converted by NVIDIA ModelOpt."""

Progress = Callable[[str, float | None], None]

ROUNDS = 5
"""How often islands are widened before giving up."""
MOST_IN_FP32 = 0.5
"""Share of the weights: when modules that must stay FP32 hold more, single nodes are kept instead."""


_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_ROUNDINGS = 0.02  # of the largest weight; FP16 numbers are 0.1 % apart


@dataclass(frozen=True)
class Fp16Result:
    """How an FP16 graph was made.

    Attributes:
        method: what made it in the end.
        kept_fp32: modules (half) or nodes (graph, autocast) that compute in FP32.
        overflow: the numbers of the FP32 network that asked for it.
        underflow: weights that lose more than 1 % because they are too small for FP16; reported, not acted on.
        reason: why it was not the method asked for; None when it was.
    """

    method: Fp16Method
    kept_fp32: tuple[str, ...]
    overflow: tuple[Overflow, ...]
    underflow: tuple[Underflow, ...]
    reason: str | None = None


def export_fp16(
    network: nn.Module,
    height: int,
    width: int,
    path: Path,
    *,
    feeds: Sequence[NDArray[Any]],
    fp32_onnx: Path,
    keep_fp32: Collection[str] = (),
    progress: Progress | None = None,
) -> Fp16Result:
    """Write the FP16 graph of a torch network; its input and output stay float32.

    Modules whose numbers FP16 cannot hold stay FP32. Where that would be the network itself, or most of it, the FP32
    graph is converted instead and single operators stay FP32.

    Args:
        height: of the image, pixels. ``width`` likewise.
        feeds: input tensors to measure on, batch included: images like those the camera will see.
        fp32_onnx: the network as ``export_onnx`` wrote it (simplified or not).
        keep_fp32: modules to keep in FP32 whatever is measured.

    Raises:
        ExportError: it cannot be traced in half precision, or gives NaN or infinities whatever is kept in FP32.
        MissingExtraError, OutputError: as ``export_onnx``.
    """
    say = progress or _silent
    say("looking for numbers FP16 cannot hold", None)
    overflow = find_overflow(fp32_onnx, feeds)
    underflow = find_underflow(fp32_onnx)
    islands = _outermost({*keep_fp32, *(each.module or "" for each in overflow)})
    with tempfile.TemporaryDirectory(prefix="edgedepth-fp16-") as folder:
        trial = Path(folder) / path.name
        for _ in range(ROUNDS):
            share = _share(network, islands)
            if share > MOST_IN_FP32:
                break
            export_onnx(network, height, width, trial, half=True, fp32_modules=islands, progress=progress)
            simplify(trial)
            _round_once(trial, fp32_onnx)
            say("checking the FP16 graph", None)
            broken = _roots(find_overflow(trial, feeds, limit=np.inf))
            if not broken:
                _move(trial, path)
                return Fp16Result("half", islands, overflow, underflow)
            wider = _outermost({*islands, *(each.module or "" for each in broken)})
            islands = wider if wider != islands else _outermost({_parent(name) for name in islands})
    say("converting the FP32 graph", None)
    result = convert_fp16(fp32_onnx, path, feeds=feeds, keep_fp32=keep_fp32, progress=progress)
    shown = ", ".join(name or "the network itself" for name in islands)
    reason = f"in half precision {shown} ({share:.0%} of the weights) would have to stay FP32"
    return Fp16Result("graph", result.kept_fp32, overflow, underflow, reason)


def convert_fp16(
    onnx_fp32_path: Path,
    out_path: Path,
    *,
    feeds: Sequence[NDArray[Any]],
    method: Literal["graph", "autocast"] = "graph",
    keep_fp32: Collection[str] = (),
    progress: Progress | None = None,
) -> Fp16Result:
    """Write the FP16 version of an FP32 graph, with no torch; its input and output stay float32.

    Args:
        feeds: input tensors to measure on, batch included.
        method: graph: onnxruntime's converter. autocast: NVIDIA ModelOpt, which has pins of its own and is best
            installed in an environment of its own.
        keep_fp32: nodes, or modules of the torch network the graph was made from, to keep in FP32 all the same.

    Raises:
        ExportError: a name in ``keep_fp32`` is not in the graph; it cannot be converted; or it gives NaN or infinities
            whatever is kept in FP32.
        MissingExtraError: onnx, or ModelOpt for autocast, is not installed.
        OutputError: ``out_path`` cannot be written.
    """
    onnx = require("onnx", "export")
    convert = CONVERTERS[method]
    say = progress or _silent
    say("looking for numbers FP16 cannot hold", None)
    overflow = find_overflow(onnx_fp32_path, feeds)
    source = onnx.load(str(onnx_fp32_path))
    name_nodes(source)
    nodes = {node.name for node in source.graph.node}
    kept = _touching(overflow) | _named(source, keep_fp32)
    with tempfile.TemporaryDirectory(prefix="edgedepth-fp16-") as folder:
        trial = Path(folder) / out_path.name
        for _ in range(ROUNDS):
            say("converting the FP32 graph", None)
            onnx.save(convert(source, kept, feeds, Path(folder)), str(trial))
            simplify(trial)
            say("checking the FP16 graph", None)
            broken = _roots(find_overflow(trial, feeds, limit=np.inf))
            if not broken:
                _move(trial, out_path)
                return Fp16Result(method, tuple(sorted(kept)), overflow, find_underflow(onnx_fp32_path))
            wider = kept | (_touching(broken) & nodes)
            if wider == kept:
                break
            kept = wider
    where = broken[0]
    raise ExportError(
        f"{onnx_fp32_path.name} gives NaN or infinities in FP16 at {where.tensor!r} (made by {where.producer}) even "
        f"with {len(kept)} operators kept in FP32; ship it as FP32"
    )


def _round_once(half_path: Path, fp32_path: Path) -> None:
    """Give weights of the FP16 graph the FP32 graph's values, rounded once.

    Batch normalisations and standardised weights are folded by computing with weights; half precision does that on
    rounded numbers and rounds again. Nodes are matched by name, and by what they hold.
    """
    onnx = require("onnx", "export")
    half, fp32 = (onnx.load(str(path)) for path in (half_path, fp32_path))
    weights = [{tensor.name: tensor for tensor in model.graph.initializer} for model in (half, fp32)]
    originals = {node.name: node for node in fp32.graph.node if node.op_type in _WEIGHTED}
    for node in half.graph.node:
        original = originals.get(node.name)
        if original is None or node.op_type != original.op_type:
            continue
        pairs = [
            (weights[0][name], onnx.numpy_helper.to_array(weights[1][source]))
            for name, source in zip(node.input, original.input, strict=False)
            if name in weights[0] and source in weights[1]
        ]
        if all(_is_rounded(onnx.numpy_helper.to_array(tensor), value) for tensor, value in pairs):
            for tensor, value in pairs:
                tensor.CopyFrom(onnx.numpy_helper.from_array(value.astype(np.float16), tensor.name))
    onnx.save(half, str(half_path))


def _is_rounded(half: NDArray[Any], fp32: NDArray[Any]) -> bool:
    """True when ``half`` is ``fp32`` up to a few roundings."""
    if half.dtype != np.float16 or half.shape != fp32.shape:
        return False
    return bool(np.abs(half - fp32).max(initial=0) <= _ROUNDINGS * np.abs(fp32).max(initial=0))


def _silent(step: str, fraction: float | None) -> None:
    """Progress nobody asked for."""


def _touching(overflow: Iterable[Overflow]) -> set[str]:
    """Nodes on either side of the tensors: between them the number stays FP32."""
    return {name for each in overflow for name in (each.producer, *each.consumers) if name is not None}


def _roots(broken: tuple[Overflow, ...]) -> tuple[Overflow, ...]:
    """Those that are broken first; what follows from them is not looked into."""
    poisoned: set[str] = set()
    roots = []
    for each in broken:
        if each.producer not in poisoned:
            roots.append(each)
        poisoned.update(each.consumers)
    return tuple(roots)


def _outermost(names: Iterable[str]) -> tuple[str, ...]:
    """Without modules that lie inside others."""
    names = set(names)
    inside = {
        name for name in names for other in names if name != other and (not other or name.startswith(f"{other}."))
    }
    return tuple(sorted(names - inside))


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _share(network: nn.Module, islands: Collection[str]) -> float:
    """Share of the network's weights in ``islands``."""
    total = sum(parameter.numel() for parameter in network.parameters())
    modules = dict(network.named_modules())
    held = (parameter for name in islands if name in modules for parameter in modules[name].parameters())
    return 1.0 if "" in islands else sum(parameter.numel() for parameter in held) / max(total, 1)


def _named(source: Any, names: Collection[str]) -> set[str]:
    """Nodes of these names, and nodes of the modules of these names."""
    found: set[str] = set()
    for name in names:
        chosen = {node.name for node in source.graph.node if node.name == name or name in (module_path(node) or ())}
        if not chosen:
            raise ExportError(f"the graph has no node or module {name!r} to keep in FP32; inspect it for its names")
        found |= chosen
    return found


def _move(trial: Path, path: Path) -> None:
    with atomic_output(path) as part:
        shutil.copyfile(trial, part)
