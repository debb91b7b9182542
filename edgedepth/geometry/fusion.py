"""One height out of many frames whose errors are not independent: depth networks err together over a whole clip.

What a frame tells of a person's height H over a floor h under the camera: the crown is seen along the ray c, at the
horizontal distance d, so H = h + d tan(elevation of c). Two things tell d. The network's depth: the crown's range over
the camera's height above the floor around the feet, both by depth, so that a scale, or a slow error of depth, cancels.
And the feet: the ray to the place between them meets the floor at d (single view metrology), with no depth in it but
the floor's tilt. The logarithms of the two are averaged by inverse variance.

What is left is common to the frames: the floor's tilt as the network draws it (two angles for everyone, an error of d
times the angle), and for each person a relative error of the distance and an angle by which the crown's edge is drawn
too high or low. They are unknowns beside the heights, each with a prior of known width, and all is solved at once by
least squares. So a person who walks towards the camera tells the tilt, as a height does not change with distance; where
nobody does, the tilt stays as uncertain as its prior, and the interval says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgedepth.geometry.feet import SHOE_M
from edgedepth.geometry.measurement import HeightMeasurement, Sighting
from edgedepth.geometry.plane import UP_SIGMA_DEG, FloorPlane

__all__ = ["FusedHeight", "FusionModel", "Seen", "fuse_heights", "fuse_sensor_heights"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FusionModel:
    """How monocular networks err, one standard deviation each; measured by ``benchmarks/height_mono.py``.

    Attributes:
        pitch_deg, roll_deg: of the floor's normal, the same in every frame, where gravity is not known.
        depth: relative, of a person's distance by depth, the same in every frame.
        feet_m: of the place between the feet, along the floor.
        edge_deg: of the lower edge of a silhouette, which tells the distance the worse the lower the camera stands.
        crown_deg: of the upper edge, the same in every frame.
        frame_deg, frame_range, frame_m: what is new in every frame: of an angle, relative of the distance, and plain.
        scale: relative, of the network's metres where no camera height is known.
        correlation_s: frames nearer in time than this tell the same.
    """

    pitch_deg: float = 3.5
    roll_deg: float = 3.5
    depth: float = 0.08
    feet_m: float = 0.07
    edge_deg: float = 0.2
    crown_deg: float = 0.2
    frame_deg: float = 0.3
    frame_range: float = 0.02
    frame_m: float = 0.005
    scale: float = 0.085
    correlation_s: float = 0.5


DEFAULTS = FusionModel()


@dataclass(frozen=True)
class Seen:
    """One person in one frame.

    Attributes:
        person: any number that tells people apart.
        t_s: when.
        sighting: in the frame's metres.
        floor: of the frame, in the same metres, by depth.
        up: against gravity, where it was measured: then the floor's normal.
    """

    person: int
    t_s: float
    sighting: Sighting
    floor: FloorPlane
    up: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class FusedHeight:
    """A height of many frames.

    Attributes:
        height_m: crown above the floor.
        sigma_m: one standard deviation: random and systematic together.
        random_m: what comes of the errors that are new in every frame.
        frames: how many were used.
    """

    height_m: float
    sigma_m: float
    random_m: float
    frames: int

    @property
    def interval_m(self) -> tuple[float, float]:
        """95 % interval (lo, hi), metres."""
        return self.height_m - 1.96 * self.sigma_m, self.height_m + 1.96 * self.sigma_m


ROUNDS = 6
STEP = 1e-5
TILTED = 1.4
"""Where the camera's height is told, distance does not go straight with a tilt of some degrees, so intervals would be
too narrow by as much: from clips whose errors are drawn from the model. By the network's own metres the floor under the
camera is tilted with the rest, and they are wide enough."""
RANDOM_TERMS = frozenset({"depth_noise", "edge"})
HUBER = 2.0
# A distance by the feet that contradicts the depth by more is of something else: a table's edge, a shadow.
FEET_AGREE = 0.3
MIN_FALL = 0.03


def fuse_heights(
    seen: Sequence[Seen],
    *,
    camera_height_m: float | None = None,
    scale_sigma: float | None = None,
    up_sigma_deg: float = UP_SIGMA_DEG,
    still: bool = True,
    model: FusionModel = DEFAULTS,
) -> dict[int, FusedHeight]:
    """The height of everyone in ``seen``, by person.

    Args:
        seen: of one clip, in any order.
        camera_height_m: as measured; None takes the median of the floors.
        scale_sigma: relative, of the camera's height, or of the scale the floors are in; None: the network's own.
        up_sigma_deg: how well the sightings' ``up`` is known, where they have one.
        still: the camera does not move: one floor for all frames.
        model: how the network errs.
    """
    if not seen:
        return {}
    problem = _Problem(seen, camera_height_m, up_sigma_deg, still, model)
    scale = model.scale if scale_sigma is None else scale_sigma
    solution, random, systematic = problem.solve()
    found = {}
    for index, person in enumerate(problem.people):
        height = float(solution[3 * index])
        variance = random[3 * index] + systematic[3 * index] + (scale * height) ** 2
        found[person] = FusedHeight(
            height, math.sqrt(variance), math.sqrt(random[3 * index]), int(problem.counts[index])
        )
    return found


class _Problem:
    """Rows are sightings. Unknowns: of each person height, log error of distance, angle of the crown; then the tilt."""

    def __init__(
        self, seen: Sequence[Seen], camera_height_m: float | None, up_sigma_deg: float, still: bool, model: FusionModel
    ) -> None:
        self.model = model
        self.people = sorted({one.person for one in seen})
        self.who = np.array([self.people.index(one.person) for one in seen])
        self.counts = np.bincount(self.who)
        offsets = np.array([one.floor.offset_m for one in seen])
        self.height_is_told = camera_height_m is not None
        self.camera_m = float(np.median(offsets)) if camera_height_m is None else camera_height_m
        own_normals = np.array([one.floor.normal for one in seen], np.float64)
        normals = np.array([one.up or one.floor.normal for one in seen], np.float64)
        if still:
            normals[:] = np.median(normals, axis=0)
        self.up = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        self.right, self.ahead = _axes(self.up)
        crowns = np.array([one.sighting.crown_m for one in seen], np.float64)
        self.range = np.linalg.norm(crowns, axis=1)
        self.crown = crowns / self.range[:, None]
        local = np.array([one.sighting.floor_offset_m for one in seen])
        # The floor at the feet as a point: straight below the crown.
        self.ground = crowns - (np.einsum("ij,ij->i", crowns, own_normals) + local)[:, None] * own_normals
        has_feet = np.array([one.sighting.feet_ray is not None for one in seen])
        self.feet = np.array([one.sighting.feet_ray or (0.0, 0.0, 0.0) for one in seen], np.float64)
        self.weight_feet, self.distance_sigma = self._weights(has_feet)
        count, tilt = len(self.people), math.radians
        self.gravity = all(one.up is not None for one in seen)
        pitch, roll = (up_sigma_deg, up_sigma_deg) if self.gravity else (model.pitch_deg, model.roll_deg)
        person_range = np.array([np.sqrt(np.mean(self.distance_sigma[self.who == i] ** 2)) for i in range(count)])
        sigma = np.zeros(3 * count + 2)
        sigma[0:-2:3], sigma[1:-2:3], sigma[2:-2:3] = 100.0, person_range, tilt(model.crown_deg)
        sigma[-2:] = tilt(pitch), tilt(roll)
        self.prior = sigma**-2.0
        times = np.array([one.t_s for one in seen])
        self.repeats = np.array([self._repeats(times[self.who == i]) for i in range(count)])[self.who]

    def _repeats(self, t_s: Array) -> float:
        """How many frames count as one."""
        moments = 1 + np.ptp(t_s) / self.model.correlation_s
        return max(1.0, len(t_s) / moments)

    def _weights(self, has_feet: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Share of the feet in the distance, and what the mean of the two is uncertain by."""
        by_depth, by_feet = self._distances(np.zeros(len(self.who)), np.zeros(len(self.who)))
        with np.errstate(divide="ignore", invalid="ignore"):
            usable = has_feet & (np.abs(np.log(by_feet / by_depth)) < FEET_AGREE)
            slope = np.arctan2(self.camera_m, by_feet)
            error = np.hypot(self.model.feet_m / by_feet, 2 * math.radians(self.model.edge_deg) / np.sin(2 * slope))
            inverse = np.where(usable, error**-2, 0.0)
        total = inverse + self.model.depth**-2.0
        return np.where(usable, inverse / total, 0.0), total**-0.5

    def _normals(self, pitch: Array, roll: Array) -> Array:
        turned = self.up + pitch[:, None] * self.ahead + roll[:, None] * self.right
        return np.asarray(turned / np.linalg.norm(turned, axis=1, keepdims=True))

    def _distances(self, pitch: Array, roll: Array) -> tuple[Array, Array]:
        """Horizontal distance of every sighting by depth and by the feet, metres."""
        up = self._normals(pitch, roll)
        local = np.maximum(-np.einsum("ij,ij->i", self.ground, up), 0.05)
        level = np.sqrt(1 - np.einsum("ij,ij->i", self.crown, up) ** 2)
        by_depth = self.camera_m / local * self.range * level
        fall = np.maximum(-np.einsum("ij,ij->i", self.feet, up), MIN_FALL)
        by_feet = self.camera_m * np.sqrt(1 - fall**2) / fall + SHOE_M
        return by_depth, by_feet

    def heights(self, log_range: Array, crown: Array, pitch: Array, roll: Array) -> tuple[Array, Array]:
        """The height that every sighting gives, and the distance."""
        by_depth, by_feet = self._distances(pitch, roll)
        log_d = np.log(by_depth) + log_range
        feet = self.weight_feet > 0
        log_d[feet] += self.weight_feet[feet] * np.log(by_feet[feet] / by_depth[feet])
        d = np.exp(log_d)
        rise = np.einsum("ij,ij->i", self.crown, self._normals(pitch, roll))
        elevation = np.arcsin(np.clip(rise, -1, 1)) + crown
        return self.camera_m + d * np.tan(elevation), d

    def _expand(self, theta: Array) -> tuple[Array, Array, Array, Array]:
        ones = np.ones(len(self.who))
        return theta[1:-2:3][self.who], theta[2:-2:3][self.who], theta[-2] * ones, theta[-1] * ones

    def solve(self) -> tuple[Array, Array, Array]:
        """Unknowns, and their variances of frame noise and of what the frames share."""
        model, count = self.model, len(self.people)
        theta = np.zeros(3 * count + 2)
        base, distance = self.heights(*self._expand(theta))
        for index in range(count):
            theta[3 * index] = np.median(base[self.who == index])
        noise = np.sqrt(
            (np.abs(base - self.camera_m) * model.frame_range) ** 2
            + (distance * math.radians(model.frame_deg)) ** 2
            + model.frame_m**2
        )
        for _ in range(ROUNDS):
            residual, jacobian = self._residual(theta)
            size = np.abs(residual) / noise
            weight = np.where(size > HUBER, HUBER / np.maximum(size, HUBER), 1.0) / (noise**2 * self.repeats)
            told = (jacobian * weight[:, None]).T @ jacobian
            pull = self.prior * np.where(np.arange(len(theta)) % 3 == 0, 0.0, theta)  # not on heights
            pull[-2:] = self.prior[-2:] * theta[-2:]
            theta = theta - np.linalg.solve(told + np.diag(self.prior), jacobian.T @ (weight * residual) + pull)
        # Frames that scatter more than the model says tell less than it says, each person's of that person.
        excess = np.array([max(1.0, float(np.median(size[self.who == i])) / 0.6745) for i in range(count)])
        told = (jacobian * (weight / excess[self.who] ** 2)[:, None]).T @ jacobian
        covariance = np.linalg.inv(told + np.diag(self.prior))
        shared = np.einsum("ij,j,ij->i", covariance, self.prior, covariance)
        random = np.maximum(np.diag(covariance) - shared, 0.0)
        if not self.gravity and self.height_is_told:
            shared *= TILTED**2
        return theta, random, shared

    def _residual(self, theta: Array) -> tuple[Array, Array]:
        arguments, rows = list(self._expand(theta)), np.arange(len(self.who))
        base, _ = self.heights(*arguments)
        jacobian = np.zeros((len(rows), len(theta)))
        jacobian[rows, 3 * self.who] = -1
        last = np.full(len(rows), len(theta) - 1)
        for number, column in enumerate((3 * self.who + 1, 3 * self.who + 2, last - 1, last)):
            moved = arguments.copy()
            moved[number] = moved[number] + STEP
            jacobian[rows, column] = (self.heights(*moved)[0] - base) / STEP
        return base - theta[0:-2:3][self.who], jacobian


def _axes(up: Array) -> tuple[Array, Array]:
    """FloorPlane.axes of many normals (N x 3)."""
    look = np.where(np.abs(up[:, 2:]) < 0.95, (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
    ahead = look - up * np.einsum("ij,ij->i", look, up)[:, None]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    return np.cross(ahead, up), ahead


def fuse_sensor_heights(frames: Sequence[HeightMeasurement], t_s: Sequence[float]) -> FusedHeight:
    """The height of one person out of a depth sensor's frames: the median.

    The budget's terms of scale, floor, crown and holes are shared by the frames; noise and edge are new in each, unless
    frames are nearer than ``correlation_s``, and at least as large as the heights scatter.

    Args:
        frames: measured ones, of one person. t_s: when each was.
    """
    heights = np.array([frame.height_m for frame in frames], np.float64)
    terms = {name: 0.0 for frame in frames for name, _ in frame.budget_m}
    for name in terms:
        terms[name] = float(np.median([dict(frame.budget_m).get(name, 0.0) for frame in frames]))
    height_m = float(np.median(heights))
    scatter = 1.4826 * float(np.median(np.abs(heights - height_m)))
    moments = min(len(heights), 1 + float(np.ptp(np.asarray(t_s))) / DEFAULTS.correlation_s)
    each = max(scatter, math.hypot(*(value for name, value in terms.items() if name in RANDOM_TERMS)))
    random = 1.2533 * each / math.sqrt(moments) if moments > 2 else each  # of a median
    shared = math.hypot(*(value for name, value in terms.items() if name not in RANDOM_TERMS))
    return FusedHeight(height_m, math.hypot(random, shared), random, len(frames))
