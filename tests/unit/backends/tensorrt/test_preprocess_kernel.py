"""The preprocess kernel against the CPU path, without a GPU: compiled as C++, with loops for threads."""

from __future__ import annotations

from contextlib import ExitStack

import cv2
import numpy as np
import pytest
from cpu_kernels import cpu_kernels
from fake_cuda import FakeCuda
from frame_feeds import CASES, Case
from kernel_runs import check_pixels, check_values, kernel_tensors

from edgedepth.backends.base import TensorSpec
from edgedepth.backends.tensorrt.frames import FrameInput
from edgedepth.backends.tensorrt.kernels import taps
from edgedepth.backends.tensorrt.tensors import IoTensor, allocate_buffer
from edgedepth.bundle.spec import InputSpec
from edgedepth.depth.preprocess import image_feed
from edgedepth.depth.resize import ResizePlan
from edgedepth.errors import InputError


def kernel_tensor(spec: InputSpec, frames: list[np.ndarray], *, integrated: bool = False) -> list[np.ndarray]:
    cuda = FakeCuda(kernels=cpu_kernels, integrated=integrated)
    found = kernel_tensors(cuda, b"cubin", spec, frames)
    assert not cuda.leaks()
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pixels_are_those_of_the_cpu_path(case: Case) -> None:
    spec, image = case.bytes_spec(), case.image()
    check_pixels(spec, kernel_tensor(spec, [image])[0], image)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_tensor_is_normalised_as_the_cpu_path_does(case: Case) -> None:
    image = case.image()
    check_values(case.spec, kernel_tensor(case.spec, [image])[0], image)


@pytest.mark.parametrize("integrated", [False, True])
def test_every_frame_is_its_own(integrated: bool) -> None:
    spec = InputSpec(width=8, height=6, dtype="uint8", scale=1)
    images = [np.full((12, 16, 3), level, np.uint8) for level in (10, 200)]
    images[1][:, :, 2] = 30
    found = kernel_tensor(spec, images, integrated=integrated)
    assert (found[0] == 10).all()
    assert (found[1][0, 0] == 200).all()
    assert (found[1][0, 2] == 30).all()


@pytest.mark.parametrize(("source", "content"), [(4, 2), (2, 4), (5, 3), (3, 5), (7, 7), (1, 4), (4, 1), (640, 224)])
@pytest.mark.parametrize("interpolation", ["bilinear", "area"])
@pytest.mark.parametrize("shrinks", [True, False])
def test_taps_are_weights_within_the_image(source: int, content: int, interpolation: str, shrinks: bool) -> None:
    if shrinks and content > source:
        pytest.skip("an axis that grows does not shrink")
    axis = taps(3, source, content, interpolation, shrinks=shrinks)
    np.testing.assert_allclose(axis.weights.sum(axis=1), 1, rtol=1e-6)
    assert (axis.weights >= 0).all()
    assert axis.first.min() >= 3
    assert (axis.first + axis.weights.shape[1]).max() <= 3 + source
    assert axis.first.shape == (content,)


def test_taps_by_hand() -> None:
    # 4 -> 2, bilinear: centres at 0.5 and 2.5.
    axis = taps(0, 4, 2, "bilinear", shrinks=True)
    np.testing.assert_array_equal(axis.first, [0, 2])
    np.testing.assert_array_equal(axis.weights, [[0.5, 0.5], [0.5, 0.5]])
    # 3 -> 2, area: footprints of 1.5 pixels.
    axis = taps(0, 3, 2, "area", shrinks=True)
    dense = np.zeros((2, 3))
    for n in range(2):
        dense[n, axis.first[n] : axis.first[n] + axis.weights.shape[1]] = axis.weights[n]
    np.testing.assert_allclose(dense, [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]], rtol=1e-6)


def test_a_straight_line_stays_straight() -> None:
    # Bilinear on pixel centres maps a ramp to the ramp at the mapped centres: no shift by half a pixel.
    ramp = np.zeros((2, 100, 3), np.uint8)
    ramp[:] = (2 * np.arange(100))[None, :, None]
    (found,) = kernel_tensor(InputSpec(width=40, height=2, dtype="uint8", scale=1), [ramp])
    centres = (np.arange(40) + 0.5) * 2.5 - 0.5
    assert np.abs(found[0, 0, 0].astype(float) - 2 * centres).max() <= 0.5


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (np.zeros((6, 9, 3), np.uint8), r"\(6, 8, 3\).*\(6, 9, 3\)"),
        (np.zeros((6, 8, 3), np.float32), "uint8.*float32"),
        (np.zeros((6, 8, 4), np.uint8), r"\(6, 8, 4\)"),
    ],
)
def test_another_frame_is_refused(image: np.ndarray, named: str) -> None:
    spec = InputSpec(width=4, height=4, dtype="uint8", scale=1)
    with pytest.raises(InputError, match=named):
        kernel_tensor_of_feed(spec, image)


def kernel_tensor_of_feed(spec: InputSpec, image: np.ndarray) -> None:
    cuda = FakeCuda(kernels=cpu_kernels)
    feed = image_feed(spec, ResizePlan.for_frame(spec, (8, 6)))
    tensor = IoTensor(TensorSpec("image", np.dtype(np.uint8), (1, 3, 4, 4)), is_input=True)
    with cuda.current(), ExitStack() as keep:
        buffer = allocate_buffer(cuda, keep, tensor.shape, tensor.spec.dtype)
        FrameInput(cuda, {1: 0}, feed, tensor, buffer, cuda.stream()).put(image)


def test_feed_of_another_network_is_refused() -> None:
    spec = InputSpec(width=4, height=4)
    cuda = FakeCuda()
    feed = image_feed(spec, ResizePlan.for_frame(spec, (8, 6)))
    for shape, dtype in (((1, 3, 4, 5), "float32"), ((1, 4, 4, 3), "float32"), ((1, 3, 4, 4), "float16")):
        tensor = IoTensor(TensorSpec("image", np.dtype(dtype), shape), is_input=True)
        with cuda.current(), ExitStack() as keep:
            buffer = allocate_buffer(cuda, keep, shape, tensor.spec.dtype)
            with pytest.raises(InputError, match="does the spec belong"):
                FrameInput(cuda, {1: 0, 2: 0, 4: 0}, feed, tensor, buffer, cuda.stream())


def test_reference_is_opencv() -> None:
    # What the CPU path is compared with elsewhere; here the kernel itself, on a picture that is smooth.
    y, x = np.mgrid[0:120, 0:160]
    image = np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8)
    (found,) = kernel_tensor(InputSpec(width=64, height=48, layout="NHWC", dtype="uint8", scale=1), [image])
    expected = cv2.resize(image, (64, 48), interpolation=cv2.INTER_LINEAR)
    assert np.abs(found[0].astype(int) - expected).max() <= 1
