"""Boxes and masks from the caller."""

from __future__ import annotations

import numpy as np
import pytest

from edgedepth.errors import InputError
from edgedepth.people.given import GivenPeople
from edgedepth.types import Frame

FRAME = Frame(np.zeros((48, 64, 3), np.uint8))


def test_boxes_come_back_in_order_and_clipped() -> None:
    found = GivenPeople([(30, 10, 8, 20), (-5, 20, 20, 40)]).find(FRAME)
    assert [c.box_xywh for c in found] == [(30, 10, 8, 20), (0, 20, 15, 28)]
    assert all(c.label == "person" and c.score == 1 and c.mask is None for c in found)


def test_mask_bounds_make_the_box() -> None:
    mask = np.zeros((48, 64), bool)
    mask[5:17, 20:29] = True
    (person,) = GivenPeople(masks=[mask]).find(FRAME)
    assert person.box_xywh == (20, 5, 9, 12)
    assert person.mask is mask


def test_no_people_is_a_valid_answer() -> None:
    assert GivenPeople([]).find(FRAME) == ()


@pytest.mark.parametrize("box", [(0, 0, 10), (0, 0, 0, 5), (0, 0, -3, 5), (np.nan, 0, 1, 1), (0, 0, np.inf, 1)])
def test_malformed_boxes_are_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="x, y, width, height"):
        GivenPeople([box])


def test_a_box_outside_the_frame_is_refused() -> None:
    with pytest.raises(InputError, match="outside the 64x48 frame"):
        GivenPeople([(100, 0, 10, 10)]).find(FRAME)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="64x48"):
        GivenPeople(masks=[np.ones((24, 32), bool)]).find(FRAME)


@pytest.mark.parametrize("mask", [np.zeros((48, 64), bool), np.ones((48, 64), np.uint8), np.ones((48, 64, 1), bool)])
def test_malformed_masks_are_refused(mask: np.ndarray) -> None:
    with pytest.raises(InputError, match="bool H x W"):
        GivenPeople(masks=[mask])


def test_numbers_must_agree_and_something_must_be_given() -> None:
    with pytest.raises(InputError, match="neither"):
        GivenPeople()
    with pytest.raises(InputError, match="1 and 2"):
        GivenPeople([(0, 0, 5, 5)], [np.ones((48, 64), bool)] * 2)
