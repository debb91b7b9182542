"""Networks with a second output, the probability of a person: exported, proved and gated like the depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from settled_network import settled_network
from typer.testing import CliRunner

from edgedepth.backends import open_backend
from edgedepth.backends.loaded import BaseBackend
from edgedepth.bundle import load_model, read_golden
from edgedepth.cli.verbs import app
from edgedepth.depth import DepthEstimator
from edgedepth.depth.gate import check_backend, measure_backend
from edgedepth.errors import BundleError, GateError, ParityError
from edgedepth.export.onnx_export import export_onnx
from edgedepth.export.parity import check_parity
from edgedepth.types import Frame, Intrinsics

SIZE = 64, 96


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two") / "two-heads"
    arguments = ["export", "edgedepth-s", "--random-init", "--size", "64x96", "--fp16", "-o", str(folder)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "person off" in done.output
    return folder


class Changed(BaseBackend):
    """A backend whose second output is moved in one corner."""

    def __init__(self, inner: Any, by: float) -> None:
        super().__init__("changed", inner.inputs, inner.outputs)
        self._inner, self._by = inner, by

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        given = {name: value.copy() for name, value in self._inner.run(feeds).items()}
        given["person"][..., : SIZE[0] // 8, : SIZE[1] // 8] += self._by
        return given

    def _replica(self) -> Changed:
        return Changed(self._inner, self._by)

    def _release(self) -> None:
        """The inner one is the test's."""


def test_the_bundle_says_and_holds_both(bundle: Path) -> None:
    model = load_model(bundle)
    assert model.spec.person is not None
    assert (model.spec.output.name, model.spec.person.name) == ("depth", "person")
    assert model.golden_path is not None
    golden = read_golden(model.golden_path)
    assert golden.person is not None
    assert golden.person.shape == golden.outputs.shape
    assert model.report is not None
    assert [row.precision for row in model.report.rows] == ["fp32", "fp16"]
    assert all(row.person_error is not None and row.person_error < 0.02 for row in model.report.rows)


def test_frames_get_both(bundle: Path) -> None:
    frame = Frame(np.full((120, 160, 3), 90, np.uint8), Intrinsics.from_fov(160, 120, hfov_deg=60))
    with DepthEstimator.open(bundle, allow_untrained=True) as estimator:
        depth = estimator.estimate(frame)
    assert depth.person is not None
    assert depth.person.shape == depth.values.shape == (120, 160)
    assert 0 <= depth.person.min() <= depth.person.max() <= 1


def test_the_gate_sees_one_wrong_head(bundle: Path) -> None:
    model = load_model(bundle)
    assert model.golden_path is not None
    golden = read_golden(model.golden_path)
    with open_backend(model.onnx_path) as backend:
        assert not measure_backend(model.spec, golden, backend).failures
        for by, passes in ((0.01, True), (0.05, False)):
            report = measure_backend(model.spec, golden, Changed(backend, by))
            assert report.person_error == pytest.approx(by, abs=0.01)
            assert report.relative_error < 0.01, "the depth is what it was"
            assert (not report.failures) == passes
        with pytest.raises(GateError, match="probability of a person off by"):
            check_backend(model.spec, golden, Changed(backend, 0.5))
        with pytest.raises(GateError, match="NaN or infinite"):
            check_backend(model.spec, golden, Changed(backend, float("nan")))
        with pytest.raises(BundleError, match="does not say where people are"):
            measure_backend(model.spec, replace(golden, person=None), backend)


def test_parity_holds_probabilities_against_their_own_scale(tmp_path: Path) -> None:
    network = settled_network("edgedepth_s", *SIZE)
    path = tmp_path / "two.onnx"
    export_onnx(network, *SIZE, path)
    feed = np.random.default_rng(0).normal(size=(1, 3, *SIZE)).astype(np.float32)
    with open_backend(path) as backend:
        image = backend.inputs[0].name
        right = {name: value.copy() for name, value in backend.run({image: feed}).items()}
    off = right["person"] + np.float32(0.002)
    person = right["person"]
    assert (person < 0.5).any(), "where a relative measure would see more than 0.002"

    def answer(_: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return right["depth"], off

    assert check_parity(answer, path, [feed], tolerance=0.003, person="person").max_relative == pytest.approx(
        0.002, abs=1e-5
    )
    with pytest.raises(ParityError, match="output 'person'"):
        check_parity(answer, path, [feed], tolerance=0.001, person="person")
    with pytest.raises(ParityError, match="of another"):
        check_parity(lambda _: right["depth"], path, [feed], tolerance=1.0)
