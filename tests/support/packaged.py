"""The package's data folder with models of a test's own making."""

from __future__ import annotations

from pathlib import Path

import pytest
from networks import write_network

from edgedepth import resources
from edgedepth.bundle import InputSpec, ModelSpec, OutputSpec, write_bundle
from edgedepth.bundle.spec import PersonSpec
from edgedepth.types import DepthKind


def use_data_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the package find its data under ``root``: the checkout's, and no model. Returns its folder of models."""
    data = root / "package" / "_data"
    data.mkdir(parents=True)
    for folder in resources.FOLDERS:
        if folder != "models":
            (data / folder).symlink_to(resources.resource_root() / folder)
    (data / "models").mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", data.parent)
    return data / "models"


def write_model(folder: Path, made: Path, kind: DepthKind = DepthKind.METRIC) -> Path:
    """A bundle of a network to which red is near and a person. ``made``: folder for its .onnx."""
    onnx = write_network(made / "net.onnx", size_wh=(64, 48), weights=(-1.0, 2.0, 3.0), person=(8.0, -6.0, -2.0))
    write_bundle(
        folder,
        ModelSpec(
            name="tiny",
            input=InputSpec(name="image", width=64, height=48, resize="letterbox", interpolation="area"),
            output=OutputSpec(name="depth", kind=kind, valid_range_m=(0.1, 20.0)),
            person=PersonSpec(name="person"),
        ),
        onnx,
    )
    return folder
