"""Clips: a video with the truth of some of its frames, in a folder, or in the package as ``clip://demo``.

``clip.json`` (ClipInfo) beside ``video.mp4``; the camera does not move. ``mask/000005.png`` (8-bit: 0 nobody, else
``mask_id``) and ``depth/000005.png`` (16-bit, ``depth_scale_m`` per unit) are there for every ``truth_every``-th frame;
where such a depth is 0, the room's own holds: ``background.png``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edgedepth.documents import read_document
from edgedepth.errors import InputError, SourceNotFound
from edgedepth.geometry.plane import FloorPlane
from edgedepth.resources import clip_folder
from edgedepth.sources._uri import positive_int, query_of
from edgedepth.sources.base import Source, SourceOptions
from edgedepth.sources.grabber import Shot
from edgedepth.sources.opencv import CaptureGrabber, require_ffmpeg
from edgedepth.sources.ordered import OrderedSource
from edgedepth.sources.paced import PacedSource
from edgedepth.types import Intrinsics

__all__ = ["CLIP_FILE", "Clip", "ClipCamera", "ClipInfo", "ClipPerson", "is_clip_folder", "open_clip", "read_clip"]

CLIP_FILE = "clip.json"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClipCamera(_Section):
    """Pinhole, pixels; pixel centres at integer coordinates."""

    width: Count
    height: Count
    fx: Positive
    fy: Positive
    cx: float
    cy: float


class ClipPerson(_Section):
    """Someone in the clip. ``boxes_xywh``: of what is seen of them, one a frame; None where nothing is."""

    name: str
    mask_id: Annotated[int, Field(ge=1, le=255)]
    stature_m: Positive
    hair_m: Annotated[float, Field(ge=0)]
    boxes_xywh: tuple[tuple[int, int, int, int] | None, ...]


class ClipInfo(_Section):
    """What ``clip.json`` says. The floor is the plane with the normal ``up``, ``camera_height_m`` under the camera."""

    schema_version: Literal[1] = 1
    fps: Positive
    frames: Count
    truth_every: Count
    depth_scale_m: Positive
    camera: ClipCamera
    up: tuple[float, float, float]
    camera_height_m: Positive
    people: tuple[ClipPerson, ...]
    seed: int
    license: str


@dataclass(frozen=True)
class Clip:
    """A clip on disk. ``folder`` holds its files, ``info`` is its ``clip.json``."""

    folder: Path
    info: ClipInfo

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera."""
        camera = self.info.camera
        return Intrinsics(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)

    @property
    def floor(self) -> FloorPlane:
        """The true floor in the camera's frame."""
        return FloorPlane(self.info.up, self.info.camera_height_m)

    @property
    def truth_frames(self) -> range:
        """Numbers of the frames that carry their truth."""
        return range(0, self.info.frames, self.info.truth_every)

    @property
    def far_m(self) -> float:
        """The farthest true depth of the room, up to the next whole metre."""
        return float(math.ceil(float(self._background.max()) * self.info.depth_scale_m))

    def truth(self, frame: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """The true depth (float32 H x W, metres) and who is where (uint8 H x W, ``mask_id`` or 0) of one frame.

        Raises:
            InputError: the frame carries none, or its files are missing or of another size.
        """
        if frame not in self.truth_frames:
            raise InputError(f"frame {frame} of {self.folder} carries no truth; every {self.info.truth_every}th does")
        name = f"{frame:06d}.png"
        units = self._picture(f"depth/{name}", np.uint16)
        depth_m = np.where(units > 0, units, self._background) * np.float32(self.info.depth_scale_m)
        return np.asarray(depth_m, np.float32), np.asarray(self._picture(f"mask/{name}", np.uint8))

    @cached_property
    def _background(self) -> NDArray[np.uint16]:
        return self._picture("background.png", np.uint16)

    def _picture(self, name: str, kind: type[np.generic]) -> NDArray[np.uint16]:
        path = self.folder / name
        found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
        wanted = self.info.camera.height, self.info.camera.width
        if found is None or found.shape != wanted or found.dtype != kind:
            seen = "none that can be read" if found is None else f"{found.dtype} {found.shape}"
            raise InputError(f"{path}: expected a {np.dtype(kind)} PNG {wanted}, found {seen}; copy the clip again")
        return np.asarray(found, kind)


def is_clip_folder(path: Path) -> bool:
    """True when the folder holds a clip."""
    return (path / CLIP_FILE).is_file()


def read_clip(folder: str | Path) -> Clip:
    """The clip in a folder.

    Raises:
        InputError: no ``clip.json``, or not one of a clip.
    """
    info = read_document(Path(folder) / CLIP_FILE, ClipInfo, what="clip", error=InputError)
    if any(len(person.boxes_xywh) != info.frames for person in info.people):
        raise InputError(f"{folder}: a person has one box per frame, {info.frames} of them; copy the clip again")
    return Clip(Path(folder), info)


def open_clip(uri: str, options: SourceOptions) -> Source:
    """``clip://demo``, or the folder of a clip; ``?live=1`` plays it at its own frame rate, as a camera would.

    Raises:
        InputError: an unknown setting, or a clip that is not whole. SourceNotFound: no such clip.
    """
    live = False
    folder = Path(uri)
    if uri.startswith("clip://"):
        parts = urlsplit(uri)
        live = bool(positive_int(query_of(uri, "live"), "live", minimum=0, maximum=1))
        name = unquote(parts.netloc + parts.path)
        folder = Path(name) if "/" in name else clip_folder(name)
    if not is_clip_folder(folder):
        raise SourceNotFound(f"no clip in {folder}: expected a folder with {CLIP_FILE}, or clip://demo")
    require_ffmpeg(uri)
    grabber = ClipGrabber(read_clip(folder), uri)
    grabber.open()
    return (PacedSource if live else OrderedSource)(grabber, uri, options)


class ClipGrabber(CaptureGrabber):
    """The video of a clip with its camera and the direction of up."""

    def __init__(self, clip: Clip, name: str) -> None:
        video = clip.folder / "video.mp4"
        super().__init__(
            str(video), name, cv2.CAP_FFMPEG,
            lambda: InputError(f"{video}: no video that FFmpeg can read; copy the clip again"),
        )  # fmt: skip
        self._camera, self._up = clip.intrinsics, clip.info.up

    def grab(self, timeout_s: float) -> Shot:
        """See Grabber.grab."""
        shot = super().grab(timeout_s)
        shot.intrinsics, shot.up = self._camera, self._up
        return shot
