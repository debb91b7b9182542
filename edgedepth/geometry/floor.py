"""The floor in a depth map: found, refined, and refused when it cannot be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError, IntrinsicsError, MeasurementRefused, NotMetricError
from edgedepth.geometry.local_planes import BlockPlanes, fit_local_planes
from edgedepth.geometry.plane import FloorPlane
from edgedepth.types import DepthKind, DepthMap

__all__ = ["FloorOptions", "Vector", "fit_floor"]

Vector = tuple[float, float, float]
Points = NDArray[np.float32]
NO_IMU_UP: Vector = (0.0, -1.0, 0.0)


@dataclass(frozen=True)
class FloorOptions:
    """What counts as a floor. Lengths in metres; on relative depth they scale with the camera's height.

    Attributes:
        imu_gate_deg: largest angle between the floor's normal and ``up`` when up was measured.
        no_imu_gate_deg: the same to the camera's own up (-y) when it was not: a camera pitched 30 and rolled 15 degrees
            is 33 degrees off, and walls are 75 or more.
        inlier_m, inlier_fraction: a point belongs to the plane within the larger of ``inlier_m`` and
            ``inlier_fraction`` of its depth.
        inlier_of_height: replaces ``inlier_m`` on relative depth, as a share of the camera's height.
        min_pixels, min_share: least support, in pixels and as a share of the image.
        max_below: a floor is the lowest thing there is: largest share, relative to its support, of points clearly
            under it. A table top fails by the floor around it.
        min_flatness: of the level surface within three tolerances, the share within one: a slab cut out of clutter or a
            slope has 0.33, a floor whose noise is as large as the tolerance 0.68.
        min_extent_m: a floor is at least this long or wide (metric depth only); a table top seen close is not.
        seed: of the random hypotheses. The same input gives the same plane.
    """

    imu_gate_deg: float = 3.0
    no_imu_gate_deg: float = 45.0
    inlier_m: float = 0.02
    inlier_fraction: float = 0.01
    inlier_of_height: float = 0.015
    min_pixels: int = 500
    min_share: float = 0.05
    max_below: float = 0.25
    min_flatness: float = 0.75
    min_extent_m: float = 1.0
    hypotheses: int = 96
    seed: int = 0


DEFAULTS = FloorOptions()
# Local normals are noisy: candidates are let in this much wider than the gate, and must agree this well with the plane.
CANDIDATE_MARGIN_DEG = 15.0
AGREEMENT_DEG = 25.0
SCORED_POINTS = 1500
MAX_PLANES = 5
ROUGH, POLISH = (2.0, 1.5), (1.0, 1.0, 1.0, 1.0)
# Depth errors of neighbouring blocks are not independent: one independent value per patch of 5 x 5 blocks.
CORRELATED_BLOCKS = 25


@dataclass(frozen=True, eq=False)
class _Plane:
    m: NDArray[np.float64]
    inliers: NDArray[np.bool_]
    support: float
    below: float


def fit_floor(
    depth: DepthMap,
    *,
    up: Vector | None = None,
    exclude: NDArray[np.bool_] | None = None,
    options: FloorOptions = DEFAULTS,
) -> FloorPlane:
    """The floor plane of a depth map.

    Hypotheses are the local planes of blocks drawn at random (seeded) among those that face up; each is scored by the
    blocks it explains, the best are refined by least squares in inverse depth (see local_planes), and of those
    the best supported one wins that has next to nothing beneath it.

    Args:
        depth: metres, or relative depth: then the plane's lengths are in the map's own unit.
        up: unit vector opposite to gravity in the camera frame, from an IMU. Without it -y and a wide gate are taken.
        exclude: bool H x W, pixels that are not floor (people).
        options: thresholds.

    Raises:
        NotMetricError: disparity or ordinal depth, in which planes are not planes.
        IntrinsicsError: the map has no intrinsics.
        InputError: ``up`` or ``exclude`` is malformed.
        MeasurementRefused: ``no_floor`` (nothing faces up, or there is always something beneath),
            ``floor_too_few_inliers``, ``floor_not_level`` (the only plane contradicts ``up``), ``floor_rough``,
            ``floor_too_small``.
    """
    if depth.kind not in (DepthKind.METRIC, DepthKind.RELATIVE_DEPTH):
        raise NotMetricError(
            f"a floor plane needs metric or relative depth, found {depth.kind.value}, whose shift is unknown; "
            "use a metric model or give scale and shift"
        )
    if depth.intrinsics is None:
        raise IntrinsicsError(
            "a floor plane needs the camera's intrinsics and this depth map has none; give --intrinsics"
        )
    if exclude is not None and (exclude.shape != depth.values.shape or exclude.dtype != np.bool_):
        raise InputError(f"exclude must be bool {depth.values.shape}, found {exclude.dtype} {exclude.shape}")
    prior = _unit(up if up is not None else NO_IMU_UP)
    gate_deg = options.imu_gate_deg if up is not None else options.no_imu_gate_deg

    blocks = fit_local_planes(depth.values, depth.intrinsics, exclude=exclude)
    search = _Search(blocks, prior, gate_deg, options, depth.is_metric)
    plane = search.best()
    plane = search.refine(plane.m, POLISH) or plane
    return search.as_floor(plane)


def _unit(vector: Vector) -> NDArray[np.float64]:
    v = np.asarray(vector, dtype=np.float64)
    if v.shape != (3,) or not np.isfinite(v).all() or not 0.5 < np.linalg.norm(v) < 2:
        raise InputError(
            f"up must be a unit vector of three numbers, found {vector}; normalise the accelerometer first"
        )
    return np.asarray(v / np.linalg.norm(v))


def _tukey(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tukey's biweight at 6 robust standard deviations: what is near the floor but not of it loses its say."""
    scale = 6 * 1.4826 * float(np.median(np.abs(residual))) + 1e-12
    return np.asarray(np.maximum(1 - (residual / scale) ** 2, 0) ** 2)


class _Search:
    """One floor search over the blocks of one depth map."""

    def __init__(
        self, blocks: BlockPlanes, prior: NDArray[np.float64], gate_deg: float, options: FloorOptions, metric: bool
    ) -> None:
        self.blocks, self.prior, self.gate_deg, self.options, self.metric = blocks, prior, gate_deg, options, metric
        with np.errstate(invalid="ignore"):
            normals = blocks.plane / np.linalg.norm(blocks.plane, axis=1, keepdims=True)
            cone = math.cos(math.radians(min(gate_deg + CANDIDATE_MARGIN_DEG, 80)))
            candidate = blocks.planar & (normals @ prior.astype(np.float32) > cone)
        # Only these can be inliers: what follows is of them alone, but for what lies below a plane.
        self.normals, self.points, self.plane = normals[candidate], blocks.points[candidate], blocks.plane[candidate]
        self.rays = blocks.rays[candidate].astype(np.float64)
        self.inverse_depth = blocks.inverse_depth[candidate].astype(np.float64)
        self.min_blocks = max(options.min_pixels / blocks.pixels_per_block, options.min_share * blocks.total)

    def best(self) -> _Plane:
        """The floor, or MeasurementRefused."""
        planes = self._planes()
        if not planes:
            raise MeasurementRefused(
                "no_floor",
                "a floor was expected and no surface in view faces up; show the floor around the feet, and check the "
                "camera's pitch and roll if they were told",
            )
        enough = [p for p in planes if p.support >= self.min_blocks]
        if not enough:
            share = max(p.support for p in planes) / self.blocks.total
            raise MeasurementRefused(
                "floor_too_few_inliers",
                f"a floor needs {self.options.min_share:.0%} of the image and the largest level patch has {share:.1%}; "
                "show more of the floor",
            )
        lowest = [p for p in enough if p.below <= self.options.max_below * p.support]
        if not lowest:
            raise MeasurementRefused(
                "no_floor",
                "every level surface in view has something beneath it, as a table has; show the floor itself",
            )
        level = [p for p in lowest if self._tilt_deg(p.m) <= self.gate_deg]
        if not level:
            tilt_deg = self._tilt_deg(max(lowest, key=lambda p: p.support).m)
            raise MeasurementRefused(
                "floor_not_level",
                f"the floor must lie within {self.gate_deg:g} degrees of level and is {tilt_deg:.1f} off; "
                "level or calibrate the IMU, or check the camera's tilt",
            )
        return max(level, key=lambda p: p.support - p.below)

    def refine(self, m: NDArray[np.float64], rounds: tuple[float, ...]) -> _Plane | None:
        """Least squares on the level blocks near the plane: a round for each tolerance factor, robust from 1 on."""
        for looseness in rounds:
            inliers = self._inliers(m, looseness)
            if int(inliers.sum()) < 3:
                return None
            A, q = self.rays[inliers], self.inverse_depth[inliers]
            W = _tukey(q + A @ m) if looseness <= 1 else np.ones(len(q))
            # Height over the plane is Z (q + A m) / |m|: distances to the plane count, the far floor's as well. Equal
            # weights in inverse depth would be right for random noise alone, and it averages out; a sensor's warp not.
            W *= self.points[inliers, 2].astype(np.float64) ** 2
            try:
                m = np.asarray(-np.linalg.solve((A * W[:, None]).T @ A, A.T @ (W * q)), np.float64)
            except np.linalg.LinAlgError:
                return None
        height, tolerance = self._heights(self.blocks.points, m)
        inliers = self._inliers(m, 1.0)
        return _Plane(m, inliers, float(inliers.sum()), float((height < -3 * tolerance).sum()))

    def as_floor(self, plane: _Plane) -> FloorPlane:
        """The value, with its roughness gate and its covariance."""
        flatness = plane.support / max(1, int(self._inliers(plane.m, 3.0).sum()))
        if flatness < self.options.min_flatness:
            raise MeasurementRefused(
                "floor_rough",
                f"at least {self.options.min_flatness:.0%} of a floor is flat and of this one {flatness:.0%}; "
                "grass, stairs, clutter or noisy depth: move, or use better depth",
            )
        extent = self._extent(plane)
        if self.metric and extent < self.options.min_extent_m:
            raise MeasurementRefused(
                "floor_too_small",
                f"a floor extends at least {self.options.min_extent_m:g} m and the level surface in view "
                f"{extent:.2f} m, as a table top does; show more of the floor",
            )
        height = self._heights(self.points, plane.m)[0][plane.inliers].astype(np.float64)
        rms = math.sqrt(float(np.mean(height**2)))
        A = self.rays[plane.inliers]
        residual = self.inverse_depth[plane.inliers] + A @ plane.m
        covariance = CORRELATED_BLOCKS * float(np.mean(residual**2)) * np.linalg.inv(A.T @ A)
        length = float(np.linalg.norm(plane.m))
        nx, ny, nz = (float(v) for v in plane.m / length)
        floor = FloorPlane(
            normal=(nx, ny, nz),
            offset_m=1 / length,
            inlier_rms_m=rms,
            inlier_count=round(plane.support * self.blocks.pixels_per_block),
            inlier_fraction=plane.support / self.blocks.total,
            source="depth",
        )
        return replace(floor, covariance=tuple(float(v) for v in covariance[np.triu_indices(3)]))

    def _planes(self) -> list[_Plane]:
        count = len(self.points)
        if count < 3:
            return []
        rng = np.random.default_rng(self.options.seed)
        scored = self.points[rng.choice(count, min(SCORED_POINTS, count), replace=False)]
        drawn = rng.choice(count, min(self.options.hypotheses, count), replace=False)
        m = self.plane[drawn]
        length = np.linalg.norm(m, axis=1)
        height = np.abs(scored @ m.T + np.float32(1)) / length
        score = (height < 2 * self._tolerance(scored, 1 / length)).sum(axis=0)
        planes: list[_Plane] = []
        for _ in range(MAX_PLANES):
            best = int(score.argmax())
            if score[best] <= 0:
                break
            plane = self.refine(m[best].astype(np.float64), ROUGH)
            score[best] = 0
            if plane is not None:
                planes.append(plane)
                score[plane.inliers[drawn]] = 0  # these blocks lie on it: the same plane again
        return planes

    def _tolerance(self, points: Points, offset: NDArray[np.floating] | float) -> NDArray[np.float32]:
        """Inlier tolerance of blocks (rows) for planes at camera heights ``offset`` (columns, or one)."""
        fixed = self.options.inlier_m if self.metric else self.options.inlier_of_height * offset
        z = points[:, 2] * np.float32(self.options.inlier_fraction)
        return np.asarray(np.maximum(z[:, None] if np.ndim(offset) else z, fixed), np.float32)

    def _heights(self, points: Points, m: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        length = float(np.linalg.norm(m))
        height = (points @ m.astype(np.float32) + np.float32(1)) / np.float32(length)
        return height, self._tolerance(points, 1 / length)

    def _inliers(self, m: NDArray[np.float64], looseness: float) -> NDArray[np.bool_]:
        height, tolerance = self._heights(self.points, m)
        agrees = self.normals @ (m / np.linalg.norm(m)).astype(np.float32) > math.cos(math.radians(AGREEMENT_DEG))
        return np.asarray(agrees & (np.abs(height) < looseness * tolerance))

    def _extent(self, plane: _Plane) -> float:
        """The larger side of the floor seen: 5th to 95th percentile along two horizontal axes."""
        n = plane.m / np.linalg.norm(plane.m)
        across = np.cross(n, np.eye(3)[np.abs(n).argmin()])
        across /= np.linalg.norm(across)
        sides = self.points[plane.inliers] @ np.stack((across, np.cross(n, across)), axis=1).astype(np.float32)
        low, high = np.percentile(sides, (5, 95), axis=0)
        return float((high - low).max())

    def _tilt_deg(self, m: NDArray[np.float64]) -> float:
        return math.degrees(math.acos(min(1.0, max(-1.0, float(m @ self.prior / np.linalg.norm(m))))))
