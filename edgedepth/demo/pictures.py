"""One frame beside its truth, as a JPEG: image, truth, found, error."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.depth.colormap import DepthColormap
from edgedepth.errors import EdgeDepthError
from edgedepth.sources.clip import Clip
from edgedepth.stream import Result

__all__ = ["ERROR_LIMIT", "comparison", "error_colours"]

ERROR_LIMIT = 0.3
"""Relative error of the strongest colour."""
_PANEL_WH = (400, 300)
_TITLE_PX, _GAP_PX = 24, 6
_MASK = (90, 230, 90)


def comparison(result: Result, clip: Clip, far_m: float, person_threshold: float | None) -> bytes:
    """A JPEG of four panels.

    Args:
        result: of a frame that carries its truth. clip: which holds it.
        far_m: far end of the colours, which start at 0.
        person_threshold: probability from which a pixel is outlined as a person's; None outlines nobody.
    """
    truth_m, _ = clip.truth(result.frame.sequence)
    found_m = result.depth.depth_m
    image = cv2.cvtColor(result.frame.image, cv2.COLOR_RGB2BGR)
    if person_threshold is not None and result.depth.person is not None:
        people = (result.depth.person >= np.float32(person_threshold)).astype(np.uint8)
        outlines, _ = cv2.findContours(people, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, outlines, -1, _MASK, 2)
    colours = DepthColormap(0.0, far_m)
    panels = {
        "image" + (", people as found" if person_threshold is not None else ""): image,
        "true depth": colours(truth_m).copy(),
        "depth found": colours(found_m).copy(),
        "error": error_colours(found_m, truth_m),
    }
    drawn = [
        _titled(cv2.resize(panel, _PANEL_WH, interpolation=cv2.INTER_AREA), name) for name, panel in panels.items()
    ]
    gap = np.full((drawn[0].shape[0], _GAP_PX, 3), 255, np.uint8)
    row = np.hstack([part for panel in drawn for part in (panel, gap)][:-1])
    done, coded = cv2.imencode(".jpg", row, [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise EdgeDepthError("OpenCV could not encode a JPEG")
    return coded.tobytes()


def error_colours(found_m: NDArray[np.float32], truth_m: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(found - truth) / truth as colours, uint8 BGR: red is too far, blue too near, white right, black not found."""
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.clip((found_m / truth_m - 1) / ERROR_LIMIT, -1, 1)
    known = np.isfinite(error)
    share = np.where(known, error, 0)[..., None]
    white, red, blue = (np.array(bgr, np.float32) for bgr in ((255, 255, 255), (30, 30, 200), (190, 80, 30)))
    colours = white + np.abs(share) * (np.where(share > 0, red, blue) - white)
    return np.where(known[..., None], colours, 0).astype(np.uint8)


def _titled(panel: NDArray[Any], name: str) -> NDArray[np.uint8]:
    out = np.full((panel.shape[0] + _TITLE_PX, panel.shape[1], 3), 255, np.uint8)
    out[_TITLE_PX:] = panel
    cv2.putText(out, name, (2, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (48, 36, 28), 1, cv2.LINE_AA)
    return out
