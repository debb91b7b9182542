"""How well heights are measured, on rendered people whose stature is exact.

    python benchmarks/height.py [--trials 200] [-o results.json]

- ``exact``: no noise; every pitch and roll, child and adult at 2 m.
- ``noise``: RealSense-like depth (0.25 % Z^2, flying pixels, holes), child of 1.10 m at 2 m, adult of 1.75 m at 2.8 m;
  every trial has its own camera height, pitch, roll, direction the person faces, and place in the picture.
  ``sensor`` stops there; ``field`` adds 0.5 % of unknown scale and a silhouette that is a pixel too large or too small.
  Beside it, on the same depth, what is commonly done: the highest pixel, the 99th percentile, the highest pixel of the
  eroded silhouette.
- ``floor_fit``: time of one fit, 640x480, on one core.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from record import Record, rounded

from edgedepth.geometry.floor import fit_floor
from edgedepth.geometry.height import measure_height
from edgedepth.geometry.projection import points_from_depth
from edgedepth.synthetic.render import Rendering, render
from edgedepth.synthetic.scene import Camera, Person, Room, Scene
from edgedepth.synthetic.sensor_noise import add_sensor_noise
from edgedepth.types import DepthKind, DepthMap, Intrinsics

VGA = Intrinsics(640, 480, 615.0, 615.0, 319.5, 239.5)
HALF_VIEW_DEG = math.degrees(math.atan(240 / 615))
ROOM = Room(x_m=(-3.0, 3.0), y_m=(-1.0, 5.0), height_m=3.5)
SUBJECTS = {"child": (1.10, 2.0), "adult": (1.75, 2.8)}
SCALE_SIGMA = 0.005
# The bars of the noise study, mean absolute error in centimetres.
MAE_BAR_CM = {"child": 0.5, "adult": 0.8}


def view(stature_m: float, distance_m: float, camera_m: float) -> tuple[float, float]:
    """(pitch that centres the person, angle left above and below), degrees."""
    top = math.degrees(math.atan2(stature_m - camera_m, distance_m))
    bottom = math.degrees(math.atan2(-camera_m, distance_m - 0.1))
    return -(top + bottom) / 2, HALF_VIEW_DEG - (top - bottom) / 2


def exact() -> dict[str, Any]:
    """Noise-free: error in millimetres over pitch, roll and facing, at 2 m."""
    rows = []
    for name, stature_m in (("child", 1.10), ("youth", 1.40), ("adult", 1.75)):
        for pitch_deg in range(-5, 31, 5):
            # The camera height at which the person sits in the middle of the picture at this pitch.
            camera_m = min(np.arange(0.2, 3.0, 0.01), key=lambda h: abs(view(stature_m, 2.0, h)[0] - pitch_deg))
            if view(stature_m, 2.0, camera_m)[1] < 1.0:
                continue
            for roll_deg in (-15, -7.5, 0, 7.5, 15):
                for heading_deg in (90, 180):
                    person = Person(stature_m, ((0.0, 2.0),), heading_deg=heading_deg)
                    rendering = render(
                        Scene(
                            Camera(VGA, float(camera_m), pitch_deg, roll_deg), (person,), room=Room((-3, 3), (-1, 6), 4)
                        )
                    )
                    floor = fit_floor(rendering.depth, exclude=rendering.mask(0))
                    found = measure_height(rendering.depth, rendering.mask(0), floor)
                    if found.height_m is not None:
                        rows.append((name, pitch_deg, roll_deg, heading_deg, (found.height_m - stature_m) * 1e3))
    errors = np.array([row[-1] for row in rows])
    return {
        "scenes": len(rows),
        "max_abs_mm": float(np.abs(errors).max()),
        "mean_mm": float(errors.mean()),
        "sd_mm": float(errors.std()),
        "worst": [list(row) for row in sorted(rows, key=lambda row: -abs(row[-1]))[:3]],
    }


def scene_of(subject: str, rng: np.random.Generator) -> Rendering:
    """A random view of the subject that shows all of it."""
    stature_m, distance_m = SUBJECTS[subject]
    while True:
        camera_m = float(rng.uniform(0.6, stature_m + 0.5))
        pitch_deg, spare_deg = view(stature_m, distance_m, camera_m)
        if spare_deg > 2.5:
            break
    pitch_deg += float(rng.uniform(-1, 1)) * (spare_deg - 2.0)
    person = Person(stature_m, ((float(rng.uniform(-0.3, 0.3)), distance_m),), heading_deg=float(rng.uniform(0, 360)))
    return render(Scene(Camera(VGA, camera_m, pitch_deg, float(rng.uniform(-3, 3))), (person,), room=ROOM))


def trial(subject: str, seed: int, *, field: bool) -> dict[str, float] | None:
    """One noisy view: errors of every estimator in metres, sigma and whether the interval holds the truth."""
    rng = np.random.default_rng(seed)
    rendering = scene_of(subject, rng)
    depth_m = add_sensor_noise(rendering.depth_m, seed=seed)
    mask = rendering.mask(0)
    if field:
        depth_m *= np.float32(1 + SCALE_SIGMA * rng.standard_normal())
        kernel = np.ones((3, 3), np.uint8)
        change = int(rng.integers(-1, 2))
        if change:
            mask = (cv2.dilate if change > 0 else cv2.erode)(mask.astype(np.uint8), kernel) > 0
    depth = DepthMap(depth_m, DepthKind.METRIC, VGA)
    floor = fit_floor(depth, exclude=mask)
    found = measure_height(depth, mask, floor)
    if found.height_m is None or found.sigma_m is None or found.interval_m is None:
        print(f"{subject} seed {seed}: {found.refused}", file=sys.stderr)
        return None
    stature_m = SUBJECTS[subject][0]
    heights = floor.height_of(points_from_depth(depth_m, VGA))
    eroded = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return {
        "edgedepth": found.height_m - stature_m,
        "highest_pixel": float(np.nanmax(heights[mask])) - stature_m,
        "percentile_99": float(np.nanpercentile(heights[mask], 99)) - stature_m,
        "eroded_highest": float(np.nanmax(heights[eroded])) - stature_m,
        "sigma": found.sigma_m,
        "covered": float(found.interval_m[0] <= stature_m <= found.interval_m[1]),
    }


def study(subject: str, trials: int, *, field: bool, seed: int = 0) -> dict[str, Any]:
    """Statistics of many trials, centimetres."""
    found = [trial(subject, seed + i, field=field) for i in range(trials)]
    rows = [row for row in found if row is not None]
    result: dict[str, Any] = {
        "trials": trials,
        "refused": trials - len(rows),
        "interval_95_coverage": statistics.mean(row["covered"] for row in rows),
        "mean_sigma_cm": 100 * statistics.mean(row["sigma"] for row in rows),
    }
    for name in ("edgedepth", "highest_pixel", "percentile_99", "eroded_highest"):
        error_cm = 100 * np.array([row[name] for row in rows])
        size = np.abs(error_cm)
        result[name] = {
            "mae_cm": float(size.mean()),
            "p95_cm": float(np.percentile(size, 95)),
            "bias_cm": float(error_cm.mean()),
            "sd_cm": float(error_cm.std()),
            "within_0.7_cm": float((size <= 0.7).mean()),
            "within_1.4_cm": float((size <= 1.4).mean()),
        }
    return result


def floor_fit(repeats: int = 50) -> dict[str, Any]:
    """Milliseconds of CPU of one floor fit on a noisy VGA room with a person in it, OpenCV on one thread."""
    cv2.setNumThreads(1)
    rendering = scene_of("adult", np.random.default_rng(0))
    depth = DepthMap(add_sensor_noise(rendering.depth_m, seed=0), DepthKind.METRIC, VGA)
    fit_floor(depth)
    took_ms = []
    for _ in range(repeats):
        start_s = time.process_time()
        fit_floor(depth)
        took_ms.append((time.process_time() - start_s) * 1e3)
    return {"size": "640x480", "threads": 1, "median_ms": statistics.median(took_ms), "max_ms": max(took_ms)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="of each noise study (default: 200)")
    parser.add_argument("-o", "--output", type=Path, help="default: benchmarks/results/height-<device>-<date>.json")
    arguments = parser.parse_args()
    if arguments.trials < 2:
        parser.error("--trials must be 2 or more")
    packages = ("numpy", "opencv-python-headless")
    record = Record("height", arguments.output, file_name="height-{device}-{date}.json", packages=packages)
    results = {
        "floor_fit": floor_fit(),
        "exact": exact(),
        "noise": {
            kind: {subject: study(subject, arguments.trials, field=kind == "field") for subject in SUBJECTS}
            for kind in ("sensor", "field")
        },
    }
    settings = {"trials": arguments.trials, "seed": 0, "mae_bar_cm": MAE_BAR_CM}
    record.write(settings, rounded(results))
    for kind, subjects in results["noise"].items():
        for subject, found in subjects.items():
            if found["edgedepth"]["mae_cm"] > MAE_BAR_CM[subject]:
                raise SystemExit(
                    f"{kind} {subject}: {found['edgedepth']['mae_cm']:.2f} cm, bar {MAE_BAR_CM[subject]} cm"
                )


if __name__ == "__main__":
    main()
