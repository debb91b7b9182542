"""From TensorRT's words to what the user can do: one table of known messages, first match wins."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["OUT_OF_MEMORY_ADVICE", "explain", "notable_warnings", "plain_words"]

OUT_OF_MEMORY_ADVICE = (
    "the device ran out of memory while building: close other programs (a desktop session, other containers), add "
    "swap, give a lower --workspace (MiB) or --level, or export the model with a smaller --size"
)

_UNSUPPORTED = (
    "this version does not know the operator: export the model again with edgedepth (opset 18, no custom operators), "
    "or update TensorRT"
)

# (what TensorRT says, what to do), most specific first. The last ones are consequences as often as causes.
_REMEDIES: tuple[tuple[str, str], ...] = (
    (r"cancell?ed", "the build was stopped; start it again"),
    (r"Plugin not found|No importer registered|could not find plugin|not registered", _UNSUPPORTED),
    (
        r"[Aa]ntialias",
        "TensorRT has no antialiased Resize: export the network with antialias=False, or resize the image before it",
    ),
    (
        r"Attention operation was not supported|fused attention",
        "export with eager attention (MatMul, Softmax, MatMul), as edgedepth export does",
    ),
    (
        r"[Nn]on-zero zero point|shiftIsAllZeros|asymmetric",
        "TensorRT takes symmetric quantisation only: quantise with zero point 0, as edgedepth export --int8 does",
    ),
    (
        r"input has type Int32|type int32|quantiz\w* bias",
        "TensorRT takes no quantised bias: keep the bias in floating point, as edgedepth export --int8 does",
    ),
    (
        r"must be of same type|types? (?:mismatch|do not match)|same type",
        "strong typing takes the file's types to the letter and they disagree: export the model again, with a Cast "
        "where precisions meet",
    ),
    (
        r"no optimization profile|dynamic or shape inputs",
        "an engine has one size: export the model with a fixed --size and batch",
    ),
    (r"Input file cannot be found|external data|could not be opened", "check that every file of the model is there"),
    (r"Failed to parse the ONNX|ParseFrom", "the file is cut off or no ONNX model; export or download it again"),
    (
        r"Target GPU SM \d+ is not supported",
        "this TensorRT was built for other GPUs: on a Jetson use JetPack's own, not the one from pip (before 10.16.1 "
        "its aarch64 wheels leave out Orin)",
    ),
    (
        r"builder_resource|[Uu]nable to load library",
        "TensorRT's files are of different versions: start a new process after an update, and keep one installation",
    ),
    (
        r"checkLinks",
        "a known fault of TensorRT 10.3 with INT8 (ultralytics/ultralytics#23841): use 10.7 or later, or FP16",
    ),
    (
        r"[Oo]ut ?[Oo]f ?[Mm]emory|insuff?icient memory|memory is insufficient|bad_alloc|MemoryAllocation"
        r"|memory allocation (?:error|fail)|[Ff]ailed to allocate|[Cc]ould not allocate|MEM_ALLOC_FAILED",
        OUT_OF_MEMORY_ADVICE,
    ),
    (
        r"increase the workspace|workspace (?:size|memory)",
        "a layer needs more scratch memory than it was given: raise --workspace, or leave it out",
    ),
    (
        r"[Cc]ould not find any implementation",
        "no implementation of that layer fits: raise --workspace or leave it out, close other programs, or build "
        "another precision",
    ),
    (r"\bDLA\b", "the Deep Learning Accelerator cannot take this network here: leave out --dla"),
    (
        r"no CUDA-capable device|driver version is insufficient|CUDA initialization failure",
        "there is no NVIDIA GPU here, or its driver is older than this TensorRT's CUDA: check nvidia-smi",
    ),
)

# Warnings worth a line of their own; the many others are TensorRT's small talk.
_NOTABLE: tuple[tuple[str, str], ...] = (
    (
        r"insuff?icient memory|memory is insufficient|Skipping tactic",
        "some implementations were not tried for want of memory, so the engine may be slower than it could be; "
        "close other programs and build again",
    ),
    (
        r"layernorm .*overflow|Running layernorm",
        "a LayerNorm is built of single operations in FP16, where it may overflow; export it as one operator (opset 17 "
        "or later)",
    ),
    (r"overflow in FP16|out of (?:the )?range of FP16", "some weights are beyond what FP16 can hold and were clipped"),
    (r"only on DLA.*Defaulting to INT8", "uint8 quantisation is read as int8, which changes its values"),
    (
        r"(?:Switching|falling back|fallback).*GPU|DLA.*not supported",
        "parts of the network cannot run on the DLA and run on the GPU",
    ),
)

# Follows every other error on a machine without a GPU, and says nothing of it.
_NOISE = re.compile(r"catchCudaError|While parsing node|(?:Begin|End) node|^Node name")


def plain_words(line: str) -> str:
    """The sentence in a line of TensorRT's, without source positions and conditions."""
    text = re.sub(r"^(?:\S+\.[ch]pp:\d+:?\s*|ERROR:\s*)+", "", " ".join(line.split()))
    text = re.sub(r"\s*In \w+ at \S+:\d+\)?", "", text)
    for pattern in (r'&& "([^"]+)"', r"^Assertion failed: (?:[^:]|::)+: (.+)", r"Error Code \d+: [^(]+\((.+)"):
        sentence = re.search(pattern, text)
        if sentence:
            text = sentence.group(1)
    return text.strip(" .()")


def explain(texts: Iterable[str], advice_when_unknown: str) -> tuple[str, str]:
    """The words that matter in TensorRT's error messages, and what to do.

    Args:
        texts: the messages, first to last.
        advice_when_unknown: what to do when none is known.
    """
    lines = [line for text in texts for line in text.splitlines() if line.strip()] or ["it gave no reason"]
    for pattern, remedy in _REMEDIES:
        for line in lines:
            if re.search(pattern, line):
                return plain_words(line), remedy
    return plain_words(next((line for line in lines if not _NOISE.search(line)), lines[0])), advice_when_unknown


def notable_warnings(texts: Iterable[str]) -> tuple[str, ...]:
    """What is worth saying of TensorRT's warnings, each thing once."""
    said = list(texts)
    return tuple(sentence for pattern, sentence in _NOTABLE if any(re.search(pattern, text) for text in said))
