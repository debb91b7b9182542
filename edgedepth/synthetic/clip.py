"""The packaged clip: two people of known stature walk about in a room, before a camera at rest.

``python -c "from edgedepth.synthetic.clip import write_clip; write_clip('clips/demo')"`` makes ``clips/demo`` again.
It is read by ``edgedepth.sources.clip``, which says what the files are.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import MissingExtraError, OutputError
from edgedepth.output import atomic_folder
from edgedepth.sources.clip import CLIP_FILE, ClipCamera, ClipInfo, ClipPerson
from edgedepth.synthetic.mujoco_renderer import RoomRenderer, RoomView, truth
from edgedepth.synthetic.people import Figure
from edgedepth.synthetic.recording import DEPTH_SCALE_M
from edgedepth.synthetic.rgb_sensor import RgbSensor
from edgedepth.synthetic.rooms import room_scene
from edgedepth.synthetic.roomscene import RoomScene
from edgedepth.synthetic.scene import Camera, Person
from edgedepth.types import Intrinsics

__all__ = ["CLIP_FPS", "CLIP_FRAMES", "TRUTH_EVERY", "clip_depth_units", "clip_scene", "write_clip"]

CLIP_SEED = 1328
"""Of the room. Training begins at 1 000 000."""
CLIP_FPS, CLIP_FRAMES, TRUTH_EVERY = 30, 180, 5
NAMES = ("adult", "child")

_SENSOR = RgbSensor(mean=0.48, gamma=0.85, vignette=0.12, blur_px=0.4, shot_noise=3e-5, read_noise=1.5e-3)
# H.264: read by every FFmpeg, a tenth of motion JPEG's size. One reference and no B frames: cheap to decode.
_ENCODER = ("-c:v", "libx264", "-preset", "veryslow", "-crf", "18", "-bf", "0", "-refs", "2", "-g", "60",
            "-pix_fmt", "yuv420p", "-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact",
            "-movflags", "+faststart")  # fmt: skip


def clip_scene(width: int = 640, height: int = 480) -> RoomScene:
    """The room with an adult of 1.78 m and a child of 1.12 m; the camera is a RealSense's, 1.35 m up, at rest."""
    adult = Figure(
        Person(1.78, _round(-0.45, 3.75, 0.7, 1.0, start_deg=100), 0.72),
        hair_m=0.008, arms=((0, 7, 18), (0, 7, 18)), skin=(0.8, 0.6, 0.48), shirt=(0.75, 0.3, 0.22),
        trousers=(0.16, 0.18, 0.26), hair=(0.13, 0.09, 0.06), shoes=(0.1, 0.08, 0.08), pattern="fabric",
    )  # fmt: skip
    child = Figure(
        Person(1.12, _round(0.82, 3.25, 0.42, 0.72, start_deg=-130), 0.5),
        build=1.02, hair_m=0.006, hair_style="long", arms=((4, 9, 22), (4, 9, 22)), skin=(0.86, 0.66, 0.53),
        shirt=(0.92, 0.75, 0.25), trousers=(0.24, 0.36, 0.58), hair=(0.34, 0.21, 0.11), shoes=(0.8, 0.8, 0.82),
        sleeves=False,
    )  # fmt: skip
    camera = Camera(Intrinsics.from_fov(width, height, hfov_deg=69.0), height_m=1.35, pitch_deg=8.0, y_m=0.35)
    return replace(room_scene(CLIP_SEED, people=0), people=(adult, child), still=camera, sway_m=0.0, sway_deg=0.0)


def _round(x: float, y: float, half_x: float, half_y: float, *, start_deg: float) -> tuple[tuple[float, float], ...]:
    """An ellipse on the floor, counter-clockwise from above."""
    turns = (math.radians(start_deg) + 2 * math.pi * step / 120 for step in range(120))
    return tuple((round(x + half_x * math.cos(a), 4), round(y + half_y * math.sin(a), 4)) for a in turns)


def clip_depth_units(scene: RoomScene, t_s: float) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """True depth at a time in units of ``DEPTH_SCALE_M``, and who is where: 0 nobody, i + 1 ``scene.people[i]``."""
    depth_m, ids = truth(scene, scene.camera(t_s), scene.moving_solids(t_s))
    return _units(depth_m), ids


def _units(depth_m: NDArray[np.floating]) -> NDArray[np.uint16]:
    return np.asarray(np.round(np.asarray(depth_m, np.float32) / DEPTH_SCALE_M), np.uint16)


def write_clip(folder: str | Path, frames: int = CLIP_FRAMES) -> None:
    """Render and pack the clip into ``folder``, which appears when all is written.

    Needs the extra ``synth``, and the program ``ffmpeg`` with its H.264 encoder: OpenCV's wheels only decode.

    Raises:
        OutputError: the folder exists or cannot be written. MissingExtraError: see above.
    """
    if shutil.which("ffmpeg") is None:
        raise MissingExtraError("packing the clip needs ffmpeg with libx264 in the path: apt-get install ffmpeg")
    scene = clip_scene()
    boxes: list[list[tuple[int, int, int, int] | None]] = [[] for _ in scene.people]
    with atomic_folder(folder) as work:
        for part in ("depth", "mask"):
            (work / part).mkdir()
        empty = replace(scene, people=())
        background = clip_depth_units(empty, 0.0)[0]
        _write_png(work / "background.png", background)
        _encode(work / "video.mp4", _drawn(scene, frames, work, boxes), scene.still.intrinsics.size_wh)
        (work / CLIP_FILE).write_text(_info(scene, frames, boxes).model_dump_json(indent=1) + "\n", encoding="utf-8")


def _drawn(
    scene: RoomScene, frames: int, work: Path, boxes: list[list[tuple[int, int, int, int] | None]]
) -> Iterator[NDArray[np.uint8]]:
    """The pictures; on the way the truth is written and the boxes are noted."""
    with RoomRenderer(shadow_px=1024) as renderer:
        for index in range(frames):
            view = renderer.render(scene, index / CLIP_FPS, sensor=_SENSOR)
            for person, found in enumerate(boxes, 1):
                found.append(_box(view.person_ids == person))
            if index % TRUTH_EVERY == 0:
                _write_truth(work, index, view)
            yield view.image


def _write_truth(work: Path, index: int, view: RoomView) -> None:
    # The room does not move, so only what stands in front of the background is kept.
    name = f"{index:06d}.png"
    _write_png(work / "depth" / name, np.where(view.person_ids > 0, _units(view.depth_m), np.uint16(0)))
    _write_png(work / "mask" / name, view.person_ids)


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    return (x, y, w, h) if w else None


def _info(scene: RoomScene, frames: int, boxes: list[list[tuple[int, int, int, int] | None]]) -> ClipInfo:
    K, floor = scene.still.intrinsics, scene.floor(0.0)
    return ClipInfo(
        fps=CLIP_FPS,
        frames=frames,
        truth_every=TRUTH_EVERY,
        depth_scale_m=DEPTH_SCALE_M,
        camera=ClipCamera(width=K.width, height=K.height, fx=K.fx, fy=K.fy, cx=K.cx, cy=K.cy),
        up=floor.normal,
        camera_height_m=floor.offset_m,
        people=tuple(
            ClipPerson(
                name=NAMES[index],
                mask_id=index + 1,
                stature_m=figure.stature_m,
                hair_m=figure.hair_m,
                boxes_xywh=tuple(boxes[index]),
            )
            for index, figure in enumerate(scene.people)
        ),
        seed=scene.seed,
        license="CC0-1.0",
    )


def _write_png(path: Path, image: NDArray[Any]) -> None:
    done, coded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise OutputError(f"cannot write {path}: OpenCV could not encode it")
    path.write_bytes(coded.tobytes())


def _encode(path: Path, images: Iterable[NDArray[np.uint8]], size_wh: tuple[int, int]) -> None:
    command = ("ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size_wh[0]}x{size_wh[1]}",
               "-r", str(CLIP_FPS), "-i", "-", *_ENCODER, str(path))  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        assert encoder.stderr is not None
        try:
            for image in images:
                encoder.stdin.write(image.tobytes())
            encoder.stdin.close()
        except BrokenPipeError:
            pass  # it says why below
        said = encoder.stderr.read().decode(errors="replace")
    if encoder.returncode:
        raise OutputError(f"cannot write {path.name}: ffmpeg gave up ({' '.join(said.split())})")
