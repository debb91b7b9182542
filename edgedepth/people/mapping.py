"""Boxes and masks from the frame's pixels to the depth map's, which may be smaller or a crop of it."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError
from edgedepth.types import ASPECT_TOLERANCE, DepthMap, Frame

__all__ = ["GridMap"]

Box = tuple[float, float, float, float]


class GridMap:
    """From a frame's pixels to those of a depth map of the same view.

    Pixel i covers [i, i + 1] in the edge coordinates used for boxes, so a resize by s maps edges by s. When frame and
    map both have intrinsics, crops and letterboxes of the same lens are followed as well.

    Raises:
        InputError: the map has another aspect ratio and nothing tells how it was cut from the frame.
    """

    def __init__(self, frame: Frame, depth: DepthMap) -> None:
        self.frame_wh, self.depth_wh = frame.size_wh, depth.size_wh
        (fw, fh), (dw, dh) = self.frame_wh, self.depth_wh
        if frame.intrinsics is not None and depth.intrinsics is not None:
            a, b = frame.intrinsics, depth.intrinsics
            self._scale = (b.fx / a.fx, b.fy / a.fy)
            # Edge coordinates are pixel centres + 0.5.
            self._shift = (
                b.cx + 0.5 - (a.cx + 0.5) * self._scale[0],
                b.cy + 0.5 - (a.cy + 0.5) * self._scale[1],
            )
        elif abs((dw / dh) / (fw / fh) - 1) <= ASPECT_TOLERANCE:
            self._scale, self._shift = (dw / fw, dh / fh), (0.0, 0.0)
        else:
            raise InputError(
                f"the depth map is {dw}x{dh} and the frame {fw}x{fh}: another aspect ratio, so one is a crop or a "
                "stretch of the other; give both their intrinsics, or depth on the frame's grid"
            )

    @cached_property
    def is_identity(self) -> bool:
        """True when the grids are the same."""
        same = np.allclose((*self._scale, *self._shift), (1, 1, 0, 0), atol=1e-6)
        return self.frame_wh == self.depth_wh and bool(same)

    def box(self, box_xywh: Box) -> Box:
        """A box of the frame on the depth map, not clipped."""
        x, y, w, h = box_xywh
        (sx, sy), (tx, ty) = self._scale, self._shift
        return x * sx + tx, y * sy + ty, w * sx, h * sy

    def to_frame(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Numbers of the depth map's grid on the frame's, between pixels bilinear; NaN beside what it shows."""
        if self.is_identity:
            return plane
        (sx, sy), (tx, ty) = self._scale, self._shift
        # Centre of frame pixel i lies at depth pixel (i + 0.5) s + t - 0.5.
        affine = np.array([[sx, 0, 0.5 * sx + tx - 0.5], [0, sy, 0.5 * sy + ty - 0.5]])
        return np.asarray(
            cv2.warpAffine(
                plane,
                affine,
                self.frame_wh,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=float("nan"),
            ),
            np.float32,
        )

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of the frame on the depth map, by the nearest pixel."""
        if self.is_identity:
            return mask
        (sx, sy), (tx, ty) = self._scale, self._shift
        # Centre of depth pixel j lies at frame pixel (j + 0.5 - t) / s - 0.5.
        affine = np.array([[1 / sx, 0, (0.5 - tx) / sx - 0.5], [0, 1 / sy, (0.5 - ty) / sy - 0.5]])
        warped = cv2.warpAffine(
            mask.view(np.uint8), affine, self.depth_wh, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        )
        return np.asarray(warped, np.uint8).view(np.bool_)
