"""Small RGB-D recordings with known errors, and estimators that err in known ways."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from edgedepth.depth import SensorDepth
from edgedepth.types import DepthKind, DepthMap, Frame

WIDTH, HEIGHT = 64, 48
K = {"fx": 60.0, "fy": 60.0, "cx": 31.5, "cy": 23.5}


def room_depth_mm(seed: int) -> np.ndarray:
    """uint16 H x W: a slanted wall with a box in front of it, between 1 and 6 m, a tenth of it without depth."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    depth = 2500 + 30 * columns + 10 * rows + 200 * seed
    depth[10:30, 15 + seed : 35 + seed] = 1200 + 50 * seed
    depth[rng.random(depth.shape) < 0.1] = 0
    return depth.astype(np.uint16)


def write_rooms(folder: Path, count: int = 6, *, poses: bool = False, scenes: int = 3) -> Path:
    """A manifest of ``count`` frames in ``scenes`` groups, its path."""
    rows = []
    for number in range(count):
        rng = np.random.default_rng(100 + number)
        image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        cv2.imwrite(str(folder / f"{number}_depth.png"), room_depth_mm(number))
        row = {
            "id": f"room_{number}", "group": f"scene_{number * scenes // count}", "rgb": f"{number}.png",
            "depth": f"{number}_depth.png", "rgb_wh": [WIDTH, HEIGHT], "K": K, "depth_scale_m": 0.001,
        }  # fmt: skip
        if poses:
            row["T_world_camera"] = np.eye(4).tolist()
        rows.append(row)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(rows))
    return manifest


class Crooked(SensorDepth):
    """The sensor's depth times a factor, in the unit of ``kind``. Holes are 3 m."""

    name = "crooked"
    last_stage_ns: Mapping[str, int] = {}

    def __init__(self, factor: float = 1.1, kind: DepthKind = DepthKind.METRIC) -> None:
        super().__init__()
        self.factor, self.kind = factor, kind

    def estimate(self, frame: Frame, out: object = None) -> DepthMap:
        depth = np.nan_to_num(frame.depth_m, nan=3.0) * np.float32(self.factor)
        if self.kind is DepthKind.DISPARITY:
            depth = 1 / depth
        return DepthMap(depth.astype(np.float32), self.kind, frame.intrinsics)


class Mortal(Crooked):
    """As Crooked, and its process is killed at the frame ``at`` unless ``marker`` tells that it was before."""

    def __init__(self, marker: Path, at: str) -> None:
        super().__init__()
        self.marker, self.at = marker, at

    def estimate(self, frame: Frame, out: object = None) -> DepthMap:
        if frame.source == self.at and not self.marker.exists():
            self.marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().estimate(frame)
