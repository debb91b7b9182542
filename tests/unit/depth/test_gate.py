from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edgedepth.backends import FakeBackend, TensorSpec, open_backend
from edgedepth.bundle import Golden, ModelSpec, load_model, parse_spec, read_golden
from edgedepth.depth.gate import TOLERANCES, Tolerance, check_backend, measure_backend
from edgedepth.errors import BackendError, BundleError, GateError
from edgedepth.resources import packaged_bundle

F32 = np.dtype(np.float32)
SHAPE = (1, 1, 8, 8)
LOOSE = Tolerance(1, 1, 1, 1)


def gate_spec(**keys: object) -> ModelSpec:
    output = {"kind": "metric", **keys.pop("output", {})}  # type: ignore[dict-item]
    return parse_spec({"name": "net", "input": {"height": 8, "width": 8}, "output": output, **keys})


@pytest.fixture
def golden() -> Golden:
    """Three frames; frame i's input is i everywhere, so a fake can tell them apart. Depth 1..5."""
    outputs = np.random.default_rng(0).uniform(1, 5, (3, *SHAPE)).astype(np.float32)
    inputs = np.broadcast_to(np.arange(3, dtype=np.float32)[:, None, None, None, None], (3, 1, 3, 8, 8)).copy()
    return Golden(inputs, outputs)


def backend(golden: Golden, change: Callable[[np.ndarray, int], np.ndarray], dtype: np.dtype = F32) -> FakeBackend:
    def run(feeds):
        index = int(feeds["image"].flat[0])
        return {"depth": change(golden.outputs[index].copy(), index)}

    return FakeBackend((TensorSpec("image", F32, (1, 3, 8, 8)),), (TensorSpec("depth", dtype, SHAPE),), run)


def test_the_original_s_own_numbers_are_without_error(golden: Golden) -> None:
    report = check_backend(gate_spec(), golden, backend(golden, lambda depth, i: depth))
    assert (report.frames, report.relative_error, report.scale_ratio) == (3, 0, 1)
    assert (report.scale_spread, report.invalid_pixels, report.failures) == (0, 0, ())
    assert report.tolerance == TOLERANCES["fp32"]


def test_each_measure_by_hand(golden: Golden) -> None:
    # Frames 3 % far, 1 % far and right: worst error 3 %, median scale 1.01, spread 3 %.
    far = (1.03, 1.01, 1.0)
    report = measure_backend(gate_spec(), golden, backend(golden, lambda depth, i: depth * far[i]), LOOSE)
    assert report.relative_error == pytest.approx(0.03, rel=1e-3)
    assert report.scale_ratio == pytest.approx(1.01, rel=1e-5)
    assert report.scale_spread == pytest.approx(0.03, rel=1e-3)


def test_a_scale_that_is_off_is_refused_with_its_size(golden: Golden) -> None:
    with pytest.raises(
        BackendError, match=r"fake does not give net's numbers.*scale off by \+3\.00% \(allowed 0\.10%\)"
    ):
        check_backend(gate_spec(), golden, backend(golden, lambda depth, i: depth * 1.03))


def test_a_scale_that_varies_between_frames_is_refused(golden: Golden) -> None:
    flicker = backend(golden, lambda depth, i: depth * (1 + 0.02 * (i - 1)))
    with pytest.raises(BackendError, match=r"varies by 4\.00% between frames"):
        check_backend(gate_spec(), golden, flicker, Tolerance(relative_error=1, region_error=1, scale=1, spread=0.01))


def test_noise_without_a_scale_error_is_refused(golden: Golden) -> None:
    def noisy(depth: np.ndarray, i: int) -> np.ndarray:
        checker = np.indices(depth.shape).sum(axis=0) % 2
        return np.where(checker, depth * 1.1, depth * 0.9).astype(np.float32)

    with pytest.raises(BackendError, match=r"relative error 10\.00%"):
        check_backend(gate_spec(), golden, backend(golden, noisy), Tolerance(0.05, 1, 1, 1))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_counted_and_refused(golden: Golden, value: float) -> None:
    def broken(depth: np.ndarray, i: int) -> np.ndarray:
        depth[0, 0, 0, :2] = value
        return depth

    with pytest.raises(BackendError, match="6 NaN or infinite pixels"):
        check_backend(gate_spec(), golden, backend(golden, broken), LOOSE)


def test_nothing_but_nan_is_refused(golden: Golden) -> None:
    with pytest.raises(BackendError, match="192 NaN"):
        check_backend(gate_spec(), golden, backend(golden, lambda depth, i: depth * np.float32(np.nan)), LOOSE)


def test_numbers_where_the_original_has_none_are_refused(golden: Golden) -> None:
    outputs = golden.outputs.copy()
    outputs[:, 0, 0, 0, :2] = np.nan
    partly = Golden(golden.inputs, outputs)
    assert check_backend(gate_spec(), partly, backend(partly, lambda depth, i: depth)).invalid_pixels == 0
    with pytest.raises(BackendError, match="6 NaN or infinite pixels"):
        check_backend(gate_spec(), partly, backend(golden, lambda depth, i: depth), LOOSE)


def test_far_too_much_where_next_to_nothing_is_right_is_refused(golden: Golden) -> None:
    """Disparity of the sky: nothing to divide by, and still no place for any number."""
    outputs = golden.outputs.copy()
    outputs[:, 0, 0, :2] = 1e-6
    sky = Golden(golden.inputs, outputs)

    def bright(depth: np.ndarray, i: int) -> np.ndarray:
        depth[0, 0, :2] = 3.0
        return depth

    assert check_backend(gate_spec(), sky, backend(sky, lambda depth, i: depth * np.float32(1.0005))).failures == ()
    with pytest.raises(BackendError, match="relative error"):
        check_backend(gate_spec(), sky, backend(sky, bright))


def test_quantised_outputs_are_compared_in_units(golden: Golden) -> None:
    spec = gate_spec(output={"metres_per_unit": 0.02, "zero_point": 5}, precision="int8")
    quantised = backend(golden, lambda depth, i: np.round(depth / 0.02 + 5).astype(np.uint8), np.dtype(np.uint8))
    report = check_backend(spec, golden, quantised)
    assert 0 < report.relative_error < 0.01 / 1  # half a step of 2 cm at 1 m or more
    assert report.tolerance == TOLERANCES["int8"]


def test_golden_data_of_another_network_is_refused(golden: Golden) -> None:
    other = Golden(golden.inputs, np.ones((3, 1, 1, 4, 4), np.float32))
    with pytest.raises(BundleError, match="does not belong to net"):
        check_backend(gate_spec(), other, backend(golden, lambda depth, i: depth))


def test_one_wrong_region_is_seen_although_the_frame_s_mean_is_fine() -> None:
    # A part of 4 x 4 of 32 x 32 pixels, a standing child's share of a frame, is 20 % too far: 0.31 % of the frame.
    outputs = np.full((1, 1, 1, 32, 32), 2.0, np.float32)
    inputs = np.zeros((1, 1, 3, 32, 32), np.float32)

    def run(feeds):
        depth = outputs[0].copy()
        depth[..., 8:12, 16:20] *= 1.2
        return {"depth": depth}

    image, depth = TensorSpec("image", F32, (1, 3, 32, 32)), TensorSpec("depth", F32, (1, 1, 32, 32))
    spec = parse_spec(
        {"name": "net", "input": {"height": 32, "width": 32}, "output": {"kind": "metric"}, "precision": "fp16"}
    )
    with pytest.raises(GateError, match=r"relative error 20\.00% in one region") as caught:
        check_backend(spec, Golden(inputs, outputs), FakeBackend((image,), (depth,), run))
    assert "golden frames: relative error 20" in str(caught.value), "the mean alone is within tolerance"


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", 0.005), ("fp16", 0.02), ("int8", 0.1)])
def test_probabilities_are_held_to_their_precision_s_tolerance(golden: Golden, precision: str, allowed: float) -> None:
    person = np.full_like(golden.outputs, 0.5)
    both = replace(golden, person=person)
    spec = gate_spec(output={"name": "depth"}, person={"name": "person"}, precision=precision)
    tensors = tuple(TensorSpec(name, F32, SHAPE) for name in ("depth", "person"))

    def moved(by: float) -> FakeBackend:
        def run(feeds):
            index = int(feeds["image"].flat[0])
            return {"depth": both.outputs[index], "person": person[index] + np.float32(by)}

        return FakeBackend((TensorSpec("image", F32, (1, 3, 8, 8)),), tensors, run)

    assert measure_backend(spec, both, moved(0.9 * allowed)).failures == ()
    (why,) = measure_backend(spec, both, moved(1.1 * allowed)).failures
    assert why.startswith("probability of a person off by")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_packaged_model_passes_and_not_with_a_shifted_bias_of_its_masks(precision: str) -> None:
    model = load_model(packaged_bundle(f"edgedepth-s-{precision}"))
    assert model.golden_path is not None
    packed = read_golden(model.golden_path)

    with open_backend(model.onnx_path, name="onnxruntime:cpu") as network:

        def shifted(feeds):
            given = network.run(feeds)
            p = given["person"]
            # sigmoid(x - 3), of the p = sigmoid(x) that is given.
            return {**given, "person": p / (p + (1 - p) * np.float32(np.e**3))}

        assert measure_backend(model.spec, packed, network).failures == ()
        spoilt = FakeBackend(network.inputs, network.outputs, shifted)
        with pytest.raises(GateError, match=r"golden frames: probability of a person off by 0\.\d+ in one region \("):
            check_backend(model.spec, packed, spoilt)
