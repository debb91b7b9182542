from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgedepth import resources
from edgedepth.calibration.int8_set import read_manifest
from edgedepth.errors import InputError
from edgedepth.export.recipe import load_recipe, read_recipe
from edgedepth.training.recipe import load_training_recipe

CHECKOUT = Path(__file__).resolve().parents[2]


def loads(path: Path) -> None:
    """Read one shipped file through its schema. A new kind of file needs a line here."""
    if path.name == "README.md":
        assert "edgedepth/" in path.read_text(encoding="utf-8").splitlines()[0], "line 1 says where the code is"
        return
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
