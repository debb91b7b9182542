"""Small recordings, written by OpenCV, whose frames tell their own number."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE_WH = (64, 48)
K = {"fx": 50.0, "fy": 50.0, "cx": 31.5, "cy": 23.5}


def picture(number: int, size_wh: tuple[int, int] = SIZE_WH) -> NDArray[np.uint8]:
    """RGB: red is 200 on the left half and 20 on the right, green tells the number, blue is 20."""
    width, height = size_wh
    image = np.full((height, width, 3), 20, np.uint8)
    image[:, : width // 2, 0] = 200
    image[:, :, 1] = 20 + 20 * (number % 10)
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    """Which picture this is, through any lossy codec."""
    assert image[:, :20, 0].mean() > 150 > image[:, -20:, 0].mean(), "red and blue are swapped"
    assert image[..., 2].mean() < 70, "red and blue are swapped"
    return round((float(image[..., 1].mean()) - 20) / 20)


def write_video(path: Path, frames: int = 10, fourcc: str = "mp4v", size_wh: tuple[int, int] = SIZE_WH) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), 10.0, size_wh)
    assert writer.isOpened()
    for number in range(frames):
        writer.write(cv2.cvtColor(picture(number, size_wh), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def write_images(folder: Path, frames: int = 10) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(frames):
        cv2.imwrite(str(folder / f"shot_{number}.png"), cv2.cvtColor(picture(number), cv2.COLOR_RGB2BGR))
    return folder


def write_rgbd(folder: Path, frames: int = 10, *, depth_wh: tuple[int, int] = SIZE_WH) -> Path:
    """Depth is 1000 + number in every pixel but the first, which is invalid."""
    write_images(folder / "rgb", frames)
    (folder / "depth").mkdir()
    for number in range(frames):
        depth = np.full(depth_wh[::-1], 1000 + number, np.uint16)
        depth[0, 0] = 0
        cv2.imwrite(str(folder / "depth" / f"shot_{number}.png"), depth)
    camera = {"width": SIZE_WH[0], "height": SIZE_WH[1], **K}
    (folder / "intrinsics.json").write_text(json.dumps(camera))
    return folder
