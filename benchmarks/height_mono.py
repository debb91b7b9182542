"""How well one camera and a network measure people: heights of held-out clips, fused over frames, with their intervals.

    python benchmarks/height_mono.py [--clips 100] [--first-seed 0] [--model BUNDLE | --recipe NAME --checkpoint FILE]

Rooms of seeds below 10 000, which training never sees, before a camera at rest; 1 to 3 people who stand or walk,
children among them; 8 frames of 640x480 over 4 s. Without --model or --checkpoint a simulated network stands in
(edgedepth.synthetic.network_noise), whose errors are known.

Each clip is measured five times: with and without the camera's height, with and without the direction of gravity, which
is told with an error: an accelerometer's, or that of a --camera-pitch and --camera-roll that were typed. Truth
is the crown with its hair, as the camera sees it. Of everyone who is whole in the picture in three frames: error,
interval, refused or not. For the camera's height also: the distance by depth alone, by the feet alone, and the median
of the single frames. ``coverage`` is the share of truths inside intervals of each nominal width, drawn beside the
results as a calibration plot.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import Record, rounded

from edgedepth.cli.options import TYPED_ANGLE_SIGMA_DEG
from edgedepth.depth import DepthEstimator
from edgedepth.geometry.fusion import FusionModel
from edgedepth.geometry.plane import UP_SIGMA_DEG
from edgedepth.people import HeightMeter, HeightTracker, MaskFinder
from edgedepth.synthetic.mujoco_renderer import RoomRenderer, truth
from edgedepth.synthetic.network_noise import SimulatedNetwork
from edgedepth.synthetic.rooms import room_scene
from edgedepth.synthetic.roomscene import RoomScene
from edgedepth.types import DepthMap, Frame

FRAMES, SECONDS = 8, 4.0
WHOLE_FRAMES = 3
NOMINAL = (0.5, 0.68, 0.8, 0.9, 0.95, 0.99)
SETTINGS = {
    "camera_height_and_gravity": (True, UP_SIGMA_DEG),
    "camera_height_and_typed_pitch": (True, TYPED_ANGLE_SIGMA_DEG),
    "camera_height": (True, None),
    "gravity": (False, UP_SIGMA_DEG),
    "nothing": (False, None),
}
"""Whether the camera's height is known, and how well the direction of gravity, degrees."""
MODELS = {"": FusionModel(), "by_depth": FusionModel(feet_m=1e3), "by_feet": FusionModel(depth=1e3)}


@dataclass(frozen=True, eq=False)
class Clip:
    scene: RoomScene
    images: NDArray[np.uint8]
    depths_m: NDArray[np.float32]
    ids: NDArray[np.uint8]

    @property
    def times_s(self) -> NDArray[np.float64]:
        return np.linspace(0, SECONDS, FRAMES, endpoint=False)

    def whole(self, frame: int) -> dict[int, tuple[int, int, int, int]]:
        """Boxes x0, y0, x1, y1 of the people whom frame ``frame`` shows from crown to floor, by id."""
        found = {}
        camera = self.scene.still
        for number, figure in enumerate(self.scene.people, 1):
            rows, columns = np.nonzero(self.ids[frame] == number)
            if len(rows) < 400:
                continue
            box = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
            alone = truth(replace(self.scene, solids=(), people=()), camera,
                          figure.solids(float(self.times_s[frame]), 1))[1] > 0  # fmt: skip
            inside = box[0] > 2 and box[1] > 2 and box[2] < 638 and box[3] < 478
            if inside and len(rows) > 0.93 * np.count_nonzero(alone):
                found[number] = box
        return found


def clips(count: int, cache: Path | None, first_seed: int = 0) -> Iterator[Clip]:
    """The first ``count`` rooms from a seed on in which somebody is whole in the picture for long enough."""
    with RoomRenderer() as renderer:
        for seed in range(first_seed, 10_000):
            scene = replace(room_scene(seed), sway_m=0.0, sway_deg=0.0)
            file = None if cache is None else cache / f"{seed:05d}.npz"
            if file is not None and file.is_file():
                kept = np.load(file)
                clip = Clip(scene, kept["image"], kept["depth"].astype(np.float32), kept["ids"])
            elif not scene.people or not _promising(scene):
                continue
            else:
                views = [renderer.render(scene, float(t)) for t in np.linspace(0, SECONDS, FRAMES, endpoint=False)]
                clip = Clip(
                    scene,
                    np.array([v.image for v in views]),
                    np.array([v.depth_m for v in views]),
                    np.array([v.person_ids for v in views]),
                )
                if file is not None:
                    np.savez_compressed(file, image=clip.images, depth=clip.depths_m.astype(np.float16), ids=clip.ids)
            if max(Counter(n for i in range(FRAMES) for n in clip.whole(i)).values(), default=0) < WHOLE_FRAMES:
                continue
            yield clip
            count -= 1
            if not count:
                return


def _promising(scene: RoomScene) -> bool:
    """Somebody is inside a small picture without its edges in two of four moments."""
    small = replace(scene.still, intrinsics=scene.still.intrinsics.resized(160, 120))
    inside = Counter[int]()
    for t_s in np.linspace(0, SECONDS, FRAMES, endpoint=False)[::2]:
        ids = truth(scene, small, scene.moving_solids(float(t_s)))[1]
        for number in range(1, len(scene.people) + 1):
            rows, columns = np.nonzero(ids == number)
            if len(rows) >= 150:
                inside[number] += rows.min() > 1 and rows.max() < 118 and columns.min() > 0 and columns.max() < 159
    return max(inside.values(), default=0) >= 2


Estimate = Callable[[Clip], list[DepthMap]]


def estimator(arguments: argparse.Namespace) -> tuple[str, Estimate]:
    """Its name, and what makes the depth of a clip."""
    if arguments.model is None and arguments.checkpoint is None:

        def simulated(clip: Clip) -> list[DepthMap]:
            network = SimulatedNetwork(clip.scene.seed)
            return [network.estimate(d, i, clip.scene.still.intrinsics)
                    for d, i in zip(clip.depths_m, clip.ids, strict=True)]  # fmt: skip

        return "simulated", simulated
    if arguments.model is not None:
        opened = DepthEstimator.open(arguments.model)
    else:
        from edgedepth.export.estimator import open_checkpoint

        opened = open_checkpoint(arguments.recipe, arguments.checkpoint)
    return opened.name, lambda clip: [opened.estimate(Frame(i, clip.scene.still.intrinsics)) for i in clip.images]


def measure(clip: Clip, depths: list[DepthMap], setting: str) -> list[dict[str, Any]]:
    """A row for everyone who is whole in enough frames."""
    known, sigma_deg = SETTINGS[setting]
    camera, rng = clip.scene.still, np.random.default_rng([clip.scene.seed, 3])
    up = np.array(camera.up) + np.radians(sigma_deg or 0) * rng.standard_normal(3)
    x, y, z = (float(v) for v in up / np.linalg.norm(up))
    told = {} if sigma_deg is None else {"up": (x, y, z), "up_sigma_deg": sigma_deg}
    meter = HeightMeter(MaskFinder(), origin="model", camera_height_m=camera.height_m if known else None, **told)
    trackers = {name: HeightTracker(model=model) for name, model in MODELS.items() if known or not name}
    votes: dict[int, Counter[int]] = {}
    owners: dict[int, list[int]] = {}
    singles: dict[int, list[float]] = {}
    seen = Counter[int]()
    for index, t_s in enumerate(clip.times_s):
        frame = Frame(clip.images[index], camera.intrinsics, sequence=index, media_time_s=float(t_s))
        measurement = meter.measure(frame, depths[index])
        tracked, *_ = [tracker.update(measurement, float(t_s)) for tracker in trackers.values()]
        whole = clip.whole(index)
        seen.update(whole.keys())
        for person in tracked:
            number = _whose(person.box_xywh, whole)
            if number:
                votes.setdefault(person.person, Counter())[number] += 1
                owners.setdefault(number, []).append(person.person)
        for found in measurement.people:
            number = _whose(found.box_xywh, whole)
            if number and found.height_m is not None:
                singles.setdefault(number, []).append(found.height_m)
    final = {name: {p.person: p for p in tracker.people()} for name, tracker in trackers.items()}
    rows = []
    for number, count in seen.items():
        if count < WHOLE_FRAMES:
            continue
        figure = clip.scene.people[number - 1]
        true_m = figure.stature_m + figure.hair_m
        row: dict[str, Any] = {"seed": clip.scene.seed, "person": number, "true_m": true_m}
        mine = [p for p, counted in votes.items() if counted.most_common(1)[0][0] == number]
        best = max(mine, key=lambda p: votes[p][number], default=None)
        row["numbers"] = len(set(owners.get(number, [])))
        for name, people in final.items():
            person = people.get(best) if best is not None else None
            if person is not None and person.height_m is not None:
                row[f"error_m{name}"], row[f"sigma_m{name}"] = person.height_m - true_m, person.sigma_m
                row["frames"] = person.frames
            elif not name:
                row["refused"] = "not_found" if person is None else str(person.refused).split(":")[0]
        if number in singles:
            row["error_m_single"] = float(np.median(singles[number])) - true_m
        rows.append(row)
    return rows


def _whose(box_xywh: tuple[float, float, float, float], whole: dict[int, tuple[int, int, int, int]]) -> int:
    x, y, w, h = box_xywh
    best, overlap = 0, 0.5
    for number, (x0, y0, x1, y1) in whole.items():
        shared = max(0.0, min(x + w, x1) - max(x, x0)) * max(0.0, min(y + h, y1) - max(y, y0))
        iou = shared / (w * h + (x1 - x0) * (y1 - y0) - shared)
        if iou > overlap:
            best, overlap = number, iou
    return best


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Statistics in centimetres."""
    measured = [row for row in rows if "error_m" in row]
    result: dict[str, Any] = {
        "people": len(rows),
        "measured": len(measured),
        "refused": dict(Counter(row["refused"] for row in rows if "refused" in row)),
        "new_numbers": sum(max(0, row["numbers"] - 1) for row in rows),
    }
    if not measured:
        return result
    error, sigma = (np.array([row[key] for row in measured]) for key in ("error_m", "sigma_m"))
    result |= _errors(error) | {"median_sigma_cm": 100 * float(np.median(sigma))}
    result["coverage"] = {
        str(level): float(np.mean(np.abs(error) <= NormalDist().inv_cdf(0.5 + level / 2) * sigma)) for level in NOMINAL
    }
    for group, chosen in (("children", lambda t: t < 1.35), ("adults", lambda t: t >= 1.35)):
        inside = np.array([chosen(row["true_m"]) for row in measured])
        if inside.any():
            result[group] = _errors(error[inside]) | {
                "people": int(inside.sum()), "coverage_95": float(np.mean(np.abs(error) <= 1.96 * sigma, where=inside)),
            }  # fmt: skip
    for key in ("error_mby_depth", "error_mby_feet", "error_m_single"):
        others = np.array([row[key] for row in measured if key in row])
        if len(others):
            result[key.removeprefix("error_m").strip("_")] = _errors(others)
    return result


def _errors(error_m: NDArray[np.float64]) -> dict[str, float]:
    size = 100 * np.abs(error_m)
    return {
        "mae_cm": float(size.mean()),
        "median_cm": float(np.median(size)),
        "p90_cm": float(np.percentile(size, 90)),
        "bias_cm": 100 * float(error_m.mean()),
    }


def draw(results: dict[str, Any], path: Path) -> None:
    """Nominal against observed coverage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.plot((0.4, 1), (0.4, 1), color="grey", linewidth=1)
    for setting, found in results.items():
        if "coverage" in found:
            axes.plot(NOMINAL, list(found["coverage"].values()), marker="o", label=setting.replace("_", " "))
    axes.axhspan(0.9, 0.99, xmin=0, color="green", alpha=0.08)
    axes.set(xlabel="nominal coverage of the interval", ylabel="observed", xlim=(0.45, 1.0), ylim=(0.4, 1.01))
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0, help="of the rooms; other seeds are other rooms")
    parser.add_argument("--model", type=Path, help="bundle of a metric network with a person output")
    parser.add_argument("--recipe", help="export recipe of --checkpoint", default="edgedepth-s")
    parser.add_argument("--checkpoint", type=Path, help="weights in training")
    parser.add_argument("--cache", type=Path, help="folder where rendered clips are kept")
    parser.add_argument("--rows", type=Path, help="also write every row as JSON here")
    parser.add_argument(
        "-o", "--output", type=Path, help="default: benchmarks/results/height-mono-<device>-<date>.json"
    )
    arguments = parser.parse_args()
    packages = ("numpy", "opencv-python-headless", "onnxruntime", "mujoco")
    record = Record("height_mono", arguments.output, file_name="height-mono-{device}-{date}.json", packages=packages)
    if arguments.cache is not None:
        arguments.cache.mkdir(parents=True, exist_ok=True)
    name, estimate = estimator(arguments)
    rows: dict[str, list[dict[str, Any]]] = {setting: [] for setting in SETTINGS}
    used = 0
    for clip in clips(arguments.clips, arguments.cache, arguments.first_seed):
        used += 1
        depths = estimate(clip)
        for setting in SETTINGS:
            rows[setting] += measure(clip, depths, setting)
    results = rounded({setting: summary(found) for setting, found in rows.items()})
    record.write({"estimator": name, "clips": used, "first_seed": arguments.first_seed, "frames": FRAMES,
                  "seconds": SECONDS, "settings": SETTINGS}, results)  # fmt: skip
    draw(results, record.output.with_suffix(".png"))
    if arguments.rows is not None:
        import json

        arguments.rows.write_text(json.dumps(rows, indent=0))


if __name__ == "__main__":
    main()
