"""Windows around masks, against masks drawn by hand."""

from __future__ import annotations

import numpy as np

from edgedepth.geometry.bounds import bounds_xywh, window_around


def test_the_smallest_box_holds_every_pixel_and_no_empty_edge() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[4, 7] = mask[11, 9] = mask[6, 25] = True
    assert bounds_xywh(mask) == (7.0, 4.0, 19.0, 8.0)
    assert window_around(mask) == (slice(4, 12), slice(7, 26))


def test_a_margin_ends_at_the_first_row_and_column() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[1:5, 10:12] = True
    assert window_around(mask, 3) == (slice(0, 8), slice(7, 15))


def test_nothing_has_no_size() -> None:
    mask = np.zeros((20, 30), np.bool_)
    assert bounds_xywh(mask) == (0.0, 0.0, 0.0, 0.0)
    assert mask[window_around(mask)].size == 0
