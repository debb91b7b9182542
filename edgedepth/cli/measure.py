"""``edgedepth measure``: the floor and the heights of one still."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.markup import escape
from rich.table import Table

from edgedepth.cli import options as opt
from edgedepth.cli.app import print_json, print_report
from edgedepth.errors import InputError
from edgedepth.geometry.measurement import Measurement
from edgedepth.geometry.pointcloud import PointCloud
from edgedepth.intrinsics_io import load_intrinsics
from edgedepth.output import PartFile, atomic_output
from edgedepth.people import GivenPeople
from edgedepth.sources.images import read_rgb
from edgedepth.sources.rgbd import MILLIMETRES, read_depth_m
from edgedepth.stream.result import Result
from edgedepth.stream.sinks.picture import ResultPicture
from edgedepth.types import DepthMap, Frame

__all__ = ["measure"]

_CLOUD_WRITERS = {".ply": PointCloud.write_ply, ".pcd": PointCloud.write_pcd}


def measure(
    rgb: Annotated[Path, typer.Option(help="The image.")],
    intrinsics: opt.IntrinsicsOption = None,
    depth: Annotated[
        Path | None, typer.Option(help="Sensor depth: a 16-bit PNG registered to the image, 0 = invalid.")
    ] = None,
    depth_scale: Annotated[float, typer.Option(help="Metres per unit of --depth.")] = MILLIMETRES,
    model: opt.ModelOption = None,
    spec: opt.SpecOption = None,
    backend: opt.BackendOption = None,
    boxes: Annotated[
        str | None, typer.Option(help="The people: x,y,w,h;x,y,w,h;... in pixels, or a JSON file of such lists.")
    ] = None,
    detector: opt.DetectorOption = None,
    camera_height: opt.CameraHeightOption = None,
    camera_pitch: opt.CameraPitchOption = None,
    camera_roll: opt.CameraRollOption = None,
    scale: opt.ScaleOption = None,
    overlay: Annotated[Path | None, typer.Option(help="Draw what was measured onto the image, into this file.")] = None,
    cloud: Annotated[Path | None, typer.Option(help="Write the point cloud to this .ply or .pcd file.")] = None,
    allow_untrained: opt.UntrainedOption = False,
    as_json: opt.JsonOption = False,
) -> None:
    """Measure the floor and the height of the people in one RGB-D or RGB image.

    What cannot be trusted is refused with its reason; that is an answer, not a failure (exit code 0).

    Examples:

    [bold]edgedepth measure --rgb rgb.png --depth depth.png --intrinsics 525,525,319.5,239.5 --json[/]

    [bold]edgedepth measure --rgb rgb.png --model bundle/ --intrinsics camera.yaml --camera-height 1.4[/]
    """
    if (depth is None) == (model is None):
        raise InputError("give the depth either as an image (--depth) or by a network (--model), one of the two")
    if boxes is not None and detector is not None:
        raise InputError("--boxes and --detector both say who is in the image; give one of them")
    if intrinsics is None:
        raise InputError("heights need the camera: give --intrinsics (a file, fx,fy,cx,cy or hfov=DEGREES)")
    if cloud is not None and cloud.suffix.lower() not in _CLOUD_WRITERS:
        raise InputError(f"--cloud takes a name ending in .ply or .pcd, found {cloud}")
    if overlay is not None and not (overlay.suffix and cv2.haveImageWriter(f"image{overlay.suffix}")):
        raise InputError(f"--overlay takes the name of an image, such as heights.png, found {overlay}")
    opt.refuse_overwrites(
        {"--rgb": rgb, "--depth": depth, "--model": model, "--spec": spec, "--intrinsics": intrinsics},
        {"--overlay": overlay, "--cloud": cloud},
    )
    for output in (overlay, cloud):
        if output is not None:
            PartFile(output).discard()  # a place that cannot be written to is told before any work
    up = opt.parse_tilt(camera_pitch, camera_roll)
    frame = _read_frame(rgb, depth, depth_scale, intrinsics)
    given = GivenPeople(opt.parse_boxes(boxes)) if boxes is not None else None
    with (
        opt.open_estimator(
            model, spec, backend, scale=opt.parse_scale(scale), allow_untrained=allow_untrained
        ) as estimator,
        closing(given or opt.make_finder(detector, estimator)) as finder,
    ):
        meter = opt.make_meter(estimator, finder, camera_height_m=camera_height, up=up, scaled=scale is not None)
        depth_map = estimator.estimate(frame)
        measurement = meter.measure(frame, depth_map)
    if overlay is not None:
        _write_overlay(overlay, Result(frame, depth_map, measurement, published_ns=time.monotonic_ns()))
    if cloud is not None:
        _write_cloud(cloud, frame, depth_map, measurement)
    if as_json:
        print_json(measurement.as_dict())
    else:
        _print(measurement)


def _read_frame(rgb: Path, depth: Path | None, depth_scale: float, intrinsics: str) -> Frame:
    for path in (rgb, depth):
        if path is not None and not path.is_file():
            raise InputError(f"no image at {path}; check the path")
    image = read_rgb(rgb, upright=depth is None)
    size_wh = image.shape[1], image.shape[0]
    depth_m = None
    if depth is not None:
        if not 0 < depth_scale < 1:
            raise InputError(f"--depth-scale is metres per unit of the depth image, such as 0.001, found {depth_scale}")
        depth_m = read_depth_m(depth, depth_scale)
    camera = load_intrinsics(intrinsics, size_wh=size_wh)
    return Frame(
        image=image,
        intrinsics=camera,
        timestamp_ns=time.monotonic_ns(),
        wall_time_ns=time.time_ns(),
        depth_m=depth_m,
        source=str(rgb),
    )


def _write_overlay(path: Path, result: Result) -> None:
    _, encoded = cv2.imencode(path.suffix, ResultPicture(result.frame.size_wh).draw(result))
    with atomic_output(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _write_cloud(path: Path, frame: Frame, depth: DepthMap, measurement: Measurement) -> None:
    metric = depth if measurement.scale == 1 else depth.scaled(measurement.scale)
    _CLOUD_WRITERS[path.suffix.lower()](PointCloud.from_depth(metric, frame.image), path)


def _print(measurement: Measurement) -> None:
    floor = measurement.floor
    if floor is None:
        print_report(f"no floor: {measurement.floor_refused}")
    else:
        print_report(
            f"floor: camera {floor.camera_height_m:.3f} m above it, pitch {floor.pitch_deg:.1f}, "
            f"roll {floor.roll_deg:.1f} degrees, rms {floor.inlier_rms_m * 1000:.1f} mm",
        )
    if not measurement.notable:
        print_report("no people found")
        return
    table = Table("#", "height", "95 %", "distance", "what", "notes", box=None, pad_edge=False)
    for number, person in enumerate(measurement.notable, 1):
        if person.height_m is None or person.interval_m is None:
            height, interval = "refused", ""
        else:
            height, interval = f"{person.height_m:.3f} m", f"{person.interval_m[0]:.2f} - {person.interval_m[1]:.2f}"
        distance = f"{person.distance_m:.2f} m" if person.distance_m else ""
        notes = "; ".join(filter(None, [person.refused, *person.flags]))
        table.add_row(str(number), height, interval, distance, person.label, escape(notes))
    print_report(table)
