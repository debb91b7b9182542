"""Renders a scene: exact Z from closed-form ray intersections, person masks, and a lit picture.

Depth is solved in float64 and handed out as float32. The room and the boxes are rendered once; of every ellipsoid only
the pixels inside its projected bounds are intersected. Nothing is random.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgedepth.geometry.projection import ray_grid
from edgedepth.synthetic.scene import Box, Ellipsoid, Scene
from edgedepth.types import DepthKind, DepthMap, Frame, Intrinsics

__all__ = ["Renderer", "Rendering", "render"]

Array = NDArray[np.float64]
MAX_DEPTH_M = 30.0
LIGHT = np.array([-0.45, -0.55, 0.7]) / np.linalg.norm([-0.45, -0.55, 0.7])
AMBIENT = 0.45


@dataclass(frozen=True, eq=False)
class Rendering:
    """What the camera sees at one time.

    Attributes:
        image: uint8 H x W x 3.
        depth_m: float32 H x W, Z, NaN where nothing is.
        person_ids: uint8 H x W; 0 is background, i + 1 is ``scene.people[i]``.
        scene: what was rendered; it knows the camera's pose and everyone's stature.
        t_s: when.
    """

    image: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    person_ids: NDArray[np.uint8]
    scene: Scene
    t_s: float

    @property
    def depth(self) -> DepthMap:
        """The depth as a metric map with the camera's intrinsics."""
        return DepthMap(self.depth_m, DepthKind.METRIC, self.scene.camera.intrinsics)

    def mask(self, person: int) -> NDArray[np.bool_]:
        """Visible silhouette of ``scene.people[person]``, bool H x W."""
        return np.asarray(self.person_ids == person + 1)

    def frame(self) -> Frame:
        """A frame with the exact depth, the camera's pose and the direction of up."""
        camera = self.scene.camera
        return Frame(
            self.image, camera.intrinsics, media_time_s=self.t_s, depth_m=self.depth_m, up=camera.up, pose=camera.pose
        )


@dataclass(frozen=True, eq=False)
class _Canvas:
    """What is drawn on, H x W each."""

    depth: Array
    image: NDArray[np.float32]
    ids: NDArray[np.uint8]


def render(scene: Scene, t_s: float = 0.0) -> Rendering:
    """One picture. For many use a Renderer, which keeps what does not move."""
    return Renderer(scene).render(t_s)


class Renderer:
    """Renders one scene at any time. Not for several threads at once."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        T = scene.camera.pose.T_world_camera
        self._R, self._origin = T[:3, :3], T[:3, 3]
        self._rays = _rays(scene.camera.intrinsics)
        self._depth, self._image, self._floor = self._background()

    def render(self, t_s: float = 0.0) -> Rendering:
        """The scene at ``t_s`` seconds."""
        depth, image, ids = self._depth.copy(), self._image.copy(), np.zeros(self._depth.shape, np.uint8)
        canvas = _Canvas(depth, image, ids)
        people = [(index, person, person.ellipsoids(t_s)) for index, person in enumerate(self.scene.people)]
        for _, person, _ in people:
            self._shadow(image, person.place(t_s), 0.17 * person.stature_m)
        for index, person, parts in people:
            for part in parts:
                self._draw(part, index + 1, person.hair, canvas)
        depth_m = depth.astype(np.float32)
        depth_m[depth_m >= MAX_DEPTH_M] = np.nan
        return Rendering(np.clip(image, 0, 255).astype(np.uint8), depth_m, ids, self.scene, t_s)

    def _draw(self, part: Ellipsoid, number: int, hair: tuple[int, int, int], canvas: _Canvas) -> None:
        depth, image, ids = canvas.depth, canvas.image, canvas.ids
        axes = self._R.T @ part.rotation
        center = self._R.T @ (part.center_m - self._origin)
        window = _bounds(center, axes * part.semi_axes_m, self._rays, self.scene.camera.intrinsics)
        if window is None:
            return
        # |M (t r - c)| = 1 with M = diag(1/s) A^T, a quadratic in t; t is Z because r = (x, y, 1).
        M = axes.T / part.semi_axes_m[:, None]
        r = self._rays[window] @ M.T
        c = M @ center
        rr, rc = np.einsum("...i,...i", r, r), r @ c
        discriminant = rc * rc - rr * (c @ c - 1)
        with np.errstate(invalid="ignore"):
            t = (rc - np.sqrt(discriminant)) / rr
            visible = (discriminant >= 0) & (t > 0) & (t < depth[window])
        if not visible.any():
            return
        t = t[visible]
        depth[window][visible] = t
        ids[window][visible] = number
        # The gradient of |M p|^2 is 2 M^T M p: the surface normal, here in the camera frame.
        normal = (r[visible] * t[:, None] - c) @ M
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        world = normal @ self._R.T
        color = np.broadcast_to(np.asarray(part.color, np.float64), world.shape)
        if part.hair:
            # On top and at the back of the head.
            local = normal @ axes
            is_hair = (local[:, 2] > 0.35) | (local[:, 1] < -0.25)
            color = np.where(is_hair[:, None], np.asarray(hair, np.float64), color)
        image[window][visible] = color * _shade(world)[:, None]

    def _shadow(self, image: NDArray[np.float32], place: tuple[float, float, float], radius_m: float) -> None:
        """A soft dark spot on the floor around the feet."""
        squared = ((self._floor - np.asarray(place[:2], np.float32)) ** 2).sum(axis=-1) / radius_m**2
        near = squared < 4
        image[near] *= (1 - 0.45 * np.exp(-1.5 * squared[near]))[:, None]

    def _background(self) -> tuple[Array, NDArray[np.float32], NDArray[np.float32]]:
        """Depth, colours, and the floor's world (x, y) per pixel (NaN elsewhere)."""
        rays, origin = self._rays @ self._R.T, self._origin
        room = self.scene.room
        with np.errstate(divide="ignore", invalid="ignore"):
            if room is None:
                depth = np.where(rays[..., 2] < 0, -origin[2] / rays[..., 2], np.inf)
                wall = np.where(np.isfinite(depth), 2, -1)
            else:
                low = np.array([room.x_m[0], room.y_m[0], 0.0])
                high = np.array([room.x_m[1], room.y_m[1], room.height_m])
                leave = np.where(rays > 0, (high - origin) / rays, (low - origin) / rays)
                leave[rays == 0] = np.inf
                wall = leave.argmin(axis=-1)
                depth = leave.min(axis=-1)
        depth = np.where(np.isfinite(rays[..., 0]), depth, np.inf)
        points = origin + rays * np.where(np.isfinite(depth), depth, 0)[..., None]
        is_floor = (wall == 2) & (rays[..., 2] < 0) & (depth < MAX_DEPTH_M)
        image = self._paint(points, wall, is_floor, np.sign(rays))
        for box in self.scene.boxes:
            self._draw_box(box, rays, depth, image, is_floor)
        floor = np.where(is_floor[..., None], points[..., :2], np.nan).astype(np.float32)
        return depth, image, floor

    @staticmethod
    def _paint(points: Array, wall: NDArray[np.intp], is_floor: NDArray[np.bool_], sign: Array) -> NDArray[np.float32]:
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        checker = (np.floor(x / 0.4) + np.floor(y / 0.4)) % 2
        image = np.empty((*wall.shape, 3))
        image[:] = (150, 170, 195)  # open sky
        normal = np.zeros(image.shape)
        inside = wall >= 0
        np.put_along_axis(
            normal, np.maximum(wall, 0)[..., None], -np.take_along_axis(sign, np.maximum(wall, 0)[..., None], -1), -1
        )
        panel = np.where((np.floor((x + y) / 0.9) % 2) == 0, 1.0, 0.94) * np.where(z < 0.1, 0.75, 1.0)
        image[inside] = (np.array([214, 208, 196]) * panel[..., None])[inside]
        image[is_floor] = np.where(checker[is_floor][:, None] > 0, [178.0, 158.0, 132.0], [142.0, 122.0, 100.0])
        image[inside] *= _shade(normal[inside])[:, None]
        return image.astype(np.float32)

    def _draw_box(
        self, box: Box, rays: Array, depth: Array, image: NDArray[np.float32], is_floor: NDArray[np.bool_]
    ) -> None:
        c, s = np.cos(np.radians(box.yaw_deg)), np.sin(np.radians(box.yaw_deg))
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        half = np.asarray(box.size_m) / 2
        r, o = rays @ turn, (self._origin - np.asarray(box.center_m)) @ turn
        with np.errstate(divide="ignore", invalid="ignore"):
            one, two = (-half - o) / r, (half - o) / r
        enter, leave = np.fmin(one, two), np.fmax(one, two)
        t = enter.max(axis=-1)
        visible = (t > 0) & (t < leave.min(axis=-1)) & (t < depth)
        depth[visible] = t[visible]
        is_floor &= ~visible
        side = enter.argmax(axis=-1)[visible]
        normal = np.zeros((len(side), 3))
        normal[np.arange(len(side)), side] = -np.sign(r[visible][np.arange(len(side)), side])
        image[visible] = np.asarray(box.color) * _shade(normal @ turn.T)[:, None]


def _rays(intrinsics: Intrinsics) -> Array:
    if intrinsics.distortion.is_identity:  # the cached grid is float32, a tenth of a millimetre at 10 m
        x = (np.arange(intrinsics.width) - intrinsics.cx) / intrinsics.fx
        y = (np.arange(intrinsics.height) - intrinsics.cy) / intrinsics.fy
        grid = np.stack(np.meshgrid(x, y), axis=-1)
    else:
        grid = ray_grid(intrinsics).astype(np.float64)
    return np.concatenate((grid, np.ones((*grid.shape[:2], 1))), axis=-1)


def _bounds(center: Array, scaled_axes: Array, rays: Array, intrinsics: Intrinsics) -> tuple[slice, slice] | None:
    """The pixel window of an ellipsoid: extremes of its outline, dual to c c^T - A A^T. None if out of view."""
    behind = center[2] - np.sqrt((scaled_axes[2] ** 2).sum())
    if behind <= 1e-3:
        if center[2] + np.sqrt((scaled_axes[2] ** 2).sum()) <= 0:
            return None
        return slice(0, rays.shape[0]), slice(0, rays.shape[1])
    dual = np.outer(center, center) - scaled_axes @ scaled_axes.T
    spread = np.sqrt(np.maximum(np.diag(dual)[:2] * -dual[2, 2] + dual[:2, 2] ** 2, 0))
    low, high = (dual[:2, 2] - spread) / dual[2, 2], (dual[:2, 2] + spread) / dual[2, 2]
    if intrinsics.distortion.is_identity:
        f, c = np.array([intrinsics.fx, intrinsics.fy]), np.array([intrinsics.cx, intrinsics.cy])
        first, last = np.floor(low * f + c).astype(int), np.ceil(high * f + c).astype(int)
    else:
        inside = ((rays[..., :2] >= low) & (rays[..., :2] <= high)).all(axis=-1)
        v, u = np.nonzero(inside)
        if not len(u):
            return None
        first, last = np.array([u.min(), v.min()]), np.array([u.max(), v.max()])
    first, last = np.maximum(first, 0), np.minimum(last, np.array(rays.shape[1::-1]) - 1)
    if (first > last).any():
        return None
    return slice(int(first[1]), int(last[1]) + 1), slice(int(first[0]), int(last[0]) + 1)


def _shade(normals: Array) -> Array:
    return np.asarray(AMBIENT + (1 - AMBIENT) * np.clip(normals @ LIGHT, 0, 1))
