"""A bundle as a model repository of NVIDIA's Triton Inference Server: ``<root>/<name>/{config.pbtxt, 1/model.onnx}``.

The fields of ``config.pbtxt`` are those of ``ModelConfig`` in triton-inference-server/common,
``protobuf/model_config.proto``. The bundle's contract travels in its ``parameters``, which every client can ask the
server for, so that numbers never arrive without their meaning.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, Literal

from edgedepth.backends import TensorSpec, open_backend
from edgedepth.bundle import InputSpec, Model, ModelSpec, check_spec
from edgedepth.bundle.spec import PersonSpec
from edgedepth.bundle.store import LICENSE_FILE, copy_network, file_sha256
from edgedepth.errors import ExportError, InputError
from edgedepth.export.pbtxt import Name, pbtxt
from edgedepth.output import atomic_folder
from edgedepth.types import DepthKind

__all__ = ["SPEC_PARAMETER", "Kind", "Platform", "write_triton_repository"]

Platform = Literal["onnxruntime", "tensorrt"]
Kind = Literal["gpu", "cpu", "auto"]

SPEC_PARAMETER = "edgedepth.spec"
"""The key of ``parameters`` under which the spec stands, as the JSON of ``spec.json``."""

# Of each platform: its old name, which some clients still ask for, and the file its backend looks for.
_PLATFORMS: dict[Platform, tuple[str, str]] = {
    "onnxruntime": ("onnxruntime_onnx", "model.onnx"),
    "tensorrt": ("tensorrt_plan", "model.plan"),
}
_KINDS: dict[Kind, str] = {"gpu": "KIND_GPU", "cpu": "KIND_CPU", "auto": "KIND_AUTO"}
_COMMERCIAL_USE = {True: "yes", False: "no", None: "unknown"}
# No precision_mode: with FP16 or INT8 the accelerator builds a weakly typed network, in which TensorRT may run in FP16
# what the graph keeps in FP32. Without, it builds a strongly typed one (microsoft/onnxruntime pull request 18707).
_TENSORRT_ACCELERATOR = {
    "optimization": {"execution_accelerators": {"gpu_execution_accelerator": [{"name": "tensorrt"}]}}
}
# The name is a folder, a part of URLs and the key of the server's metrics.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def write_triton_repository(
    model: Model,
    root: str | Path,
    *,
    platform: Platform = "onnxruntime",
    kind: Kind = "gpu",
    instances: int = 1,
    engine: str | Path | None = None,
    name: str | None = None,
    allow_untrained: bool = False,
) -> Path:
    """Write one model of a Triton model repository. Its folder appears only when it is complete.

    Bundles hold static graphs of batch 1, so ``max_batch_size`` is 0 and the shapes are the whole tensors'; more
    frames at once are more ``instances``. On ``onnxruntime`` with ``kind="gpu"`` the TensorRT accelerator is asked
    for, without a precision: it then builds what the graph says, and layers that were kept in FP32 stay there.

    Args:
        model: what ``load_model`` gives.
        root: the repository; made when it is missing, other models in it are left alone.
        platform: the Triton backend that runs it.
        kind: where its instances run; ``"auto"`` is the GPU where there is one.
        instances: how many of them, per device.
        engine: the TensorRT plan of this very bundle, built with the server's TensorRT on the server's GPU; for
            ``platform="tensorrt"``, and only there.
        name: the model's name on the server; None takes the spec's.
        allow_untrained: serve a network with random weights (to measure speed).

    Returns:
        The model's folder, ``root / name``.

    Raises:
        InputError: arguments that contradict each other, or a name Triton cannot have.
        ExportError: an untrained network.
        SpecError, BundleError, BackendError: the network is not what the spec says, or cannot be loaded.
        OutputError: the model's folder exists already or cannot be written.
    """
    spec = model.spec
    name = spec.name if name is None else name
    plan = _check(spec, platform, kind, instances, engine, name, allow_untrained)
    with open_backend(model.onnx_path, name="onnxruntime:cpu") as backend:
        image, depth, person = check_spec(spec, backend.inputs, backend.outputs)
    folder = Path(root) / name
    with atomic_folder(folder) as work:
        version = work / "1"
        version.mkdir()
        if plan is None:
            copy_network(model.onnx_path, version)
        else:
            shutil.copyfile(plan, version / _PLATFORMS[platform][1])
        if model.root is not None and (model.root / LICENSE_FILE).is_file():
            shutil.copyfile(model.root / LICENSE_FILE, work / LICENSE_FILE)
        config = {
            "name": name,
            "platform": _PLATFORMS[platform][0],
            "backend": platform,
            **_tensors(spec.input, image, [depth] if person is None else [depth, person]),
            "instance_group": [{"count": instances, "kind": Name(_KINDS[kind])}],
            "version_policy": {"latest": {"num_versions": 1}},
            **(_TENSORRT_ACCELERATOR if platform == "onnxruntime" and kind == "gpu" else {}),
            "parameters": [{"key": k, "value": {"string_value": v}} for k, v in _parameters(spec, plan).items()],
        }
        (work / "config.pbtxt").write_text(pbtxt(config), encoding="utf-8")
        (work / "README.md").write_text(_readme(spec, image, depth, name, is_engine=plan is not None), encoding="utf-8")
    return folder


def _check(
    spec: ModelSpec,
    platform: Platform,
    kind: Kind,
    instances: int,
    engine: str | Path | None,
    name: str,
    allow_untrained: bool,
) -> Path | None:
    """The engine's path when there is to be one."""
    if platform not in _PLATFORMS:
        raise InputError(f"a Triton platform is one of {', '.join(_PLATFORMS)}, found {platform!r}")
    if kind not in _KINDS:
        raise InputError(f"the kind of a Triton instance is one of {', '.join(_KINDS)}, found {kind!r}")
    if instances < 1:
        raise InputError(f"a Triton model has at least one instance, found {instances}")
    if not _NAME.fullmatch(name):
        raise InputError(
            f"a Triton model's name is letters, digits, dots, underscores and dashes, found {name!r}; give it another"
        )
    if not spec.provenance.trained and not allow_untrained:
        raise ExportError(
            f"{spec.name} has untrained (random) weights, so its numbers mean nothing; serve a trained model, or allow "
            "it to measure speed: --random-init (allow_untrained=True)"
        )
    if platform == "onnxruntime":
        if engine is not None:
            raise InputError(f"an engine is for the tensorrt platform, found {engine} for onnxruntime; leave it out")
        return None
    if kind == "cpu":
        raise InputError("TensorRT engines run on GPUs alone, found kind cpu; use the onnxruntime platform")
    if engine is None:
        raise InputError(
            "the tensorrt platform serves an engine built with the server's TensorRT on the server's GPU, found none; "
            "give it, or use the onnxruntime platform, which builds one itself"
        )
    if not Path(engine).is_file() or Path(engine).stat().st_size == 0:
        raise InputError(f"no TensorRT engine at {engine}; expected a plan file that is not empty")
    return Path(engine)


def _tensors(spec: InputSpec, image: TensorSpec, outputs: list[TensorSpec]) -> dict[str, Any]:
    """What goes in and out, and the request that the server makes itself when it starts: it builds the engine then,
    not while the first client waits."""
    size = (spec.height, spec.width)
    whole = [1, 3, *size] if spec.layout == "NCHW" else [1, *size, 3]
    data_type = _data_type(image)
    return {
        "max_batch_size": 0,
        # No format: FORMAT_NCHW and FORMAT_NHWC are for shapes without the batch.
        "input": [{
            "name": image.name,
            "data_type": data_type,
            "dims": _dims(image) if spec.resize == "keep_aspect_multiple" else whole,
        }],
        "output": [{"name": one.name, "data_type": _data_type(one), "dims": _dims(one)} for one in outputs],
        "model_warmup": [{
            "name": "zeros",
            "batch_size": 1,
            "inputs": [{"key": image.name, "value": {"data_type": data_type, "dims": whole, "zero_data": True}}],
        }],
    }  # fmt: skip


def _dims(tensor: TensorSpec) -> list[int]:
    return [-1 if side is None else side for side in tensor.shape]


def _data_type(tensor: TensorSpec) -> Name:
    """Triton's name of an element type; ``check_spec`` lets floats and integers through, which all have one."""
    kind = {"f": "FP", "i": "INT", "u": "UINT"}[tensor.dtype.kind]
    return Name(f"TYPE_{kind}{8 * tensor.dtype.itemsize}")


def _parameters(spec: ModelSpec, plan: Path | None) -> dict[str, str]:
    license_ = spec.provenance.license
    parameters = {
        SPEC_PARAMETER: spec.model_dump_json(),
        "edgedepth.kind": spec.output.kind.value,
        "edgedepth.meaning": _meaning(spec),
        "edgedepth.precision": spec.precision,
        "edgedepth.trained": "yes" if spec.provenance.trained else "no",
        "edgedepth.license": license_.name,
        "edgedepth.commercial_use": _COMMERCIAL_USE[license_.commercial_use],
    }
    if spec.person is not None:
        parameters["edgedepth.person"] = _person(spec.person)
    if plan is not None:
        parameters["edgedepth.engine_sha256"] = file_sha256(plan)
    return parameters


def _meaning(spec: ModelSpec) -> str:
    """What a raw value q of the output is; the formula of OutputSpec in words."""
    output = spec.output
    value = "q" if output.zero_point == 0 else f"(q - {output.zero_point:g})"
    value = value if output.metres_per_unit == 1 else f"{value} * {output.metres_per_unit:g}"
    value = f"1 / ({value})" if output.reciprocal else value
    if output.focal is not None:
        value = f"{value} * f_px / {output.focal.canonical_f_px:g}, f_px being the focal length at the input's size"
    if output.kind is DepthKind.METRIC:
        text = f"depth Z in metres = {value}"
    elif output.kind is DepthKind.ORDINAL:
        text = f"an order, no depth: {value}, larger is farther"
    else:
        unknown = "one factor" if output.kind is DepthKind.RELATIVE_DEPTH else "a factor and a shift"
        text = f"{output.kind.value.replace('_', ' ')} = {value}; metres need {unknown} that the network does not know"
    if output.valid_range_m is not None:
        text += f"; invalid outside {output.valid_range_m[0]:g} to {output.valid_range_m[1]:g}"
    return text


def _person(person: PersonSpec) -> str:
    return f"the probability that a pixel of the depth shows a person; from {person.threshold:g} on it does"


def _readme(spec: ModelSpec, image: TensorSpec, depth: TensorSpec, name: str, *, is_engine: bool) -> str:
    taken, license_ = spec.input, spec.provenance.license
    commercial = _COMMERCIAL_USE[license_.commercial_use]
    formula = "pixels as they are" if taken.dtype == "uint8" else (
        f"(pixel * {taken.scale:.9g} - {list(taken.mean)}) / {list(taken.std)}, channel by channel"
    )  # fmt: skip
    lines = [
        f"# {name}",
        "",
        f"Monocular depth, {spec.precision}, written by EdgeDepth from the bundle {spec.name}.",
        "",
        f"- Input `{image.name}`: {taken.dtype}, {taken.layout}, {taken.color}, {taken.width}x{taken.height}, "
        f"fitted by {taken.resize}; {formula}.",
        f"- Output `{depth.name}` (q): {_meaning(spec)}.",
        *([f"- Output `{spec.person.name}`: {_person(spec.person)}."] if spec.person else []),
        f"- Licence of the weights: {license_.name}; commercial use allowed: {commercial}.",
        f"- The whole contract, as JSON: parameter `{SPEC_PARAMETER}` of `GET /v2/models/{name}/config`.",
    ]
    if not spec.provenance.trained:
        lines.append("- **Untrained**: random weights, for measuring speed. Its numbers mean nothing.")
    if is_engine:
        lines.append(
            "- `1/model.plan` runs only on the kind of GPU and with the version of TensorRT it was built with."
        )
    return "\n".join(lines) + "\n"
