"""Running an engine: one execution context with its buffers, its stream, its events and its CUDA graph.

A frame is: inputs to the device, the network, outputs back; on one stream of its own, waited for once. From the
second frame of a kind on it is one launch of a captured CUDA graph. A graph belongs to one context: another kind of
frame (an image instead of a tensor, outputs that stay) takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends.base import ImageFeed
from edgedepth.backends.tensorrt.frames import FrameInput
from edgedepth.backends.tensorrt.loaded import LoadedEngine, reason
from edgedepth.backends.tensorrt.tensors import Buffer, allocate_buffer
from edgedepth.errors import BackendError, CudaError, EngineError

__all__ = ["DeviceTensor", "Execution"]


class DeviceTensor:
    """An output that stays on the device until ``fetch``; the next frame overwrites it.

    Attributes:
        address: where it is, in device memory.
        shape, dtype: what it is.
    """

    def __init__(self, execution: Execution, name: str, buffer: Buffer) -> None:
        self._execution, self._name, self._buffer = execution, name, buffer
        self._frame = execution.frame
        self.address = buffer.address
        self.shape, self.dtype = buffer.host.shape, buffer.host.dtype

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """What cupy, torch and numba read it by, without a copy; they wait for the stream themselves."""
        self._require_current()
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "version": 3,
            "stream": self._execution.stream,
        }

    def fetch(self) -> NDArray[Any]:
        """The values on the host, waited for; reused by the next frame.

        Raises:
            BackendError: a later frame has overwritten it, or the backend was closed.
        """
        self._require_current()
        return self._execution.fetch(self._name)

    def _require_current(self) -> None:
        if self._execution.frame != self._frame:
            raise BackendError(
                f"the output {self._name!r} was overwritten by a later frame; fetch it before the next run"
            )


class Execution:
    """One context of an engine and everything one thread needs to run it.

    Args:
        loaded: the engine; this is one user of it, until ``close``.
        blocking: sleep while the GPU works (several at once) instead of spinning (lowest latency).

    Attributes:
        frame: how many frames were enqueued.
        stream: the CUDA stream, as the integer CUDA knows it by.
    """

    def __init__(self, loaded: LoadedEngine, *, blocking: bool = False) -> None:
        self._loaded, self._cuda = loaded, loaded.cuda
        self.frame = 0
        self._closed = self._pending = False
        self._kind: Hashable = None
        self._graph: int | None = None
        self._graphs = loaded.cuda.has_graphs
        self._keep = ExitStack()
        self._images: FrameInput | None = None
        try:
            with self._cuda.current():
                self.stream = self._own(self._cuda.stream(), self._cuda.destroy_stream)
                self._start = self._own(self._cuda.event(blocking=False), self._cuda.destroy_event)
                self._end = self._own(self._cuda.event(blocking=blocking), self._cuda.destroy_event)
                self._buffers = {
                    tensor.spec.name: allocate_buffer(self._cuda, self._keep, tensor.shape, tensor.spec.dtype)
                    for tensor in loaded.tensors
                }
                self._context = loaded.new_context({name: b.address for name, b in self._buffers.items()})
        except BaseException:
            self.close()
            raise
        self._inputs = {t.spec.name: self._buffers[t.spec.name] for t in loaded.tensors if t.is_input}
        self._outputs = {t.spec.name: self._buffers[t.spec.name] for t in loaded.tensors if not t.is_input}
        if not self._graphs:
            self._without_graphs(f"{self._cuda.provider} cannot capture them")

    @property
    def has_graph(self) -> bool:
        """Whether frames are launches of a captured CUDA graph by now."""
        return self._graph is not None

    @property
    def last_ms(self) -> float:
        """Time of the last frame on the device, copies included, milliseconds, by CUDA events.

        Raises:
            BackendError: there was no frame yet.
        """
        if self._kind is None:
            raise BackendError("no frame was run yet; run one, then ask for its time")
        with self._cuda.current():
            self._wait()
            return self._cuda.elapsed_ms(self._start, self._end)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Tensors in, outputs on the host: reused by the next frame."""
        with self._cuda.current():
            self._feed(feeds)
            self._launch("tensors", self._send_inputs, fetch=True)
            self._wait()
        return {name: buffer.host for name, buffer in self._outputs.items()}

    def run_device(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, DeviceTensor]:
        """Tensors in, outputs left on the device, perhaps not yet computed."""
        with self._cuda.current():
            self._feed(feeds)
            self._launch("tensors", self._send_inputs, fetch=False)
        return self._left()

    def run_image(self, image: NDArray[np.uint8], feed: ImageFeed) -> dict[str, NDArray[Any]]:
        """A frame in, outputs on the host: reused by the next frame."""
        with self._cuda.current():
            images = self._feed_image(image, feed)
            self._launch(images, images.enqueue, fetch=True)
            self._wait()
        return {name: buffer.host for name, buffer in self._outputs.items()}

    def run_image_device(self, image: NDArray[np.uint8], feed: ImageFeed) -> dict[str, DeviceTensor]:
        """A frame in, outputs left on the device, perhaps not yet computed."""
        with self._cuda.current():
            images = self._feed_image(image, feed)
            self._launch(images, images.enqueue, fetch=False)
        return self._left()

    def fetch(self, name: str) -> NDArray[Any]:
        """One output of the last frame, on the host."""
        buffer = self._outputs[name]
        with self._cuda.current():
            buffer.fetch(self._cuda, self.stream)
            self._cuda.synchronize(self.stream)
        return buffer.host

    def close(self) -> None:
        """Wait for what runs, and release everything but what callers hold views of. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self.frame = -1  # tensors left on the device are gone
        with suppress(CudaError), self._cuda.current():
            if hasattr(self, "stream"):
                with suppress(CudaError):
                    self._cuda.synchronize(self.stream)
            self._drop_graph()
            self._context = None
            if self._images is not None:
                self._images.close()
            self._keep.close()
        self._buffers, self._inputs, self._outputs, self._images = {}, {}, {}, None
        self._loaded.release()

    def _own(self, handle: int, release: Callable[[int], None]) -> int:
        self._keep.callback(release, handle)
        return handle

    def _feed(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        self._wait()  # the copy of the frame before may not be done
        for name, buffer in self._inputs.items():
            np.copyto(buffer.host, feeds[name])

    def _feed_image(self, image: NDArray[np.uint8], feed: ImageFeed) -> FrameInput:
        self._wait()
        if self._images is None or self._images.feed is not feed:
            tensor = next(t for t in self._loaded.tensors if t.is_input)
            new = FrameInput(
                self._cuda, self._loaded.kernels, feed, tensor, self._buffers[tensor.spec.name], self.stream
            )
            self._drop_graph()  # it reads the old one's memory
            if self._images is not None:
                self._images.close()
            self._images = new
        self._images.put(image)
        return self._images

    def _send_inputs(self) -> None:
        for buffer in self._inputs.values():
            buffer.send(self._cuda, self.stream)

    def _launch(self, source: Hashable, send: Callable[[], None], *, fetch: bool) -> None:
        """Enqueue one frame: as it stands the first time of a kind, as a captured graph from the second on."""
        kind = (source, fetch)
        self.frame += 1
        try:
            if kind != self._kind:
                self._drop_graph()
            elif self._graphs and self._graph is None:
                self._graph = self._capture(send, fetch)
            self._cuda.record(self._start, self.stream)
            if self._graph is not None:
                self._cuda.launch_graph(self._graph, self.stream)
            else:
                self._enqueue(send, fetch)
            self._cuda.record(self._end, self.stream)
        except BaseException:
            self._drop_graph()
            with suppress(CudaError):  # half a frame may be on its way
                self._cuda.synchronize(self.stream)
            raise
        self._kind, self._pending = kind, True

    def _enqueue(self, send: Callable[[], None], fetch: bool) -> None:
        send()
        with self._loaded.flavour.messages.capture() as said:
            done = self._context.execute_async_v3(self.stream)
        if not done:
            raise EngineError(
                f"{self._loaded.flavour.title} failed to run the network{reason(said)}; run it again, and should it "
                "persist build the engine again"
            )
        if fetch:
            for buffer in self._outputs.values():
                buffer.fetch(self._cuda, self.stream)

    def _capture(self, send: Callable[[], None], fetch: bool) -> int | None:
        """The frame as a CUDA graph, or None and no further attempt."""
        # TensorRT-RTX alone asks: parts it compiles while running cannot be captured.
        if self._loaded.flavour.has("stream_capture") and not self._context.is_stream_capturable(self.stream):
            self._without_graphs("the network has parts that cannot be captured")
            return None
        try:
            self._cuda.begin_capture(self.stream)
            try:
                self._enqueue(send, fetch)
            except BaseException:
                with suppress(CudaError):
                    self._cuda.destroy_graph(self._cuda.end_capture(self.stream))
                raise
            return self._cuda.end_capture(self.stream)
        except EngineError as error:
            self._without_graphs(str(error))
            return None

    def _without_graphs(self, why: str) -> None:
        self._graphs = False
        self._loaded.report(f"no CUDA graph, so every frame is enqueued anew: {why}")

    def _drop_graph(self) -> None:
        if self._graph is not None:
            self._cuda.destroy_graph(self._graph)
        self._graph, self._kind = None, None

    def _wait(self) -> None:
        if self._pending:
            self._cuda.wait(self._end)
            self._pending = False

    def _left(self) -> dict[str, DeviceTensor]:
        return {name: DeviceTensor(self, name, buffer) for name, buffer in self._outputs.items()}
