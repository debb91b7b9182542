"""What ``run`` and ``measure`` share: options that mean the same, and how their text becomes objects."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from edgedepth.backends import BackendOptions, open_backend
from edgedepth.bundle import Model
from edgedepth.cli.progress import shown_progress
from edgedepth.depth import DepthEstimator, FrameEstimator, MetricScale, SensorDepth
from edgedepth.errors import InputError, NotMetricError
from edgedepth.geometry.plane import up_of
from edgedepth.people import DetectorFinder, GeometricFinder, HeightMeter, MaskFinder, PersonFinder
from edgedepth.resources import packaged_bundles
from edgedepth.types import DepthKind

__all__ = [
    "find_model",
    "find_models",
    "make_finder",
    "make_meter",
    "open_estimator",
    "parse_boxes",
    "parse_scale",
    "parse_tilt",
    "refuse_overwrites",
]

GEOMETRIC = "geometric"
TYPED_ANGLE_SIGMA_DEG = 0.5
"""Of a camera's pitch and roll as read off a telephone or an inclinometer; goes into the intervals."""


def find_model(model: Path | None) -> Path | None:
    """A path as it was typed, or the packaged bundle whose name was typed where nothing has that path."""
    if model is None or model.exists():
        return model
    return packaged_bundles().get(str(model), model)


def find_models(models: list[Path] | None) -> list[Path]:
    """``find_model`` of each."""
    return [find_model(model) or model for model in models or ()]


ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        callback=find_model,
        help="Model: a bundle folder, an .onnx file, or edgedepth-s, edgedepth-s-int8 ... of the package.",
    ),
]
BundleArgument = Annotated[
    Path,
    typer.Argument(
        help="A bundle folder, an .onnx file with its spec, or edgedepth-s of the package.",
        metavar="BUNDLE",
        callback=find_model,
    ),
]
SpecOption = Annotated[Path | None, typer.Option("--spec", help="Spec (TOML or JSON) of a bare .onnx.")]
BackendOption = Annotated[
    str | None,
    typer.Option("--backend", help="onnxruntime, openvino or tensorrt, with a device if wanted: onnxruntime:cuda."),
]
IntrinsicsOption = Annotated[
    str | None,
    typer.Option(
        "--intrinsics",
        help="Camera: a file (ROS, Open3D, Kalibr, COLMAP, RealSense), fx,fy,cx,cy in pixels, or hfov=DEGREES "
        "(dfov= for the diagonal).",
    ),
]
CameraHeightOption = Annotated[
    float | None,
    typer.Option("--camera-height", help="Known height of the camera above the floor, metres: scales the depth."),
]
CameraPitchOption = Annotated[
    float | None,
    typer.Option(
        "--camera-pitch", min=-90, max=90,
        help="Known angle of the camera below the horizon, degrees, where the source does not tell it: heights of a "
        "network's depth are several times better with it.",
    ),
]  # fmt: skip
CameraRollOption = Annotated[
    float | None,
    typer.Option(
        "--camera-roll", min=-180, max=180,
        help="With --camera-pitch: the camera's turn about its axis, degrees; positive is clockwise, seen from behind. "
        "Default: 0.",
    ),
]  # fmt: skip
ScaleOption = Annotated[
    str | None,
    typer.Option("--scale", help="S: depth times S is metres. S,SHIFT for disparity: 1 / (S x + SHIFT) is metres."),
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        "--detector",
        help="Person detector: a YOLOX or FastestDet .onnx, or geometric (no network). Default: the model's own person "
        "mask where it has one, else geometric.",
    ),
]
UntrainedOption = Annotated[
    bool, typer.Option("--allow-untrained", help="Give the numbers of a network with random weights, to measure speed.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def parse_scale(text: str | None) -> MetricScale | None:
    """``S`` or ``S,SHIFT``. Raises InputError."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise InputError(f"--scale is S or S,SHIFT, two numbers at most, found {text!r}")
    return MetricScale(*numbers)


def parse_size(text: str) -> tuple[int, int]:
    """``HEIGHTxWIDTH`` -> height, width in pixels. Raises InputError."""
    match = re.fullmatch(r"(\d+)[xX](\d+)", text.strip())
    if match is None:
        raise InputError(f"--size is HEIGHTxWIDTH in pixels, such as 224x320, found {text!r}")
    return int(match[1]), int(match[2])


def parse_boxes(text: str) -> list[tuple[float, float, float, float]]:
    """``x,y,w,h;x,y,w,h``, or a JSON file with a list of [x, y, w, h] or of objects with ``box_xywh``.

    Raises:
        InputError: neither.
    """
    if Path(text).suffix.lower() == ".json":
        try:
            rows: Any = json.loads(Path(text).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read the boxes in {text}: {error}") from error
        if isinstance(rows, dict):
            rows = rows.get("people")
        rows = [row.get("box_xywh") if isinstance(row, dict) else row for row in rows or ()]
    else:
        rows = [part.split(",") for part in text.split(";") if part.strip()]
    try:
        boxes = [tuple(float(value) for value in row) for row in rows]
    except (TypeError, ValueError):
        boxes = []
    if not boxes or any(len(box) != 4 for box in boxes):
        raise InputError(f"--boxes is x,y,w,h;x,y,w,h;... in pixels, or a JSON file of such lists, found {text!r}")
    return [(x, y, w, h) for x, y, w, h in boxes]


def refuse_overwrites(inputs: Mapping[str, str | Path | None], outputs: Mapping[str, str | Path | None]) -> None:
    """Outputs must be neither a file that is read nor each other. Keys are what messages call them.

    Raises:
        InputError: two names for one file.
    """
    taken = {_file(value): name for name, value in inputs.items() if value is not None}
    for name, value in outputs.items():
        file = None if value is None else _file(value)
        if file is None or str(file).startswith("/dev/") or str(value) == "-":
            continue
        if file in taken:
            raise InputError(f"{name} would overwrite {taken[file]}: both are {value}; give another name")
        taken[file] = name


def _file(value: str | Path) -> Path:
    return Path(str(value).removeprefix("file://")).expanduser().resolve()


def open_estimator(
    model: Path | Model | None,
    spec: Path | None,
    backend: str | None,
    *,
    options: BackendOptions | None = None,
    scale: MetricScale | None = None,
    allow_untrained: bool = False,
) -> FrameEstimator:
    """The estimator that the options ask for: a network, or the sensor's own depth.

    Raises:
        InputError: options that belong to a network, without one.
    """
    if model is not None:
        with shown_progress() as progress:  # of a TensorRT engine that is built on first use
            return DepthEstimator.open(
                model,
                spec,
                backend=backend,
                options=replace(options or BackendOptions(), progress=progress),
                metric=scale,
                allow_untrained=allow_untrained,
            )
    given = [name for name, value in (("--spec", spec), ("--backend", backend), ("--scale", scale)) if value]
    if given:
        raise InputError(f"{' and '.join(given)} can only be given with a depth model; name it with --model")
    return SensorDepth()


def make_finder(detector: str | None, estimator: FrameEstimator, options: BackendOptions | None = None) -> PersonFinder:
    """``geometric``, or a detector network opened with ``options``; None: the estimator's own masks, else geometric.

    Raises:
        InputError: not a file.
    """
    if detector is None and isinstance(estimator, DepthEstimator) and estimator.spec.person is not None:
        return MaskFinder(estimator.spec.person.threshold)
    if detector is None or detector == GEOMETRIC:
        return GeometricFinder()
    if not Path(detector).is_file():
        raise InputError(f"no detector at {detector}; expected a YOLOX or FastestDet .onnx file, or {GEOMETRIC}")
    return DetectorFinder(open_backend(detector, options))


def parse_tilt(pitch_deg: float | None, roll_deg: float | None) -> tuple[float, float, float] | None:
    """Up in the camera frame, of --camera-pitch and --camera-roll; None: not given. Raises InputError."""
    if pitch_deg is None:
        if roll_deg is not None:
            raise InputError("--camera-roll says nothing without --camera-pitch; give both (0 is level)")
        return None
    return up_of(pitch_deg, roll_deg or 0.0)


def make_meter(
    estimator: FrameEstimator,
    finder: PersonFinder,
    *,
    camera_height_m: float | None,
    up: tuple[float, float, float] | None = None,
    scaled: bool,
) -> HeightMeter:
    """A meter for what the estimator gives.

    Args:
        estimator: gives the depth.
        finder: finds the people.
        camera_height_m: as --camera-height. up: see ``parse_tilt``.
        scaled: --scale was given, and the estimator applies it.

    Raises:
        NotMetricError: heights cannot come of this depth; said before the first frame.
    """
    kinds = [DepthKind.METRIC] if camera_height_m is None else [DepthKind.METRIC, DepthKind.RELATIVE_DEPTH]
    if estimator.kind not in kinds:
        remedy = {
            DepthKind.RELATIVE_DEPTH: "give --camera-height (metres above the floor) or --scale",
            DepthKind.DISPARITY: "its shift is unknown too: give --scale S,SHIFT",
        }.get(estimator.kind, "use a metric model")
        raise NotMetricError(
            f"heights need metres and {estimator.name} gives {estimator.kind.value} without a scale; {remedy}"
        )
    return HeightMeter(
        finder,
        camera_height_m=camera_height_m,
        up=up,
        up_sigma_deg=TYPED_ANGLE_SIGMA_DEG,
        scale=1.0 if scaled else None,
        origin="sensor" if isinstance(estimator, SensorDepth) else "model",
    )
