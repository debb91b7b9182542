"""HeightMeter: from a frame and its depth to the floor and the height of everyone in view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError, IntrinsicsError, MeasurementRefused
from edgedepth.geometry.feet import upright_depth
from edgedepth.geometry.floor import FloorOptions, Vector, fit_floor
from edgedepth.geometry.height import HeightOptions, measure_height
from edgedepth.geometry.level import find_level_floor
from edgedepth.geometry.measurement import HeightMeasurement, Measurement
from edgedepth.geometry.plane import UP_SIGMA_DEG, FloorPlane
from edgedepth.geometry.scale import Scale, scale_from_floor
from edgedepth.people.base import PERSON, Candidate, PersonFinder
from edgedepth.people.gates import require_alone, require_box_agrees, require_standing, require_whole_head, top_hole_m
from edgedepth.people.mapping import GridMap
from edgedepth.people.own_depth import own_depth
from edgedepth.people.scene import Scene
from edgedepth.people.silhouette import Silhouette, silhouettes
from edgedepth.types import DepthKind, DepthMap, Frame

__all__ = ["MODEL_HEIGHT_OPTIONS", "SENSOR_HEIGHT_OPTIONS", "DepthOrigin", "HeightMeter"]

DepthOrigin = Literal["sensor", "model"]

SENSOR_HEIGHT_OPTIONS = HeightOptions()
"""A calibrated depth sensor: half a percent of scale, noise that grows with the square of depth."""
MODEL_HEIGHT_OPTIONS = HeightOptions(scale_sigma=0.1, noise_per_m=0.01, edge_sigma_px=1.5, max_lean_deg=10.0)
"""A monocular network that was given no reference: published metric models err by 5 to 10 % of scale in rooms they have
not seen; edges are a pixel of the network wide. Standing people lean by less than 6 degrees, so a crowd that leans is
a floor that is tilted."""
MODEL_FLOOR_OPTIONS = FloorOptions(inlier_m=0.05, inlier_fraction=0.04, min_share=0.03, min_flatness=0.5, max_below=0.5)
"""Networks bend floors by some percent of depth, which a sensor's tolerances would refuse. How much they tilt them is
in the error model of heights over several frames (geometry.fusion)."""
REFERENCED_SCALE_SIGMA = 0.03
"""What is left of a network's scale error at a person after its floor was scaled: depth errs together over regions, by
one to two percent in the best networks and more in small ones. Give ``options`` when it was measured."""


FITTED = "depth"
LEVEL = "gravity"
"""``FloorPlane.source`` of a plane that was fitted here and may be refined, and of one that gravity gave its direction;
a given one is taken as it is."""


class HeightMeter:
    """Floor, people and their heights in one frame. Keeps nothing between frames; one thread at a time.

    Args:
        finder: where people are; closed with the meter.
        camera_height_m: known height of the camera above the floor: scales the depth so that the floor agrees.
        camera_height_sigma_m: how well that is known.
        scale: known factor from the depth's values to metres; instead of a camera height.
        scale_sigma: its relative standard deviation.
        up: unit vector opposite to gravity in the camera frame, for every frame; a frame's own ``up`` comes first.
        up_sigma_deg: how well the angles of that ``up`` are known, one standard deviation.
        origin: whether the depth is a sensor's or a network's, for the error model. None: a sensor's when it is the
            frame's own depth.
        floor: a known plane; None finds it in every frame: fitted, but for a network where ``up`` is known level.
        options: error model and gates of the height; None takes those of the origin.
        floor_options: gates of the floor; None takes those of the origin.

    Raises:
        InputError: both a scale and a camera height, or one that is not a positive number.
    """

    def __init__(
        self,
        finder: PersonFinder,
        *,
        camera_height_m: float | None = None,
        camera_height_sigma_m: float = 0.005,
        scale: float | None = None,
        scale_sigma: float = 0.01,
        up: tuple[float, float, float] | None = None,
        up_sigma_deg: float = UP_SIGMA_DEG,
        origin: DepthOrigin | None = None,
        floor: FloorPlane | None = None,
        options: HeightOptions | None = None,
        floor_options: FloorOptions | None = None,
    ) -> None:
        for name, value in (("camera_height_m", camera_height_m), ("scale", scale)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} must be a positive number, found {value}")
        sigmas = (camera_height_sigma_m, scale_sigma, up_sigma_deg)
        for name, value in zip(("camera_height_sigma_m", "scale_sigma", "up_sigma_deg"), sigmas, strict=True):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} must be zero or a positive number, found {value}")
        if camera_height_m is not None and scale is not None:
            raise InputError("a camera height and a scale both set the scale; give one of them")
        if camera_height_m is not None and floor is not None:
            raise InputError("a known floor holds the camera's height already; give one of them")
        self._finder = finder
        self._camera_height_m, self._camera_height_sigma_m = camera_height_m, camera_height_sigma_m
        self._scale, self._scale_sigma = scale, scale_sigma
        self._up, self._up_sigma_deg, self._origin, self._floor = up, up_sigma_deg, origin, floor
        self._options, self._floor_options = options, floor_options

    def measure(self, frame: Frame, depth: DepthMap) -> Measurement:
        """The floor and everyone in ``frame``; who cannot be measured is listed with the reason.

        Args:
            frame: the image, on whose pixels boxes are reported.
            depth: metric, or relative when a scale or the camera's height is known; on the frame's grid or smaller.

        Raises:
            NotMetricError: the depth has no scale and none was given.
            IntrinsicsError: neither the depth nor the frame knows its camera.
            InputError: depth and frame cannot be of the same view.
        """
        origin = self._origin or _origin_of(frame, depth)
        depth = self._with_camera(frame, depth)
        grid = GridMap(frame, depth)
        if self._camera_height_m is None and self._scale is None:
            depth.depth_m  # noqa: B018  raises NotMetricError now, whether or not anybody is in view
        unscaled = Scale(1.0, 0.0, origin)
        up, up_sigma_deg = (frame.up, UP_SIGMA_DEG) if frame.up is not None else (self._up, self._up_sigma_deg)
        known = None
        if self._scale is not None:
            known = Scale(self._scale, self._scale_sigma, "given")
            depth = depth.scaled(known.factor)
        try:
            floor = self._floor or self._find_floor(depth, up, up_sigma_deg, origin)
        except MeasurementRefused as refusal:
            if depth.kind not in (DepthKind.METRIC, DepthKind.RELATIVE_DEPTH):
                raise
            return self._without_floor(frame, depth, f"{refusal.reason}: {refusal}", known or unscaled)
        if self._camera_height_m is not None:
            known = scale_from_floor(floor, self._camera_height_m, camera_height_sigma_m=self._camera_height_sigma_m)
            depth, floor = depth.scaled(known.factor), _scaled_floor(floor, known.factor)
        found = self._finder.find(frame, depth, floor)
        people = _measured(
            found, depth, floor, grid, is_model=origin == "model", options=self._error_model(origin, known)
        )
        scale = known or unscaled
        return Measurement(
            floor,
            people,
            scale=scale.factor,
            scale_source=scale.source,
            scale_sigma=self._reference_sigma,
            origin=origin,
            up=up,
            up_sigma_deg=up_sigma_deg,
        )

    def _find_floor(self, depth: DepthMap, up: Vector | None, up_sigma_deg: float, origin: DepthOrigin) -> FloorPlane:
        if origin == "sensor":
            return fit_floor(depth, up=up, options=self._floor_options or FloorOptions())
        if up is None or self._floor_options is not None:
            return fit_floor(depth, up=up, options=self._floor_options or MODEL_FLOOR_OPTIONS)
        return find_level_floor(depth, up, up_sigma_deg=up_sigma_deg)

    @property
    def _reference_sigma(self) -> float | None:
        """Relative, of what was given for the scale."""
        if self._camera_height_m is not None:
            return self._camera_height_sigma_m / self._camera_height_m
        return None if self._scale is None else self._scale_sigma

    def replica(self) -> HeightMeter:
        """The same meter with a replica of its finder, for use from another thread."""
        other = copy(self)
        other._finder = self._finder.replica()
        return other

    def close(self) -> None:
        """Close the finder. Safe to call twice."""
        self._finder.close()

    def _with_camera(self, frame: Frame, depth: DepthMap) -> DepthMap:
        if depth.intrinsics is not None:
            return depth
        if frame.intrinsics is None:
            raise IntrinsicsError(
                "heights need the camera's intrinsics and neither the frame nor its depth has any; give --intrinsics"
            )
        return replace(depth, intrinsics=frame.intrinsics.for_size(*depth.size_wh))

    def _error_model(self, origin: DepthOrigin, known: Scale | None) -> HeightOptions:
        """The origin's, with the scale error of the reference when there is one."""
        if self._options is not None:
            return self._options
        options = SENSOR_HEIGHT_OPTIONS if origin == "sensor" else MODEL_HEIGHT_OPTIONS
        if known is None:
            return options
        left = REFERENCED_SCALE_SIGMA if origin == "model" else 0.0
        return replace(options, scale_sigma=math.hypot(left, known.sigma))

    def _without_floor(self, frame: Frame, depth: DepthMap, reason: str, scale: Scale) -> Measurement:
        """People may still be seen; none of them can be measured."""
        try:
            found = self._finder.find(frame, depth if depth.is_metric else None, None)
        except MeasurementRefused:
            found = ()
        people = tuple(_refused(candidate, f"no_floor: {reason.split(': ', 1)[-1]}") for candidate in found)
        return Measurement(None, people, floor_refused=reason, scale=scale.factor, scale_source=scale.source)


def _measured(
    found: Sequence[Candidate],
    depth: DepthMap,
    floor: FloorPlane,
    grid: GridMap,
    *,
    is_model: bool,
    options: HeightOptions,
) -> tuple[HeightMeasurement, ...]:
    if not found:
        return ()
    scene = Scene.build(depth, floor)
    # The floor is not fitted again without the people: their surfaces do not face up, and taking them out moves the
    # heights of real frames by a millimetre at most.
    outlines: Sequence[Silhouette | None] = [None] * len(found)
    if any(c.mask is None for c in found):
        outlines = silhouettes([grid.box(c.box_xywh) for c in found], scene)
    people = [_Person(c, outline, grid, is_model=is_model) for c, outline in zip(found, outlines, strict=True)]
    masks = [person.mask for person in people]
    return tuple(person.measure(masks[:i] + masks[i + 1 :], scene, depth, options) for i, person in enumerate(people))


class _Person:
    """One candidate on the depth map's grid."""

    def __init__(self, candidate: Candidate, outline: Silhouette | None, grid: GridMap, *, is_model: bool) -> None:
        self.candidate, self.is_model = candidate, is_model
        self.box_xywh = grid.box(candidate.box_xywh)
        # A mask that was given is taken as it is; else the outline from the box.
        self.open_top = candidate.mask is None and outline is not None and outline.open_top
        self.mask = grid.mask(candidate.mask) if candidate.mask is not None else outline.mask if outline else None

    def measure(
        self, others: list[NDArray[np.bool_] | None], scene: Scene, depth: DepthMap, options: HeightOptions
    ) -> HeightMeasurement:
        """The height, or the refusal, of this one among the ``others``."""
        candidate = self.candidate
        if self.mask is None:
            return _refused(
                candidate, "no_depth: a surface that stands on the floor was expected in the box and depth shows none"
            )
        try:
            require_alone(self.mask, others)
            require_whole_head(self.mask, scene, box_top=self.box_xywh[1], open_top=self.open_top)
            if candidate.label == PERSON:
                require_standing(self.mask, scene, depth_is_sure=not self.is_model)
            if candidate.mask is None:
                require_box_agrees(self.mask, scene, self.box_xywh, feet_too=self.is_model)
        except MeasurementRefused as refusal:
            return _refused(candidate, f"{refusal.reason}: {refusal}")
        if self.is_model and candidate.mask is not None:
            depth = own_depth(depth, self.mask)
            if scene.floor.source == LEVEL:
                depth = upright_depth(depth, self.mask, scene.floor)
        result = measure_height(
            depth,
            self.mask,
            scene.floor_under(self.mask) if scene.floor.source == FITTED else scene.floor,
            box_xywh=candidate.box_xywh,
            label=candidate.label,
            score=candidate.score,
            options=options,
        )
        if result.distance_m is None:
            return result
        return _with_hole(result, top_hole_m(self.mask, scene.depth_m, scene.pixel_rad * result.distance_m))


def _origin_of(frame: Frame, depth: DepthMap) -> DepthOrigin:
    own = frame.depth_m
    if own is None or own.shape != depth.values.shape:
        return "model"
    same = own is depth.values or np.array_equal(own[::8, ::8], depth.values[::8, ::8], equal_nan=True)
    return "sensor" if same else "model"


def _scaled_floor(floor: FloorPlane, factor: float) -> FloorPlane:
    """The same plane in other units: lengths times the factor, the covariance of n / d by its inverse square."""
    covariance = None if floor.covariance is None else tuple(c / factor**2 for c in floor.covariance)
    return replace(
        floor, offset_m=floor.offset_m * factor, inlier_rms_m=floor.inlier_rms_m * factor, covariance=covariance
    )


def _with_hole(result: HeightMeasurement, hole_m: float) -> HeightMeasurement:
    """The crown may lie anywhere from the height found to the end of the hole above it (uniform).

    The height found is the lower end, so the term of the budget is the root mean square distance from there.
    """
    if result.height_m is None or result.sigma_m is None or hole_m <= 0:
        return result
    hole_sigma_m = hole_m / math.sqrt(3)
    sigma_m = math.hypot(result.sigma_m, hole_sigma_m)
    return replace(
        result,
        sigma_m=sigma_m,
        interval_m=(result.height_m - 1.96 * sigma_m, result.height_m + 1.96 * sigma_m),
        flags=(*result.flags, "crown_depth_hole"),
        budget_m=(*result.budget_m, ("hole", hole_sigma_m)),
    )


def _refused(candidate: Candidate, reason: str) -> HeightMeasurement:
    return HeightMeasurement(candidate.box_xywh, label=candidate.label, score=candidate.score, refused=reason)
