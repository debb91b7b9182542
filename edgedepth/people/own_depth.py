"""A network's depth inside a silhouette: what it draws out between body and background becomes the body's again."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.geometry.bounds import window_around
from edgedepth.geometry.height import clean_depth
from edgedepth.types import DepthMap

__all__ = ["own_depth"]


def own_depth(depth: DepthMap, mask: NDArray[np.bool_]) -> DepthMap:
    """The map with every mixed pixel of the mask at the depth of the nearest clean pixel of it.

    Networks know who is a person more sharply than how far each pixel is: their depth passes from body to background
    over several pixels, which takes the rim of a head, all of a small one. The body beside it is as far.

    Args:
        depth: metric; not written to. The same map comes back where nothing in the mask is clean.
        mask: bool H x W, the person.
    """
    window = window_around(mask, 1)  # what the outermost pixels lie beside
    z, inside = depth.depth_m[window], mask[window]
    clean = clean_depth(z) & inside
    if not clean.any():
        return depth
    _, nearest = cv2.distanceTransformWithLabels(
        (~clean).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(int(nearest.max()) + 1, np.float32)
    of_label[nearest[clean]] = z[clean]
    mixed = inside & ~clean
    values = depth.values.copy()
    values[window][mixed] = of_label[nearest[mixed]]
    return replace(depth, values=values)
