"""What is written is read with Triton's own schema, the protobuf classes of its client."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from networks import write_network
from onnx import TensorProto, helper

from edgedepth.bundle import Model, ModelSpec, parse_spec, write_bundle
from edgedepth.errors import ExportError, InputError, OutputError, SpecError
from edgedepth.export.triton import SPEC_PARAMETER, write_triton_repository

triton = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason='needs pip install "tritonclient[grpc]"')


def parse(folder: Path) -> Any:
    from google.protobuf import text_format

    return text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), triton.ModelConfig())


def tiny_spec(**changes: Any) -> ModelSpec:
    output = {"kind": "metric", "focal": {"canonical_f_px": 300.0}, "valid_range_m": [0.1, 10.0]}
    return parse_spec({"name": "tiny", "input": {"height": 8, "width": 8}, "output": output} | changes)


@pytest.fixture
def bundle(tmp_path: Path) -> Model:
    network = write_network(tmp_path / "made" / "net.onnx", external="net.weights")
    provenance = {"license": {"name": 'CC-BY-NC "4.0" \\ Zürich\n', "commercial_use": False}}
    return write_bundle(tmp_path / "bundle", tiny_spec(provenance=provenance), network, license_text="not for money\n")


def write_converting_network(path: Path, elem_type: int, shape: list[Any]) -> Path:
    """``image`` of any element type to ``depth``, the same in float32 without the colour axis (the last one)."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", ["float"], ["depth"], axes=[3], keepdims=1),
        ],
        "g",
        [helper.make_tensor_value_info("image", elem_type, shape)],
        [helper.make_tensor_value_info("depth", TensorProto.FLOAT, [*shape[:3], 1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_a_second_output_is_served_with_its_meaning(tmp_path: Path) -> None:
    network = write_network(tmp_path / "made" / "net.onnx", person=(1, 0, 0))
    spec = tiny_spec(output={"name": "depth", "kind": "metric"}, person={"name": "person", "threshold": 0.6})
    folder = write_triton_repository(write_bundle(tmp_path / "bundle", spec, network), tmp_path / "models")
    config = parse(folder)
    assert [(one.name, one.data_type, list(one.dims)) for one in config.output] == [
        ("depth", triton.TYPE_FP32, [1, 1, 8, 8]),
        ("person", triton.TYPE_FP32, [1, 1, 8, 8]),
    ]
    said = "the probability that a pixel of the depth shows a person; from 0.6 on it does"
    assert config.parameters["edgedepth.person"].string_value == said
    assert f"- Output `person`: {said}." in (folder / "README.md").read_text(encoding="utf-8")


def test_every_field_is_what_triton_reads(bundle: Model, tmp_path: Path) -> None:
    folder = write_triton_repository(bundle, tmp_path / "models", instances=2)
    assert folder == tmp_path / "models" / "tiny"
    expected = triton.ModelConfig(
        name="tiny",
        platform="onnxruntime_onnx",
        backend="onnxruntime",
        max_batch_size=0,
        input=[triton.ModelInput(name="image", data_type=triton.TYPE_FP32, dims=[1, 3, 8, 8])],
        output=[triton.ModelOutput(name="depth", data_type=triton.TYPE_FP32, dims=[1, 1, 8, 8])],
        instance_group=[triton.ModelInstanceGroup(count=2, kind=triton.ModelInstanceGroup.KIND_GPU)],
    )
    expected.version_policy.latest.num_versions = 1
    expected.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    warm_up = expected.model_warmup.add(name="zeros", batch_size=1)
    warm_up.inputs["image"].data_type = triton.TYPE_FP32
    warm_up.inputs["image"].dims.extend([1, 3, 8, 8])
    warm_up.inputs["image"].zero_data = True
    for key, value in {
        "edgedepth.spec": bundle.spec.model_dump_json(),
        "edgedepth.kind": "metric",
        "edgedepth.meaning": "depth Z in metres = q * f_px / 300, f_px being the focal length at the input's size; "
        "invalid outside 0.1 to 10",
        "edgedepth.precision": "fp32",
        "edgedepth.trained": "yes",
        "edgedepth.license": 'CC-BY-NC "4.0" \\ Zürich\n',
        "edgedepth.commercial_use": "no",
    }.items():
        expected.parameters[key].string_value = value
    assert parse(folder) == expected


def test_a_client_gets_the_whole_contract_back(bundle: Model, tmp_path: Path) -> None:
    config = parse(write_triton_repository(bundle, tmp_path / "models"))
    assert parse_spec(json.loads(config.parameters[SPEC_PARAMETER].string_value)) == bundle.spec


def test_shapes_names_and_types_are_those_of_the_network_served(bundle: Model, tmp_path: Path) -> None:
    folder = write_triton_repository(bundle, tmp_path / "models")
    config = parse(folder)
    served = onnx.load(str(folder / "1" / "model.onnx"), load_external_data=False).graph
    for written, tensors in ((config.input, served.input), (config.output, served.output)):
        (one,), (tensor,) = written, tensors
        assert one.name == tensor.name
        assert list(one.dims) == [side.dim_value for side in tensor.type.tensor_type.shape.dim]
        assert triton.DataType.Name(one.data_type).replace("FP32", "FLOAT") == (
            "TYPE_" + TensorProto.DataType.Name(tensor.type.tensor_type.elem_type)
        )


def test_the_network_served_runs_with_its_external_weights(bundle: Model, tmp_path: Path) -> None:
    folder = write_triton_repository(bundle, tmp_path / "models")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "1/model.onnx", "1/net.weights", "LICENSE-MODEL.txt", "README.md", "config.pbtxt",
    ]  # fmt: skip
    assert (folder / "LICENSE-MODEL.txt").read_text(encoding="utf-8") == "not for money\n"
    session = onnxruntime.InferenceSession(str(folder / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    (depth,) = session.run(None, {"image": np.ones((1, 3, 8, 8), np.float32)})
    np.testing.assert_allclose(depth, 3, rtol=1e-6)  # the sum of three ones


@pytest.mark.parametrize(
    ("elem_type", "dtype", "data_type"),
    [(TensorProto.UINT8, "uint8", "TYPE_UINT8"), (TensorProto.FLOAT16, "float16", "TYPE_FP16")],
)
def test_element_types_and_channels_last(tmp_path: Path, elem_type: int, dtype: str, data_type: str) -> None:
    network = write_converting_network(tmp_path / "net.onnx", elem_type, [1, 6, 8, 3])
    taken = {"height": 6, "width": 8, "layout": "NHWC", "dtype": dtype, "scale": 1.0}
    model = Model(tiny_spec(input=taken, output={"kind": "disparity"}), network)
    config = parse(write_triton_repository(model, tmp_path / "models", kind="cpu"))
    assert triton.DataType.Name(config.input[0].data_type) == data_type
    assert triton.DataType.Name(config.model_warmup[0].inputs["image"].data_type) == data_type
    assert list(config.input[0].dims) == list(config.model_warmup[0].inputs["image"].dims) == [1, 6, 8, 3]
    assert list(config.output[0].dims) == [1, 6, 8, 1]
    assert config.parameters["edgedepth.meaning"].string_value == (
        "disparity = q; metres need a factor and a shift that the network does not know"
    )


def test_free_sides_stay_free_and_are_warmed_up_at_the_size_of_the_spec(tmp_path: Path) -> None:
    network = write_converting_network(tmp_path / "net.onnx", TensorProto.FLOAT, [1, "h", "w", 3])
    taken = {"height": 6, "width": 8, "layout": "NHWC"}
    free = Model(tiny_spec(input=taken | {"resize": "keep_aspect_multiple"}), network)
    config = parse(write_triton_repository(free, tmp_path / "models"))
    assert list(config.input[0].dims) == [1, -1, -1, 3]
    assert list(config.output[0].dims) == [1, -1, -1, 1]
    assert list(config.model_warmup[0].inputs["image"].dims) == [1, 6, 8, 3]
    fixed = parse(write_triton_repository(Model(tiny_spec(input=taken), network), tmp_path / "models", name="fixed"))
    assert list(fixed.input[0].dims) == [1, 6, 8, 3]


@pytest.mark.parametrize(("kind", "written"), [("cpu", "KIND_CPU"), ("auto", "KIND_AUTO")])
def test_without_a_gpu_asked_for_there_is_no_accelerator(
    bundle: Model, tmp_path: Path, kind: Any, written: str
) -> None:
    config = parse(write_triton_repository(bundle, tmp_path / "models", kind=kind))
    assert triton.ModelInstanceGroup.Kind.Name(config.instance_group[0].kind) == written
    assert not config.HasField("optimization")


def test_an_engine_is_served_with_its_checksum(bundle: Model, tmp_path: Path) -> None:
    engine = tmp_path / "some.engine"
    engine.write_bytes(b"a plan")
    folder = write_triton_repository(bundle, tmp_path / "models", platform="tensorrt", engine=engine, name="tiny-trt")
    config = parse(folder)
    assert (config.name, config.platform, config.backend) == ("tiny-trt", "tensorrt_plan", "tensorrt")
    assert (folder / "1" / "model.plan").read_bytes() == b"a plan"
    assert [p.name for p in (folder / "1").iterdir()] == ["model.plan"]
    assert config.parameters["edgedepth.engine_sha256"].string_value == hashlib.sha256(b"a plan").hexdigest()
    assert not config.HasField("optimization")  # the accelerators are onnxruntime's
    assert "runs only on the kind of GPU" in (folder / "README.md").read_text(encoding="utf-8")


def test_untrained_is_refused_or_said(bundle: Model, tmp_path: Path) -> None:
    untrained = Model(tiny_spec(provenance={"trained": False}), bundle.onnx_path)
    with pytest.raises(ExportError, match=r"untrained.*--random-init"):
        write_triton_repository(untrained, tmp_path / "models")
    assert not (tmp_path / "models").exists()
    folder = write_triton_repository(untrained, tmp_path / "models", allow_untrained=True)
    assert parse(folder).parameters["edgedepth.trained"].string_value == "no"
    assert "**Untrained**" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_model_that_is_there_is_not_overwritten(bundle: Model, tmp_path: Path) -> None:
    folder = write_triton_repository(bundle, tmp_path / "models")
    before = (folder / "config.pbtxt").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_triton_repository(bundle, tmp_path / "models", instances=4)
    assert (folder / "config.pbtxt").read_bytes() == before
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["tiny"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"platform": "torch"}, "one of onnxruntime, tensorrt, found 'torch'"),
        ({"kind": "dla"}, "one of gpu, cpu, auto, found 'dla'"),
        ({"instances": 0}, "at least one instance, found 0"),
        ({"name": "../up"}, "found '../up'"),
        ({"name": "two words"}, "found 'two words'"),
        ({"engine": "some.engine"}, "for onnxruntime; leave it out"),
        ({"platform": "tensorrt"}, "found none"),
        ({"platform": "tensorrt", "kind": "cpu", "engine": "some.engine"}, "on GPUs alone"),
        ({"platform": "tensorrt", "engine": "absent.engine"}, "no TensorRT engine at absent.engine"),
    ],
)
def test_what_contradicts_itself_is_refused(
    bundle: Model, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        write_triton_repository(bundle, tmp_path / "models", **arguments)
    assert message in str(refused.value)
    assert not (tmp_path / "models").exists()


def test_an_empty_engine_is_refused(bundle: Model, tmp_path: Path) -> None:
    (tmp_path / "empty.engine").touch()
    with pytest.raises(InputError, match="not empty"):
        write_triton_repository(bundle, tmp_path / "models", platform="tensorrt", engine=tmp_path / "empty.engine")


def test_a_spec_that_is_not_the_network_s_is_refused(bundle: Model, tmp_path: Path) -> None:
    other = Model(tiny_spec(input={"height": 16, "width": 8}), bundle.onnx_path)
    with pytest.raises(SpecError):
        write_triton_repository(other, tmp_path / "models")
    assert not (tmp_path / "models").exists()
