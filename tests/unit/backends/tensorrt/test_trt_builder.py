"""Real builds with TensorRT-RTX, which needs no GPU for them, and real refusals of its parser and builder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs import FLOAT, HALF, attention, conv, quantised_conv, save_graph, tensor
from onnx import helper
from rtx import tensors_of

from edgedepth.backends.base import EngineOptions, TensorSpec
from edgedepth.backends.tensorrt.builder import build_engine
from edgedepth.backends.tensorrt.flavour import Flavour, load_tensorrt
from edgedepth.bundle import check_spec, load_model
from edgedepth.errors import EngineError, InputError
from edgedepth.resources import packaged_bundle

SM86, SM120 = ((8, 6),), ((12, 0),)


@pytest.fixture(scope="module")
def rtx() -> Flavour:
    pytest.importorskip("tensorrt_rtx")
    return load_tensorrt("tensorrt_rtx")


@pytest.mark.parametrize("target", [SM86, SM120, SM86 + SM120], ids=["sm86", "sm120", "both"])
@pytest.mark.parametrize(
    "write",
    [
        conv,
        lambda path: conv(path, np.float16),
        quantised_conv,
        lambda path: quantised_conv(path, half=True),
        attention,
        lambda path: attention(path, np.float16),
    ],
    ids=["fp32", "fp16", "int8", "int8+fp16", "attention", "attention-fp16"],
)
def test_every_precision_builds(rtx: Flavour, tmp_path: Path, write, target) -> None:
    built = build_engine(write(tmp_path / "m.onnx"), EngineOptions(), flavour=rtx, target=target)
    assert built.plan[:4] == b"vtrt"  # TensorRT-RTX's mark
    assert built.strongly_typed
    assert built.warnings == ()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_packaged_model_s_engine_gives_depth_and_person_as_its_spec_says(rtx: Flavour, precision: str) -> None:
    model = load_model(packaged_bundle(f"edgedepth-s-{precision}"))
    built = build_engine(model.onnx_path, EngineOptions(), flavour=rtx, target=SM86)
    assert built.strongly_typed
    assert built.warnings == ()
    inputs, outputs = tensors_of(built.plan)
    spec, single = model.spec, np.dtype(np.float32)
    height, width = spec.input.height, spec.input.width
    assert inputs == {"image": TensorSpec("image", single, (1, 3, height, width))}
    assert outputs == {name: TensorSpec(name, single, (1, 1, height, width)) for name in ("depth", "person")}
    image, depth, person = check_spec(spec, tuple(inputs.values()), tuple(outputs.values()))
    assert (image.name, depth.name, person and person.name) == ("image", "depth", "person")


def test_the_precision_in_the_file_reaches_the_plan(rtx: Flavour, tmp_path: Path) -> None:
    """A weight is in the plan in the type it has in the file: four bytes a number or two, plus padding."""
    sizes = {}
    for dtype in (np.float32, np.float16):
        path = conv(tmp_path / f"{dtype.__name__}.onnx", dtype, channels=16384)
        sizes[dtype] = len(build_engine(path, EngineOptions(), flavour=rtx, target=SM86).plan)
    numbers = 16384 * 3 * 3 * 3
    assert sizes[np.float32] - sizes[np.float16] > 0.5 * 2 * numbers


def test_progress_grows_to_one_and_names_the_phases(rtx: Flavour, tmp_path: Path) -> None:
    said: list[tuple[str, float | None]] = []
    build_engine(
        conv(tmp_path / "m.onnx"), EngineOptions(), flavour=rtx, target=SM86, progress=lambda *args: said.append(args)
    )
    fractions = [fraction for _, fraction in said if fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(fractions) > 5
    assert any("optimizing" in what for what, _ in said)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("the listener is gone")])
def test_what_progress_raises_stops_the_build_and_comes_out(rtx: Flavour, tmp_path: Path, error: BaseException) -> None:
    def progress(_what: str, fraction: float | None) -> None:
        if fraction is not None and fraction > 0.2:
            raise error

    with pytest.raises(type(error)):
        build_engine(conv(tmp_path / "m.onnx"), EngineOptions(), flavour=rtx, target=SM86, progress=progress)


RELU = [helper.make_node("Relu", ["image"], ["depth"], name="only")]


def unknown_operator(path: Path) -> Path:
    return save_graph(path, [helper.make_node("Frobnicate", ["image"], ["depth"], name="frob", domain="com.example")])


def antialias(path: Path) -> Path:
    node = helper.make_node("Resize", ["image", "", "s"], ["depth"], name="resize", mode="linear", antialias=1)
    return save_graph(path, [node], [tensor("s", [1, 1, 2, 2])])


def mixed_types(path: Path) -> Path:
    node = helper.make_node("Conv", ["image", "w"], ["depth"], name="mixed")
    return save_graph(path, [node], [tensor("w", np.ones((1, 3, 1, 1)), np.float16)], kind=FLOAT, output_kind=HALF)


def quantised_bias(path: Path) -> Path:
    nodes = [
        helper.make_node("DequantizeLinear", ["b", "s", "z"], ["bias"], name="bias"),
        helper.make_node("Conv", ["image", "w", "bias"], ["depth"], name="conv"),
    ]
    weights = [
        tensor("b", [1, 2], np.int32),
        tensor("s", 0.1),
        tensor("z", 0, np.int32),
        tensor("w", np.ones((2, 3, 1, 1))),
    ]
    return save_graph(path, nodes, weights)


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (unknown_operator, r"node 0 'frob' \(Frobnicate\): Plugin not found.*does not know the operator.*opset 18"),
        (antialias, r"node 0 'resize' \(Resize\): Antialiasing is not supported.*antialias=False"),
        (mixed_types, r"node 0 'mixed' \(Conv\):.*same type.*with a Cast where precisions meet"),
        (lambda path: save_graph(path, RELU, shape=("n", 3, 16, 16)), r"no fixed size \(\?x3x16x16\).*--size HxW"),
        (
            lambda path: quantised_conv(path, zero_point=3),
            r"node 0 'quantise' \(QuantizeLinear\): Non-zero zero point.*symmetric quantisation only",
        ),
        (lambda path: quantised_conv(path, dtype=np.uint8), "quantised in uint8: TensorRT reads uint8.* as int8"),
        (quantised_bias, "quantised in int32: TensorRT takes no quantised bias"),
    ],
    ids=["unknown-operator", "antialias", "mixed-types", "free-size", "zero-point", "uint8", "int32-bias"],
)
def test_what_cannot_be_built_is_refused_with_the_reason(rtx: Flavour, tmp_path: Path, write, expected: str) -> None:
    with pytest.raises(EngineError, match=expected) as caught:
        build_engine(write(tmp_path / "m.onnx"), EngineOptions(), flavour=rtx, target=SM86)
    assert "\n" not in str(caught.value)
    assert "catchCudaError" not in str(caught.value)


def test_uint8_would_be_misread_in_silence(rtx: Flavour, tmp_path: Path) -> None:
    """Why it is refused before the parser sees it: the parser takes it, with a warning."""
    path = quantised_conv(tmp_path / "m.onnx", dtype=np.uint8)
    network = rtx.trt.Builder(rtx.logger).create_network(0)
    with rtx.messages.capture() as said:
        assert rtx.trt.OnnxParser(network, rtx.logger).parse_from_file(str(path))
    assert any("Defaulting to INT8" in text for text in said.texts("warning"))


@pytest.mark.parametrize(
    ("options", "target", "error", "expected"),
    [
        (EngineOptions(level=6), SM86, InputError, "--level is 0 to 5, found 6"),
        (EngineOptions(level=-1), SM86, InputError, "--level is 0 to 5, found -1"),
        (EngineOptions(workspace_mib=0), SM86, InputError, "--workspace is in MiB and at least 1"),
        (EngineOptions(dla_core=0), SM86, EngineError, "TensorRT-RTX .* has no Deep Learning Accelerator"),
        (EngineOptions(weakly_typed=True), SM86, EngineError, "types networks strongly"),
        (EngineOptions(), ((8, 7),), EngineError, "cannot build for SM87; it builds for SM75, SM80, SM86"),
        (EngineOptions(), (), EngineError, "cannot build for nothing"),
    ],
)
def test_options_that_cannot_be_met_are_refused(rtx: Flavour, tmp_path: Path, options, target, error, expected) -> None:
    with pytest.raises(error, match=expected):
        build_engine(conv(tmp_path / "m.onnx"), options, flavour=rtx, target=target)


def test_options_that_can_be_met_are(rtx: Flavour, tmp_path: Path) -> None:
    options = EngineOptions(workspace_mib=32, level=0, timing_cache=tmp_path / "timings")
    assert build_engine(conv(tmp_path / "m.onnx"), options, flavour=rtx, target=SM86).plan
    assert not (tmp_path / "timings").exists()  # TensorRT-RTX measures nothing while building
