"""Combinations of TensorRT, precision, network and GPU that are known to be wrong, to fail or to bring nothing.

They are named before a build, and named again as the likely cause when the numeric gate fails. The gate decides; this
table only saves the search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgedepth.backends.tensorrt.flavour import Flavour
from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.bundle.onnxfacts import OnnxFacts

__all__ = ["KNOWN_BAD", "KnownBad", "explain_gate_failure", "known_bad_for", "warnings_for"]

Effect = Literal["wrong", "slow", "fails"]

_ATTENTION = frozenset({"MatMul", "Softmax"})


@dataclass(frozen=True)
class KnownBad:
    """One entry. A condition left at its default holds always.

    Attributes:
        consequence: what happens, as a sentence without its end.
        remedy: what to do.
        source: a public issue or document.
        effect: ``"wrong"`` numbers, ``"slow"``, or a build that ``"fails"``.
        flavour: Python module it concerns.
        since, before: TensorRT versions, [since, before).
        precisions: of the graph, as ``OnnxFacts.precision``.
        sms: compute capabilities.
        ops: operators that are all in the graph.
        without_ops: operators none of which is in the graph.
        weakly_typed: only where typing is weak.
    """

    consequence: str
    remedy: str
    source: str
    effect: Effect = "wrong"
    flavour: str = "tensorrt"
    since: tuple[int, ...] = (0,)
    before: tuple[int, ...] = (10**6,)
    precisions: frozenset[str] = frozenset({"fp32", "fp16", "int8", "int8+fp16"})
    sms: frozenset[tuple[int, int]] | None = None
    ops: frozenset[str] = frozenset()
    without_ops: frozenset[str] = frozenset()
    weakly_typed: bool | None = None

    def applies(self, flavour: Flavour, facts: OnnxFacts, device: GpuDevice | None, *, weakly_typed: bool) -> bool:
        """Whether it concerns this build. Without a device, conditions on the GPU hold."""
        return (
            flavour.name == self.flavour
            and self.since <= flavour.version_tuple < self.before
            and facts.precision in self.precisions
            and (self.sms is None or device is None or device.sm in self.sms)
            and self.ops <= facts.ops.keys()
            and not self.without_ops & facts.ops.keys()
            and self.weakly_typed in (None, weakly_typed)
        )


_HALF = frozenset({"fp16", "int8+fp16"})
_QUANTISED = frozenset({"int8", "int8+fp16"})

KNOWN_BAD: tuple[KnownBad, ...] = (
    KnownBad(
        "transformer attention in FP16 gives silently wrong depth, differently from frame to frame (JetPack 6.1 and "
        "6.2 carry TensorRT 10.3; seen up to 10.7, right again in 10.13)",
        "use TensorRT 10.13 or later (JetPack 7), or export with --fp32",
        "NVIDIA/TensorRT#4723, ika-rwth-aachen/ros2-depth-anything-v3-trt#16, lpiccinelli-eth/UniDepth#135",
        since=(10, 3),
        before=(10, 13),
        precisions=_HALF,
        ops=_ATTENTION,
    ),
    KnownBad(
        "vision transformers are compiled wrongly even in FP32",
        "use TensorRT 10.6 or later",
        "NVIDIA/TensorRT#4742, Intellindust-AI-Lab/DEIMv2#112",
        since=(10, 4),
        before=(10, 5),
        precisions=frozenset({"fp32"}),
        ops=_ATTENTION,
    ),
    KnownBad(
        "fused attention in FP16 is silently wrong on consumer Blackwell GPUs (still so in 10.16.1)",
        "export with --fp32, or use a newer TensorRT and watch the gate",
        "NVIDIA/TensorRT#4837",
        before=(10, 16, 2),
        precisions=_HALF,
        sms=frozenset({(12, 0)}),
        ops=_ATTENTION,
    ),
    KnownBad(
        "a convolution with a residual addition that reads part of a later concatenation is silently wrong in FP16",
        "export with --fp32, or use another TensorRT",
        "NVIDIA/TensorRT#4854",
        since=(11, 2),
        before=(11, 3),
        precisions=_HALF,
        ops=frozenset({"Conv", "Add", "Concat"}),
    ),
    KnownBad(
        "LayerNorm made of single operations overflows in FP16",
        "export again with edgedepth, which writes LayerNorm as one operator (opset 17 or later)",
        "NVIDIA/TensorRT#2564, NVIDIA/TensorRT#3657",
        precisions=_HALF,
        ops=frozenset({"ReduceMean", "Sqrt", "Div", "Softmax"}),
        without_ops=frozenset({"LayerNormalization"}),
    ),
    KnownBad(
        "weak typing lets the builder run in FP16 what the export kept in FP32 because FP16 cannot hold it",
        "use TensorRT 10 or later, which types strongly, or export with --fp32",
        "docs.nvidia.com/deeplearning/tensorrt: strongly typed networks",
        precisions=_HALF,
        weakly_typed=True,
    ),
    KnownBad(
        "some INT8 networks do not build (internal error checkLinks)",
        "use TensorRT 10.7 or later, or export with --fp16",
        "ultralytics/ultralytics#23841, ultralytics/ultralytics#24368",
        effect="fails",
        since=(10, 3),
        before=(10, 7),
        precisions=_QUANTISED,
    ),
    KnownBad(
        "transformers are no faster in INT8 than in FP16, often slower: their attention is not fused",
        "export with --fp16 and compare",
        "NVIDIA/TensorRT#4273, NVIDIA/TensorRT#3724, NVIDIA/Model-Optimizer#167",
        effect="slow",
        precisions=_QUANTISED,
        ops=_ATTENTION,
    ),
)


def known_bad_for(
    flavour: Flavour, facts: OnnxFacts, device: GpuDevice | None = None, *, weakly_typed: bool = False
) -> tuple[KnownBad, ...]:
    """The entries that concern this network on this TensorRT and GPU."""
    weak = weakly_typed or not flavour.has("strong_typing")
    return tuple(bad for bad in KNOWN_BAD if bad.applies(flavour, facts, device, weakly_typed=weak))


def warnings_for(
    flavour: Flavour, facts: OnnxFacts, device: GpuDevice | None = None, *, weakly_typed: bool = False
) -> tuple[str, ...]:
    """One line for each known-bad combination this build would be, to be shown before it."""
    return tuple(
        f"known of {flavour.title}: {bad.consequence}; {bad.remedy} ({bad.source})"
        for bad in known_bad_for(flavour, facts, device, weakly_typed=weakly_typed)
    )


def explain_gate_failure(
    flavour: Flavour, facts: OnnxFacts, device: GpuDevice | None = None, *, weakly_typed: bool = False
) -> str:
    """The likely cause of an engine's wrong numbers and its remedy, as a sentence; empty when none is known."""
    causes = [
        f"{bad.consequence} ({bad.source}): {bad.remedy}"
        for bad in known_bad_for(flavour, facts, device, weakly_typed=weakly_typed)
        if bad.effect == "wrong"
    ]
    return f"Known of {flavour.title}: {'; or '.join(causes)}" if causes else ""
