"""What INT8 costs and brings on the CPU: accuracy against the sensor, size and latency of one network, beside FP32.

    python benchmarks/int8.py --model model.onnx --spec spec.toml --calibration-set rooms.toml [--backends onnxruntime]

The network is simplified, then quantised as ``edgedepth export --int8`` does it: the calibrator and the blocks that
stay float32 are searched for on the frames that the set holds out. AbsRel and delta1 are means over those frames.

Latency: FP32 and INT8 take turns on one thread, run by run, so that what disturbs one disturbs the other; the speed-up
is the median of the turns' ratios. The graph is made for TensorRT, which fuses what follows a convolution into it;
a CPU library that wants its quantisation elsewhere may be slower in INT8 than in FP32, and that is shown too.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from record import Record, rounded

from edgedepth.backends import BackendOptions, open_backend
from edgedepth.bundle import ModelSpec, load_model
from edgedepth.calibration.int8_set import ImageSet, check_image_set, load_image_set, network_feeds
from edgedepth.depth import DepthEstimator
from edgedepth.errors import EdgeDepthError
from edgedepth.evaluation.frames import score_estimator, scored_range_m
from edgedepth.export.sensitivity import Int8Result, search_int8
from edgedepth.export.simplify import simplify

WARM_UP_RUNS = 10
PACKAGES = ("numpy", "opencv-python-headless", "onnx", "onnxslim", "onnxruntime", "openvino")
DEFAULT_BACKENDS = ("onnxruntime", "openvino")


def accuracy(spec: ModelSpec, path: Path, image_set: ImageSet, backend: str) -> dict[str, float]:
    """Means over the held-out frames, on one backend."""
    low, high = scored_range_m(spec.output)
    with DepthEstimator(spec, open_backend(path, BackendOptions(threads=1), name=backend)) as estimator:
        scores = score_estimator(estimator, image_set.held_out, min_depth_m=low, max_depth_m=high)
    return {name: value for name, value in asdict(scores).items() if name in ("abs_rel", "delta1", "rmse_m")}


def latency(spec: ModelSpec, paths: dict[str, Path], image_set: ImageSet, backend: str, turns: int) -> dict[str, Any]:
    """Milliseconds on one thread, every graph once a turn."""
    feeds = list(network_feeds(spec.input, image_set.held_out))
    opened = {name: open_backend(path, BackendOptions(threads=1), name=backend) for name, path in paths.items()}
    took_ms: dict[str, list[float]] = {name: [] for name in paths}
    for turn in range(WARM_UP_RUNS + turns):
        for name, network in opened.items():
            start_s = time.perf_counter()
            network.run({network.inputs[0].name: feeds[turn % len(feeds)]})
            if turn >= WARM_UP_RUNS:
                took_ms[name].append(1e3 * (time.perf_counter() - start_s))
    for network in opened.values():
        network.close()
    ratios = [fp32 / int8 for fp32, int8 in zip(took_ms["fp32"], took_ms["int8"], strict=True)]
    percentiles = {
        name: {"p50": float(np.percentile(ms, 50)), "p95": float(np.percentile(ms, 95))} for name, ms in took_ms.items()
    }
    return {"run_ms": percentiles, "speed_up": statistics.median(ratios)}


def measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], Int8Result]:
    """Everything, and what the search found."""
    model, image_set = load_model(arguments.model, arguments.spec), load_image_set(arguments.calibration_set)
    check_image_set(image_set)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.onnx" for name in ("fp32", "int8")}
        shutil.copyfile(model.onnx_path, paths["fp32"])
        simplify(paths["fp32"], folder=model.onnx_path.parent)
        found = search_int8(paths["fp32"], paths["int8"], model.spec, image_set, keep=True)
        sizes = {name: path.stat().st_size for name, path in paths.items()}
        results: dict[str, Any] = {
            "size_mb": {name: size / 1e6 for name, size in sizes.items()} | {"ratio": sizes["int8"] / sizes["fp32"]},
            "calibration": {key: value for key, value in found.calibration.items() if key not in ("fp32", "int8")},
            "kept_float32": list(found.excluded),
            "blocks": found.blocks,
            "beyond_budget": list(found.faults),
            "damage": {one.block: asdict(one.accuracy) for one in found.damage},
            "by_calibrator": {name: asdict(one) for name, one in found.by_calibrator.items()},
        }
        for backend in arguments.backends:
            scores = {name: accuracy(model.spec, path, image_set, backend) for name, path in paths.items()}
            fp32, int8 = scores["fp32"], scores["int8"]
            results[backend] = {
                **scores,
                "abs_rel_change": int8["abs_rel"] / fp32["abs_rel"] - 1,
                "delta1_change_points": 100 * (int8["delta1"] - fp32["delta1"]),
                **latency(model.spec, paths, image_set, backend, arguments.turns),
            }
    return results, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="FP32 bundle folder or .onnx file")
    parser.add_argument("--spec", help="the spec of a bare .onnx file")
    parser.add_argument("--calibration-set", required=True, help="folder or manifest with sensor depth held out")
    parser.add_argument("--backends", nargs="+", default=DEFAULT_BACKENDS, help="default: onnxruntime openvino")
    parser.add_argument("--turns", type=int, default=200, help="timed runs of each graph (default: 200)")
    parser.add_argument("-o", "--output", type=Path, help="default: benchmarks/results/int8-<device>-<date>.json")
    arguments = parser.parse_args()
    if arguments.turns < 1:
        parser.error("--turns must be 1 or more")
    record = Record("int8", arguments.output, file_name="int8-{device}-{date}.json", packages=PACKAGES)
    try:
        results, found = measure(arguments)
    except EdgeDepthError as error:
        raise SystemExit(str(error)) from error
    settings = {
        "model": Path(arguments.model).name,
        "images": {"calibration": found.calibration["images"], "set": found.calibration["set"]},
        "turns": arguments.turns,
        "threads": 1,
    }
    record.write(settings, rounded(results))


if __name__ == "__main__":
    main()
