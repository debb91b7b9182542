"""Runs the preprocess kernel on any CudaApi: a GPU, or one in host memory."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from edgedepth.backends.base import TensorSpec
from edgedepth.backends.tensorrt.cuda import CudaApi
from edgedepth.backends.tensorrt.frames import FrameInput
from edgedepth.backends.tensorrt.kernels import KERNELS
from edgedepth.backends.tensorrt.tensors import IoTensor, allocate_buffer
from edgedepth.bundle.spec import InputSpec
from edgedepth.depth.preprocess import image_feed, preprocess
from edgedepth.depth.resize import ResizePlan


def kernel_tensors(cuda: CudaApi, image: bytes, spec: InputSpec, frames: list[np.ndarray]) -> list[np.ndarray]:
    """The tensors that the kernel of a compiled ``image`` makes of frames of one size."""
    height, width = frames[0].shape[:2]
    plan = ResizePlan.for_frame(spec, (width, height))
    sides = plan.network_wh[::-1]
    shape = (1, *sides, 3) if spec.layout == "NHWC" else (1, 3, *sides)
    tensor = IoTensor(TensorSpec("image", np.dtype(spec.dtype), shape), is_input=True)
    found = []
    with cuda.current(), ExitStack() as keep:
        stream = cuda.stream()
        keep.callback(cuda.destroy_stream, stream)
        module = cuda.load_module(image)
        keep.callback(cuda.unload, module)
        kernels = {size: cuda.kernel(module, name) for size, name in KERNELS.items()}
        buffer = allocate_buffer(cuda, keep, shape, tensor.spec.dtype)
        entry = FrameInput(cuda, kernels, image_feed(spec, plan), tensor, buffer, stream)
        keep.callback(entry.close)
        for frame in frames:
            entry.put(frame)
            entry.enqueue()
            buffer.fetch(cuda, stream)
            cuda.synchronize(stream)
            found.append(buffer.host.copy())
    return found


def cpu_tensor(spec: InputSpec, frame: np.ndarray) -> np.ndarray:
    """What the CPU path makes of it."""
    plan = ResizePlan.for_frame(spec, (frame.shape[1], frame.shape[0]))
    return preprocess(spec, plan)(frame).copy()


def check_pixels(spec: InputSpec, found: np.ndarray, frame: np.ndarray) -> None:
    """Equal to the CPU path before normalisation, to one level of 255: OpenCV's bilinear weights have 11 bits."""
    expected = cpu_tensor(spec, frame)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.15


def check_values(spec: InputSpec, found: np.ndarray, frame: np.ndarray) -> None:
    """Equal to the CPU path after normalisation, to the same one level; and made of the very values it makes."""
    expected = cpu_tensor(spec, frame)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    one_level = spec.scale / min(spec.std)
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=2e-3, atol=1.01 * one_level)
    plan = ResizePlan.for_frame(spec, (frame.shape[1], frame.shape[0]))
    assert np.isin(found, image_feed(spec, plan).values).all()
