"""Still images: one file, a pattern, or a folder; in the natural order of their names."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import EndOfStream, FrameInvalid, InputError, SourceNotFound
from edgedepth.sources.base import Source, SourceOptions
from edgedepth.sources.grabber import Shot, now
from edgedepth.sources.opencv import quieten_opencv
from edgedepth.sources.ordered import OrderedSource

__all__ = ["IMAGE_SUFFIXES", "ImagesGrabber", "images_in", "natural_key", "open_images", "read_image", "read_rgb"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

# Bit depth and colour type in a PNG's header.
_GREY_16 = b"\x10\x00"


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sorts frame_2 before frame_10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, in natural order."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES), key=natural_key)


def read_image(path: Path, flags: int) -> NDArray[Any]:
    """``cv2.imread`` that says what is wrong. Raises FrameInvalid, naming the file."""
    quieten_opencv()
    try:
        content = path.read_bytes()
        if not content:
            raise FrameInvalid(f"{path}: the file is empty (0 bytes); copy it again")
        if _is_cut_short(content):
            raise FrameInvalid(f"{path}: the file is cut short, its end is missing; copy it again")
        if flags != cv2.IMREAD_UNCHANGED and content.startswith(b"\x89PNG") and content[24:26] == _GREY_16:
            raise FrameInvalid(f"{path}: expected a colour image, found 16 bits of one channel, as depth has")
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except OSError as error:
        raise FrameInvalid(f"{path}: cannot be read ({error.strerror})") from error
    except cv2.error as error:
        raise FrameInvalid(f"{path}: OpenCV cannot decode it ({error.err})") from error
    if image is None:
        raise FrameInvalid(f"{path}: not an image OpenCV can decode; is the file complete?")
    return image


def _is_cut_short(content: bytes) -> bool:
    """Whether a PNG or a JPEG lacks its end mark. OpenCV prints a line of its own of it, and fills a JPEG with grey."""
    if content.startswith(b"\x89PNG"):
        return b"IEND\xaeB`\x82" not in content
    if content.startswith(b"\xff\xd8"):
        # The scan's own data never holds a mark (0xff is stuffed), but a thumbnail before it has an end of its own.
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    return False


def read_rgb(path: Path, *, upright: bool = True) -> NDArray[np.uint8]:
    """An image file as uint8 RGB, H x W x 3.

    Args:
        upright: turn it as its EXIF says. Not for images with a depth image, which has no EXIF to turn it by.
    """
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = read_image(path, flags)
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return image


class ImagesGrabber:
    """A Grabber over image files. The first is decoded when it is opened, so its size is known then."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._next = len(paths)
        self._first: NDArray[np.uint8] | None = None
        self.size_wh: tuple[int, int] | None = None
        self.fps: float | None = None
        self.frame_count: int | None = len(paths)

    def open(self) -> None:
        """See Grabber.open."""
        self._next = 0
        try:
            self._first = read_rgb(self._paths[0])
        except FrameInvalid as error:
            if len(self._paths) == 1:
                raise InputError(str(error)) from None
            self._first = None  # the rest may be sound: told when its turn comes
        if self._first is not None:
            self.size_wh = (self._first.shape[1], self._first.shape[0])

    def grab(self, timeout_s: float) -> Shot:
        """See Grabber.grab."""
        if self._next >= len(self._paths):
            raise EndOfStream(f"end after {len(self._paths)} images")
        path = self._paths[self._next]
        self._next += 1
        times = now()
        image, self._first = self._first, None
        return Shot(read_rgb(path) if image is None else image, *times, source=str(path))

    def close(self) -> None:
        """See Grabber.close."""
        self._first = None
        self._next = len(self._paths)


def open_images(path: str, options: SourceOptions) -> Source:
    """An image file, a folder of images, or a glob pattern (``shots/*.jpg``, ``**`` for subfolders)."""
    here = Path(path)
    if here.is_dir():
        paths = images_in(here)
        what = f"no images in the folder {path}"
    elif here.is_file():
        paths, what = [here], ""
    else:
        # glob, not Path.glob: the pattern may be absolute.
        paths = sorted(map(Path, glob.glob(path, recursive=True)), key=natural_key)  # noqa: PTH207
        paths = [one for one in paths if one.is_file()]
        what = f"no file matches {path}"
    if not paths:
        raise SourceNotFound(f"{what}; expected files such as *{', *'.join(sorted(IMAGE_SUFFIXES)[:4])}")
    grabber = ImagesGrabber(paths)
    grabber.open()
    return OrderedSource(grabber, path, options)
