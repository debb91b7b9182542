"""``check_dataset`` counts what is there and lists what is wrong, each where it is; the verb says so."""

from __future__ import annotations

import json
import shutil
import zlib

import cv2
import numpy as np
import pytest
from datasets import write_diode, write_diw, write_kitti, write_nyu_mat, write_open3d, write_rgbd, write_tum
from typer.testing import CliRunner

from edgedepth.cli.verbs import app
from edgedepth.data import KINDS, Entry, Listed, Sample, open_dataset
from edgedepth.data.base import DepthFacts
from edgedepth.data.check import check_dataset, check_splits
from edgedepth.errors import DataError
from edgedepth.types import Intrinsics

FACTS = DepthFacts("metres", 1.0, (0.5, 20.0), 10.0)


class Made(Listed[Entry]):
    """Samples from a list; an error in the list is raised."""

    def __init__(self, samples):
        entries = [Entry(getattr(one, "id", f"broken{i}"), getattr(one, "group", "g")) for i, one in enumerate(samples)]
        super().__init__("rgbd", "made", entries, FACTS)
        self.samples = dict(zip(self.entries, samples, strict=True))

    def load(self, entry):
        if isinstance(self.samples[entry], Exception):
            raise self.samples[entry]
        return self.samples[entry]


def sample(identity, depth_m=2.0, group="g", image=None):
    if image is None:
        image = np.random.default_rng(zlib.crc32(identity.encode())).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    depth = np.broadcast_to(np.asarray(depth_m, np.float32), (6, 8)).copy()
    return Sample(image, depth, Intrinsics(8, 6, 10, 10, 3.5, 2.5), identity, group)


def troubles(report):
    return [(problem.trouble, problem.where) for problem in report.problems]


def test_a_sound_data_set(tmp_path):
    written = write_tum(tmp_path, frames=4)
    report = check_dataset(open_dataset(tmp_path, "tum"))
    assert report.is_sound
    assert (report.samples, report.groups, report.checked, report.readable, report.posed) == (4, 1, 4, 4, 4)
    assert report.sizes == {"64x48": 4}
    assert list(report.cameras.values()) == [4] and "fx 53.54" in next(iter(report.cameras))
    depth = np.concatenate([one.depth_m.ravel() for one in written])
    valid = depth[np.isfinite(depth)]
    for percentile, found in report.depth.percentile_m.items():
        assert found == pytest.approx(np.percentile(valid, float(percentile[1:]), method="inverted_cdf"), rel=2e-3)
    shares = [np.isfinite(one.depth_m).mean() for one in written]
    assert report.depth.valid_share_mean == pytest.approx(np.mean(shares), abs=1e-3)
    assert report.depth.valid_share_min == pytest.approx(min(shares), abs=1e-3)


def test_each_trouble_is_named_where_it_is():
    far = np.full((6, 8), 2.0)
    far[0, :6] = 12.0
    same = np.arange(144, dtype=np.uint8).reshape(6, 8, 3)
    report = check_dataset(
        Made(
            [
                sample("good"),
                DataError("x/7.png: cut short"),
                sample("millimetres", 2000.0),
                sample("nothing", np.nan),
                sample("far", far),
                sample("black", image=np.zeros((6, 8, 3), np.uint8)),
                sample("one", group="a", image=same),
                sample("other", group="b", image=same),
                sample("again", group="b", image=same),
                sample("good"),
            ]
        )
    )
    assert troubles(report) == [
        ("duplicate_id", "good"),
        ("unreadable", "broken1"),
        ("wrong_unit", "millimetres"),
        ("no_valid_depth", "nothing"),
        ("out_of_range", "far"),
        ("blank_image", "black"),
        ("same_image", "other"),
        ("same_image", "again"),
    ]
    texts = {problem.where: problem.text for problem in report.problems}
    assert "x/7.png: cut short" in texts["broken1"]
    assert "stored as millimetres" in texts["millimetres"]
    assert texts["far"].startswith("12.50% of the depth is beyond 10 m")
    assert "one of another group" in texts["other"]
    assert (report.readable, report.checked) == (9, 10)


def test_every_other_sample_and_progress():
    said = []
    report = check_dataset(Made([sample(f"s{i}") for i in range(7)]), lambda *step: said.append(step), every=3)
    assert (report.samples, report.checked) == (7, 3)
    assert said == [("checking made", 0.0), ("checking made", 1 / 3), ("checking made", 2 / 3)]
    with pytest.raises(DataError, match="every is 1 or more"):
        check_dataset(Made([sample("a")]), every=0)


def test_groups_on_both_sides(tmp_path):
    write_nyu_mat(tmp_path, train=(1, 3), test=(2, 4))  # kitchen_0001a and kitchen_0001b are parted
    parts = {name: open_dataset(tmp_path, "nyu-mat", name) for name in ("train", "test")}
    problems = check_splits(parts)
    assert [(one.trouble, one.where) for one in problems] == [("shared_group", "kitchen_0001")]
    assert "in train and in test" in problems[0].text


def run(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def test_verb_on_a_sound_data_set(tmp_path):
    write_rgbd(tmp_path)
    result = run("check", tmp_path, "--json")
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    assert (facts["kind"], facts["samples"], facts["groups"], facts["problems"]) == ("rgbd", 3, 2, [])
    text = run("check", tmp_path, "--kind", "rgbd")
    assert text.exit_code == 0 and "nothing wrong" in text.stdout and "3 in 2 groups" in text.stdout


def test_verb_tells_what_is_wrong_and_ends_with_one(tmp_path):
    write_diode(tmp_path, scans=8)
    files = sorted(tmp_path.rglob("*_depth.npy"))
    for file in files[:7]:
        file.write_bytes(file.read_bytes()[:300])
    files[7].unlink()
    result = run("check", tmp_path, "-k", "diode")
    assert result.exit_code == 1
    assert "unreadable: 7" in result.stdout and "and 2 more (--all shows them)" in result.stdout
    assert "missing_partner: 1" in result.stdout and files[7].name in result.stdout
    assert "more (--all" not in run("check", tmp_path, "-k", "diode", "--all").stdout
    facts = json.loads(run("check", tmp_path, "-k", "diode", "--json").stdout)
    assert facts["counts"] == {"unreadable": 7, "missing_partner": 1}
    assert {str(files[0]) in problem["text"] for problem in facts["problems"]} == {True, False}


def test_verb_finds_scenes_on_both_sides(tmp_path):
    write_diode(tmp_path, split="val")
    write_diode(tmp_path, split="train", scenes=(2,))
    assert run("check", tmp_path).exit_code == 0
    # The same scene, and the same pictures, in both.
    shutil.copytree(next(tmp_path.glob("val/indoors/scene_00001")), tmp_path / "train/indoors/scene_00001")
    result = run("check", tmp_path)
    assert result.exit_code == 1
    assert "scene_00001: the group is in train and in val" in result.stdout


def test_verb_options_and_misuse(tmp_path):
    write_nyu_mat(tmp_path)
    filled = json.loads(run("check", tmp_path, "-o", "depth=filled", "--split", "train", "--json").stdout)
    assert filled["stored_depth"] == "float32 metres (depths)" and filled["samples"] == 2
    assert isinstance(run("check", tmp_path, "-o", "depth=full").exception, DataError)
    assert isinstance(run("check", tmp_path / "nowhere").exception, DataError)
    assert isinstance(run("check", tmp_path, "-k", "kitti").exception, DataError)


def test_verb_on_pairs_and_on_kitti(tmp_path):
    write_diw(tmp_path / "diw")
    facts = json.loads(run("check", tmp_path / "diw", "--json").stdout)
    assert (facts["pairs"], facts["depth"], facts["stored_depth"], facts["cameras"]) == (4, None, None, {"none": 4})
    write_kitti(tmp_path / "kitti")
    kitti = json.loads(run("check", tmp_path / "kitti", "--json").stdout)
    assert kitti["problems"] == [] and kitti["depth"]["valid_share_mean"] < 0.5


def test_verb_list_names_every_kind():
    result = run("list")
    assert result.exit_code == 0 and all(kind in result.stdout for kind in KINDS)
    kinds = json.loads(run("list", "--json").stdout)
    assert kinds["nyu-mat"]["options"] == {"depth": "raw|filled", "splits": "TEXT"}
    assert kinds["kitti"]["splits"] == ["train", "val"]


def test_wrong_unit_is_listed_and_not_refused(tmp_path):
    write_open3d(tmp_path)
    for file in tmp_path.glob("depth/*.png"):
        cv2.imwrite(str(file), np.minimum(cv2.imread(str(file), -1).astype(int) * 50, 65535).astype(np.uint16))
    result = run("check", tmp_path, "-k", "open3d")
    assert result.exit_code == 1 and "wrong_unit: 3" in result.stdout
