"""The picture agrees with the closed-form truth, nothing is black, and the same seed gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgedepth.cli.verbs import app
from edgedepth.errors import InputError, OutputError
from edgedepth.sources import open_source
from edgedepth.synthetic.mujoco_renderer import RoomRenderer
from edgedepth.synthetic.people import Figure
from edgedepth.synthetic.recording import DEPTH_SCALE_M, SynthOptions, write_recording
from edgedepth.synthetic.rgb_sensor import RgbSensor
from edgedepth.synthetic.rooms import room_scene
from edgedepth.synthetic.scene import Person

pytest.importorskip("mujoco")
SMALL = {"width": 160, "height": 120}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_picture_shows_a_person_where_the_mask_is() -> None:
    """Someone all in saturated red in a room without red: red pixels against the closed-form mask."""
    red = (1.0, 0.0, 0.0)
    colours = dict.fromkeys(("skin", "shirt", "trousers", "hair", "shoes"), red)
    scene = room_scene(5, width=320, height=240, people=0)
    camera = replace(scene.still, height_m=1.2, pitch_deg=12.0, roll_deg=7.0)
    yaw = np.radians(camera.yaw_deg)
    at = camera.x_m + 2.4 * np.sin(yaw), camera.y_m + 2.4 * np.cos(yaw)
    solids = tuple(replace(solid, color=(0.7, 0.7, 0.7), texture="") for solid in scene.solids)
    surfaces = tuple(replace(one, look=replace(one.look, color=(0.7, 0.7, 0.7))) for one in scene.surfaces)
    figure = Figure(Person(1.6, (at,)), **colours)  # type: ignore[arg-type]
    scene = replace(scene, still=camera, sway_m=0.0, sway_deg=0.0, solids=solids, surfaces=surfaces, people=(figure,))
    with RoomRenderer() as renderer:
        view = renderer.render(scene, sensor=RgbSensor())
    image = view.image.astype(int)
    is_red = image[..., 0] > 1.6 * np.maximum(image[..., 1], image[..., 2]) + 4
    mask = view.person_ids == 1
    assert mask.sum() > 3000
    assert (is_red & mask).sum() / (is_red | mask).sum() > 0.96
    # No shift: a pixel to any side fits worse.
    best = max(
        ((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)),
        key=lambda d: (is_red & np.roll(mask, d, (0, 1))).sum() / (is_red | np.roll(mask, d, (0, 1))).sum(),
    )
    assert best == (0, 0)


def test_rooms_are_lit_and_have_something_in_them() -> None:
    with RoomRenderer() as renderer:
        for seed in range(12):
            image = renderer.render(room_scene(seed, **SMALL)).image
            assert 40 < image.mean() < 200 and image.std() > 12, seed


def test_a_renderer_that_was_used_before_gives_the_same_picture() -> None:
    first, second = room_scene(3, **SMALL), room_scene(4, **SMALL)
    with RoomRenderer() as renderer:
        renderer.render(second)
        again = [renderer.render(first, t).image for t in (0.0, 0.5)]
    with RoomRenderer() as renderer:
        fresh = [renderer.render(first, t).image for t in (0.0, 0.5)]
    assert all((a == b).all() for a, b in zip(again, fresh, strict=True))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    options = SynthOptions(4, seed=7, per_room=2, noisy_depth=True, **SMALL)
    write_recording(tmp_path / "one", options)
    write_recording(tmp_path / "two", options)
    one = digests(tmp_path / "one")
    assert len(one) == 13 and one == digests(tmp_path / "two")
    write_recording(tmp_path / "other", replace(options, seed=70))
    other = digests(tmp_path / "other")
    assert not {one[name] for name in one if name.startswith("rgb")} & set(other.values())


def test_the_bytes_do_not_depend_on_how_many_render(tmp_path: Path) -> None:
    options = SynthOptions(21, seed=50, views=2, **SMALL)  # 11 rooms: two processes' worth
    write_recording(tmp_path / "one", options)
    write_recording(tmp_path / "two", options, workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def maps_of(pid: str) -> str:
    """The files that a spawned process has loaded; "" before it runs a program of its own, and once it is gone."""
    with suppress(OSError):
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return Path(f"/proc/{pid}/maps").read_text()
    return ""


# A terminal sends Ctrl-C to all of them; who supervises a service, SIGTERM to the first.
@pytest.mark.parametrize(("send", "number", "code"), [(os.killpg, signal.SIGINT, 130), (os.kill, signal.SIGTERM, 143)])
def test_a_signal_ends_every_process_and_leaves_nothing(
    tmp_path: Path, send: Callable[[int, int], None], number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "edgedepth", "synth", "-n", "4000", "--workers", "2", "-o", tmp_path / "rooms"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    while not any("numpy" in maps_of(child) for child in children.read_text().split()):  # one has begun to import
        assert running.poll() is None
        time.sleep(0.02)
    send(running.pid, number)
    said, _ = running.communicate()
    assert b"Traceback" not in said, said
    assert running.returncode == code
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_read_back_as_it_was_rendered(tmp_path: Path) -> None:
    folder = tmp_path / "rooms"
    done = CliRunner().invoke(
        app, ["synth", "-n", "2", "--per-room", "2", "-s", "5", "--people", "2", "--size", "160x120", "-o", str(folder)]
    )
    assert done.exit_code == 0, done.output
    scene = room_scene(5, people=2, **SMALL)
    entries = json.loads((folder / "manifest.json").read_text())
    with RoomRenderer() as renderer, open_source(str(folder)) as source:
        for index, entry in enumerate(entries):
            view, frame = renderer.render(scene, index / 30), source.read(10.0)
            assert (frame.image == view.image).all()
            assert np.abs(frame.depth_m - view.depth_m).max() <= DEPTH_SCALE_M / 2 + 1e-6
            np.testing.assert_allclose(frame.pose.T_world_camera, view.camera.pose.T_world_camera)
            np.testing.assert_allclose(frame.up, view.camera.up)
            assert frame.intrinsics == view.camera.intrinsics
            mask = cv2.imread(str(folder / entry["mask"]), cv2.IMREAD_UNCHANGED)
            assert (mask == view.person_ids).all()
            assert [p["stature_m"] for p in entry["people"]] == [figure.stature_m for figure in scene.people]
            assert entry["floor"]["offset_m"] == pytest.approx(view.camera.height_m)


def test_a_room_streams_live_and_from_its_seed() -> None:
    with open_source("synthetic://room?seed=7&width=160&height=120&seconds=1") as source:
        one = [source.read(10.0) for _ in range(3)]
    with open_source("synthetic://room?seed=7&width=160&height=120&seconds=1&live=1") as live:
        assert live.read(10.0).depth_m is not None
    with RoomRenderer() as renderer:
        again = renderer.render(room_scene(7, **SMALL), 2 / 30)
    assert (one[2].image == again.image).all() and (one[2].depth_m == again.depth_m).all()


def test_what_cannot_be_rendered_is_refused(tmp_path: Path) -> None:
    for options, words in (
        ({"frames": 0}, "1 or more frames, found 0"),
        ({"per_room": 0}, "1 or more frames per camera, found 0"),
        ({"views": -1}, "1 or more cameras per room, found -1"),
        ({"fps": math.nan}, "frames per second, found nan"),
        ({"fps": math.inf}, "frames per second, found inf"),
        ({"width": 31}, "32 to 4096 pixels a side, found 31x480"),
        ({"height": 100_000}, "32 to 4096 pixels a side, found 640x100000"),
    ):
        with pytest.raises(InputError, match=words):
            SynthOptions(**({"frames": 1} | options))
    with pytest.raises(InputError, match="setting people"):
        open_source("synthetic://room?people=4")
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        write_recording(tmp_path / "there", SynthOptions(1))
    with pytest.raises(InputError, match="1 process or more"):
        write_recording(tmp_path / "none", SynthOptions(1), workers=0)
    assert not (tmp_path / "none").exists()
