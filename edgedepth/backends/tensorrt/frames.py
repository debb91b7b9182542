"""Frames as an engine's input: a frame goes to the device as it is, and a kernel makes the image tensor of it there."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends.base import ImageFeed
from edgedepth.backends.tensorrt.cuda import CudaApi
from edgedepth.backends.tensorrt.kernels import Job, grid_of, taps
from edgedepth.backends.tensorrt.tensors import Buffer, IoTensor, allocate_buffer, upload
from edgedepth.errors import InputError

__all__ = ["FrameInput"]


class FrameInput:
    """Memory for frames of one size and everything the kernel needs to turn them into the tensor.

    Args:
        cuda: the device, current.
        kernels: element size -> kernel.
        feed: how frames become the tensor.
        tensor, buffer: the network's input and its memory.
        stream: what is enqueued goes there.

    Raises:
        InputError: the feed does not fit the tensor.
    """

    def __init__(
        self, cuda: CudaApi, kernels: dict[int, int], feed: ImageFeed, tensor: IoTensor, buffer: Buffer, stream: int
    ) -> None:
        self.feed = feed
        self._cuda, self._stream = cuda, stream
        width, height = feed.network_wh
        shape = (1, 3, height, width) if feed.layout == "NCHW" else (1, height, width, 3)
        if tensor.shape != shape or tensor.spec.dtype != feed.values.dtype:
            raise InputError(
                f"the network's input {tensor.spec.name!r} is {tensor.spec.dtype} {tensor.shape}, the feed makes "
                f"{feed.values.dtype} {shape}; does the spec belong to this network?"
            )
        self._kernel = kernels[tensor.spec.dtype.itemsize]
        self._grid, self._block = grid_of(width, height)
        self._keep = ExitStack()
        try:
            self._frame = allocate_buffer(cuda, self._keep, (*feed.frame_wh[::-1], 3), np.dtype(np.uint8))
            self._job = self._describe(buffer)
        except BaseException:
            self._keep.close()
            raise

    def put(self, image: NDArray[np.uint8]) -> None:
        """Take a frame; the one before must be done with."""
        if image.shape != self._frame.host.shape or image.dtype != np.uint8:
            raise InputError(
                f"expected a frame of uint8 {self._frame.host.shape} (height, width, RGB), found {image.dtype} "
                f"{image.shape}; frames of another size need a feed of their own"
            )
        np.copyto(self._frame.host, image)

    def enqueue(self) -> None:
        """The frame to the device, and the tensor of it."""
        self._frame.send(self._cuda, self._stream)
        self._cuda.launch(self._kernel, self._grid, self._block, self._job, self._stream)

    def close(self) -> None:
        """Release the device memory."""
        self._keep.close()

    def _describe(self, buffer: Buffer) -> Job:
        feed = self.feed
        (x, y, source_width, source_height), (left, top, width, height) = feed.source, feed.content
        shrinks = width <= source_width and height <= source_height
        across = taps(x, source_width, width, feed.interpolation, shrinks=shrinks)
        down = taps(y, source_height, height, feed.interpolation, shrinks=shrinks)
        tables: dict[str, NDArray[Any]] = {
            "values": feed.values,
            "first_x": across.first,
            "weights_x": across.weights,
            "first_y": down.first,
            "weights_y": down.weights,
        }
        tensor_width, tensor_height = feed.network_wh
        planar = feed.layout == "NCHW"
        return Job(
            frame=self._frame.address,
            tensor=buffer.address,
            pitch=feed.frame_wh[0] * 3,
            count_x=across.weights.shape[1],
            count_y=down.weights.shape[1],
            left=left,
            top=top,
            width=width,
            height=height,
            tensor_width=tensor_width,
            tensor_height=tensor_height,
            pixel_step=1 if planar else 3,
            channel_step=tensor_width * tensor_height if planar else 1,
            swap=feed.color == "BGR",
            padding=feed.pad_value,
            **upload(self._cuda, self._keep, tables, self._stream),
        )
