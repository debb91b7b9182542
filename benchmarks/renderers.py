"""Frames per second and exactness of what can draw rooms without a GPU: python benchmarks/renderers.py

MuJoCo (EGL, software Mesa where there is no GPU) draws the picture of a seeded room; closed forms give Z. For
comparison: MuJoCo's own depth buffer, the small analytic renderer, and Mitsuba (scalar, 8 samples) when it is
installed; Mitsuba draws an empty room with one sphere, far less than the others do.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from record import Record, rounded

from edgedepth.synthetic.mujoco_renderer import RoomRenderer, truth
from edgedepth.synthetic.render import Renderer
from edgedepth.synthetic.rooms import room_scene
from edgedepth.synthetic.scene import default_scene

SIZES = ((256, 192), (320, 240), (640, 480))


def rate(step: Callable[[int], object], frames: int) -> float:
    """Calls per second after one to warm up."""
    step(0)
    start = time.perf_counter()
    for index in range(1, frames + 1):
        step(index)
    return frames / (time.perf_counter() - start)


def sphere_error_mm(slices: int) -> dict[str, float]:
    """MuJoCo's depth buffer against the closed forms of a floor and a sphere of 0.3 m."""
    import mujoco
    from mujoco import egl

    width, height, fovy = 640, 480, 55.0
    xml = f"""<mujoco><visual><global offwidth="{width}" offheight="{height}"/><map znear="0.1" zfar="20"/>
      <quality offsamples="0" numslices="{slices}" numstacks="{slices // 2}"/></visual><statistic extent="1"/>
      <worldbody>
      <geom type="plane" size="10 10 .1"/><geom type="sphere" size=".3" pos="0 2.5 1"/>
      <camera name="c" pos="0 0 1.2" xyaxes="1 0 0 0 0 1" fovy="{fovy}"/></worldbody></mujoco>"""
    model = mujoco.MjModel.from_xml_string(xml)
    data, gl = mujoco.MjData(model), egl.GLContext(width, height)
    gl.make_current()
    mujoco.mj_forward(model, data)
    context, scene = mujoco.MjrContext(model, 100), mujoco.MjvScene(model, 10)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    camera = mujoco.MjvCamera()
    camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
    mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
    area, buffer = mujoco.MjrRect(0, 0, width, height), np.empty((height, width), np.float32)
    mujoco.mjr_render(area, scene, context)
    mujoco.mjr_readPixels(None, buffer, area, context)
    near, far = 0.1, 20.0
    z = near * far / (far - buffer[::-1].astype(float) * (far - near))
    f = height / 2 / np.tan(np.radians(fovy / 2))
    v, u = np.mgrid[:height, :width]
    x, y = (u + 0.5 - width / 2) / f, (v + 0.5 - height / 2) / f
    a, b, c = x * x + y * y + 1, y * 0.2 + 2.5, 0.2**2 + 2.5**2 - 0.3**2
    root = b * b - a * c
    inside = root > 0.02  # away from the silhouette, where a facet more or less is everything
    sphere = (b - np.sqrt(np.where(root > 0, root, np.nan))) / a
    below = (y > 0.2) & (root < -0.02)
    errors = {
        "sphere_max_mm": float(np.abs(z - sphere)[inside].max() * 1e3),
        "floor_max_mm": float(np.abs(z - 1.2 / y)[below].max() * 1e3),
    }
    context.free()
    gl.free()
    return errors


def mitsuba_rate(width: int, height: int, frames: int) -> float | None:
    """Path tracing, 8 samples, or None where it is not installed."""
    if importlib.util.find_spec("mitsuba") is None:
        return None
    import mitsuba as mi

    mi.set_variant("scalar_rgb")
    to_world = mi.ScalarTransform4f()
    scene = mi.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 4},
        "floor": {"type": "rectangle", "to_world": to_world.scale([10, 10, 1])},
        "ball": {"type": "sphere", "center": [0, 2.5, 1], "radius": 0.3},
        "lamp": {"type": "rectangle", "to_world": to_world.translate([0, 2, 3]).rotate([1, 0, 0], 180),
                 "emitter": {"type": "area", "radiance": {"type": "rgb", "value": 5}}},
        "eye": {"type": "perspective", "fov": 60,
                "to_world": to_world.look_at([0, 0, 1.2], [0, 1, 1.2], [0, 0, 1]),
                "film": {"type": "hdrfilm", "width": width, "height": height},
                "sampler": {"type": "independent", "sample_count": 8}},
    })  # fmt: skip
    return rate(lambda i: np.array(mi.render(scene, seed=i)), frames)


def rates(width: int, height: int, frames: int) -> dict[str, float | None]:
    """Frames per second of everything at one size."""
    found: dict[str, float | None] = {}
    one, analytic = room_scene(7, width=width, height=height), Renderer(default_scene(width, height))
    for samples in (0, 4):
        with RoomRenderer(samples=samples) as renderer:
            found[f"mujoco_{samples}_samples_fresh_room_fps"] = rate(
                lambda i, draw=renderer.render: draw(room_scene(i, width=width, height=height)), frames
            )
            found[f"mujoco_{samples}_samples_one_room_fps"] = rate(
                lambda i, draw=renderer.render: draw(one, i / 30), frames
            )
    found["closed_form_depth_and_masks_fps"] = rate(
        lambda i: truth(one, one.camera(i / 30), one.moving_solids(i / 30)), frames
    )
    found["analytic_fps"] = rate(lambda i: analytic.render(i / 30), frames)
    found["mitsuba_8_samples_fps"] = mitsuba_rate(width, height, 2)
    return found


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    record = Record(
        "renderers", arguments.output, file_name="renderers-{device}-{date}.json",
        packages=("mujoco", "numpy", "opencv-python-headless", "mitsuba"),
    )  # fmt: skip
    results: dict[str, Any] = {f"{width}x{height}": rates(width, height, arguments.frames) for width, height in SIZES}
    results["mujoco_depth_buffer"] = {f"{slices} slices": sphere_error_mm(slices) for slices in (28, 128)}
    record.write({"frames": arguments.frames}, rounded(results))


if __name__ == "__main__":
    main()
