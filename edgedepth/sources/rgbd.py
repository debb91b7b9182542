"""RGB-D recordings: colour images with registered 16-bit depth, as a manifest or a folder."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edgedepth.errors import EndOfStream, FrameInvalid, InputError, IntrinsicsError, SourceNotFound
from edgedepth.intrinsics_io import load_intrinsics
from edgedepth.sources.base import Source, SourceOptions
from edgedepth.sources.grabber import Shot, now
from edgedepth.sources.images import images_in, natural_key, read_image, read_rgb
from edgedepth.sources.ordered import OrderedSource
from edgedepth.types import Distortion, Frame, Intrinsics, Pose

__all__ = [
    "MILLIMETRES",
    "RgbdEntry",
    "RgbdGrabber",
    "is_rgbd_folder",
    "open_rgbd",
    "read_depth_m",
    "read_pair",
    "rgbd_entries",
]

MILLIMETRES = 0.001
"""Metres per unit of 16-bit depth where a recording does not say: what ROS, RealSense and Kinect write."""
_RGB_FOLDERS = ("rgb", "color", "colour", "image", "images")
_DEPTH_FOLDERS = ("depth", "depths")
_CAMERA_FILES = (
    "intrinsics.json", "intrinsics.yaml", "intrinsics.yml", "intrinsics.txt", "camera_info.yaml", "camera.json",
    "camera.yaml", "camera_intrinsic.json", "cameras.txt", "camchain.yaml",
)  # fmt: skip
_ROLE = re.compile(r"(?i)[._-]?(rgb|colou?r|depth|image|frame)[._-]?")


@dataclass(frozen=True)
class RgbdEntry:
    """One pair: paths, metres per unit, and what is known of the camera (for the colour image's size).

    ``id`` and ``group`` (the scene or subject) are what a manifest says, if it does; ``mask`` is an 8-bit image of who
    is where: 0 nobody, i the i-th person.
    """

    rgb: Path
    depth: Path
    depth_scale_m: float
    intrinsics: Intrinsics | None = None
    up: tuple[float, float, float] | None = None
    pose: Pose | None = None
    id: str | None = None
    group: str | None = None
    mask: Path | None = None


class _Camera(BaseModel):
    fx: float
    fy: float
    cx: float
    cy: float


class _Lens(BaseModel):
    model: str
    coefficients: tuple[float, ...] = ()


class _ManifestEntry(BaseModel):
    """One entry of a manifest. Other keys are notes."""

    model_config = ConfigDict(extra="ignore")
    rgb: str
    depth: str
    rgb_wh: tuple[int, int] | None = None
    K: _Camera | None = None
    distortion: _Lens | None = None
    depth_scale_m: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    up: tuple[float, float, float] | None = None
    T_world_camera: list[list[float]] | None = None
    id: str | None = None
    group: str | None = None
    mask: str | None = None


def read_depth_m(path: Path, depth_scale_m: float) -> NDArray[np.float32]:
    """A 16-bit depth image as float32 metres, H x W, 0 -> NaN.

    Raises:
        FrameInvalid: unreadable. InputError: not one channel of 16 bits.
    """
    raw = read_image(path, cv2.IMREAD_UNCHANGED)
    if raw.dtype != np.uint16 or raw.ndim != 2:
        channels = 1 if raw.ndim == 2 else raw.shape[2]
        raise InputError(
            f"{path}: expected depth as a 16-bit image of one channel, found {channels} x {raw.dtype}; "
            "a coloured picture of depth holds no metres"
        )
    depth_m = raw.astype(np.float32)
    depth_m *= np.float32(depth_scale_m)
    depth_m[raw == 0] = np.nan
    return depth_m


def read_pair(entry: RgbdEntry) -> Frame:
    """One pair as a frame without a time.

    Raises:
        FrameInvalid: unreadable. InputError: depth of another size or type. IntrinsicsError: of another aspect ratio.
    """
    image = read_rgb(entry.rgb, upright=False)
    depth_m = read_depth_m(entry.depth, entry.depth_scale_m)
    height, width = image.shape[:2]
    if depth_m.shape != (height, width):
        raise InputError(
            f"{entry.depth}: the depth is {depth_m.shape[1]}x{depth_m.shape[0]} and its image {entry.rgb.name} is "
            f"{width}x{height}; register the depth to the image first, it is never resampled here"
        )
    camera = entry.intrinsics
    if camera is not None:
        try:
            camera = camera.for_size(width, height)
        except IntrinsicsError as error:
            raise IntrinsicsError(f"{entry.rgb}: {error}") from None
    return Frame(image, camera, depth_m=depth_m, up=entry.up, pose=entry.pose, source=str(entry.rgb))


class RgbdGrabber:
    """A Grabber over pairs of images."""

    gives_depth = True

    def __init__(self, entries: list[RgbdEntry]) -> None:
        self._entries = entries
        self._next = len(entries)
        self.size_wh: tuple[int, int] | None = None
        self.fps: float | None = None
        self.frame_count: int | None = len(entries)

    def open(self) -> None:
        """See Grabber.open. The first image tells the size; one that is broken is told when its turn comes."""
        self._next = 0
        with contextlib.suppress(FrameInvalid):
            height, width = read_rgb(self._entries[0].rgb, upright=False).shape[:2]
            self.size_wh = (width, height)

    def grab(self, timeout_s: float) -> Shot:
        """See Grabber.grab."""
        if self._next >= len(self._entries):
            raise EndOfStream(f"end after {len(self._entries)} RGB-D pairs")
        entry = self._entries[self._next]
        self._next += 1
        times = now()
        frame = read_pair(entry)
        return Shot(
            frame.image,
            *times,
            depth_m=frame.depth_m,
            intrinsics=frame.intrinsics,
            up=frame.up,
            pose=frame.pose,
            source=frame.source,
        )

    def close(self) -> None:
        """See Grabber.close."""
        self._next = len(self._entries)


class _RgbdSource(OrderedSource):
    """Knows the camera of its first pair before any is read."""

    def __init__(self, entries: list[RgbdEntry], uri: str, options: SourceOptions) -> None:
        grabber = RgbdGrabber(entries)
        grabber.open()
        super().__init__(grabber, uri, options)
        self._recorded = entries[0].intrinsics

    @property
    def intrinsics(self) -> Intrinsics | None:
        """The camera as given, else that of the first pair."""
        return super().intrinsics or self._recorded


def is_rgbd_folder(folder: Path) -> bool:
    """True for a folder with ``manifest.json``, or with a colour and a depth folder."""
    return (folder / "manifest.json").is_file() or (
        _subfolder(folder, _RGB_FOLDERS) is not None and _subfolder(folder, _DEPTH_FOLDERS) is not None
    )


def open_rgbd(path: str, options: SourceOptions) -> Source:
    """A manifest (a JSON list of ``{rgb, depth, K: {fx, fy, cx, cy}, depth_scale_m, ...}``), or a folder.

    A folder holds ``manifest.json``, or ``rgb`` (``color``) and ``depth`` with files of the same names beside an
    intrinsics file in any format of ``edgedepth.intrinsics_io``. Depth is 16-bit, 0 = invalid, Z, registered to the
    image; units are millimetres unless said otherwise. Paths in a manifest are relative to it.
    """
    entries = rgbd_entries(Path(path), options)
    for entry in entries:
        for file in (entry.rgb, entry.depth):
            if not file.is_file():
                raise SourceNotFound(f"{path}: the recording names {file}, which does not exist")
    return _RgbdSource(entries, path, options)


def rgbd_entries(path: Path, options: SourceOptions, left_out: list[str] | None = None) -> list[RgbdEntry]:
    """The pairs of a manifest or a folder, whose files may not exist.

    Args:
        path: the manifest or folder.
        options: its ``depth_scale_m``.
        left_out: is given a sentence for each image of a folder without a partner; without it, one is refused.

    Raises:
        InputError, SourceNotFound: no pairs, or not in this format.
    """
    manifest = path / "manifest.json" if path.is_dir() else path
    return _from_manifest(manifest, options) if manifest.is_file() else _from_folder(path, options, left_out)


def _from_manifest(manifest: Path, options: SourceOptions) -> list[RgbdEntry]:
    try:
        rows = TypeAdapter(list[_ManifestEntry]).validate_json(manifest.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise InputError(
            f"{manifest}: {where or 'the file'}: {first['msg']}; expected a JSON list of objects with rgb, depth, "
            "K {fx, fy, cx, cy} and depth_scale_m"
        ) from None
    except OSError as error:
        raise InputError(f"{manifest}: cannot be read ({error.strerror})") from error
    if not rows:
        raise InputError(f"{manifest}: the list is empty; expected at least one RGB-D pair")
    return [_entry(row, manifest.parent, f"{manifest}[{index}]", options) for index, row in enumerate(rows)]


def _entry(row: _ManifestEntry, folder: Path, where: str, options: SourceOptions) -> RgbdEntry:
    camera = None
    try:
        if row.K is not None:
            if row.rgb_wh is None:
                raise IntrinsicsError("K needs rgb_wh, the width and height of the image it was measured on")
            lens = Distortion(**row.distortion.model_dump()) if row.distortion else Distortion()
            camera = Intrinsics(*row.rgb_wh, row.K.fx, row.K.fy, row.K.cx, row.K.cy, lens)
        pose = Pose(np.array(row.T_world_camera)) if row.T_world_camera else None
    except ValueError as error:
        raise IntrinsicsError(f"{where}: {error}") from None
    except InputError as error:
        raise type(error)(f"{where}: {error}") from None
    return RgbdEntry(
        folder / row.rgb,
        folder / row.depth,
        options.depth_scale_m or row.depth_scale_m or MILLIMETRES,
        camera,
        row.up,
        pose,
        row.id,
        row.group,
        None if row.mask is None else folder / row.mask,
    )


def _from_folder(folder: Path, options: SourceOptions, left_out: list[str] | None) -> list[RgbdEntry]:
    colour, depth = _subfolder(folder, _RGB_FOLDERS), _subfolder(folder, _DEPTH_FOLDERS)
    if colour is None or depth is None:
        raise SourceNotFound(f"{folder}: expected manifest.json, or the folders rgb (or color) and depth")
    camera = next((load_intrinsics(folder / name) for name in _CAMERA_FILES if (folder / name).is_file()), None)
    images, depths = ({_role_free(path): path for path in images_in(part)} for part in (colour, depth))
    lonely = sorted((images.keys() ^ depths.keys()), key=lambda name: natural_key(Path(name)))
    if left_out is not None:
        files = (images.get(name, depths.get(name)) for name in lonely)
        left_out += [f"{file} has no partner of the same name" for file in files]
    elif lonely:
        raise InputError(
            f"{folder}: {len(lonely)} images have no partner of the same name, such as {lonely[0]!r}; "
            f"found {len(images)} in {colour.name} and {len(depths)} in {depth.name}; a manifest can pair any"
        )
    if not images:
        raise SourceNotFound(f"{folder}: no images in {colour.name}")
    scale_m = options.depth_scale_m or MILLIMETRES
    return [RgbdEntry(path, depths[name], scale_m, camera) for name, path in images.items() if name in depths]


def _role_free(path: Path) -> str:
    """``frame-000010.color.png`` and ``frame-000010.depth.png`` are one pair."""
    return _ROLE.sub("", path.stem)


def _subfolder(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)
