"""People from a detector network: YOLOX and FastestDet heads, run by any Backend.

Decoding follows the official code: YOLOX ``yolox/data/data_augment.py`` (preproc) and ``yolox/utils/demo_utils.py``
(demo_postprocess), FastestDet ``utils/tool.py`` (handel_preds) and ``example/onnx-runtime/runtime.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.backends.base import Backend, TensorSpec
from edgedepth.errors import InputError, SpecError
from edgedepth.geometry.plane import FloorPlane
from edgedepth.people.base import Candidate
from edgedepth.types import DepthMap, Frame

__all__ = ["DetectorFinder", "suppress"]

PERSON_CLASS = 0
"""Index of "person" in COCO's 80 classes, which both families are published with."""
YOLOX_STRIDES = ((8, 16, 32), (8, 16, 32, 64))
YOLOX_PAD = 114
BOX_CHANNELS = 5
"""cx, cy, w, h and objectness; the class scores follow."""


class _Head(ABC):
    """One family: how an image becomes its tensor and its tensor becomes boxes."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.tensor = np.zeros((1, 3, height, width), np.float32)

    @abstractmethod
    def feed(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB H x W x 3 -> the input tensor (reused by the next call)."""

    @abstractmethod
    def decode(
        self, output: NDArray[np.float32], size_wh: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The output tensor -> boxes (N, 4) as x1 y1 x2 y2 in the image's edge coordinates, and scores (N,)."""


class _Yolox(_Head):
    """BGR 0..255, scaled to fit and put at the top left, the rest filled with 114; raw grid offsets out."""

    def __init__(self, height: int, width: int, strides: Sequence[int]) -> None:
        super().__init__(height, width)
        self._padded = np.full((height, width, 3), YOLOX_PAD, np.uint8)
        self._filled_hw = (0, 0)
        cells, steps = [], []
        for stride in strides:
            y, x = np.mgrid[0 : height // stride, 0 : width // stride]
            cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
            steps.append(np.full(x.size, stride))
        self._cells = np.concatenate(cells).astype(np.float32)
        self._steps = np.concatenate(steps).astype(np.float32)[:, None]

    def _ratio(self, size_wh: tuple[int, int]) -> float:
        return min(self.height / size_wh[1], self.width / size_wh[0])

    def feed(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        ratio = self._ratio((image.shape[1], image.shape[0]))
        h, w = max(1, int(image.shape[0] * ratio)), max(1, int(image.shape[1] * ratio))
        if self._filled_hw != (h, w):
            self._padded[:] = YOLOX_PAD
            self._filled_hw = (h, w)
        self._padded[:h, :w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
        # The ::-1 turns RGB into the BGR that YOLOX was trained on.
        np.copyto(self.tensor[0], self._padded.transpose(2, 0, 1)[::-1])
        return self.tensor

    def decode(
        self, output: NDArray[np.float32], size_wh: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        raw = output[0]
        scores = raw[:, 4] * raw[:, BOX_CHANNELS + PERSON_CLASS]
        centre = (raw[:, :2] + self._cells) * self._steps
        half = np.exp(np.minimum(raw[:, 2:4], 20)) * self._steps / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1) / np.float32(self._ratio(size_wh))
        return boxes.astype(np.float32, copy=False), scores


class _FastestDet(_Head):
    """BGR 0..1, the whole image stretched; one cell a box, sizes relative to the image."""

    def feed(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        resized = cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_AREA)
        np.multiply(resized.transpose(2, 0, 1)[::-1], np.float32(1 / 255), out=self.tensor[0])
        return self.tensor

    def decode(
        self, output: NDArray[np.float32], size_wh: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rows, cols = output.shape[2:]
        raw = output[0].reshape(output.shape[1], -1)
        scores = raw[0] * raw[BOX_CHANNELS + PERSON_CLASS]
        y, x = np.divmod(np.arange(rows * cols), cols)
        centre = np.stack([(np.tanh(raw[1]) + x) / cols, (np.tanh(raw[2]) + y) / rows], axis=1)
        half = 0.5 / (1 + np.exp(-np.clip(raw[3:5].T, -60, 60)))
        boxes = np.concatenate([centre - half, centre + half], axis=1) * np.array([*size_wh, *size_wh], np.float32)
        return boxes.astype(np.float32, copy=False), scores


def _head_for(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> _Head:
    """The family whose tensor shapes these are.

    Raises:
        SpecError: none of them.
    """
    shapes = f"inputs {[t.shape for t in inputs]}, outputs {[t.shape for t in outputs]}"
    expected = (
        "a detector must be YOLOX (float32 1x3xHxW -> 1xNx85, undecoded) or FastestDet (float32 1x3xHxW -> "
        "1x85xH/16xW/16), exported with one static size"
    )
    if len(inputs) != 1 or len(outputs) != 1 or inputs[0].dtype != np.float32:
        raise SpecError(f"{expected}; found {shapes}, input {[str(t.dtype) for t in inputs]}")
    shape, out = inputs[0].shape, outputs[0].shape
    if len(shape) != 4 or shape[1] != 3 or shape[2] is None or shape[3] is None:
        raise SpecError(f"{expected}; found {shapes}")
    height, width = shape[2], shape[3]
    for strides in YOLOX_STRIDES:
        cells = sum((height // s) * (width // s) for s in strides)
        if len(out) == 3 and out[1] == cells and out[2] is not None and out[2] > BOX_CHANNELS:
            return _Yolox(height, width, strides)
    if len(out) == 4 and out[1] is not None and out[1] > BOX_CHANNELS and out[2:] == (height // 16, width // 16):
        return _FastestDet(height, width)
    raise SpecError(f"{expected}; found {shapes}")


def suppress(
    boxes: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], iou_threshold: float
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression. Boxes (N, 4) as x1 y1 x2 y2; the indices kept, best first.

    Written out because cv2.dnn.NMSBoxes rounds float boxes in some OpenCV versions and changed its return shape.
    """
    order = np.argsort(-scores, kind="stable")
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        overlap = np.prod(np.maximum(high - low, 0), axis=1)
        union = np.maximum(area[best] + area[rest] - overlap, np.finfo(np.float32).tiny)
        order = rest[overlap / union <= iou_threshold]
    return np.array(kept, np.intp)


class DetectorFinder:
    """People found by a detector network in the image alone. A PersonFinder giving boxes, no masks.

    The family (YOLOX or FastestDet) is told from the tensor shapes.

    Args:
        backend: the loaded detector; closed with the finder.
        score_threshold: people scored lower are dropped; objectness times class probability, 0..1.
        iou_threshold: of two boxes that overlap more than this, the better one stays.

    Raises:
        SpecError: the tensors are of neither family.
        InputError: a threshold outside 0..1.
    """

    def __init__(self, backend: Backend, *, score_threshold: float = 0.45, iou_threshold: float = 0.45) -> None:
        for name, value in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
            if not 0 <= value <= 1:
                raise InputError(f"{name} must lie in 0..1, found {value}")
        self._head = _head_for(backend.inputs, backend.outputs)
        self._backend = backend
        self._score_threshold = score_threshold
        self._iou_threshold = iou_threshold

    @property
    def family(self) -> str:
        """``"yolox"`` or ``"fastestdet"``."""
        return type(self._head).__name__.lstrip("_").lower()

    def find(
        self, frame: Frame, depth: DepthMap | None = None, floor: FloorPlane | None = None
    ) -> tuple[Candidate, ...]:
        """People in ``frame``, best first; boxes in pixels, clipped to it. Depth and floor are not used.

        Raises:
            BackendError: the network could not be run.
        """
        output = self._backend.run({self._backend.inputs[0].name: self._head.feed(frame.image)})
        boxes, scores = self._head.decode(output[self._backend.outputs[0].name], frame.size_wh)
        likely = scores >= self._score_threshold
        boxes, scores = boxes[likely], scores[likely]
        kept = suppress(boxes, scores, self._iou_threshold)
        boxes = np.clip(boxes, 0, np.array([*frame.size_wh, *frame.size_wh], np.float32))
        return tuple(
            Candidate((float(x1), float(y1), float(x2 - x1), float(y2 - y1)), score=float(min(scores[i], 1.0)))
            for i, (x1, y1, x2, y2) in zip(kept, boxes[kept], strict=True)
            if x2 - x1 >= 1 and y2 - y1 >= 1
        )

    def replica(self) -> DetectorFinder:
        """See PersonFinder.replica: the same weights, buffers of its own."""
        return DetectorFinder(
            self._backend.replica(), score_threshold=self._score_threshold, iou_threshold=self._iou_threshold
        )

    def close(self) -> None:
        """Close the backend."""
        self._backend.close()
