"""Rendered rooms as an RGB-D recording that ``edgedepth.sources`` and ``edgedepth.data`` read back.

``rgb/``, ``depth/`` (16-bit, 0.2 mm per unit) and ``mask/`` (8-bit, 0 background, i + 1 the i-th person) hold PNG files
of the same names; ``manifest.json`` has, per frame, the camera, its pose, up, the floor, and everyone's stature.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
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
from edgedepth.synthetic.views import room_view

__all__ = ["DEPTH_SCALE_M", "SynthOptions", "render_rooms", "write_recording"]

DEPTH_SCALE_M = 0.0002
"""Metres per unit of 16-bit depth: reaches 13 m, further than the longest diagonal of a room."""

_BETWEEN_VIEWS_S = 7.3
"""The people have moved on when the next camera looks."""
_SIDE_PX = 32, 4096
_CHUNK = 8
"""Rooms that a process renders at a time."""


@dataclass(frozen=True)
class SynthOptions:
    """What to render.

    Attributes:
        frames: how many.
        seed: of the first room; the next is seed + 1.
        per_room: frames of one camera of a room before the next, ``1 / fps`` apart.
        views: cameras of one room before the next room, see ``room_view``.
        width, height: pixels. fps: of a room's own time.
        people: in every room; None draws 0 to 3.
        noisy_depth: depth as a stereo camera gives it, with noise, holes and flying pixels, instead of exact.
    """

    frames: int
    seed: int = 0
    per_room: int = 1
    views: int = 1
    width: int = 640
    height: int = 480
    fps: float = 30.0
    people: int | None = None
    noisy_depth: bool = False

    def __post_init__(self) -> None:
        counts = {"frames": self.frames, "frames per camera": self.per_room, "cameras per room": self.views}
        for name, count in counts.items():
            if count < 1:
                raise InputError(f"rendering takes 1 or more {name}, found {count}")
        if not 0 < self.fps < math.inf:
            raise InputError(f"rendering takes a positive number of frames per second, found {self.fps:g}")
        if not (_SIDE_PX[0] <= self.width <= _SIDE_PX[1] and _SIDE_PX[0] <= self.height <= _SIDE_PX[1]):
            raise InputError(
                f"rendering takes {_SIDE_PX[0]} to {_SIDE_PX[1]} pixels a side, found {self.width}x{self.height}"
            )

    @property
    def rooms(self) -> int:
        """How many rooms; the last may be seen less often."""
        return -(-self.frames // (self.per_room * self.views))


def render_rooms(options: SynthOptions, rooms: Iterable[int] | None = None) -> Iterator[tuple[int, RoomView]]:
    """The number of each frame and what is seen in it, room after room.

    Args:
        options: what to render.
        rooms: which of its rooms, 0 to ``options.rooms`` - 1; None takes all.

    Raises:
        InputError, MissingExtraError: it cannot be rendered.
    """
    with RoomRenderer() as renderer:
        for number in range(options.rooms) if rooms is None else rooms:
            scene = room_scene(options.seed + number, width=options.width, height=options.height, people=options.people)
            first = number * options.per_room * options.views
            for index in range(min(options.per_room * options.views, options.frames - first)):
                view, step = divmod(index, options.per_room)
                start_s = view * _BETWEEN_VIEWS_S
                yield first + index, renderer.render(room_view(scene, view, start_s), start_s + step / options.fps)


def write_recording(
    folder: Path, options: SynthOptions, told: Callable[[int], None] = lambda done: None, *, workers: int = 1
) -> None:
    """Render into ``folder``, which appears when all is written.

    Args:
        folder: to be made.
        options: what to render. The files do not depend on ``workers``.
        told: hears how many frames are done.
        workers: processes that render.

    Raises:
        OutputError: the folder exists or cannot be written. InputError, MissingExtraError: see ``render_rooms``.
    """
    if workers < 1:
        raise InputError(f"rendering takes 1 process or more, found {workers}")
    with atomic_folder(folder) as work:
        for part in ("rgb", "depth", "mask"):
            (work / part).mkdir()
        entries: dict[int, dict[str, Any]] = {}
        chunks = [range(start, min(start + _CHUNK, options.rooms)) for start in range(0, options.rooms, _CHUNK)]
        for done in _each_chunk(partial(_write_rooms, work, options), chunks, workers):
            entries.update(done)
            told(len(entries))
        in_order = [entries[number] for number in sorted(entries)]
        (work / "manifest.json").write_text(json.dumps(in_order, indent=1) + "\n", encoding="utf-8")


def _each_chunk(
    write: Callable[[range], dict[int, dict[str, Any]]], chunks: Sequence[range], workers: int
) -> Iterator[dict[int, dict[str, Any]]]:
    if workers == 1:
        yield from map(write, chunks)
        return
    # spawn: an OpenGL context does not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn"), _end_quietly) as pool:
        # Ctrl-C reaches every process of a terminal: one that is still importing would show a traceback.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            running = [pool.submit(write, chunk) for chunk in chunks]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            for future in as_completed(running):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _end_quietly() -> None:
    """In a new process, where Ctrl-C was held back so far: from now on it just ends it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _write_rooms(work: Path, options: SynthOptions, rooms: range) -> dict[int, dict[str, Any]]:
    """Write the frames of some rooms; returns their entries by number."""
    entries = {}
    for number, view in render_rooms(options, rooms):
        name = f"{number:06d}.png"
        depth_m = view.depth_m
        if options.noisy_depth:
            depth_m = add_sensor_noise(depth_m, seed=number + 1_000_003 * view.scene.seed)
        units = np.where(np.isfinite(depth_m), np.round(depth_m / DEPTH_SCALE_M), 0)
        _write(work / "rgb" / name, view.image[..., ::-1])
        _write(work / "depth" / name, np.clip(units, 0, 65535).astype(np.uint16))
        _write(work / "mask" / name, view.person_ids)
        entries[number] = _entry(view, name)
    return entries


def _write(path: Path, image: NDArray[Any]) -> None:
    done, coded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 2])
    if not done:
        raise OutputError(f"cannot write {path}: OpenCV could not encode it")
    path.write_bytes(coded.tobytes())


def _entry(view: RoomView, name: str) -> dict[str, Any]:
    K, floor = view.camera.intrinsics, view.floor
    return {
        "id": f"room-{view.scene.seed}-{view.scene.view}-{round(view.t_s * 1000):06d}",
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
