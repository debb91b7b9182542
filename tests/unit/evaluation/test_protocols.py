"""The rectangles and ranges of the published protocols, as index ranges."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.data import KINDS
from edgedepth.errors import InputError
from edgedepth.evaluation.protocols import PROTOCOLS, find_protocol


def box(name: str, height: int, width: int) -> tuple[int, int, int, int]:
    mask = PROTOCOLS[name].mask(height, width)
    assert mask is not None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def test_the_eigen_crop_of_nyu() -> None:
    assert box("nyu", 480, 640) == (45, 471, 41, 601)
    with pytest.raises(InputError, match="of 640x480 images and this one is 320x240"):
        PROTOCOLS["nyu"].mask(240, 320)


@pytest.mark.parametrize(
    ("name", "rows"),
    [("kitti-garg", (153, 371)), ("kitti-eigen", (124, 342))],
)
def test_the_crops_of_kitti(name: str, rows: tuple[int, int]) -> None:
    # 375 x 1242 is the size the fractions were made for; Garg's are printed as 153:371, 44:1197 in evaluation code.
    assert box(name, 375, 1242) == (*rows, 44, 1197)


def test_the_crops_of_the_other_kitti_sizes_are_rounded_down() -> None:
    assert box("kitti-garg", 370, 1226) == (
        int(0.40810811 * 370), int(0.99189189 * 370), int(0.03594771 * 1226), int(0.96405229 * 1226),
    )  # fmt: skip
    assert box("kitti-eigen", 376, 1241) == (
        int(0.3324324 * 376), int(0.91351351 * 376), int(0.0359477 * 1241), int(0.96405229 * 1241),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "limits"),
    [("nyu", (1e-3, 10)), ("kitti-garg", (1e-3, 80)), ("kitti-eigen", (1e-3, 80)), ("rgbd", (0.1, 10))],
)
def test_the_ranges(name: str, limits: tuple[float, float]) -> None:
    assert PROTOCOLS[name].range_m("any/frame") == limits


def test_diode_is_two_ranges() -> None:
    rules = PROTOCOLS["diode"]
    assert rules.range_m("/data/diode/val/indoors/scene_00019/scan_00183/00019_00183_indoors_010_000") == (1e-3, 10)
    assert rules.range_m("/data/diode/val/outdoor/scene_00022/scan_00193/00022_00193_outdoor_010_000") == (1e-3, 80)
    assert rules.range_m("/data/indoors/diode/val/outdoor/scene_00022/scan_00193/00022") == (1e-3, 80)
    assert rules.mask(768, 1024) is None


def test_every_protocol_names_kinds_that_there_are_and_its_source() -> None:
    for name, rules in PROTOCOLS.items():
        assert rules.name == name
        assert set(rules.kinds) <= set(KINDS)
        assert rules.split is None or all(rules.split in KINDS[kind].splits for kind in rules.kinds)
        assert set(rules.options) <= set(rules.kinds)
        assert rules.source
        assert list(rules.bins_m) == sorted(rules.bins_m)
        assert rules.bins_m[-1] >= rules.max_depth_m
    with pytest.raises(InputError, match="there are nyu, kitti-garg"):
        find_protocol("kitty")
