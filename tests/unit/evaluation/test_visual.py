"""Figures show what they say: colours at pixels, bars in metres, curves of a log."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib")

from edgedepth.depth.colormap import DepthColormap
from edgedepth.errors import InputError
from edgedepth.evaluation.visual import (
    cloud_figure,
    depth_figure,
    draw_error,
    encode_figure,
    make_figure,
    save_figure,
    training_figure,
)
from edgedepth.geometry import PointCloud
from edgedepth.types import DepthKind, DepthMap, Intrinsics

RAMP = np.tile(np.linspace(0.5, 4.5, 80, dtype=np.float32), (60, 1))


def pixels(encoded: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_the_colours_are_those_of_the_video_and_the_bar_is_in_metres() -> None:
    depth = RAMP.copy()
    depth[:20] = np.nan
    figure = depth_figure(DepthMap(depth, DepthKind.METRIC), range_m=(0.0, 5.0))
    drawn = figure.axes[0].images[0]
    colours = drawn.to_rgba(drawn.get_array(), bytes=True)[..., :3].astype(int)
    expected = DepthColormap(0.0, 5.0)(depth)[..., ::-1].astype(int)
    assert np.abs(colours - expected).max() <= 8  # the two round to one of 255 colours, one apart at most
    assert (colours[:20] == 0).all()
    bar = figure.axes[0].child_axes[0]
    assert bar.get_ylabel() == "m"
    assert drawn.get_clim() == (0.0, 5.0)
    assert pixels(encode_figure(figure)).std() > 20


def test_disparity_is_near_where_it_is_large() -> None:
    figure = depth_figure(DepthMap(RAMP, DepthKind.DISPARITY), np.zeros((60, 80, 3), np.uint8))
    drawn = figure.axes[1].images[0]
    near, far = drawn.to_rgba(np.array([4.4, 0.6]))[:, :3]
    assert near[0] > near[2]  # warm
    assert far[2] > far[0]
    assert figure.axes[1].child_axes[0].get_ylabel() == "disparity"
    with pytest.raises(InputError, match="too few valid pixels"):
        depth_figure(DepthMap(np.full((5, 5), np.nan, np.float32), DepthKind.METRIC))


def test_errors_are_in_per_cent_of_the_truth() -> None:
    truth = np.full((4, 4), 2.0)
    truth[0, 0] = np.nan
    found = np.full((4, 4), 2.5)
    found[1, 1], found[2, 2] = 1.0, np.nan
    figure = make_figure(3, 3)
    axes = figure.subplots()
    draw_error(axes, found, truth)
    values = axes.images[0].get_array()
    assert values[3, 3] == pytest.approx(25)
    assert values[1, 1] == pytest.approx(-50)
    assert values.mask[0, 0]
    assert values.mask[2, 2]
    red, _, blue, _ = axes.images[0].to_rgba(np.array([40.0]))[0]
    assert red > blue, "too far is red"


def test_a_cloud_is_thinned_and_up_is_up() -> None:
    depth = DepthMap(RAMP, DepthKind.METRIC, Intrinsics(80, 60, 70, 70, 39.5, 29.5))
    cloud = PointCloud.from_depth(depth, np.full((60, 80, 3), 200, np.uint8))
    figure = cloud_figure(cloud, most_points=500)
    x, z, up = figure.axes[0].collections[0]._offsets3d
    assert 400 < len(x) <= 500
    np.testing.assert_allclose(np.stack([x, -up, z], 1), cloud.xyz_m[:: -(-len(cloud) // 500)], rtol=1e-6)
    assert pixels(encode_figure(figure, dpi=40)).std() > 1
    with pytest.raises(InputError, match="no point"):
        cloud_figure(PointCloud(np.empty((0, 3), np.float32)))


def test_training_curves_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "curve.csv"
    log.write_text(  # as a training writes it; validation has rows of its own
        "step,stage,epoch,lr,loss,ssim_log,l1_inverse,val_delta1\n"
        "1,all,1,1e-4,2.0,1.0,0.3,\n2,all,1,2e-4,1.0,0.5,0.2,\n2,all,1,,,,,0.7\n3,all,2,1e-4,0.5,0.1,0.1,\n"
    )
    figure = training_figure(log)
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert set(panels) == {"loss", "lr", "val_delta1"}
    total, *terms = panels["loss"].lines
    assert total.get_xydata().tolist() == [[1, 2], [2, 1], [3, 0.5]]
    assert [line.get_label() for line in terms] == ["ssim_log", "l1_inverse"]
    assert panels["loss"].get_yscale() == "log"
    assert panels["val_delta1"].lines[0].get_xydata().tolist() == [[2, 0.7]]
    out = tmp_path / "curves.svg"
    save_figure(figure, out)
    assert b"<svg" in out.read_bytes()
    assert encode_figure(figure, "svg") == encode_figure(figure, "svg")


@pytest.mark.parametrize("text", ["", "step\n1\n", "loss,delta1\n1,2\n", "step,note\n1,a\n"])
def test_a_log_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    log = tmp_path / "log.csv"
    log.write_text(text)
    with pytest.raises(InputError, match="expected a CSV with step"):
        training_figure(log)
    with pytest.raises(InputError, match="no training log"):
        training_figure(tmp_path / "none.csv")


def test_only_formats_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png or \.svg, found .*x\.bmp"):
        save_figure(make_figure(1, 1), tmp_path / "x.bmp")
    assert io.BytesIO(encode_figure(make_figure(1, 1))).read(4) == b"\x89PNG"


def test_a_rerun_recording_has_camera_image_and_both_depths(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="needs the extra rerun")
    from edgedepth.evaluation.plots import Example
    from edgedepth.evaluation.report import FrameRecord
    from edgedepth.evaluation.rerun_log import write_examples

    camera = Intrinsics(80, 60, 70, 70, 39.5, 29.5)
    image = np.zeros((60, 80, 3), np.uint8)
    record = FrameRecord(id="room", group="g", absrel=0.1)
    out = tmp_path / "worst.rrd"
    write_examples(out, [Example(record, image, DepthMap(RAMP, DepthKind.METRIC, camera), RAMP)])
    data = out.read_bytes()
    assert data.startswith(b"RRF")
    for part in (b"found/camera/depth", b"truth/camera/image", b"Pinhole"):
        assert part in data
    with pytest.raises(InputError, match="metric depth"):
        write_examples(out, [Example(record, image, DepthMap(RAMP, DepthKind.ORDINAL))])
