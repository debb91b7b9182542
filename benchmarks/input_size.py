"""What the size of a network's input brings and costs: accuracy, and time of the network alone.

    for s in 96x128 160x224 192x256 288x384; do edgedepth export edgedepth-s --fp32 --size $s -c W -o s$s; done
    python benchmarks/input_size.py s96x128 s160x224 s192x256 s288x384 --data rooms/ [--reference 192x256]

All bundles carry the same weights, so what was trained at one size is measured at the others too; to each its own
training would lift those. The networks are timed in one process and take turns; the ratio is to the reference's time,
the median over the turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import scores
from record import Record, rounded

from edgedepth.backends import BackendOptions, open_backend
from edgedepth.bundle import load_model
from edgedepth.cli.progress import shown_progress
from edgedepth.depth import DepthEstimator
from edgedepth.errors import EdgeDepthError

PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "openvino")
TURNS, RUNS = 30, 10


def timed_ms(paths: list[Path], threads: int) -> list[list[float]]:
    """Milliseconds of one run on one thread, for each network and turn."""
    opened = []
    for path in paths:
        model = load_model(path)
        backend = open_backend(model.onnx_path, BackendOptions(threads=threads))
        spec = model.spec.input
        feeds = {spec.name or backend.inputs[0].name: np.full((1, 3, spec.height, spec.width), 0.1, np.float32)}
        opened.append((backend, feeds))
    found: list[list[float]] = [[] for _ in opened]
    for turn in range(-3, TURNS):
        for number, (backend, feeds) in enumerate(opened):
            before = time.perf_counter()
            for _ in range(RUNS):
                backend.run(feeds)
            if turn >= 0:
                found[number].append((time.perf_counter() - before) / RUNS * 1e3)
    for backend, _ in opened:
        backend.close()
    return found


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="+")
    parser.add_argument("--data", required=True, help="RGB-D recording with persons")
    parser.add_argument("--reference", default="192x256", help="HxW of the one that times are divided by")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/input-size-DEVICE-DATE.json")
    arguments = parser.parse_args()
    record = Record("input_size", arguments.output, file_name="input-size-{device}-{date}.json", packages=PACKAGES)
    rows: list[dict[str, Any]] = []
    try:
        times = timed_ms(arguments.bundle, arguments.threads)
        for path in arguments.bundle:
            with DepthEstimator.open(path, options=BackendOptions(threads=2)) as estimator:
                spec = estimator.spec
                with shown_progress(quiet=False) as progress:
                    raw = scores(estimator, arguments.data, "none", progress)
                    aligned = scores(estimator, arguments.data, "median", progress)
                rows.append({
                    "size": f"{spec.input.height}x{spec.input.width}", **raw["mean"], "frames": raw["frames"],
                    "absrel_aligned": aligned["mean"]["absrel"], "delta1_aligned": aligned["mean"]["delta1"],
                })  # fmt: skip
    except EdgeDepthError as error:
        raise SystemExit(f"input_size: error: {error}") from None
    reference = [row["size"] for row in rows].index(arguments.reference)
    for row, taken in zip(rows, times, strict=True):
        row["network_ms"] = statistics.median(taken)
        row["time_ratio"] = statistics.median(a / b for a, b in zip(taken, times[reference], strict=True))
    record.write({"threads": arguments.threads, "reference": arguments.reference}, rounded({"sizes": rows}))


if __name__ == "__main__":
    main()
