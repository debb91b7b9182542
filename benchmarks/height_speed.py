"""What heights cost beside the depth they are made of: the packaged clip, frame by frame, on one thread.

    python benchmarks/height_speed.py [--model BUNDLE] [--repeats 3] [-o results.json]

CPU milliseconds per frame, which hardly depend on what else the machine does, of the network with its pre- and
postprocessing (``depth``) and of ``HeightMeter.measure`` in every setting: with and without the direction of gravity
(without it the floor is fitted), people from the network's masks or from boxes. All take turns on every frame; what is
reported is of the repeats' medians of every frame. ``to_depth`` is the ratio of the two medians.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from record import Record, rounded

from edgedepth.backends import BackendOptions
from edgedepth.depth import DepthEstimator
from edgedepth.errors import EndOfStream
from edgedepth.people import GivenPeople, HeightMeter, MaskFinder, PersonFinder
from edgedepth.resources import DEFAULT_MODEL, clip_folder, packaged_bundle
from edgedepth.sources import open_source
from edgedepth.sources.clip import Clip, read_clip
from edgedepth.types import Frame

SETTINGS = {"masks_and_gravity": (True, True), "masks": (True, False), "boxes": (False, False)}


def frames() -> Iterator[Frame]:
    """The packaged clip's, in order."""
    with open_source("clip://demo") as source:
        while True:
            try:
                yield source.read(10.0)
            except EndOfStream:
                return


def finder(clip: Clip, frame: int, *, by_mask: bool) -> PersonFinder:
    """The network's masks, or the boxes of those of whom something is seen."""
    if by_mask:
        return MaskFinder()
    boxes = [person.boxes_xywh[frame] for person in clip.info.people]
    return GivenPeople([box for box in boxes if box is not None])


def cpu_ms(call: Callable[[], Any]) -> float:
    start_ns = time.process_time_ns()
    call()
    return (time.process_time_ns() - start_ns) / 1e6


def measure(clip: Clip, estimator: DepthEstimator) -> dict[str, list[float]]:
    """Milliseconds of every frame, by what was done."""
    took: dict[str, list[float]] = {name: [] for name in ("depth", *SETTINGS)}
    for frame in frames():
        depth = estimator.estimate(frame)
        took["depth"].append(cpu_ms(lambda: estimator.estimate(frame)))  # noqa: B023  called at once
        for name, (by_mask, gravity) in SETTINGS.items():
            people = finder(clip, frame.sequence, by_mask=by_mask)
            meter = HeightMeter(people, camera_height_m=clip.info.camera_height_m, origin="model")
            seen = frame if gravity else replace(frame, up=None)
            took[name].append(cpu_ms(lambda: meter.measure(seen, depth)))  # noqa: B023  called at once
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="bundle with a person output (default: the packaged one)")
    parser.add_argument("--repeats", type=int, default=3, help="times the clip is played (default: 3)")
    parser.add_argument(
        "-o", "--output", type=Path, help="default: benchmarks/results/height-speed-<device>-<date>.json"
    )
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error("--repeats must be 1 or more")
    packages = ("numpy", "opencv-python-headless", "onnxruntime")
    record = Record("height_speed", arguments.output, file_name="height-speed-{device}-{date}.json", packages=packages)
    cv2.setNumThreads(1)
    clip = read_clip(clip_folder("demo"))
    options = BackendOptions("throughput", threads=1, replicas=1)
    bundle = arguments.model or packaged_bundle(f"{DEFAULT_MODEL}-fp32")
    with DepthEstimator.open(bundle, options=options) as estimator:
        estimator.warm_up()
        runs = [measure(clip, estimator) for _ in range(arguments.repeats)]
        name = estimator.name
    every = {key: np.median([run[key] for run in runs], axis=0) for key in runs[0]}
    results = {
        key: {
            "cpu_ms_median": float(np.median(values)),
            "cpu_ms_p95": float(np.percentile(values, 95)),
            "to_depth": float(np.median(values) / np.median(every["depth"])),
        }
        for key, values in every.items()
    }
    record.write({"estimator": name, "frames": clip.info.frames, "repeats": arguments.repeats}, rounded(results))


if __name__ == "__main__":
    main()
