"""The depth video: the image beside its depth, with a scale and what was measured."""

from __future__ import annotations

import errno
import math
import os
import shutil
from pathlib import Path

import cv2

from edgedepth.depth.colormap import DepthColormap
from edgedepth.errors import InputError, OutputError
from edgedepth.output import PartFile, output_errors
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.base import BaseSink
from edgedepth.stream.sinks.picture import ResultPicture

__all__ = ["CODECS", "VideoSink"]

# What OpenCV's pip wheels and JetPack's builds can both encode. H.264 is missing from the wheels (licence).
CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".mov": "mp4v", ".avi": "MJPG"}
_RESERVE_BYTES = 16 * 2**20
"""Free space that must stay: VideoWriter drops what does not fit and says nothing."""


class VideoSink(BaseSink):
    """A video file of ResultPicture frames, one per result.

    Args:
        target: file name; the suffix chooses container and codec (CODECS).
        fps: frame rate of the file; the source's, so that it plays at its own speed. Frames that a live source dropped
            are not in it: it is shorter by as much.
        range_m: (near, far) of the colours; by default chosen from the first frame with depth and then kept.
        codec: four letters for ``cv2.VideoWriter``, such as ``avc1`` where this OpenCV has an H.264 encoder.
        colormap: a name in colormap.COLORMAPS.

    Raises:
        InputError: a frame rate, range or suffix that cannot be.
        OutputError: the file cannot be made, the encoder is missing, the disk is full, or what was written does
            not read back.
    """

    def __init__(
        self,
        target: str | os.PathLike[str],
        *,
        fps: float | None = None,
        range_m: tuple[float, float] | None = None,
        codec: str | None = None,
        colormap: str = "turbo",
    ) -> None:
        suffix = Path(target).suffix.lower()
        if suffix not in CODECS:
            raise InputError(f"a video file name ends in {', '.join(CODECS)}, found {os.fspath(target)}")
        self._fps = 30.0 if fps is None else float(fps)
        if not (math.isfinite(self._fps) and 0 < self._fps <= 1000):
            raise InputError(f"a video's frame rate lies between 0 and 1000 per second, found {fps}")
        self._range_m, self._colormap = range_m, colormap
        DepthColormap(*(range_m or (0.0, 1.0)), name=colormap)  # refused now, not at the first frame
        self._codec = codec or CODECS[suffix]
        if len(self._codec) != 4:
            raise InputError(f"a codec is four letters, such as mp4v or avc1, found '{codec}'")
        self._target = os.fspath(target)
        self._part = PartFile(target)
        self._writer: cv2.VideoWriter | None = None
        self._picture: ResultPicture | None = None
        self._frames = 0

    def _write(self, result: Result) -> None:
        if self._picture is None:
            self._picture = ResultPicture(result.frame.size_wh, self._range_m, self._colormap)
        if self._writer is None:
            self._writer = self._open(self._picture.size_wh)
        self._check_space()
        self._writer.write(self._picture.draw(result))
        self._frames += 1

    def _open(self, size_wh: tuple[int, int]) -> cv2.VideoWriter:
        fourcc = cv2.VideoWriter.fourcc(*self._codec)
        writer = cv2.VideoWriter(str(self._part.temporary), fourcc, self._fps, size_wh)
        if not writer.isOpened():
            raise OutputError(
                f"cannot write {self._target}: this OpenCV has no encoder '{self._codec}' for "
                f"{size_wh[0]}x{size_wh[1]} in {Path(self._target).suffix}; leave the codec out or use .avi"
            )
        return writer

    def _check_space(self) -> None:
        with output_errors(self._target):
            if shutil.disk_usage(self._part.temporary.parent).free < _RESERVE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _finish(self) -> None:
        if self._writer is None:
            self._part.discard()  # no frame came: no video
            return
        self._writer.release()
        self._writer = None
        self._verify()
        self._part.commit()

    def _verify(self) -> None:
        """VideoWriter reports no failed write, so the file is read back: its last frame must be there."""
        found = _readable_frames(self._part.temporary)
        if abs(found - self._frames) <= 1:  # Matroska states a duration, and the count is a guess from it
            return
        self._check_space()
        raise OutputError(
            f"cannot write {self._target}: {self._frames} frames were written and {found} read back; "
            "check the disk and try again"
        )

    def _abort(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        self._part.discard()


def _readable_frames(path: Path) -> int:
    """How many frames a video has; 0 when it cannot be opened or its last frame cannot be read."""
    reader = cv2.VideoCapture(str(path))
    try:
        count = round(reader.get(cv2.CAP_PROP_FRAME_COUNT)) if reader.isOpened() else 0
        # One before the last, where the count is a guess that may be one too many.
        reader.set(cv2.CAP_PROP_POS_FRAMES, max(count - 2, 0))
        return count if count > 0 and reader.read()[0] else 0
    finally:
        reader.release()
