"""A compiled network passes the gate once, before anybody gets a number from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from networks import write_network

from edgedepth.backends import BackendOptions, FakeBackend, TensorSpec
from edgedepth.bundle import Golden, Model, load_model, parse_spec, read_golden, write_bundle
from edgedepth.depth import DepthEstimator, prove_backend
from edgedepth.errors import GateError

F32 = np.dtype(np.float32)
SPEC = parse_spec({"name": "net", "input": {"height": 8, "width": 8}, "output": {"kind": "metric"}})


class Compiled(FakeBackend):
    """Gives the channel sum times ``gain``, as a compiler that got the scale wrong would."""

    def __init__(self, gain: float) -> None:
        def run(feeds):
            return {"depth": feeds["image"].sum(axis=1, keepdims=True) * np.float32(gain)}

        image, depth = TensorSpec("image", F32, (1, 3, 8, 8)), TensorSpec("depth", F32, (1, 1, 8, 8))
        super().__init__((image,), (depth,), run)
        self.gate_hint = ""
        self.proof: Mapping[str, Any] | None = None

    def record_proof(self, report: Mapping[str, Any]) -> None:
        self.proof = report


@pytest.fixture
def bare(tmp_path: Path) -> Model:
    """The true network, channel sum, with a spec and no golden data."""
    path = write_network(tmp_path / "net.onnx")
    (tmp_path / "net.json").write_text(SPEC.model_dump_json())
    return load_model(path)


@pytest.fixture
def bundle(tmp_path: Path, bare: Model) -> Model:
    inputs = np.random.default_rng(0).uniform(0, 1, (2, 1, 3, 8, 8)).astype(np.float32)
    return write_bundle(tmp_path / "b", SPEC, bare.onnx_path, golden=Golden(inputs, inputs.sum(2, keepdims=True)))


@pytest.mark.parametrize("kind", ["bare", "bundle"])
def test_right_numbers_are_recorded_and_not_asked_for_again(kind: str, request: pytest.FixtureRequest) -> None:
    model, backend = request.getfixturevalue(kind), Compiled(1.0)
    report = prove_backend(model, backend)
    assert report is not None
    assert report.frames == 2
    assert json.loads(json.dumps(backend.proof))["scale_ratio"] == pytest.approx(1)
    runs = backend.runs
    assert prove_backend(model, backend) is None
    assert backend.runs == runs


@pytest.mark.parametrize("kind", ["bare", "bundle"])
def test_wrong_numbers_are_refused_and_not_recorded(kind: str, request: pytest.FixtureRequest) -> None:
    backend = Compiled(1.02)
    with pytest.raises(GateError, match=r"scale off by \+2\.00%"):
        prove_backend(request.getfixturevalue(kind), backend)
    assert backend.proof is None


def test_the_proof_of_a_bare_network_is_none_of_a_bundle(bare: Model, bundle: Model) -> None:
    """The same network, hence the same engine: proved against itself says nothing of a bundle's golden data."""
    backend = Compiled(1.0)
    assert prove_backend(bare, backend) is not None
    assert bundle.golden_path is not None
    golden = read_golden(bundle.golden_path)
    root = bare.onnx_path.parent / "off"
    off = write_bundle(root, SPEC, bare.onnx_path, golden=Golden(golden.inputs, 1.02 * golden.outputs))
    with pytest.raises(GateError, match=r"scale off by -1\.96%"):
        prove_backend(off, backend)


@pytest.mark.parametrize("changed", [{"precision": "int8"}, {"output": {"kind": "metric", "metres_per_unit": 0.98}}])
def test_a_looser_proof_or_one_in_other_units_does_not_count(
    tmp_path: Path, bundle: Model, changed: dict[str, Any]
) -> None:
    assert bundle.golden_path is not None
    other = parse_spec({"name": "net", "input": {"height": 8, "width": 8}, "output": {"kind": "metric"}, **changed})
    golden = read_golden(bundle.golden_path)
    lenient = write_bundle(tmp_path / "other", other, bundle.onnx_path, golden=golden)
    backend = Compiled(1 / other.output.metres_per_unit if other.precision == "fp32" else 1.02)
    assert prove_backend(lenient, backend) is not None
    with pytest.raises(GateError, match=r"scale off by \+2\.0"):
        prove_backend(bundle, backend)


def test_a_bare_network_is_held_to_the_precision_of_its_graph(bare: Model) -> None:
    claimed = Model(spec=bare.spec.model_copy(update={"precision": "int8"}), onnx_path=bare.onnx_path)
    with pytest.raises(GateError, match=r"allowed 0\.10%"):
        prove_backend(claimed, Compiled(1.02))


def test_a_known_cause_is_named(bare: Model) -> None:
    backend = Compiled(1.02)
    backend.gate_hint = "This compiler is known to get it wrong; use another."
    with pytest.raises(GateError, match=r"another precision\. This compiler is known"):
        prove_backend(bare, backend)


def test_what_compiles_nothing_is_not_gated(bundle: Model) -> None:
    image, depth = TensorSpec("image", F32, (1, 3, 8, 8)), TensorSpec("depth", F32, (1, 1, 8, 8))
    assert prove_backend(bundle, FakeBackend((image,), (depth,))) is None


def test_the_estimator_closes_what_fails_the_gate(bundle: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Compiled(0.5)
    monkeypatch.setattr("edgedepth.depth.estimator.open_backend", lambda *_, **__: backend)
    with pytest.raises(GateError):
        DepthEstimator.open(bundle.root, options=BackendOptions())
    assert backend.open_count == 0


def test_a_library_that_computes_differently_is_held_to_the_golden_data_each_time(bundle: Model, bare: Model) -> None:
    def run(feeds):
        return {"depth": feeds["image"].sum(axis=1, keepdims=True) * np.float32(0.9)}

    image, depth = TensorSpec("image", F32, (1, 3, 8, 8)), TensorSpec("depth", F32, (1, 1, 8, 8))
    backend = FakeBackend((image,), (depth,), run)
    backend._name = "some library"
    with pytest.raises(GateError, match=r"scale off by -10\.00%"):
        prove_backend(bundle, backend)
    assert prove_backend(bare, backend) is None  # nothing to hold it to


class TakesImages(Compiled):
    """As Compiled, and makes tensors of frames itself: the right way, or upside down."""

    takes_images = True

    def __init__(self, flipped: bool) -> None:
        super().__init__(1.0)
        self._flipped = flipped

    def run_image(self, image, feed):
        pixels = cv2.resize(image[::-1] if self._flipped else image, feed.network_wh, interpolation=cv2.INTER_LINEAR)
        return self.run({"image": np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)})


def test_tensors_made_on_the_device_are_compared_with_those_of_the_cpu(bundle: Model) -> None:
    right = TakesImages(flipped=False)
    prove_backend(bundle, right)
    assert right.proof is not None
    wrong = TakesImages(flipped=True)
    with pytest.raises(GateError, match="makes another tensor of a frame than the CPU does"):
        prove_backend(bundle, wrong)
    assert wrong.proof is None
