"""Decoding of detector tensors, against boxes encoded by hand and the official formulae."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edgedepth.backends.base import TensorSpec
from edgedepth.errors import InputError, SpecError
from edgedepth.people.detector import DetectorFinder, suppress
from edgedepth.types import Frame

F32 = np.dtype(np.float32)


class Scripted:
    """A backend that answers with a fixed tensor and keeps what it was fed."""

    def __init__(self, in_shape: tuple[int | None, ...], out: np.ndarray, dtype: np.dtype = F32) -> None:
        self.inputs = (TensorSpec("images", dtype, in_shape),)
        self.outputs = (TensorSpec("output", F32, out.shape),)
        self.out = out
        self.fed: np.ndarray | None = None

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.fed = feeds["images"].copy()
        return {"output": self.out}


def yolox_output(cells: int = 3549) -> np.ndarray:
    return np.zeros((1, cells, 85), np.float32)


def frame(width: int = 640, height: int = 480, rgb: tuple[int, int, int] = (10, 20, 30)) -> Frame:
    return Frame(np.full((height, width, 3), rgb, np.uint8))


def test_yolox_box_is_decoded_on_its_stride_and_mapped_back() -> None:
    out = yolox_output()
    # Cell (x=7, y=5) of the 26x26 grid of stride 16, after the 52x52 grid of stride 8.
    row = 52 * 52 + 5 * 26 + 7
    out[0, row, :6] = [0.25, -0.5, np.log(4.0), np.log(6.0), 0.9, 0.8]
    (person,) = DetectorFinder(Scripted((1, 3, 416, 416), out)).find(frame())
    ratio = 416 / 640
    x_centre, y_centre, w, h = 7.25 * 16, 4.5 * 16, 64.0, 96.0
    expected = np.array([x_centre - w / 2, y_centre - h / 2, w, h]) / ratio
    np.testing.assert_allclose(person.box_xywh, expected, atol=1e-3)
    assert person.score == pytest.approx(0.72)
    assert person.label == "person"
    assert person.mask is None


def test_yolox_input_is_bgr_letterboxed_top_left_with_114() -> None:
    backend = Scripted((1, 3, 416, 416), yolox_output())
    finder = DetectorFinder(backend)
    assert finder.find(frame()) == ()
    assert backend.fed is not None
    np.testing.assert_array_equal(backend.fed[0, :, 0, 0], [30, 20, 10])
    np.testing.assert_array_equal(backend.fed[0, :, 311, 415], [30, 20, 10])
    np.testing.assert_array_equal(backend.fed[0, :, 312, 0], [114, 114, 114])
    # A portrait frame next: nothing of the landscape one may remain beside it.
    finder.find(frame(480, 640, rgb=(1, 2, 3)))
    np.testing.assert_array_equal(backend.fed[0, :, 0, 311], [3, 2, 1])
    np.testing.assert_array_equal(backend.fed[0, :, 0, 312], [114, 114, 114])


def test_other_classes_are_not_people() -> None:
    out = yolox_output()
    out[0, 100, :5] = [0, 0, 2, 2, 1.0]
    out[0, 100, 5 + 56] = 1.0
    assert DetectorFinder(Scripted((1, 3, 416, 416), out)).find(frame()) == ()


def test_boxes_are_clipped_to_the_frame_and_duplicates_suppressed() -> None:
    out = yolox_output()
    for row, shift in ((0, 0.0), (1, -0.9)):
        out[0, row, :6] = [shift, 0.0, np.log(10.0), np.log(10.0), 1.0, 0.9 - 0.1 * row]
    (person,) = DetectorFinder(Scripted((1, 3, 416, 416), out)).find(frame())
    x, y, w, h = person.box_xywh
    assert (x, y) == (0.0, 0.0)
    np.testing.assert_allclose([w, h], 40 / (416 / 640), atol=1e-3)
    assert person.score == pytest.approx(0.9)


def test_fastestdet_box_follows_tanh_offset_and_sigmoid_size() -> None:
    out = np.zeros((1, 85, 22, 22), np.float32)
    out[0, :6, 9, 4] = [0.95, 0.3, -0.2, -1.0, 0.5, 0.9]
    backend = Scripted((1, 3, 352, 352), out)
    (person,) = DetectorFinder(backend).find(frame())
    w, h = 640 / (1 + np.exp(1.0)), 480 / (1 + np.exp(-0.5))
    x = (4 + np.tanh(0.3)) / 22 * 640 - w / 2
    y = (9 + np.tanh(-0.2)) / 22 * 480 - h / 2
    np.testing.assert_allclose(person.box_xywh, [x, y, w, h], atol=1e-3)
    assert person.score == pytest.approx(0.95 * 0.9)
    assert backend.fed is not None
    np.testing.assert_allclose(backend.fed[0, :, 5, 5], np.array([30, 20, 10]) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("in_shape", "out_shape"),
    [
        ((1, 3, 416, 416), (1, 3549, 4)),
        ((1, 3, 416, 416), (1, 3548, 85)),
        ((1, 3, 640, 640), (1, 3549, 85)),
        ((1, 3, 352, 352), (1, 85, 11, 11)),
        ((1, 224, 224, 3), (1, 1, 224, 224)),
        ((1, 3, None, None), (1, 3549, 85)),
    ],
)
def test_a_network_of_neither_family_is_refused(in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match="YOLOX"):
        DetectorFinder(Scripted(in_shape, np.zeros(out_shape, np.float32)))


def test_thresholds_outside_0_to_1_are_refused() -> None:
    with pytest.raises(InputError, match="score_threshold"):
        DetectorFinder(Scripted((1, 3, 416, 416), yolox_output()), score_threshold=45)


def test_suppression_keeps_the_better_of_two_and_both_of_neighbours() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [9, 0, 19, 10]], np.float32)
    # IoU of the first two is 9/11, of the last two 2/18, of the outer two 1/19.
    assert suppress(boxes, np.array([0.5, 0.9, 0.7]), 0.45).tolist() == [1, 2]
    assert suppress(boxes, np.array([0.5, 0.9, 0.7]), 0.9).tolist() == [1, 2, 0]
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.5).size == 0
