"""Floor, people and heights in real captures, against what their publishers say of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgedepth.backends.factory import open_backend
from edgedepth.geometry.measurement import HeightMeasurement
from edgedepth.geometry.plane import FloorPlane
from edgedepth.people.base import PersonFinder
from edgedepth.people.detector import DetectorFinder
from edgedepth.people.geometric import GeometricFinder
from edgedepth.people.given import GivenPeople
from edgedepth.people.measure import HeightMeter
from edgedepth.types import DepthKind, DepthMap, Frame, Intrinsics

FINDERS = ["yolox", "fastestdet", "geometric", "given"]
NETS = {"yolox": "yolox_nano/yolox_nano.onnx", "fastestdet": "fastestdet/FastestDet.onnx"}


def entry(realdata: Path, name: str) -> dict[str, Any]:
    return next(e for e in json.loads((realdata / "manifest.json").read_text()) if e["id"] == name)


def load(realdata: Path, name: str) -> tuple[Frame, DepthMap]:
    e = entry(realdata, name)
    image = cv2.cvtColor(cv2.imread(str(realdata / e["rgb"])), cv2.COLOR_BGR2RGB)
    depth_m = cv2.imread(str(realdata / e["depth"]), cv2.IMREAD_UNCHANGED).astype(np.float32)
    depth_m *= np.float32(e["depth_scale_m"])
    depth_m[depth_m == 0] = np.nan
    camera = Intrinsics(*e["rgb_wh"], **e["K"])
    return Frame(image, camera, depth_m=depth_m), DepthMap(depth_m, DepthKind.METRIC, camera)


@pytest.fixture(scope="module")
def finders(realdata: Path) -> Iterator[dict[str, PersonFinder]]:
    backends = {name: open_backend(realdata / "nets" / path) for name, path in NETS.items()}
    boxes = [person["box_xywh"] for person in entry(realdata, "pcl_five_people")["people_reference"]]
    found: dict[str, PersonFinder] = {name: DetectorFinder(backend) for name, backend in backends.items()}
    yield {**found, "geometric": GeometricFinder(), "given": GivenPeople(boxes)}
    for backend in backends.values():
        backend.close()


def published_floor(e: dict[str, Any]) -> FloorPlane:
    plane = -np.array(e["ground_plane_abcd"])  # published pointing down
    length = float(np.linalg.norm(plane[:3]))
    nx, ny, nz = (float(v) for v in plane[:3] / length)
    return FloorPlane((nx, ny, nz), float(plane[3]) / length)


def matched(people: list[HeightMeasurement], references: list[dict[str, Any]]) -> list[HeightMeasurement]:
    """The measurement of each reference person, by the box's middle."""
    middles = np.array([p.box_xywh[0] + p.box_xywh[2] / 2 for p in people])
    order = [int(np.abs(middles - (r["box_xywh"][0] + r["box_xywh"][2] / 2)).argmin()) for r in references]
    assert sorted(order) == list(range(len(people)))
    return [people[i] for i in order]


def people_of(measurement: Any) -> list[HeightMeasurement]:
    return [p for p in measurement.people if p.label == "person"]


@pytest.mark.parametrize("name", FINDERS)
def test_five_people_over_the_published_floor(realdata: Path, finders: dict[str, PersonFinder], name: str) -> None:
    e = entry(realdata, "pcl_five_people")
    meter = HeightMeter(finders[name], floor=published_floor(e))
    found = people_of(meter.measure(*load(realdata, "pcl_five_people")))
    assert len(found) == 5
    for person, reference in zip(matched(found, e["people_reference"]), e["people_reference"], strict=True):
        assert person.refused is None
        assert person.height_m is not None
        assert reference["top_above_floor_p99_m"] <= person.height_m <= reference["top_above_floor_max_m"] + 0.01
        assert person.distance_m == pytest.approx(reference["median_z_m"], abs=0.1)


@pytest.mark.parametrize("name", FINDERS)
def test_five_people_over_the_fitted_floor(realdata: Path, finders: dict[str, PersonFinder], name: str) -> None:
    """The published plane was set by hand; the depth's own floor lies below it where the people stand."""
    e = entry(realdata, "pcl_five_people")
    frame, depth = load(realdata, "pcl_five_people")
    measurement = HeightMeter(finders[name]).measure(frame, depth)
    assert measurement.scale_source == "sensor"
    assert measurement.floor is not None
    published = published_floor(e)
    angle = np.degrees(np.arccos(np.dot(measurement.floor.normal, published.normal)))
    assert angle < 1.5
    assert measurement.floor.camera_height_m == pytest.approx(published.camera_height_m, abs=0.03)
    found = people_of(measurement)
    assert len(found) == 5
    for person, reference in zip(matched(found, e["people_reference"]), e["people_reference"], strict=True):
        assert person.height_m is not None
        assert person.sigma_m is not None
        assert reference["top_above_floor_p99_m"] <= person.height_m <= reference["top_above_floor_max_m"] + 0.01
        assert 0.003 < person.sigma_m < 0.03
        assert person.interval_m is not None
        assert person.interval_m[0] - 0.01 < reference["top_above_floor_max_m"] < person.interval_m[1] + 0.01


def test_feet_out_of_view_are_flagged(realdata: Path, finders: dict[str, PersonFinder]) -> None:
    """The nearest two stand 2.0 and 1.8 m away: the floor under them lies below the image."""
    e = entry(realdata, "pcl_five_people")
    found = people_of(HeightMeter(finders["yolox"]).measure(*load(realdata, "pcl_five_people")))
    flags = [p.flags for p in matched(found, e["people_reference"])]
    assert ["feet_not_visible" in f for f in flags] == [True, False, False, False, True]


def test_robot_camera_sees_no_people(realdata: Path, finders: dict[str, PersonFinder]) -> None:
    frame, depth = load(realdata, "rtabmap_17")
    by_net = HeightMeter(finders["yolox"]).measure(frame, depth)
    assert by_net.people == ()
    assert by_net.floor is not None
    assert by_net.floor.camera_height_m == pytest.approx(0.415, abs=0.02)
    # The mount says 3.437 degrees; its depth says that the camera looks up by as much.
    assert by_net.floor.pitch_deg == pytest.approx(-3.437, abs=0.5)
    by_shape = HeightMeter(finders["geometric"]).measure(frame, depth)
    assert by_shape.people
    assert {p.label for p in by_shape.people} == {"upright_object"}


@pytest.mark.parametrize("name", ["yolox", "fastestdet"])
def test_a_head_out_of_the_picture_is_refused(realdata: Path, finders: dict[str, PersonFinder], name: str) -> None:
    (person,) = HeightMeter(finders[name]).measure(*load(realdata, "lingbot_3")).people
    assert person.height_m is None
    assert person.refused is not None
    assert person.refused.startswith("crown_cut_off: ")


@pytest.mark.parametrize("scene", ["lingbot_0", "lingbot_3", "lingbot_5", "redwood_00000", "redwood_00004", "tum_o3d"])
def test_nobody_is_measured_where_nobody_stands(realdata: Path, finders: dict[str, PersonFinder], scene: str) -> None:
    frame, depth = load(realdata, scene)
    for name in ("yolox", "fastestdet", "geometric"):
        found = people_of(HeightMeter(finders[name]).measure(frame, depth))
        assert [p.height_m for p in found if p.height_m is not None] == []


def test_half_the_resolution_gives_the_same_heights(realdata: Path, finders: dict[str, PersonFinder]) -> None:
    """Depth smaller than the frame, as a network's own grid is."""
    e = entry(realdata, "pcl_five_people")
    frame, depth = load(realdata, "pcl_five_people")
    full = matched(people_of(HeightMeter(finders["yolox"]).measure(frame, depth)), e["people_reference"])
    # Every second pixel: pixel j of the small map is pixel 2 j of the large one.
    k = e["K"]
    camera = Intrinsics(320, 240, k["fx"] / 2, k["fy"] / 2, k["cx"] / 2, k["cy"] / 2)
    small = DepthMap(np.ascontiguousarray(depth.values[::2, ::2]), DepthKind.METRIC, camera)
    half = matched(
        people_of(HeightMeter(finders["yolox"], origin="sensor").measure(frame, small)), e["people_reference"]
    )
    for a, b in zip(full, half, strict=True):
        assert a.height_m is not None
        assert b.height_m == pytest.approx(a.height_m, abs=0.015)  # a pixel is 7 to 10 mm


def test_a_wrong_scale_is_put_right_by_the_camera_s_height(realdata: Path, finders: dict[str, PersonFinder]) -> None:
    e = entry(realdata, "pcl_five_people")
    frame, depth = load(realdata, "pcl_five_people")
    truth = HeightMeter(finders["yolox"]).measure(frame, depth)
    assert truth.floor is not None
    relative = DepthMap(depth.values * np.float32(0.37), DepthKind.RELATIVE_DEPTH, depth.intrinsics)
    meter = HeightMeter(finders["yolox"], camera_height_m=truth.floor.camera_height_m, origin="sensor")
    scaled = meter.measure(frame, relative)
    assert scaled.scale_source == "camera_height"
    assert scaled.scale == pytest.approx(1 / 0.37, rel=0.005)
    for a, b in zip(
        matched(people_of(truth), e["people_reference"]),
        matched(people_of(scaled), e["people_reference"]),
        strict=True,
    ):
        assert b.height_m == pytest.approx(a.height_m, abs=0.012)
