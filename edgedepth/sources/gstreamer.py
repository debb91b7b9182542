"""Any GStreamer pipeline, and CSI cameras of the Jetson, through PyGObject.

OpenCV's wheels are built without GStreamer, so it is used directly; importing this module does not load it.
"""

from __future__ import annotations

import ctypes
import time
from contextlib import suppress
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import (
    EndOfStream,
    FrameInvalid,
    FrameTimeout,
    InputError,
    MissingExtraError,
    SourceAuthError,
    SourceError,
    SourceLost,
    SourceNotFound,
)
from edgedepth.extras import require
from edgedepth.pool import ArrayPool
from edgedepth.sources._uri import positive_int, query_of, redact
from edgedepth.sources.base import Source, SourceOptions
from edgedepth.sources.discover import ARGUS_HINT
from edgedepth.sources.grabber import SLICE_S, Shot, now
from edgedepth.sources.live import LiveSource
from edgedepth.sources.ordered import OrderedSource

__all__ = ["GSTREAMER_APT", "PipelineGrabber", "csi_pipeline", "gst", "open_csi", "open_gst"]

GSTREAMER_APT = (
    "sudo apt install gcc pkg-config python3-dev libcairo2-dev libgirepository1.0-dev gir1.2-gst-plugins-base-1.0 "
    "gstreamer1.0-plugins-good"
)
"""The system packages that PyGObject is built with and that GStreamer's cameras and pipelines need."""
_SYSTEM_PACKAGES = f"It needs GStreamer itself, first: {GSTREAMER_APT}"
_SINK = "edgedepth_sink"
# Formats taken from an appsink: bytes per pixel, and the one conversion to RGB (None: it is RGB).
_FORMATS: dict[str, tuple[int, int | None]] = {
    "RGB": (3, None),
    "BGR": (3, cv2.COLOR_BGR2RGB),
    "RGBA": (4, cv2.COLOR_RGBA2RGB),
    "RGBx": (4, cv2.COLOR_RGBA2RGB),
    "BGRA": (4, cv2.COLOR_BGRA2RGB),
    "BGRx": (4, cv2.COLOR_BGRA2RGB),
    "GRAY8": (1, cv2.COLOR_GRAY2RGB),
}
_CAPS = f"video/x-raw,format={{{','.join(_FORMATS)}}}"


@cache
def gst() -> Any:
    """The GStreamer module, initialised. Raises MissingExtraError when PyGObject or GStreamer is not there."""
    # GStreamer brings libunwind into the global scope, whose _Unwind_Resume then takes the place of libgcc's in every
    # C++ library loaded later (onnxruntime, OpenVINO): the first exception inside one ends the process. First come,
    # first served: let libgcc's be there first.
    with suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
    gi = require("gi", "gstreamer", note=_SYSTEM_PACKAGES)
    try:
        for namespace in ("Gst", "GstApp", "GstVideo"):
            gi.require_version(namespace, "1.0")
        from gi.repository import Gst, GstApp, GstVideo  # noqa: F401  (the latter two register their types)
    except (ImportError, ValueError) as error:
        raise MissingExtraError(f"GStreamer is not installed ({error}). {_SYSTEM_PACKAGES}") from error
    Gst.init(None)
    return Gst


class PipelineGrabber:
    """A Grabber over a GStreamer pipeline, built anew at every opening.

    Args:
        pipeline: as for gst-launch-1.0. Without an ``appsink`` of its own it ends where frames come out, and a
            conversion to RGB and a sink are added.
        name: what messages call it, without credentials.
        open_timeout_s: how long the first frame may take.
    """

    frame_count: int | None = None

    def __init__(self, pipeline: str, name: str, open_timeout_s: float) -> None:
        self._launch, self._name, self._open_timeout_s = pipeline, name, open_timeout_s
        self._pipeline: Any = None
        self._sink: Any = None
        self._first: Any = None
        self._first_ns = (0, 0)
        self._pool = ArrayPool(keep=16)
        self.is_live = False
        self.size_wh: tuple[int, int] | None = None
        self.fps: float | None = None

    def open(self) -> None:
        """See Grabber.open. Waits for the first frame, which tells the size and that there is a stream at all."""
        self.close()
        Gst = gst()
        self._pipeline, self._sink = _build(self._launch, self._name)
        try:
            self._start(Gst)
        except EndOfStream:
            self.close()
            raise SourceError(f"{self._name}: the pipeline ended before its first frame") from None
        except BaseException:
            self.close()
            raise

    def _start(self, Gst: Any) -> None:
        for key, value in {"sync": False, "drop": False, "max-buffers": 4}.items():
            self._sink.set_property(key, value)
        if self._pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
            raise self._failure() or SourceError(f"{self._name}: the pipeline does not start")
        deadline_s = time.monotonic() + self._open_timeout_s
        while (sample := self._pull(SLICE_S)) is None:
            if time.monotonic() > deadline_s:
                raise SourceNotFound(f"{self._name}: no frame within {self._open_timeout_s:g} s of starting")
        self._first, self._first_ns = sample, now()
        latency = Gst.Query.new_latency()
        # Asked above the sink: a sink that does not wait for the clock calls every pipeline not live.
        self.is_live = self._sink.get_static_pad("sink").peer_query(latency) and latency.parse_latency()[0]
        # A live pipeline must not wait for us; any other must not lose a frame.
        self._sink.set_property("drop", self.is_live)
        info = _video_info(sample)
        self.size_wh = (info.width, info.height)
        self.fps = info.fps_n / info.fps_d if info.fps_n > 0 and info.fps_d > 0 else None

    def grab(self, timeout_s: float) -> Shot:
        """See Grabber.grab."""
        sample, times = self._first, self._first_ns
        self._first = None
        if sample is None:
            sample, times = self._pull(timeout_s), now()
        if sample is None:
            raise FrameTimeout(f"{self._name}: no frame within {timeout_s:g} s")
        Gst = gst()
        buffer = sample.get_buffer()
        if buffer.has_flags(Gst.BufferFlags.CORRUPTED):
            raise FrameInvalid(f"{self._name}: GStreamer marked a frame as corrupted")
        running_ns = sample.get_segment().to_running_time(Gst.Format.TIME, buffer.pts)
        known = Gst.CLOCK_TIME_NONE not in (buffer.pts, running_ns)
        shot = Shot(self._image(sample, buffer), *times)
        if known and not self.is_live:
            shot.media_time_s = running_ns / 1e9
        elif known and (clock := self._pipeline.get_clock()) is not None:
            # The buffer carries when it was captured on the pipeline's clock; how long ago that is holds on ours.
            spent_ns = now()[0] - times[0]
            age_ns = clock.get_time() - self._pipeline.get_base_time() - running_ns - spent_ns
            if 0 <= age_ns < 60e9:
                shot.timestamp_ns, shot.wall_time_ns = times[0] - age_ns, times[1] - age_ns
        return shot

    def close(self) -> None:
        """See Grabber.close."""
        if self._pipeline is not None:
            self._pipeline.set_state(gst().State.NULL)
        self._pipeline = self._sink = self._first = None

    def _pull(self, timeout_s: float) -> Any:
        """A sample, or None on a timeout."""
        if self._sink is None:
            raise SourceLost(f"{self._name} is closed")
        sample = self._sink.emit("try-pull-sample", int(timeout_s * 1e9))
        if sample is not None and not self.is_live:
            return sample  # frames before an error count
        # Read while all is well too: nobody else empties the bus of a pipeline that runs for months.
        failure = self._failure() if self._pipeline.get_bus().have_pending() else None
        if failure is not None:
            raise failure
        if sample is None and self._sink.get_property("eos"):
            raise EndOfStream(f"{self._name}: the pipeline ended")
        return sample

    def _failure(self) -> SourceError | None:
        """The error the pipeline has posted, in our words."""
        Gst = gst()
        message = self._pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        if message is None:
            return None
        error, detail = message.parse_error()
        text = redact(f"{self._name}: {message.src.get_name()}: {error.message}").replace("\n", " ")
        resource = Gst.ResourceError.quark
        for kind, codes in _RESOURCE_ERRORS.items():
            for code in codes:
                if error.matches(resource(), getattr(Gst.ResourceError, code)):
                    return kind(text)
        # rtspsrc has no code of its own for these.
        if "401" in (detail or "") or "nauthorized" in (detail or ""):
            return SourceAuthError(text)
        return SourceLost(text)

    def _image(self, sample: Any, buffer: Any) -> NDArray[np.uint8]:
        info = _video_info(sample)
        channels, conversion = _FORMATS[info.finfo.name]
        width, height, stride = info.width, info.height, info.stride[0]
        data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), dtype=np.uint8)
        # The last row may come without its padding.
        rows = (
            np.lib.stride_tricks.as_strided(data, (height, width, channels), (stride, channels, 1), writeable=False)
            if data.size >= stride * (height - 1) + width * channels
            else None
        )
        if rows is None:
            raise FrameInvalid(f"{self._name}: {data.size} bytes are too few for {width}x{height} {info.finfo.name}")
        if conversion is None:
            return np.ascontiguousarray(rows)
        image: NDArray[np.uint8] = self._pool.take((height, width, 3), np.uint8)
        cv2.cvtColor(np.ascontiguousarray(rows), conversion, dst=image)
        return image


_RESOURCE_ERRORS: dict[type[SourceError], tuple[str, ...]] = {
    SourceAuthError: ("NOT_AUTHORIZED",),
    SourceNotFound: ("NOT_FOUND", "OPEN_READ", "OPEN_READ_WRITE"),
}


def _video_info(sample: Any) -> Any:
    from gi.repository import GstVideo

    return GstVideo.VideoInfo.new_from_caps(sample.get_caps())


def _build(launch: str, name: str) -> tuple[Any, Any]:
    Gst = gst()
    from gi.repository import GLib

    text = launch if "appsink" in launch else f"{launch} ! videoconvert ! appsink name={_SINK} caps={_CAPS}"
    try:
        pipeline = Gst.parse_launch(text)
    except GLib.Error as error:
        raise InputError(f"{name}: not a pipeline GStreamer can build: {redact(error.message)}") from None
    if not isinstance(pipeline, Gst.Bin):
        raise InputError(f"{name}: expected a pipeline of elements joined by !, found the single element {launch!r}")
    sinks = [element for element in _elements_of(pipeline) if element.get_factory().get_name() == "appsink"]
    if len(sinks) != 1:
        raise InputError(f"{name}: expected a pipeline with one appsink, found {len(sinks)}")
    if sinks[0].get_property("caps") is None:
        sinks[0].set_property("caps", Gst.Caps.from_string(_CAPS))
    return pipeline, sinks[0]


def _elements_of(pipeline: Any) -> list[Any]:
    found: list[Any] = []
    iterator = pipeline.iterate_elements()
    while True:
        state, element = iterator.next()
        if state != gst().IteratorResult.OK:
            return found
        found.append(element)


def open_gst(uri: str, options: SourceOptions) -> Source:
    """``gst:PIPELINE``, such as ``gst:v4l2src device=/dev/video0 ! image/jpeg ! jpegdec``.

    Live pipelines (GStreamer tells) give the newest frame and are started again when they fail; others give each one.
    """
    launch = uri.removeprefix("gst:").strip()
    if not launch:
        raise InputError("gst: expected a pipeline, as in gst:videotestsrc is-live=true")
    return _open(launch, redact(uri), options)


def csi_pipeline(sensor: int, *, width: int = 1920, height: int = 1080, fps: int = 30, flip: int = 0) -> str:
    """The Argus pipeline of Jetson CSI camera ``sensor``: pixels stay in NVMM memory until the ISP is done with them.

    ``flip`` is nvvidconv's flip-method, 0..7 (2 is upside down).
    """
    return (
        f"nvarguscamerasrc sensor-id={sensor} "
        f"! video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1,format=NV12 "
        f"! nvvidconv flip-method={flip} ! video/x-raw,format=BGRx ! appsink"
    )


def open_csi(uri: str, options: SourceOptions) -> Source:
    """``csi://0?width=1920&height=1080&fps=30&flip=0``: a CSI camera of a Jetson."""
    sensor = uri.partition("://")[2].partition("?")[0] or "0"
    if not sensor.isdecimal():
        raise InputError(f"{uri}: expected csi://NUMBER[?width=&height=&fps=&flip=]")
    query = query_of(uri, "width", "height", "fps", "flip")
    settings = {key: positive_int(query, key) for key in ("width", "height", "fps")}
    settings["flip"] = positive_int(query, "flip", minimum=0, maximum=7)
    launch = csi_pipeline(int(sensor), **{key: value for key, value in settings.items() if value is not None})
    if gst().ElementFactory.find("nvarguscamerasrc") is None:
        raise SourceNotFound(
            f"{uri}: GStreamer has no nvarguscamerasrc, so this is no Jetson or its multimedia packages are missing; "
            f"{ARGUS_HINT}"
        )
    return _open(launch, uri, options)


def _open(launch: str, name: str, options: SourceOptions) -> Source:
    grabber = PipelineGrabber(launch, name, options.open_timeout_s)
    grabber.open()
    return (LiveSource if grabber.is_live else OrderedSource)(grabber, name, options)
