"""The published rules by which a data set is scored: which pixels, which depths, what is done to the prediction.

Two numbers compare only when their protocols are the same. A new one is an entry of ``PROTOCOLS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError
from edgedepth.evaluation.alignment import Alignment

__all__ = ["PROTOCOLS", "Crop", "Protocol", "find_protocol"]


@dataclass(frozen=True)
class Crop:
    """The rectangle of an image that is scored.

    Attributes:
        rows, columns: first and one past the last, as shares of the height and width; or pixels, with ``size_wh``.
        size_wh: the only image size the pixels are meant for; None = shares, rounded down as published code does.
    """

    rows: tuple[float, float]
    columns: tuple[float, float]
    size_wh: tuple[int, int] | None = None

    def box(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of an image of this size.

        Raises:
            InputError: the crop is of another size.
        """
        if self.size_wh is not None and (width, height) != self.size_wh:
            raise InputError(
                f"this crop is of {self.size_wh[0]}x{self.size_wh[1]} images and this one is {width}x{height}; "
                "give the data set at its own size, or a protocol without a crop"
            )
        scale_y, scale_x = (1, 1) if self.size_wh is not None else (height, width)
        return (
            slice(int(self.rows[0] * scale_y), int(self.rows[1] * scale_y)),
            slice(int(self.columns[0] * scale_x), int(self.columns[1] * scale_x)),
        )


@dataclass(frozen=True)
class Protocol:
    """How one data set is scored.

    Attributes:
        name: what it is called on the command line.
        title: in a line.
        source: where the rules were published.
        kinds: kinds of data set it is meant for (keys of ``edgedepth.data.KINDS``), the first is the default.
        split: the split that is scored, or None.
        options: what the reader is opened with, by kind.
        min_depth_m, max_depth_m: only true depths strictly within are scored.
        ranges_m: other limits for samples that lie in a folder of this name ("indoors").
        crop: the rectangle that is scored; None = the whole image.
        clips: the prediction is brought into min_depth_m .. max_depth_m before it is scored.
        alignment: what is taken away unless another is asked for.
        truth: depth of every pixel, or ordinal pairs.
        bins_m: edges of the ranges whose errors are told apart.
    """

    name: str
    title: str
    source: str
    kinds: tuple[str, ...]
    split: str | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    min_depth_m: float = 1e-3
    max_depth_m: float = 10.0
    ranges_m: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    crop: Crop | None = None
    clips: bool = False
    alignment: Alignment = "none"
    truth: Literal["depth", "pairs"] = "depth"
    bins_m: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)

    def range_m(self, path: str) -> tuple[float, float]:
        """The limits of the true depth of a sample, metres. ``path``: the data set's, then the sample's id; the last
        folder that has limits decides."""
        folders = (folder for folder in reversed(path.split("/")) if folder in self.ranges_m)
        return self.ranges_m.get(next(folders, ""), (self.min_depth_m, self.max_depth_m))

    def mask(self, height: int, width: int) -> NDArray[np.bool_] | None:
        """bool H x W, true inside the crop; None without one. Raises InputError as ``Crop.box``."""
        if self.crop is None:
            return None
        mask = np.zeros((height, width), np.bool_)
        mask[self.crop.box(height, width)] = True
        return mask


_OUTDOOR_BINS_M = (0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0)
_KITTI_GARG = Protocol(
    name="kitti-garg",
    title="KITTI, Garg crop, 1 mm - 80 m",
    source="Garg et al., ECCV 2016; evaluation code of BTS, AdaBins, GLPDepth",
    kinds=("kitti",),
    split="val",
    max_depth_m=80.0,
    crop=Crop((0.40810811, 0.99189189), (0.03594771, 0.96405229)),
    clips=True,
    bins_m=_OUTDOOR_BINS_M,
)

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="nyu",
            title="NYU Depth v2 test split, Eigen crop, 1 mm - 10 m, raw depth",
            source="Eigen et al., NeurIPS 2014; code of BTS, AdaBins, ZoeDepth (which clip), GLPDepth (does not)",
            kinds=("nyu-mat", "nyu-csv"),
            split="test",
            options={"nyu-mat": {"depth": "raw"}},
            crop=Crop((45, 471), (41, 601), (640, 480)),
            clips=True,
        ),
        _KITTI_GARG,
        replace(
            _KITTI_GARG,
            name="kitti-eigen",
            title="KITTI, Eigen crop, 1 mm - 80 m",
            source="Eigen et al., NeurIPS 2014; evaluation code of BTS, AdaBins",
            crop=Crop((0.3324324, 0.91351351), (0.0359477, 0.96405229)),
        ),
        Protocol(
            name="diode",
            title="DIODE validation split, indoors to 10 m, outdoor to 80 m, no crop",
            source="ranges: ZoeDepth's evaluation (Bhat et al., 2023); mask: DIODE devkit, which sets no limit",
            kinds=("diode",),
            split="val",
            max_depth_m=80.0,
            ranges_m={"indoors": (1e-3, 10.0), "outdoor": (1e-3, 80.0)},
            clips=True,
            bins_m=_OUTDOOR_BINS_M,
        ),
        Protocol(
            name="diw",
            title="Depth in the Wild test split: one ordinal pair an image, '>' = the first point is farther",
            source="Chen et al., NeurIPS 2016",
            kinds=("diw",),
            split="test",
            truth="pairs",
        ),
        Protocol(
            name="rgbd",
            title="RGB-D recordings against their own sensor, 0.1 - 10 m, no crop",
            source="this project: the range of Kinect- and RealSense-class sensors; nothing is clipped",
            kinds=("rgbd", "open3d", "tum", "scannet", "sunrgbd", "child"),
            min_depth_m=0.1,
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """The protocol called ``name``. Raises InputError that lists those there are."""
    if name not in PROTOCOLS:
        raise InputError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
