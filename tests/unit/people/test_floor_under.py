"""The floor beside the feet, where the room's floor is no plane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgedepth.people.given import GivenPeople
from edgedepth.people.measure import HeightMeter
from edgedepth.people.scene import Scene
from edgedepth.synthetic.render import render
from edgedepth.synthetic.scene import Box, Camera, Person
from edgedepth.synthetic.scene import Scene as World
from edgedepth.types import Intrinsics

STATURE_M, STEP_M = 1.6, 0.012


@pytest.fixture(scope="module")
def world() -> World:
    """Someone in a wide room, on a mat of 1 m x 1 m that is 12 mm thick: the plane of the room is below the mat."""
    camera = Camera(Intrinsics(640, 480, 460, 460, 319.5, 239.5), height_m=1.4, pitch_deg=12.0)
    mat = Box((0.0, 2.5, STEP_M / 2), (1.0, 1.0, STEP_M))
    return World(camera, (Person(STATURE_M, ((0.0, 2.5),)),), (mat,))


def height(world: World, meter: HeightMeter) -> float:
    seen = render(world)
    (person,) = meter.measure(seen.frame(), seen.depth).people
    assert person.height_m is not None, person.refused
    return person.height_m


def boxes(world: World) -> GivenPeople:
    return GivenPeople(masks=[render(world).mask(0)])


def test_height_is_above_the_floor_beside_the_feet(world: World) -> None:
    # The rendered person stands on the room's floor and the mat hides that: 1.6 m less the mat's thickness are above
    # it. Half way out, where the kernel still reaches, the mat ends.
    assert height(world, HeightMeter(boxes(world))) == pytest.approx(STATURE_M - STEP_M, abs=0.004)


def test_a_plane_that_was_given_is_taken_as_it_is(world: World) -> None:
    fitted = HeightMeter(boxes(world)).measure(render(world).frame(), render(world).depth).floor
    assert fitted is not None
    given = replace(fitted, normal=world.camera.up, offset_m=1.4, source="given")
    assert height(world, HeightMeter(boxes(world), floor=given)) == pytest.approx(STATURE_M, abs=0.003)


def test_the_plane_stays_where_no_floor_is_seen(world: World) -> None:
    seen = render(world)
    floor = HeightMeter(boxes(world)).measure(seen.frame(), seen.depth).floor
    assert floor is not None
    blind = replace(seen.depth, values=np.where(seen.mask(0), seen.depth_m, np.float32(np.nan)))
    assert Scene.build(blind, floor).floor_under(seen.mask(0)) == floor
