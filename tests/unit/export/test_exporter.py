"""What must not become a bundle, and whose numbers a bundle keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import write_network

from edgedepth.backends import Backend, FakeBackend, open_backend
from edgedepth.bundle import load_model
from edgedepth.errors import BudgetError, ExportError, InputError
from edgedepth.export.exporter import ExportOptions, export_bundle
from edgedepth.export.frames import proof_frames
from edgedepth.export.measure import measure_precisions
from edgedepth.export.sources import GraphSource

SPEC = 'name = "net"\n[input]\nheight = 8\nwidth = 8\n[output]\nkind = "metric"\n'


@pytest.fixture
def source(tmp_path: Path) -> GraphSource:
    """Depth is the sum of the channels."""
    path = write_network(tmp_path / "net.onnx")
    path.with_suffix(".toml").write_text(SPEC)
    return GraphSource.of_model(load_model(path))


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """A backend "compiler" that gets every network wrong by what is put in here."""
    monkeypatch.setattr("edgedepth.export.measure.TIMED_S", 1e-9)
    wrong = {"gain": 1.0, "flicker": 0.0}
    runs = count()

    def opened(path: Path, options: object = None, *, name: str | None = None) -> Backend:
        real = open_backend(path)
        if name != "compiler":
            return real

        def run(feeds: Mapping[str, Any]) -> Mapping[str, Any]:
            gain = wrong["gain"] + wrong["flicker"] * (-1) ** next(runs)
            return {"depth": real.run(feeds)["depth"] * np.float32(gain)}

        return FakeBackend(real.inputs, real.outputs, run)

    monkeypatch.setattr("edgedepth.export.measure.open_backend", opened)
    return wrong


def test_a_wrong_compiler_does_not_write_the_reference(
    source: GraphSource, compiler: dict[str, float], tmp_path: Path
) -> None:
    compiler["gain"] = 1.02
    chosen = ExportOptions(precision="fp32", backend="compiler")
    with pytest.raises(BudgetError, match=r"net in fp32: .*scale off by \+2\.00%"):
        export_bundle(source, tmp_path / "b", chosen)
    with pytest.raises(BudgetError, match="another --backend"):  # --keep is for INT8
        export_bundle(source, tmp_path / "b", replace(chosen, keep=True))
    assert not (tmp_path / "b").exists()
    measured = measure_precisions({"fp32": (source.spec, source.onnx_path)}, proof_frames(None), backend="compiler")
    assert measured.backend == "fake"
    inputs, outputs = measured.golden.inputs, measured.golden.outputs
    np.testing.assert_allclose(outputs, inputs.sum(2, keepdims=True), rtol=1e-6)


def test_what_would_flicker_on_the_device_is_refused_here(
    source: GraphSource, compiler: dict[str, float], tmp_path: Path
) -> None:
    # Every frame is within FP16's 1 %, and the median of the scales is right; they differ by more than 0.5 %.
    compiler["flicker"] = 0.004
    with pytest.raises(BudgetError, match=r"net in fp16: scale varies by 0\.8\d% between frames"):
        export_bundle(source, tmp_path / "b", ExportOptions(precision="fp16", backend="compiler"))


def test_numbers_that_are_lost_are_refused_even_when_told_to_keep(
    source: GraphSource, compiler: dict[str, float], tmp_path: Path
) -> None:
    compiler["gain"] = float("nan")
    with pytest.raises(ExportError, match=r"\d+ NaN or infinite pixels.* in fp32"):
        export_bundle(source, tmp_path / "b", ExportOptions(precision="fp32", backend="compiler", keep=True))


def test_a_graph_in_half_precision_is_not_taken_for_fp32(source: GraphSource, tmp_path: Path) -> None:
    half = export_bundle(source, tmp_path / "half", ExportOptions(precision="fp16")).model.onnx_path
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(half.read_bytes())
    bare.with_suffix(".toml").write_text(SPEC)  # says nothing of the precision
    with pytest.raises(InputError, match=r"bare\.onnx is fp16; export starts from the FP32 network"):
        GraphSource.of_model(load_model(bare))
