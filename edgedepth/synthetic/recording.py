"""Rendered rooms as an RGB-D recording that ``edgedepth.sources`` and ``edgedepth.data`` read back.

``rgb/``, ``depth/`` (16-bit, 0.2 mm per unit) and ``mask/`` (8-bit, 0 background, i + 1 the i-th person) hold PNG files
of the same names; ``manifest.json`` has, per frame, the camera, its pose, up, the floor, and everyone's stature.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError, OutputError
from edgedepth.output import atomic_folder
from edgedepth.synthetic.mujoco_renderer import RoomRenderer, RoomView
from edgedepth.synthetic.rooms import room_scene
from edgedepth.synthetic.sensor_noise import add_sensor_noise

__all__ = ["DEPTH_SCALE_M", "SynthOptions", "render_rooms", "write_recording"]

DEPTH_SCALE_M = 0.0002
"""Metres per unit of 16-bit depth: reaches 13 m, further than the longest diagonal of a room."""


@dataclass(frozen=True)
class SynthOptions:
    """What to render.

    Attributes:
        frames: how many.
        seed: of the first room; the next is seed + 1.
        per_room: frames of one room before the next, ``1 / fps`` apart.
        width, height: pixels. fps: of a room's own time.
        people: in every room; None draws 0 to 3.
        noisy_depth: depth as a stereo camera gives it, with noise, holes and flying pixels, instead of exact.
    """

    frames: int
    seed: int = 0
    per_room: int = 1
    width: int = 640
    height: int = 480
    fps: float = 30.0
    people: int | None = None
    noisy_depth: bool = False

    def __post_init__(self) -> None:
        if self.frames < 1 or self.per_room < 1 or self.fps <= 0 or self.width < 32 or self.height < 32:
            raise InputError(
                "rendering takes 1 frame or more, 1 or more per room, a positive rate and 32x32 pixels or more, found "
                f"{self.frames} frames, {self.per_room} per room, {self.fps:g} fps, {self.width}x{self.height}"
            )


def render_rooms(options: SynthOptions) -> Iterator[RoomView]:
    """The frames, room after room. Raises InputError or MissingExtraError."""
    with RoomRenderer() as renderer:
        for start in range(0, options.frames, options.per_room):
            seed = options.seed + start // options.per_room
            scene = room_scene(seed, width=options.width, height=options.height, people=options.people)
            for index in range(min(options.per_room, options.frames - start)):
                yield renderer.render(scene, index / options.fps)


def write_recording(folder: Path, options: SynthOptions, told: Callable[[int], None] = lambda done: None) -> None:
    """Render into ``folder``, which appears when all is written. ``told`` hears how many frames are done.

    Raises:
        OutputError: the folder exists or cannot be written. InputError, MissingExtraError: see ``render_rooms``.
    """
    entries = []
    with atomic_folder(folder) as work:
        for part in ("rgb", "depth", "mask"):
            (work / part).mkdir()
        for number, view in enumerate(render_rooms(options)):
            name = f"{number:06d}.png"
            depth_m = view.depth_m
            if options.noisy_depth:
                depth_m = add_sensor_noise(depth_m, seed=number + 1_000_003 * view.scene.seed)
            units = np.where(np.isfinite(depth_m), np.round(depth_m / DEPTH_SCALE_M), 0)
            _write(work / "rgb" / name, view.image[..., ::-1])
            _write(work / "depth" / name, np.clip(units, 0, 65535).astype(np.uint16))
            _write(work / "mask" / name, view.person_ids)
            entries.append(_entry(view, name))
            told(number + 1)
        (work / "manifest.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def _write(path: Path, image: NDArray[Any]) -> None:
    done, coded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 2])
    if not done:
        raise OutputError(f"cannot write {path}: OpenCV could not encode it")
    path.write_bytes(coded.tobytes())


def _entry(view: RoomView, name: str) -> dict[str, Any]:
    K, floor = view.camera.intrinsics, view.floor
    return {
        "id": f"room-{view.scene.seed}-{round(view.t_s * 1000):06d}",
        "group": f"room-{view.scene.seed}",
        "rgb": f"rgb/{name}",
        "depth": f"depth/{name}",
        "mask": f"mask/{name}",
        "depth_scale_m": DEPTH_SCALE_M,
        "rgb_wh": [K.width, K.height],
        "K": {"fx": K.fx, "fy": K.fy, "cx": K.cx, "cy": K.cy},
        "up": list(view.camera.up),
        "T_world_camera": view.camera.pose.T_world_camera.tolist(),
        "floor": {"normal": list(floor.normal), "offset_m": floor.offset_m},
        "camera_height_m": view.camera.height_m,
        "time_s": view.t_s,
        "seed": view.scene.seed,
        "people": [
            {
                "mask_id": index + 1,
                "stature_m": figure.stature_m,
                "hair_m": figure.hair_m,
                "position_m": list(figure.path.place(view.t_s)[:2]),
                "visible_px": int(np.count_nonzero(view.person_ids == index + 1)),
            }
            for index, figure in enumerate(view.scene.people)
        ],
    }
