"""Who finds the people of ``run --height`` and ``measure`` when no detector is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from networks import write_network

# Depth is 3 m everywhere; people are what is green.
SPEC = """
name = "two"
[input]
height = 48
width = 64
interpolation = "area"
[output]
name = "depth"
kind = "metric"
"""
PERSON = """
[person]
name = "person"
threshold = 0.6
"""


def _stage(folder: Path, spec: str) -> list[Any]:
    """A floorless picture with one green figure of 100 % and one of 55 % green."""
    model = write_network(folder / "two.onnx", size_wh=(64, 48), weights=(3.0, 0.0, 0.0), person=(0.0, 1.0, 0.0))
    model.with_suffix(".toml").write_text(spec)
    image = np.zeros((480, 640, 3), np.uint8)
    image[..., 0] = 255
    image[100:400, 200:300, 1] = 255
    image[100:400, 400:500, 1] = 140
    cv2.imwrite(str(folder / "rgb.png"), image[..., ::-1])
    return ["measure", "--rgb", folder / "rgb.png", "--model", model, "--intrinsics", "525,525,319.5,239.5", "--json"]


def test_a_model_that_knows_people_finds_them_itself(tmp_path: Path, edgedepth: Callable[..., Any]) -> None:
    ended = edgedepth(*_stage(tmp_path, SPEC + PERSON))
    assert ended.code == 0, ended.err
    (person,) = json.loads(ended.out)["people"]
    assert person["box_xywh"] == pytest.approx([200, 100, 100, 300], abs=3)  # of ten pixels each is one of the network
    assert person["refused"].startswith("no_floor")


def test_another_finder_can_be_asked_for(tmp_path: Path, edgedepth: Callable[..., Any]) -> None:
    ended = edgedepth(*_stage(tmp_path, SPEC + PERSON), "--detector", "geometric")
    assert (ended.code, json.loads(ended.out)["people"]) == (0, []), ended.err
    ended = edgedepth(*_stage(tmp_path, SPEC + PERSON), "--boxes", "10,20,30,40")
    assert json.loads(ended.out)["people"][0]["box_xywh"] == [10, 20, 30, 40]


def test_a_model_without_people_leaves_them_to_the_geometry(tmp_path: Path, edgedepth: Callable[..., Any]) -> None:
    ended = edgedepth(*_stage(tmp_path, SPEC))
    assert (ended.code, json.loads(ended.out)["people"]) == (0, []), ended.err
