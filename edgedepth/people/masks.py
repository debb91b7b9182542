"""People from the depth network itself: its second output tells, pixel by pixel, who is a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError, MeasurementRefused
from edgedepth.geometry.bounds import bounds_xywh, window_around
from edgedepth.geometry.plane import FloorPlane
from edgedepth.people.base import Candidate, Stateless
from edgedepth.people.mapping import GridMap
from edgedepth.people.scene import depth_breaks, quantiles
from edgedepth.types import DepthMap, Frame

__all__ = ["MaskFinder"]

WORK_WIDTH = 320
"""Columns that people are told apart on. Networks of 200 to 400 columns draw a step out over about two of their own
pixels, which finer steps would not see."""
MIN_PIXELS = 100
"""As many as a height needs; smaller things are specks."""
MIN_AREA_M2 = 0.06
"""A toddler of half a metre shows as much to the camera."""
SPLIT_AREA_M2 = 0.1
"""What depth cuts out of a silhouette is somebody else from this size on; a forearm held out is 0.02, an arm 0.05."""
SPLIT_DEPTH_M, SPLIT_LATERAL_M = 0.25, 0.5
"""Surfaces nearer to one another than this, ahead and to the side, are one body: half its thickness, its width."""
MERGE_GAP_M, MERGE_DEPTH_M, MERGE_DEPTH_SHARE = 0.3, 0.3, 0.1
"""A body that a table or a belt cuts in two: how far apart the pieces may lie, up and ahead."""


class MaskFinder(Stateless):
    """People where a network's own probability says so, each with a silhouette. A PersonFinder.

    A silhouette is one connected region. Where metric depth is known, pieces above one another at one distance are
    joined, and a region in which depth steps by more than a body is cut there; people who touch side by side remain
    one.

    Args:
        threshold: a pixel of at least this probability belongs to a person.

    Raises:
        InputError: a threshold outside 0..1.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        if not 0 < threshold < 1:
            raise InputError(f"the threshold of a person's probability lies between 0 and 1, found {threshold}")
        self._threshold = np.float32(threshold)

    def find(self, frame: Frame, depth: DepthMap | None, floor: FloorPlane | None = None) -> tuple[Candidate, ...]:
        """People in ``frame``, best first: masks on its grid, and as score the mean probability over the mask.

        Raises:
            MeasurementRefused: ``no_depth``: it was called without a map.
            InputError: the map has no probabilities, or cannot be of the same view.
        """
        if depth is None:
            raise MeasurementRefused("no_depth", "people are found in the network's own map, found none")
        if depth.person is None:
            raise InputError(
                "this depth does not tell people from things, which takes a model with a person output; use another "
                "model, a detector, or the geometric finder"
            )
        grid = GridMap(frame, depth)
        probability = grid.to_frame(depth.person)
        with np.errstate(invalid="ignore"):
            pieces = list(_regions(probability >= self._threshold))
        if depth.is_metric and depth.intrinsics is not None:
            pixel_rad = grid.box((0, 0, 1, 1))[2] / depth.intrinsics.f_px
            view = _View(grid.to_frame(depth.depth_m), pixel_rad)
            pieces = view.joined([part for piece in pieces for part in view.cut(piece)])
            pieces = [piece for piece in pieces if view.area_m2(piece) >= MIN_AREA_M2]
        found = [_candidate(piece, probability) for piece in pieces if len(piece.rows) >= MIN_PIXELS]
        return tuple(sorted(found, key=lambda candidate: -candidate.score))


@dataclass(frozen=True, eq=False)
class _Piece:
    """Pixels of one connected region, or of a part of it. ``regions``: the regions they come from."""

    rows: NDArray[np.intp]
    cols: NDArray[np.intp]
    regions: frozenset[int]


def _regions(people: NDArray[np.bool_]) -> Iterator[_Piece]:
    """The largest first; what is smaller than half a person's least is left out."""
    window = window_around(people)
    if not people[window].size:
        return
    _, labels, stats, _ = cv2.connectedComponentsWithStats(people[window].view(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    for label in np.argsort(-areas, kind="stable"):
        if label and areas[label] >= MIN_PIXELS // 2:
            x, y, w, h = stats[label, :4]
            rows, cols = np.nonzero(labels[y : y + h, x : x + w] == label)
            yield _Piece(rows + (window[0].start + y), cols + (window[1].start + x), frozenset([int(label)]))


def _candidate(piece: _Piece, probability: NDArray[np.float32]) -> Candidate:
    mask = np.zeros(probability.shape, np.bool_)
    mask[piece.rows, piece.cols] = True
    return Candidate(bounds_xywh(mask), score=float(probability[piece.rows, piece.cols].mean()), mask=mask)


@dataclass(frozen=True, eq=False)
class _View:
    """Metric depth on the frame's grid; one pixel spans ``pixel_rad`` times its depth."""

    depth_m: NDArray[np.float32]
    pixel_rad: float

    def area_m2(self, piece: _Piece) -> float:
        """What the camera sees of it; pixels without depth count nothing."""
        return float(np.nansum((self.depth_m[piece.rows, piece.cols] * np.float32(self.pixel_rad)) ** 2))

    def cut(self, piece: _Piece) -> Iterator[_Piece]:
        """A part for each body that depth shows in it; steps between bodies go to the nearer of the two."""
        stride = max(1, round(self.depth_m.shape[1] / WORK_WIDTH))
        top, left = int(piece.rows.min()), int(piece.cols.min())
        rows, cols = piece.rows - top, piece.cols - left
        inside = np.zeros((int(rows.max()) + 1, int(cols.max()) + 1), np.bool_)
        inside[rows, cols] = True
        coarse = (slice(None, None, stride), slice(None, None, stride))
        z = self.depth_m[top : top + inside.shape[0], left : left + inside.shape[1]][coarse]
        z = np.where(inside[coarse], z, np.float32(np.nan))
        bodies = self._bodies(z, stride)
        if len(bodies) < 2:
            yield piece
            return
        away = [cv2.distanceTransform((~body).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for body in bodies]
        owner = np.argmin(away, axis=0)[rows // stride, cols // stride]
        for number in range(len(bodies)):
            mine = owner == number
            yield _Piece(piece.rows[mine], piece.cols[mine], piece.regions)

    def _bodies(self, z: NDArray[np.float32], stride: int) -> list[NDArray[np.bool_]]:
        """Surfaces without a step that are large enough for somebody; halves of one body behind another are one."""
        whole = np.isfinite(z) & ~depth_breaks(z)
        _, labels = cv2.connectedComponents(whole.view(np.uint8), connectivity=4)
        areas = np.bincount(labels[whole], (z[whole] * np.float32(self.pixel_rad * stride)) ** 2)
        surfaces = [labels == label for label in np.flatnonzero(areas >= SPLIT_AREA_M2)]
        surfaces.sort(key=lambda one: -int(np.count_nonzero(one)))
        bodies: list[NDArray[np.bool_]] = []
        places: list[tuple[float, float]] = []
        for surface in surfaces:
            distance = float(np.median(z[surface]))
            lateral = float(np.median(np.nonzero(surface)[1])) * stride * self.pixel_rad * distance
            for index, (ahead, across) in enumerate(places):
                if abs(distance - ahead) < SPLIT_DEPTH_M and abs(lateral - across) < SPLIT_LATERAL_M:
                    bodies[index] |= surface
                    break
            else:
                bodies.append(surface)
                places.append((distance, lateral))
        return bodies

    def joined(self, pieces: list[_Piece]) -> list[_Piece]:
        """Pieces of different regions that lie above one another at one distance become one."""
        found: list[_Piece] = []
        for piece in sorted(pieces, key=lambda one: -len(one.rows)):
            for index, body in enumerate(found):
                if self._belong(piece, body):
                    rows, cols = np.concatenate((body.rows, piece.rows)), np.concatenate((body.cols, piece.cols))
                    found[index] = _Piece(rows, cols, body.regions | piece.regions)
                    break
            else:
                found.append(piece)
        return found

    def _belong(self, piece: _Piece, body: _Piece) -> bool:
        if piece.regions & body.regions:
            return False  # cut from one another
        here, there = (self.depth_m[one.rows, one.cols] for one in (piece, body))
        here, there = here[np.isfinite(here)], there[np.isfinite(there)]
        if not (here.size and there.size):
            return False
        (own_m,), (distance_m,) = quantiles(here, 0.5), quantiles(there, 0.5)
        gap_px = max(int(piece.rows.min() - body.rows.max()), int(body.rows.min() - piece.rows.max()))
        return (
            bool(body.cols.min() < np.median(piece.cols) < body.cols.max())
            and abs(own_m - distance_m) < max(MERGE_DEPTH_M, MERGE_DEPTH_SHARE * distance_m)
            and 0 < gap_px * self.pixel_rad * distance_m < MERGE_GAP_M
        )
