"""What is attached: V4L2 and CSI cameras, RealSense, GStreamer."""

from __future__ import annotations

import fcntl
import importlib.util
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgedepth.errors import EdgeDepthError

__all__ = ["ARGUS_HINT", "FoundSource", "V4l2Device", "cameras", "list_sources", "v4l2_devices"]

# linux/videodev2.h: VIDIOC_QUERYCAP = _IOR('V', 0, struct v4l2_capability), which is driver[16], card[32],
# bus_info[32] and six 32-bit words: version, capabilities, device_caps, reserved[3].
_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("16s32s32s6I")
_CAN_CAPTURE = 0x1 | 0x1000  # single- and multi-planar
_HAS_DEVICE_CAPS = 0x80000000
ARGUS_HINT = "install nvidia-l4t-gstreamer, and in a container mount /tmp/argus_socket"


@dataclass(frozen=True)
class FoundSource:
    """Something attached to this machine.

    Attributes:
        kind: ``v4l2``, ``csi``, ``realsense`` or ``gstreamer``.
        uri: what to give ``open_source``; "" when it cannot be opened as it is, and ``note`` says why.
        name: as the device calls itself.
        note: what to know or to do.
    """

    kind: str
    uri: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class V4l2Device:
    """A V4L2 node that captures video."""

    device: str
    name: str
    driver: str
    bus: str


def list_sources() -> list[FoundSource]:
    """Everything this machine can take frames from, devices first. Never raises for what is missing."""
    return [*_v4l2(), *_csi(), *_realsense(), *_gstreamer()]


def cameras() -> str:
    """One phrase that names the capture devices, for error messages."""
    found = [f"{camera.device} ({camera.name})" for camera in v4l2_devices()]
    return f"found {', '.join(found)}" if found else "no camera is attached (`edgedepth sources` lists what is)"


def v4l2_devices(dev: Path = Path("/dev"), query: Callable[[Path], bytes | None] | None = None) -> list[V4l2Device]:
    """The nodes ``/dev/video*`` that capture, by number. Metadata, output and codec nodes are left out."""
    found = []
    for node in sorted(
        dev.glob("video[0-9]*"), key=lambda path: int(path.name[5:]) if path.name[5:].isdecimal() else 0
    ):
        answer = (query or _query_capability)(node)
        if answer is None:
            continue
        driver, card, bus, _version, capabilities, device_caps, *_ = _CAPABILITY.unpack(answer)
        here = device_caps if capabilities & _HAS_DEVICE_CAPS else capabilities
        if here & _CAN_CAPTURE:
            texts = (part.split(b"\0")[0].decode("utf-8", "replace") for part in (card, driver, bus))
            found.append(V4l2Device(str(node), *texts))
    return found


def _query_capability(node: Path) -> bytes | None:
    buffer = bytearray(_CAPABILITY.size)
    try:
        with node.open("rb", buffering=0) as file:
            fcntl.ioctl(file, _QUERYCAP, buffer)
    except OSError:
        return None
    return bytes(buffer)


def _v4l2() -> list[FoundSource]:
    return [
        # The Jetson's CSI driver offers raw Bayer data here, which only Argus turns into pictures.
        FoundSource("v4l2", "", camera.name, f"{camera.device} gives raw sensor data; open it as csi://")
        if camera.driver == "tegra-video"
        else FoundSource("v4l2", f"v4l2://{camera.device}", camera.name, camera.bus)
        for camera in v4l2_devices()
    ]


def _csi(tree: Path = Path("/proc/device-tree")) -> list[FoundSource]:
    modules = sorted(tree.glob("tegra-camera-platform/modules/module*"))
    if not modules:
        return []
    note = (
        ""
        if "nvarguscamerasrc" in _elements("nvarguscamerasrc")
        else (f"GStreamer has no nvarguscamerasrc: {ARGUS_HINT}")
    )
    found = []
    for index, module in enumerate(modules):
        badge = module / "badge"
        name = badge.read_bytes().rstrip(b"\0").decode("utf-8", "replace") if badge.is_file() else module.name
        found.append(FoundSource("csi", "" if note else f"csi://{index}", name, note))
    return found


def _realsense() -> list[FoundSource]:
    if importlib.util.find_spec("pyrealsense2") is None:
        return []
    try:
        import pyrealsense2 as rs

        devices = [
            (str(device.get_info(rs.camera_info.name)), str(device.get_info(rs.camera_info.serial_number)))
            for device in rs.context().query_devices()
        ]
    except (ImportError, RuntimeError) as error:
        return [FoundSource("realsense", "", "librealsense", f"cannot be used: {error}")]
    return [FoundSource("realsense", "", name, f"serial number {serial}") for name, serial in devices]


def _gstreamer() -> list[FoundSource]:
    try:
        from edgedepth.sources.gstreamer import gst

        version = str(gst().version_string())
    except EdgeDepthError as error:
        return [FoundSource("gstreamer", "", "GStreamer", str(error))]
    decoders = _elements("nvv4l2decoder", "vah264dec", "v4l2h264dec", "avdec_h264")
    return [FoundSource("gstreamer", "gst:PIPELINE", version, f"H.264 decoders: {', '.join(decoders) or 'none'}")]


def _elements(*names: str) -> list[str]:
    """Those of the GStreamer elements ``names`` that are installed."""
    try:
        from edgedepth.sources.gstreamer import gst

        factory = gst().ElementFactory
    except EdgeDepthError:
        return []
    return [name for name in names if factory.find(name) is not None]
