from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgedepth import resources
from edgedepth.bundle import load_model
from edgedepth.calibration.int8_set import read_manifest
from edgedepth.errors import InputError
from edgedepth.export.recipe import load_recipe, read_recipe
from edgedepth.sources.clip import read_clip
from edgedepth.training.recipe import load_training_recipe

CHECKOUT = Path(__file__).resolve().parents[2]


def loads(path: Path) -> None:
    """Read one shipped file through its schema. A new kind of file needs a line here."""
    if path.name == "README.md":
        assert "edgedepth/" in path.read_text(encoding="utf-8").splitlines()[0], "line 1 says where the code is"
        return
    if path.parent.parent.name == "models":
        load_model(path.parent)  # checks every file of the bundle
    elif path.name == "clip.json":
        clip = read_clip(path.parent)
        listed = {path, path.parent / "video.mp4", path.parent / "background.png"}
        for frame in clip.truth_frames:
            clip.truth(frame)
            listed |= {path.parent / kind / f"{frame:06d}.png" for kind in ("depth", "mask")}
        assert listed == {file for file in path.parent.rglob("*") if file.is_file()}
    elif "clips" not in path.parts:  # a clip's other files are those its clip.json lists
        load_recipes(path)


def load_recipes(path: Path) -> None:
    """The files of ``export`` and ``calibration``."""
    if path.parent.name == "int8" and path.suffix == ".toml":
        read_manifest(path)
        return
    if path.parent.name == "export" and path.suffix == ".toml":
        assert load_recipe(path.stem) == read_recipe(path), "found by its name"
        return
    if path.parent.name == "training" and path.suffix == ".toml":
        training = load_training_recipe(path.stem)
        height, width = training.stages[-1].height, training.stages[-1].width
        load_recipe(training.model).at_size(height, width)
        return
    pytest.fail(f"{path} ships with the package and nothing here knows how to load it")


@pytest.mark.parametrize("folder", resources.FOLDERS)
def test_every_shipped_file_loads(folder: str) -> None:
    files = [path for path in (resources.resource_root() / folder).rglob("*") if path.is_file()]
    assert files
    for path in files:
        loads(path)


def test_the_checkout_s_folders_are_found() -> None:
    assert resources.resource_root() == CHECKOUT


def test_the_wheel_s_copy_comes_first(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "edgedepth"
    for folder in resources.FOLDERS:
        shutil.copytree(CHECKOUT / folder, package / "_data" / folder, ignore=shutil.ignore_patterns("*.toml"))
    (package / "_data" / "export" / "net.toml").write_text("")
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resources.resource_root() == package / "_data"
    assert resources.find_resource("export", "net") == package / "_data" / "export" / "net.toml"
    assert list(resources.list_resources("export")) == ["net"]
    with pytest.raises(InputError, match="no 'nut' in export; there are: net"):
        resources.find_resource("export", "nut")


def test_a_damaged_installation_says_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "edgedepth")
    with pytest.raises(InputError, match="install again"):
        resources.resource_root()


def test_packaged_models_and_clips_are_found_by_name(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "edgedepth"
    for name in ("models/net-fp32", "models/net-int8", "models/empty", "clips/walk", "export", "calibration"):
        (package / "_data" / name).mkdir(parents=True)
    for file in ("models/net-fp32/spec.json", "models/net-int8/spec.json", "clips/walk/clip.json"):
        (package / "_data" / file).write_text("{}")
    monkeypatch.setattr(resources, "_PACKAGE", package)
    models = package / "_data" / "models"
    assert list(resources.packaged_bundles()) == ["net", "net-fp32", "net-int8"]
    assert resources.packaged_bundle("net") == resources.packaged_bundle("net-fp32") == models / "net-fp32"
    assert resources.packaged_bundle("net-int8") == models / "net-int8"
    with pytest.raises(
        InputError, match=r"no packaged model 'net-fp16', there are: net, net-fp32, net-int8; .*--model"
    ):
        resources.packaged_bundle("net-fp16")
    assert resources.clip_folder("walk") == package / "_data" / "clips" / "walk"
    with pytest.raises(InputError, match="no packaged clip 'run'; there are: walk"):
        resources.clip_folder("run")
