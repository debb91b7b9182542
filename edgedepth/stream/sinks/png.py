"""A folder of 16-bit depth PNGs in millimetres, with images and intrinsics: an RGB-D folder that reads back."""

from __future__ import annotations

import json
import math
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import OutputError, SinkError
from edgedepth.intrinsics_io import FORMATS
from edgedepth.output import PartFile, atomic_output, output_errors
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.base import BaseSink
from edgedepth.types import Intrinsics

__all__ = ["DEPTH_SCALE_M", "PngSink", "depth_to_millimetres"]

DEPTH_SCALE_M = 0.001
_LARGEST_MM = 65535


def depth_to_millimetres(depth_m: NDArray[np.float32]) -> tuple[NDArray[np.uint16], int]:
    """Metres (NaN = invalid) as uint16 millimetres, 0 = invalid, rounded to the nearest.

    Returns:
        The image, and how many valid pixels were beyond 65.535 m and became 0, as 16 bits cannot hold them.
    """
    millimetres = np.rint(depth_m * np.float32(1000))
    too_far = millimetres > _LARGEST_MM  # also infinity; False for NaN
    millimetres[too_far] = 0
    np.nan_to_num(millimetres, copy=False, nan=0.0)
    np.maximum(millimetres, 0, out=millimetres)
    return millimetres.astype(np.uint16), int(np.count_nonzero(too_far))


class PngSink(BaseSink):
    """Writes ``depth/000012.png``, ``rgb/000012.png`` (named by the frame's sequence) and ``intrinsics.json``.

    ``intrinsics.json`` is the edgedepth format with ``depth_scale_m`` beside it. Where the depth is smaller than
    the image, the image is shrunk to the depth's grid, so that a pair always fits its intrinsics. Each file appears
    whole or not at all; those of the frames before a failure stay.

    Args:
        target: folder; made when it is not there.
        rgb: write the images too.

    Attributes:
        too_far_pixels: how many pixels beyond 65.535 m became 0 so far.

    Raises:
        OutputError: the folder cannot be written to, or holds a sequence already.
        NotMetricError: the depth has no scale, so there are no millimetres.
        SinkError: the camera changed; a folder holds one.
    """

    def __init__(self, target: str | os.PathLike[str], *, rgb: bool = True) -> None:
        self._folder = Path(target)
        self._rgb = rgb
        self._camera: Intrinsics | None = None
        self.too_far_pixels = 0
        self._made: list[Path] = []
        if self._folder.exists() and not self._folder.is_dir():
            raise OutputError(f"cannot write {self._folder}: it is a file; PNGs go into a folder, give a new name")
        with output_errors(self._folder):
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self._folder, self._folder / "depth", *([self._folder / "rgb"] if rgb else [])):
                if not folder.is_dir():
                    folder.mkdir()
                    self._made.append(folder)
                if folder != self._folder and next(folder.glob("*.png"), None) is not None:
                    raise OutputError(f"{folder} holds a sequence already; choose another folder or empty it")
        PartFile(self._folder / "depth" / "writable").discard()

    def _write(self, result: Result) -> None:
        millimetres, too_far = depth_to_millimetres(result.depth.depth_m)
        self._write_camera(_camera_of(result))
        images: dict[str, NDArray[Any]] = {"depth": millimetres}
        if self._rgb:
            images["rgb"] = _image_on_grid(result)
        with ExitStack() as pair:  # renamed when both are written: no image without its depth
            for folder, image in images.items():
                path = self._folder / folder / f"{result.frame.sequence:06d}.png"
                temporary = pair.enter_context(atomic_output(path, sync=False))
                temporary.write_bytes(_encoded(path, image))
        self.too_far_pixels += too_far

    def _finish(self) -> None:
        for folder in reversed(self._made):
            with suppress(OSError):
                folder.rmdir()  # only where no frame came: others are not empty

    _abort = _finish

    def _write_camera(self, camera: Intrinsics | None) -> None:
        if camera is None or camera == self._camera:
            return
        if self._camera is not None:
            raise SinkError(
                f"the camera changed from {_text(self._camera)} to {_text(camera)}; a folder holds one camera, write "
                "another folder for the rest"
            )
        fields = json.loads(FORMATS["edgedepth"].write(camera)) | {"depth_scale_m": DEPTH_SCALE_M}
        with atomic_output(self._folder / "intrinsics.json") as temporary:
            temporary.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
        self._camera = camera


def _text(camera: Intrinsics) -> str:
    return f"{camera.width}x{camera.height} fx {camera.fx:g} cx {camera.cx:g} cy {camera.cy:g}"


def _encoded(path: Path, image: NDArray[Any]) -> bytes:
    # OpenCV's own compression setting: level 1 takes 1.7 times as long for a fifth fewer bytes, level 6 eight times.
    done, encoded = cv2.imencode(".png", image)
    if not done:
        raise OutputError(f"cannot write {path}: OpenCV could not encode a {image.shape} {image.dtype} image as PNG")
    return encoded.tobytes()


def _camera_of(result: Result) -> Intrinsics | None:
    """The intrinsics of the depth's grid, when known."""
    if result.depth.intrinsics is None and result.depth.size_wh == result.frame.size_wh:
        return result.frame.intrinsics
    return result.depth.intrinsics


def _image_on_grid(result: Result) -> NDArray[Any]:
    """The frame's image on the depth's grid, BGR. Raises SinkError when the depth may show another part of it."""
    frame, depth = result.frame, result.depth
    image = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
    if depth.size_wh == frame.size_wh:
        return image
    if frame.intrinsics is None or depth.intrinsics is None:
        whole = math.isclose(depth.size_wh[0] / depth.size_wh[1], frame.size_wh[0] / frame.size_wh[1], rel_tol=0.005)
    else:
        same_view = frame.intrinsics.resized(*depth.size_wh)
        whole = bool(np.allclose(same_view.matrix, depth.intrinsics.matrix, rtol=1e-3, atol=0.5))
    if not whole:
        raise SinkError(
            f"the {depth.size_wh[0]}x{depth.size_wh[1]} depth may not show the whole {frame.size_wh[0]}x"
            f"{frame.size_wh[1]} image, so they make no pair; ask for depth on the image's grid, or for no images"
        )
    return cv2.resize(image, depth.size_wh, interpolation=cv2.INTER_AREA)
