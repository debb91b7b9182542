"""Known-bad combinations: named where they apply, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from graphs import attention, conv, quantised_conv
from trt_stub import make_trt

from edgedepth.backends.tensorrt.flavour import Flavour, flavour_of
from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.backends.tensorrt.known_bad import KNOWN_BAD, explain_gate_failure, warnings_for
from edgedepth.bundle.onnxfacts import OnnxFacts, read_facts

ORIN = GpuDevice("Orin", (8, 7), 16, 12060, True, 32 << 30)
RTX_5090 = GpuDevice("NVIDIA GeForce RTX 5090", (12, 0), 170, 13000, False, 32 << 30)
# What the public reports say of FP16 transformers: wrong on JetPack 6's 10.3 (NVIDIA/TensorRT#4723) and on 10.7, right
# on 8.6 and again on 10.13 (lpiccinelli-eth/UniDepth#135).
WRONG, RIGHT = ("10.3", "10.7"), ("8.6", "10.13", "10.16", "11.4", "rtx")


def flavour(version: str, full_version: str | None = None) -> Flavour:
    trt, _ = make_trt(version)
    if full_version:
        trt.__version__ = full_version
    return flavour_of(trt, trt.__name__)


@pytest.fixture
def transformer(tmp_path: Path) -> OnnxFacts:
    return read_facts(attention(tmp_path / "vit.onnx", np.float16))


@pytest.mark.parametrize("version", WRONG)
def test_fp16_attention_is_named_where_it_is_wrong(version: str, transformer: OnnxFacts) -> None:
    (warning,) = warnings_for(flavour(version), transformer, ORIN)
    assert re.search(
        r"known of TensorRT 10\.\d.*silently wrong depth.*JetPack 7.*--fp32.*NVIDIA/TensorRT#4723", warning
    )
    hint = explain_gate_failure(flavour(version), transformer, ORIN)
    assert hint.startswith("Known of TensorRT 10.")
    assert "NVIDIA/TensorRT#4723" in hint


@pytest.mark.parametrize("version", RIGHT)
def test_and_not_where_it_is_right(version: str, transformer: OnnxFacts) -> None:
    assert not any("#4723" in warning for warning in warnings_for(flavour(version), transformer, ORIN))


def test_convolutional_networks_and_fp32_are_not_accused(tmp_path: Path) -> None:
    for path in (conv(tmp_path / "a.onnx", np.float16), attention(tmp_path / "b.onnx"), conv(tmp_path / "c.onnx")):
        assert warnings_for(flavour("10.3"), read_facts(path), ORIN) == ()
        assert explain_gate_failure(flavour("10.3"), read_facts(path), ORIN) == ""


@pytest.mark.parametrize(
    ("full_version", "device", "named"),
    [("10.16.1.11", RTX_5090, True), ("10.16.2.1", RTX_5090, False), ("10.16.1.11", ORIN, False)],
)
def test_fused_attention_on_consumer_blackwell(
    full_version: str, device: GpuDevice, named: bool, transformer: OnnxFacts
) -> None:
    warnings = warnings_for(flavour("10.16", full_version), transformer, device)
    assert any("#4837" in warning for warning in warnings) == named


def test_a_condition_on_the_gpu_holds_while_the_gpu_is_not_known(transformer: OnnxFacts) -> None:
    assert any("#4837" in warning for warning in warnings_for(flavour("10.16"), transformer))


def test_weak_typing_is_named_where_it_is_in_use(tmp_path: Path) -> None:
    half = read_facts(conv(tmp_path / "m.onnx", np.float16))
    assert any("weak typing" in warning for warning in warnings_for(flavour("8.6"), half))
    assert any("weak typing" in warning for warning in warnings_for(flavour("10.16"), half, weakly_typed=True))
    assert warnings_for(flavour("10.16"), half, ORIN) == ()


def test_what_is_slow_or_fails_is_no_cause_of_wrong_numbers(tmp_path: Path) -> None:
    quantised = read_facts(quantised_conv(tmp_path / "m.onnx"))
    (warning,) = warnings_for(flavour("10.3"), quantised, ORIN)
    assert "checkLinks" in warning
    assert explain_gate_failure(flavour("10.3"), quantised, ORIN) == ""
    assert warnings_for(flavour("10.7"), quantised, ORIN) == ()


def test_every_entry_has_a_public_source_and_reads_as_a_line() -> None:
    for bad in KNOWN_BAD:
        assert re.search(r"[\w-]+/[\w.-]+#\d+|docs\.nvidia\.com", bad.source)
        assert bad.since < bad.before
        assert not bad.consequence.endswith(".")
        assert "\n" not in bad.consequence + bad.remedy
