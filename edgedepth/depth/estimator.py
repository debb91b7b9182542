"""DepthEstimator: a spec and a backend joined, frames to depth maps. SensorDepth: the same for RGB-D sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from edgedepth.backends import Backend, BackendOptions, ImageBackend, ImageFeed, open_backend
from edgedepth.bundle import Model, ModelSpec, check_spec, load_model
from edgedepth.closing import Closing
from edgedepth.depth.base import STAGES, Grid
from edgedepth.depth.conversion import Conversion, MetricScale
from edgedepth.depth.gate import prove_backend
from edgedepth.depth.postprocess import Postprocessor, plane_of, postprocess
from edgedepth.depth.preprocess import Preprocessor, image_feed, preprocess
from edgedepth.depth.resize import ResizePlan
from edgedepth.errors import InputError, NotMetricError
from edgedepth.types import DepthKind, DepthMap, Frame

__all__ = ["DepthEstimator", "SensorDepth"]


class DepthEstimator(Closing):
    """Depth of frames by a network. A FrameEstimator: one thread at a time, ``replica`` for others.

    Buffers are made for the first frame and kept while frames have the same size.

    Args:
        model: the spec, or a Model that carries it.
        backend: the loaded network; closed with the estimator.
        grid: which pixel grid the maps are on.
        metric: turns relative depth or disparity into metres, or corrects metres; None leaves the network's kind.
        allow_untrained: give "metres" of a network with random weights (to measure speed).

    Raises:
        SpecError: spec and network disagree.
        NotMetricError: metres from an untrained network, or a scale that makes no metres of this kind.
    """

    def __init__(
        self,
        model: Model | ModelSpec,
        backend: Backend,
        *,
        grid: Grid = "frame",
        metric: MetricScale | None = None,
        allow_untrained: bool = False,
    ) -> None:
        self.spec = model.spec if isinstance(model, Model) else model
        self._image, self._depth, self._person = check_spec(self.spec, backend.inputs, backend.outputs)
        self._kind = Conversion.of(self.spec.output, metric).kind
        if self._kind is DepthKind.METRIC and not self.spec.provenance.trained and not allow_untrained:
            raise NotMetricError(
                f"{self.spec.name} has untrained (random) weights, so its numbers are not metres; "
                "use a trained model, or allow it to measure speed: --allow-untrained (allow_untrained=True)"
            )
        if grid not in ("frame", "network"):
            raise InputError(f"grid is frame or network, found {grid!r}")
        self._backend, self._grid, self._metric, self._allow_untrained = backend, grid, metric, allow_untrained
        # A backend on another processor takes the frame as it is, and prepares it there.
        self._images = backend if isinstance(backend, ImageBackend) and backend.takes_images else None
        self._plan: ResizePlan | None = None
        self._pre: Preprocessor | ImageFeed | None = None
        self._post: Postprocessor | None = None
        self._stage_ns: Mapping[str, int] = {}

    @classmethod
    def open(
        cls,
        model: Model | str | Path,
        spec_path: str | Path | None = None,
        *,
        backend: str | None = None,
        options: BackendOptions | None = None,
        grid: Grid = "frame",
        metric: MetricScale | None = None,
        allow_untrained: bool = False,
    ) -> DepthEstimator:
        """Load a bundle, or a bare ``.onnx`` with its spec, and the backend ``backend`` (None: the default one).

        A Model is taken as ``load_model`` gave it, and its files are not read and checked again.

        Raises:
            BundleError, SpecError: see ``load_model`` and ``check_spec``.
            BackendError, BackendUnavailable, MissingExtraError: see ``open_backend``.
            NotMetricError: as the class.
            GateError: a network compiled here does not give the bundle's numbers.
        """
        if not isinstance(model, Model):
            model = load_model(model, spec_path)
        opened = open_backend(model.onnx_path, options, name=backend)
        try:
            prove_backend(model, opened)
            return cls(model, opened, grid=grid, metric=metric, allow_untrained=allow_untrained)
        except BaseException:
            opened.close()
            raise

    @property
    def name(self) -> str:
        """Model and backend, for reports."""
        return f"{self.spec.name} on {self._backend.name}"

    @property
    def kind(self) -> DepthKind:
        """What the numbers of every map mean."""
        return self._kind

    @property
    def last_stage_ns(self) -> Mapping[str, int]:
        """Nanoseconds of preprocess, infer and postprocess of the last ``estimate``. A backend that takes images
        prepares them in ``infer``."""
        return self._stage_ns

    def grid_wh(self, frame_wh: tuple[int, int]) -> tuple[int, int]:
        """See FrameEstimator.grid_wh. On the network's grid, a network of free size is run to find out what its
        first frame of a size will give."""
        if self._grid == "frame":
            return frame_wh
        if self._post is not None and self._post.plan.frame_wh == frame_wh:
            return self._post.grid_wh
        sides = [n for n in self._depth.shape if n != 1]
        if None not in sides:
            return sides[1], sides[0]  # type: ignore[return-value]
        height, width = self._probe(frame_wh)
        return width, height

    def estimate(self, frame: Frame, out: NDArray[np.float32] | None = None) -> DepthMap:
        """See FrameEstimator.estimate."""
        start = perf_counter_ns()
        if self._plan is None or self._pre is None or self._plan.frame_wh != frame.size_wh:
            self._plan = ResizePlan.for_frame(self.spec.input, frame.size_wh)
            make = preprocess if self._images is None else image_feed
            self._pre, self._post = make(self.spec.input, self._plan), None
        if isinstance(self._pre, ImageFeed):
            assert self._images is not None
            ready = perf_counter_ns()
            outputs = self._images.run_image(frame.image, self._pre)
        else:
            tensor = self._pre(frame.image)
            ready = perf_counter_ns()
            outputs = self._backend.run({self._image.name: tensor})
        inferred = perf_counter_ns()
        raw = outputs[self._depth.name]
        person = None if self._person is None else outputs[self._person.name]
        if self._post is None:
            height, width = plane_of(raw).shape
            self._post = postprocess(
                self.spec.output, self._plan, (width, height), grid=self._grid, metric=self._metric
            )
        depth = self._post(raw, frame.intrinsics, out, person)
        self._stage_ns = dict(zip(STAGES, (ready - start, inferred - ready, perf_counter_ns() - inferred), strict=True))
        return depth

    def replica(self) -> DepthEstimator:
        """See FrameEstimator.replica."""
        return DepthEstimator(
            self.spec,
            self._backend.replica(),
            grid=self._grid,
            metric=self._metric,
            allow_untrained=self._allow_untrained,
        )

    def warm_up(self) -> None:
        """Run the network once on grey; the first run of most libraries is many times slower than the second."""
        self._probe((self.spec.input.width, self.spec.input.height))

    def _probe(self, frame_wh: tuple[int, int]) -> tuple[int, ...]:
        """Height and width of the network's depth for frames of this size, by running it on a grey one."""
        plan = ResizePlan.for_frame(self.spec.input, frame_wh)
        grey = np.full((*frame_wh[::-1], 3), 128, np.uint8)
        tensor = preprocess(self.spec.input, plan)(grey)
        return plane_of(self._backend.run({self._image.name: tensor})[self._depth.name]).shape

    def close(self) -> None:
        """Close the backend. Safe to call twice."""
        self._backend.close()


class SensorDepth(Closing):
    """The depth the frame brings along (RGB-D cameras, recordings). A FrameEstimator without a network."""

    name = "sensor depth"
    kind = DepthKind.METRIC

    def __init__(self) -> None:
        self._stage_ns: Mapping[str, int] = {}

    @property
    def last_stage_ns(self) -> Mapping[str, int]:
        """Only ``postprocess`` takes time."""
        return self._stage_ns

    def grid_wh(self, frame_wh: tuple[int, int]) -> tuple[int, int]:
        """The frame's size."""
        return frame_wh

    def estimate(self, frame: Frame, out: NDArray[np.float32] | None = None) -> DepthMap:
        """The frame's own depth; the very same array when ``out`` is None.

        Raises:
            InputError: the frame has no depth, or ``out`` has another size.
        """
        start = perf_counter_ns()
        if frame.depth_m is None:
            raise InputError(
                f"frame {frame.sequence} of {frame.source or 'this source'} brings no sensor depth; "
                "give a depth model (--model), or an RGB-D source"
            )
        values = frame.depth_m
        if out is not None:
            if out.shape != values.shape or out.dtype != np.float32:
                raise InputError(f"out must be float32 {values.shape}, found {out.dtype} {out.shape}")
            np.copyto(out, values)
            values = out
        depth = DepthMap(values, DepthKind.METRIC, frame.intrinsics)
        self._stage_ns = dict(zip(STAGES, (0, 0, perf_counter_ns() - start), strict=True))
        return depth

    def replica(self) -> SensorDepth:
        """Another one."""
        return SensorDepth()

    def warm_up(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""
