"""Frames and specs on which the preprocess kernel is compared with the CPU path, on the CPU and on a GPU."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from edgedepth.bundle.spec import InputSpec

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass(frozen=True)
class Case:
    """One spec and one frame size."""

    name: str
    frame_wh: tuple[int, int]
    spec: InputSpec

    def image(self) -> np.ndarray:
        """Noise: every pixel differs from its neighbours, so a tap that is off by one shows."""
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        return random.integers(0, 256, (*self.frame_wh[::-1], 3), dtype=np.uint8)

    def bytes_spec(self) -> InputSpec:
        """The same, with the pixels as they are: before normalisation."""
        return self.spec.model_copy(
            update={"dtype": "uint8", "scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
        )


def _cases() -> list[Case]:
    sizes = {
        "down": ((97, 61), (32, 24)),
        "up": ((23, 17), (64, 41)),
        "half": ((64, 48), (32, 24)),
        "same": ((33, 21), (33, 21)),
        "wider_lower": ((40, 90), (72, 31)),
        "one_pixel_wide": ((1, 9), (5, 7)),
        "to_one_pixel": ((13, 11), (1, 1)),
        "far_down": ((301, 203), (17, 13)),
    }
    cases = []
    for size, (frame_wh, (width, height)) in sizes.items():
        for resize in ("stretch", "letterbox", "center_crop", "keep_aspect_multiple"):
            for interpolation in ("bilinear", "area"):
                spec = InputSpec(
                    width=width,
                    height=height,
                    resize=resize,
                    interpolation=interpolation,
                    multiple_of=4 if resize == "keep_aspect_multiple" else 1,
                    pad_value=114,
                    **IMAGENET,
                )
                cases.append(Case(f"{size}-{resize}-{interpolation}", frame_wh, spec))
    for layout in ("NCHW", "NHWC"):
        for color in ("RGB", "BGR"):
            for dtype in ("float32", "float16"):
                spec = InputSpec(
                    width=31, height=22, layout=layout, color=color, dtype=dtype, resize="letterbox", **IMAGENET
                )
                cases.append(Case(f"{layout}-{color}-{dtype}", (50, 45), spec))
            spec = InputSpec(
                width=31, height=22, layout=layout, color=color, dtype="uint8", scale=1, resize="center_crop"
            )
            cases.append(Case(f"{layout}-{color}-uint8", (50, 45), spec))
    return cases


CASES = _cases()
