"""Attached cameras, from what the kernel answers."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgedepth.errors import InputError, MissingExtraError, SourceNotFound
from edgedepth.sources import SourceOptions, discover, list_sources, open_source, opencv
from edgedepth.sources.gstreamer import csi_pipeline, gst

CAPTURE, META, STREAMING, HAS_DEVICE_CAPS = 0x1, 0x00800000, 0x04000000, 0x80000000


def capability(card: str, bus: str, device_caps: int, driver: str = "uvcvideo") -> bytes:
    """struct v4l2_capability as linux/videodev2.h lays it out."""
    every = CAPTURE | META | STREAMING | HAS_DEVICE_CAPS
    return struct.pack("<16s32s32sIII3I", driver.encode(), card.encode(), bus.encode(), 0, every, device_caps, 0, 0, 0)


ANSWERS = {
    "video0": capability("Integrated Camera", "usb-0000:00:14.0-8", CAPTURE | STREAMING),
    "video1": capability("Integrated Camera", "usb-0000:00:14.0-8", META),
    "video2": None,
    "video10": capability("vi-output, imx219 9-0010", "platform:tegra-capture-vi:1", CAPTURE, "tegra-video"),
    "video9": capability("HD Webcam", "usb-0000:00:14.0-9", 0x1000),
}


@pytest.fixture
def attached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[discover.V4l2Device]:
    for name in ANSWERS:
        (tmp_path / name).touch()
    found = discover.v4l2_devices(tmp_path, lambda node: ANSWERS[node.name])
    for module in (discover, opencv):
        monkeypatch.setattr(module, "v4l2_devices", lambda: found)
    return found


def test_only_nodes_that_capture_in_order(attached: list[discover.V4l2Device]) -> None:
    assert [Path(one.device).name for one in attached] == ["video0", "video9", "video10"]
    assert attached[0].name == "Integrated Camera"
    assert attached[0].bus == "usb-0000:00:14.0-8"


def test_the_list_says_how_to_open_each(attached: list[discover.V4l2Device]) -> None:
    found = [one for one in list_sources() if one.kind == "v4l2"]
    assert [one.uri for one in found] == [f"v4l2://{attached[0].device}", f"v4l2://{attached[1].device}", ""]
    assert "csi://" in found[2].note


def test_ioctl_number_and_layout_are_the_kernels() -> None:
    # _IOR('V', 0, struct of 104 bytes): direction 2 << 30 | size << 16 | type << 8 | number.
    assert (2 << 30) | (104 << 16) | (ord("V") << 8) == discover._QUERYCAP
    assert discover._CAPABILITY.size == 104


def test_a_missing_camera_names_those_that_are_there(attached: list[discover.V4l2Device]) -> None:
    with pytest.raises(SourceNotFound, match=r"no camera /dev/video99; found .*Integrated Camera.*HD Webcam"):
        open_source("99")
    with pytest.raises(SourceNotFound, match="2 USB cameras"):
        open_source("usb://2")


class _Camera:
    """A cv2.VideoCapture that offers 640x480 only."""

    opened: list[object]

    def __init__(self, target: str, api: int, parameters: list[int]) -> None:
        type(self).opened = [target, api]
        self.values = {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0, cv2.CAP_PROP_FPS: 30.0}
        self.values[cv2.CAP_PROP_POS_MSEC] = 0.0

    def isOpened(self) -> bool:
        return True

    def get(self, key: int) -> float:
        return self.values.get(key, -1.0)

    def set(self, key: int, value: float) -> bool:
        return False

    def grab(self) -> bool:
        return True

    def retrieve(self, image: object = None) -> tuple[bool, np.ndarray]:
        return True, np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)

    def release(self) -> None:
        pass


def test_usb_cameras_are_counted_and_settings_must_hold(
    attached: list[discover.V4l2Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", _Camera)
    with open_source("usb://1?width=640&fps=30") as source:
        assert _Camera.opened == [attached[1].device, cv2.CAP_V4L2]
        assert source.read(5.0).size_wh == (640, 480)
        assert source.uri == f"v4l2://{attached[1].device}"
    with pytest.raises(InputError, match="width=1280 was asked for and the camera offers 640"):
        open_source(f"v4l2://{attached[0].device}?width=1280")


def test_csi_cameras_of_the_device_tree(tmp_path: Path) -> None:
    for number, badge in enumerate([b"porg_front_RBP194\0", b"porg_rear_RBP194\0"]):
        folder = tmp_path / "tegra-camera-platform" / "modules" / f"module{number}"
        folder.mkdir(parents=True)
        (folder / "badge").write_bytes(badge)
    found = discover._csi(tmp_path)
    assert [one.name for one in found] == ["porg_front_RBP194", "porg_rear_RBP194"]
    assert all(one.uri or "nvarguscamerasrc" in one.note for one in found)
    assert discover._csi(tmp_path / "nothing") == []


def test_csi_pipeline_and_its_settings() -> None:
    assert csi_pipeline(1, width=1280, height=720, fps=60, flip=2) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=60/1,format=NV12 "
        "! nvvidconv flip-method=2 ! video/x-raw,format=BGRx ! appsink"
    )
    for uri, words in {
        "csi://front": "csi://NUMBER",
        "csi://0?flip=8": "from 0 to 7",
        "csi://0?size=1": "width=",
    }.items():
        with pytest.raises(InputError, match=words):
            open_source(uri)


def test_without_pygobject_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gst.cache_clear()
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(MissingExtraError, match=r'pip install "edgedepth\[gstreamer\]".*apt install'):
        open_source("gst:videotestsrc", SourceOptions())
    assert any(one.kind == "gstreamer" and "pip install" in one.note for one in list_sources())
    gst.cache_clear()
