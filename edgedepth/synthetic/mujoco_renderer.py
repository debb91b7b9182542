"""Renders rooms: the picture by MuJoCo's rasteriser (lights, shadows, textures), Z and masks by closed forms.

MuJoCo draws without a GPU through EGL on software Mesa. Its depth buffer is precise, its round shapes are tessellated;
so it gives the picture alone. Needs the extra ``synth`` and, on Debian and Ubuntu, libegl1, libgl1-mesa-dri, libgles2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import MissingExtraError
from edgedepth.extras import require
from edgedepth.geometry.plane import FloorPlane
from edgedepth.synthetic.rgb_sensor import RgbSensor, sense
from edgedepth.synthetic.roomscene import RoomScene
from edgedepth.synthetic.scene import Camera
from edgedepth.synthetic.solids import Solid, draw_solids, room_depth
from edgedepth.synthetic.textures import NAMES, make_texture
from edgedepth.types import Frame, Intrinsics

__all__ = ["RoomRenderer", "RoomView", "truth"]

TEXTURE_PX = 128
_VIEW_SEED = 1_000_003
WALL_M = 0.1
_SYSTEM = "It also needs an OpenGL driver: apt-get install libegl1 libgl1-mesa-dri libgles2."


@dataclass(frozen=True, eq=False)
class RoomView:
    """What the camera sees at one time.

    Attributes:
        image: uint8 H x W x 3, as the sensor gives it.
        depth_m: float32 H x W, exact Z.
        person_ids: uint8 H x W; 0 is background, i + 1 is ``scene.people[i]``.
        camera, floor: where it was, and the floor in its frame.
        scene: the room. t_s: when.
    """

    image: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    person_ids: NDArray[np.uint8]
    camera: Camera
    floor: FloorPlane
    scene: RoomScene
    t_s: float

    def frame(self) -> Frame:
        """A frame with the exact depth, the camera's pose and the direction of up."""
        return Frame(
            self.image, self.camera.intrinsics, media_time_s=self.t_s, depth_m=self.depth_m, up=self.camera.up,
            pose=self.camera.pose,
        )  # fmt: skip


class RoomRenderer:
    """Renders rooms, one after the other; the OpenGL context is kept between them.

    One thread makes all calls after the first ``render``. Close it, or use it as a context manager.

    Args:
        samples: of anti-aliasing, per pixel. shadow_px: side of a lamp's shadow map.

    Raises:
        MissingExtraError: MuJoCo is not installed, or there is no OpenGL (on the first render).
    """

    def __init__(self, *, samples: int = 4, shadow_px: int = 512) -> None:
        self._samples, self._shadow_px = samples, shadow_px
        self._gl: Any = None
        self._size_wh: tuple[int, int] | None = None
        self._shown: RoomScene | None = None
        self._context: Any = None

    def __enter__(self) -> RoomRenderer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the context. Another render makes a new one."""
        if self._shown is not None:
            self._context.free()
            self._shown = None
        if self._gl is not None:
            self._gl.free()
            self._gl = None

    def render(self, scene: RoomScene, t_s: float = 0.0, *, sensor: RgbSensor | None = None) -> RoomView:
        """The room at ``t_s`` seconds. ``sensor`` None draws one from the room's seed and view.

        A room that only changed its camera is not loaded again.
        """
        camera, moving = scene.camera(t_s), scene.moving_solids(t_s)
        picture = _without_dots(self._picture(scene, camera, moving))
        depth, ids = truth(scene, camera, moving)
        seed = scene.seed + _VIEW_SEED * scene.view
        sensor = RgbSensor.random(seed) if sensor is None else sensor
        image = sense(picture, sensor, seed=seed, t_s=t_s)
        return RoomView(image, depth.astype(np.float32), ids, camera, scene.floor(t_s), scene, t_s)

    def _picture(self, scene: RoomScene, camera: Camera, moving: Sequence[Solid]) -> NDArray[np.uint8]:
        mujoco = _mujoco()
        if self._gl is None or self._size_wh != camera.intrinsics.size_wh:
            self.close()
            self._size_wh = camera.intrinsics.size_wh
            self._gl = _gl_context(self._size_wh)
        self._gl.make_current()
        if self._shown is None or self._shown.solids is not scene.solids:
            self._load(mujoco, scene)
        self._model.cam_intrinsic[0] = _lens(camera.intrinsics)
        data, first = self._data, len(scene.solids) + 6
        for index, solid in enumerate(moving):
            data.geom_xpos[first + index] = solid.center_m
            data.geom_xmat[first + index] = solid.rotation.ravel()
        T = camera.pose.T_world_camera
        data.cam_xpos[0] = T[:3, 3]
        data.cam_xmat[0] = (T[:3, :3] * (1, -1, -1)).ravel()  # OpenGL: y up, looking along -z
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, self._view, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        width, height = camera.intrinsics.size_wh
        area = mujoco.MjrRect(0, 0, width, height)
        image = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_render(area, self._scene, self._context)
        mujoco.mjr_readPixels(image, None, area, self._context)
        return np.ascontiguousarray(image[::-1])

    def _load(self, mujoco: ModuleType, scene: RoomScene) -> None:
        if self._shown is not None:
            self._context.free()
        still = [*_walls(scene), *scene.solids]
        everything = [*still, *scene.moving_solids(0.0)]
        self._model = mujoco.MjModel.from_xml_string(_xml(scene, everything, self._samples, self._shadow_px))
        rng = np.random.default_rng([scene.seed, 0x7E87])
        for index, name in enumerate(NAMES):
            pixels = make_texture(name, rng, TEXTURE_PX).ravel()
            flat, cube = (int(self._model.tex_adr[2 * index + i]) for i in (0, 1))
            self._model.tex_data[flat : flat + pixels.size] = pixels
            self._model.tex_data[cube : cube + 6 * pixels.size] = np.tile(pixels, 6)
        self._data = mujoco.MjData(self._model)
        mujoco.mj_forward(self._model, self._data)
        for index, solid in enumerate(everything):
            self._data.geom_xpos[index] = solid.center_m
            self._data.geom_xmat[index] = solid.rotation.ravel()
        self._scene = mujoco.MjvScene(self._model, maxgeom=len(everything) + 50)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = 0
        self._option = mujoco.MjvOption()
        self._view = mujoco.MjvCamera()
        self._view.type, self._view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._shown = scene


def truth(scene: RoomScene, camera: Camera, moving: Sequence[Solid]) -> tuple[NDArray[np.floating], NDArray[np.uint8]]:
    """Exact Z, float64 H x W, and the ids of people, without drawing a picture."""
    depth = room_depth(camera, scene.room)
    ids: NDArray[np.uint8] = np.zeros(depth.shape, np.uint8)
    draw_solids(camera, (*scene.solids, *moving), depth, ids)
    return depth, ids


def _without_dots(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take away the dark single pixels that a shadow map leaves on surfaces that meet the light head-on."""
    for _ in range(2):
        median = np.asarray(cv2.medianBlur(picture, 3), np.uint8)
        light, dark = (image.sum(axis=-1, dtype=np.float32) for image in (median, picture))
        picture = np.where((dark < 0.94 * light)[..., None], median, picture)
    return picture


def _mujoco() -> ModuleType:
    return require("mujoco", "synth", note=_SYSTEM)


def _gl_context(size_wh: tuple[int, int]) -> Any:
    # EGL by name: the default of mujoco.GLContext needs a display.
    egl = require("mujoco.egl", "synth", note=_SYSTEM)
    try:
        return egl.GLContext(*size_wh)
    except Exception as error:  # of many classes, PyOpenGL's among them
        raise MissingExtraError(f"no OpenGL context without a display ({error}). {_SYSTEM}") from error


def _walls(scene: RoomScene) -> list[Solid]:
    """Floor, ceiling and four walls as slabs outside the room, their local z towards the inside for the texture."""
    (x0, x1), (y0, y1), h = scene.room.x_m, scene.room.y_m, scene.room.height_m
    mid, half = np.array([(x0 + x1) / 2, (y0 + y1) / 2, h / 2]), np.array([(x1 - x0) / 2, (y1 - y0) / 2, h / 2])
    floor, ceiling, wall = scene.surfaces
    solids = []
    for axis, sign, surface in (
        (2, 1, floor),
        (2, -1, ceiling),
        (0, 1, wall),
        (0, -1, wall),
        (1, 1, wall),
        (1, -1, wall),
    ):
        z = np.zeros(3)
        z[axis] = sign
        x = np.array([1.0, 0, 0]) if axis != 0 else np.array([0, 1.0, 0])
        R = np.stack((x, np.cross(z, x), z), axis=1)
        center = mid - z * (half[axis] + WALL_M)
        size = np.abs(R.T @ half) + WALL_M
        size[2] = WALL_M
        solids.append(Solid("box", center, size, R, surface.look.color, surface.look.texture))
    return solids


def _lens(K: Intrinsics) -> tuple[float, float, float, float]:
    """MuJoCo's ``cam_intrinsic``: focal lengths and shift of the principal point, for a sensor of 1 x 1."""
    shift = (K.width - 1) / 2 - K.cx, K.cy - (K.height - 1) / 2
    return K.fx / K.width, K.fy / K.height, shift[0] / K.width, shift[1] / K.height


def _numbers(values: Any) -> str:
    return " ".join(f"{float(v):.6g}" for v in values)


def _xml(scene: RoomScene, solids: Sequence[Solid], samples: int, shadow_px: int) -> str:
    K = scene.still.intrinsics
    parts = [
        f'<mujoco><visual><global offwidth="{K.width}" offheight="{K.height}"/><map znear="0.1" zfar="20"/>'
        f'<quality shadowsize="{shadow_px}" offsamples="{samples}" numquads="5" numslices="24" numstacks="8"/>'
        f'<headlight ambient="{_numbers(scene.ambient)}" diffuse=".08 .08 .08" specular="0 0 0"/></visual>'
        '<statistic extent="1" center="0 0 0"/><option><flag contact="disable"/></option><asset>'
    ]
    for name in NAMES:
        side = f'width="{TEXTURE_PX}" height='
        parts.append(f'<texture name="{name}" type="2d" builtin="flat" {side}"{TEXTURE_PX}"/>')
        parts.append(f'<texture name="{name}-cube" type="cube" builtin="flat" {side}"{TEXTURE_PX}"/>')
        parts.append(f'<material name="{name}" texture="{name}-cube" specular="0.1" shininess="0.2"/>')
    for index, surface in enumerate(scene.surfaces):
        repeat = f"{surface.repeat_per_m:.4g} {surface.repeat_per_m:.4g}"
        parts.append(
            f'<material name="surface{index}" texture="{surface.look.texture}" texuniform="true" '
            f'texrepeat="{repeat}" specular="0.05"/>'
        )
    parts.append("</asset><worldbody>")
    parts.extend(
        f'<light type="spot" pos="{_numbers(light.position_m)}" dir="{_numbers(light.direction)}" exponent="0.6" '
        f'cutoff="{light.cutoff_deg:g}" attenuation="1 0 0.015" diffuse="{_numbers(light.color)}" '
        f'specular=".15 .15 .15" castshadow="{str(light.shadows).lower()}"/>'
        for light in scene.lights
    )
    lens = _numbers(_lens(K)[:2])
    parts.append(f'<camera name="eye" sensorsize="1 1" resolution="{K.width} {K.height}" focal="{lens}"/>')
    for index, solid in enumerate(solids):
        material = f"surface{min(index, 2)}" if index < 6 else solid.texture
        size = {"box": 3, "ellipsoid": 3}.get(solid.kind)
        half = solid.half_m if size else (solid.half_m[0], solid.half_m[2])
        look = f'material="{material}" ' if material else ""
        parts.append(f'<geom type="{solid.kind}" size="{_numbers(half)}" {look}rgba="{_numbers((*solid.color, 1))}"/>')
    return "".join([*parts, "</worldbody></mujoco>"])
