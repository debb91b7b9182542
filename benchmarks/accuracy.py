"""How far off the depth of models is: several networks on several data sets, as they come and median-aligned.

    python benchmarks/accuracy.py --model edgedepth-s=PATH --model fastdepth=net.onnx,spec.toml \\
        --data synthetic=rooms/ --data real=manifest.json [--backend onnxruntime]

A model is a bundle, or an ONNX file and its spec joined by a comma. Data sets are RGB-D recordings; depth from 0.1 to
10 m counts. Means are over frames; of small data sets every frame is listed, so that no bad one is hidden in a mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from record import Record, rounded

from edgedepth.backends import BackendOptions
from edgedepth.cli.progress import shown_progress
from edgedepth.data import open_dataset
from edgedepth.depth import DepthEstimator
from edgedepth.errors import EdgeDepthError
from edgedepth.evaluation.alignment import Alignment
from edgedepth.evaluation.report import METRICS, EvaluationReport, FrameRecord
from edgedepth.evaluation.runner import evaluate

PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "openvino")
ALIGNMENTS: tuple[Alignment, ...] = ("none", "median")
SHOWN = ("absrel", "rmse_m", "delta1", "boundary_f1", "floor_angle_deg", "floor_rms_m", "person_iou")
LISTED = 20
"""Data sets of at most so many frames are listed frame by frame."""


def named(text: str) -> tuple[str, str]:
    """NAME=VALUE. Raises argparse's error."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"expected NAME=PATH, found {text!r}")
    return name, value


def numbers(row: EvaluationReport | FrameRecord) -> dict[str, float]:
    """The metrics that are shown, of the means or of a frame."""
    values = row.mean if isinstance(row, EvaluationReport) else row.model_dump()
    return {name: values[name] for name in SHOWN if name in METRICS and values.get(name) is not None}


def scores(estimator: DepthEstimator, path: str, alignment: Alignment, progress: Any) -> dict[str, Any]:
    """One model on one data set."""
    report = evaluate(estimator, open_dataset(path, "rgbd"), "rgbd", alignment, progress=progress)
    low, high = report.protocol.min_depth_m, report.protocol.max_depth_m
    found: dict[str, Any] = {"frames": len(report.frames), "depth_m": [low, high], "mean": numbers(report)}
    if "absrel" in report.interval95:
        found["absrel_interval95"] = [report.interval95["absrel"].low, report.interval95["absrel"].high]
    if report.skipped:
        found["skipped"] = [one.id for one in report.skipped]
    if len(report.frames) <= LISTED:
        found["each"] = {frame.id: numbers(frame) for frame in report.frames}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=named, action="append", required=True, help="NAME=BUNDLE or NAME=ONNX,SPEC")
    parser.add_argument("--data", type=named, action="append", required=True, help="NAME=RECORDING")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/accuracy-DEVICE-DATE.json")
    arguments = parser.parse_args()
    record = Record("accuracy", arguments.output, file_name="accuracy-{device}-{date}.json", packages=PACKAGES)
    results: dict[str, Any] = {}
    settings: dict[str, Any] = {"backend": arguments.backend, "models": {}}
    try:
        for name, value in arguments.model:
            path, _, spec = value.partition(",")
            opened = DepthEstimator.open(
                path, spec or None, backend=arguments.backend, options=BackendOptions(threads=2)
            )  # fmt: skip
            with opened as estimator, shown_progress(quiet=False) as progress:
                made = estimator.spec
                settings["models"][name] = {
                    "precision": made.precision, "parameters": made.parameters,
                    "input_wh": [made.input.width, made.input.height],
                    "sha256": made.files.get("model.onnx"), "training_data": made.provenance.training_data,
                }  # fmt: skip
                results[name] = {
                    data: {alignment: scores(estimator, folder, alignment, progress) for alignment in ALIGNMENTS}
                    for data, folder in arguments.data
                }
    except EdgeDepthError as error:
        raise SystemExit(f"accuracy: error: {error}") from None
    record.write(settings, rounded(results))


if __name__ == "__main__":
    main()
