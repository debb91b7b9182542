"""Video files, V4L2 cameras and network streams through OpenCV (FFmpeg and V4L2)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgedepth.errors import BackendUnavailable, EndOfStream, InputError, SourceError, SourceLost, SourceNotFound
from edgedepth.pool import ArrayPool
from edgedepth.sources import probe
from edgedepth.sources._uri import positive_int, query_of, redact
from edgedepth.sources.base import Source, SourceOptions
from edgedepth.sources.discover import cameras, v4l2_devices
from edgedepth.sources.grabber import Shot, now
from edgedepth.sources.live import LiveSource
from edgedepth.sources.ordered import OrderedSource

__all__ = [
    "CaptureGrabber",
    "open_network",
    "open_v4l2",
    "open_video_file",
    "quieten_opencv",
    "require_ffmpeg",
]

# One decoding thread uses the least CPU per frame (0.47 ms against 0.7 ms at 768x432) and adds no frames of delay;
# above this many pixels it cannot keep up with a live stream, and OpenCV's own number is used.
_ONE_THREAD_PIXELS = 1920 * 1200
# Interleaved TCP: a lost UDP packet smears the image until the next key frame. nobuffer: do not replay what was read
# while the stream was analysed.
_NETWORK_OPTIONS = "rtsp_transport;tcp|fflags;nobuffer"
_OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_environment = threading.Lock()


def quieten_opencv() -> None:
    """Keep OpenCV and FFmpeg from writing to stderr what is raised as an error anyway, unless the user asked for it."""
    if "OPENCV_FFMPEG_DEBUG" not in os.environ:
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        # OpenCV 5 has it in cv2.utils.logging alone, some 4.x in cv2 alone; 1 is LOG_LEVEL_FATAL in both.
        set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
        set_level(1)


@dataclass
class CaptureGrabber:
    """A Grabber over ``cv2.VideoCapture``.

    Args:
        target: what OpenCV opens: a path, a URL or a device.
        name: what messages call it, without credentials.
        api: ``cv2.CAP_FFMPEG`` or ``cv2.CAP_V4L2``.
        explain: the error for a target that does not open.
        parameters: OpenCV properties for opening; ones that are refused make opening fail.
        settings: OpenCV properties to set once open, which must then hold.
        live: a failed grab is a lost stream; else it is the end of the file.
        stream_clock: the position is on the sender's clock.
    """

    target: str
    name: str
    api: int
    explain: Callable[[], SourceError | InputError]
    parameters: Mapping[int, int] = field(default_factory=dict)
    settings: Mapping[int, int] = field(default_factory=dict)
    live: bool = False
    stream_clock: bool = False

    def __post_init__(self) -> None:
        self._capture: cv2.VideoCapture | None = None
        self._pool = ArrayPool(keep=16)
        self._grabbed = 0
        self.size_wh: tuple[int, int] | None = None
        self.fps: float | None = None
        self.frame_count: int | None = None

    def open(self) -> None:
        """See Grabber.open."""
        self.close()
        quieten_opencv()
        capture = self._capture_of({**self.parameters, **self._threads(1)})
        width, height = _number(capture, cv2.CAP_PROP_FRAME_WIDTH), _number(capture, cv2.CAP_PROP_FRAME_HEIGHT)
        if self._threads(1) and width * height > _ONE_THREAD_PIXELS:
            capture.release()
            capture = self._capture_of(self.parameters)
        for key, wanted in self.settings.items():
            capture.set(key, wanted)
        for key, wanted in self.settings.items():
            found = capture.get(key)
            if abs(found - wanted) > 0.5:
                capture.release()
                raise InputError(
                    f"{self.name}: {_SETTING_NAMES.get(key, key)}={wanted} was asked for and the camera offers "
                    f"{found:g}; `v4l2-ctl --list-formats-ext` lists what it can do"
                )
        width, height = _number(capture, cv2.CAP_PROP_FRAME_WIDTH), _number(capture, cv2.CAP_PROP_FRAME_HEIGHT)
        self.size_wh = (int(width), int(height)) if width > 0 and height > 0 else None
        self.fps = _number(capture, cv2.CAP_PROP_FPS) or None
        self.frame_count = int(_number(capture, cv2.CAP_PROP_FRAME_COUNT)) or None
        self._capture, self._grabbed = capture, 0

    def grab(self, timeout_s: float) -> Shot:
        """See Grabber.grab. OpenCV waits as long as its own read timeout, whatever ``timeout_s``."""
        capture = self._capture
        if capture is None:
            raise SourceLost(f"{self.name} is closed")
        if not capture.grab():
            raise SourceLost(f"{self.name}: the stream broke off") if self.live else self._end()
        timestamp_ns, wall_time_ns = now()
        position_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        image: Any = None if self.size_wh is None else self._pool.take((*self.size_wh[::-1], 3), np.uint8)
        decoded, image = capture.retrieve(image)  # a new array when the stream changed its size
        if not decoded or image is None:
            raise SourceLost(f"{self.name}: a frame could not be decoded")
        self._grabbed += 1
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)  # in place: a megabyte less goes through the cache
        shot = Shot(image, timestamp_ns, wall_time_ns)
        if self.stream_clock:
            shot.stream_s = position_s
        elif not self.live:
            shot.media_time_s = position_s
        elif 0 <= (age_ns := timestamp_ns - int(position_s * 1e9)) < 1e9:
            # V4L2 gives the driver's time of capture on the monotonic clock.
            shot.timestamp_ns, shot.wall_time_ns = timestamp_ns - age_ns, wall_time_ns - age_ns
        return shot

    def close(self) -> None:
        """See Grabber.close."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _threads(self, count: int) -> dict[int, int]:
        return {cv2.CAP_PROP_N_THREADS: count} if self.api == cv2.CAP_FFMPEG else {}

    def _capture_of(self, parameters: Mapping[int, int]) -> cv2.VideoCapture:
        flat = [value for pair in parameters.items() for value in pair]
        # OpenCV reads FFmpeg's options from the environment at this moment and nowhere else.
        with _environment:
            mine = self.live and self.api == cv2.CAP_FFMPEG and _OPTIONS_VARIABLE not in os.environ
            if mine:
                os.environ[_OPTIONS_VARIABLE] = _NETWORK_OPTIONS
            try:
                capture = cv2.VideoCapture(self.target, self.api, flat)
            finally:
                if mine:
                    del os.environ[_OPTIONS_VARIABLE]
        if not capture.isOpened():
            capture.release()
            raise self.explain()
        return capture

    def _end(self) -> SourceError:
        count, fps = self.frame_count, self.fps
        if not self._grabbed:
            return SourceError(f"{self.name}: opened, but no frame in it can be decoded; is the file complete?")
        # Containers may promise a few frames more than they hold; a tenth missing is a file cut short.
        if count and fps and self._grabbed < 0.9 * count - 2:
            return SourceLost(
                f"{self.name}: ended after {self._grabbed} of {count} frames ({self._grabbed / fps:.1f} of "
                f"{count / fps:.1f} s); the file is cut short, copy it again"
            )
        return EndOfStream(f"{self.name}: end after {self._grabbed} frames")


def open_video_file(path: Path, name: str, options: SourceOptions) -> Source:
    """A video file; ``path`` exists and is not empty."""
    require_ffmpeg(name)
    grabber = CaptureGrabber(
        str(path),
        name,
        cv2.CAP_FFMPEG,
        lambda: InputError(f"{name}: no video that FFmpeg can read; is the file complete, and a video?"),
    )
    grabber.open()
    return OrderedSource(grabber, name, options)


def open_network(uri: str, options: SourceOptions) -> Source:
    """``rtsp://``, ``rtsps://``, ``http://``, ``https://``. A finite video behind a URL is read frame by frame."""
    name = redact(uri)
    require_ffmpeg(name)
    grabber = CaptureGrabber(
        uri,
        name,
        cv2.CAP_FFMPEG,
        lambda: probe.explain(uri, options.open_timeout_s),
        parameters={
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: int(options.open_timeout_s * 1e3),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: int(options.stall_s * 1e3),
        },
        live=True,
        # HTTP's motion JPEG has no clock; FFmpeg makes one up.
        stream_clock=uri.lower().startswith("rtsp"),
    )
    grabber.open()
    if grabber.frame_count and not grabber.stream_clock:
        grabber.live = False
        grabber.open()  # without the option that drops the frames FFmpeg looked at while opening
        return OrderedSource(grabber, name, options)
    return LiveSource(grabber, name, options)


_SETTINGS = {"width": cv2.CAP_PROP_FRAME_WIDTH, "height": cv2.CAP_PROP_FRAME_HEIGHT, "fps": cv2.CAP_PROP_FPS}
_SETTING_NAMES = {key: name for name, key in _SETTINGS.items()} | {cv2.CAP_PROP_FOURCC: "fourcc"}


def open_v4l2(uri: str, options: SourceOptions) -> Source:
    """``0``, ``v4l2:///dev/video0``, ``v4l2://0``, ``usb://`` (the first USB camera), ``usb://1`` (the second).

    Query: ``width``, ``height``, ``fps``, ``fourcc`` (such as MJPG); a camera that does not offer them is refused.
    """
    device = _v4l2_device(uri)
    query = query_of(uri, *_SETTINGS, "fourcc") if "://" in uri else {}
    # The pixel format comes first: it decides which sizes and rates there are.
    settings: dict[int, int] = {}
    if "fourcc" in query:
        code = query["fourcc"].upper()
        if len(code) != 4 or not code.isascii():
            raise InputError(f"setting fourcc must be four characters such as MJPG, found {code!r}")
        settings[cv2.CAP_PROP_FOURCC] = int(cv2.VideoWriter.fourcc(*code))
    for key, prop in _SETTINGS.items():
        value = positive_int(query, key)
        if value is not None:
            settings[prop] = value
    name = f"v4l2://{device}"
    grabber = CaptureGrabber(
        str(device), name, cv2.CAP_V4L2, lambda: _explain_v4l2(device), settings=settings, live=True
    )
    if not device.exists():
        raise _explain_v4l2(device)
    grabber.open()
    return LiveSource(grabber, name, options)


def _v4l2_device(uri: str) -> Path:
    scheme, _, rest = uri.partition("://")
    rest = rest.partition("?")[0] if scheme != uri else uri
    if scheme == "usb":
        found = [camera for camera in v4l2_devices() if camera.bus.startswith("usb")]
        if rest and not rest.isdecimal():
            raise InputError(f"{uri}: expected usb:// or usb://NUMBER, counted from 0 over the USB cameras")
        index = int(rest or 0)
        if index >= len(found):
            raise SourceNotFound(f"{uri}: {len(found)} USB cameras are attached; {cameras()}")
        return Path(found[index].device)
    if rest.isdecimal():
        return Path(f"/dev/video{rest}")
    if rest.startswith("/"):
        return Path(rest)
    raise InputError(f"{uri}: expected a camera number or v4l2:///dev/videoN")


def _explain_v4l2(device: Path) -> SourceError:
    if not device.exists():
        return SourceNotFound(f"no camera {device}; {cameras()}")
    if not os.access(device, os.R_OK | os.W_OK):
        return SourceError(f"no permission for {device}; add yourself to its group: sudo usermod -aG video $USER")
    return SourceError(f"{device} is there and gives no video: another program may hold it, or it is no capture device")


def require_ffmpeg(name: str) -> None:
    """Raises BackendUnavailable where OpenCV was built without FFmpeg. ``name``: what was to be opened."""
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends():
        raise BackendUnavailable(
            f"{name}: this OpenCV build has no FFmpeg; install one that has (pip install opencv-python-headless) "
            'or use GStreamer: "gst:filesrc location=... ! decodebin"'
        )


def _number(capture: cv2.VideoCapture, key: int) -> float:
    value = float(capture.get(key))
    return value if 0 < value < 1e9 else 0.0
