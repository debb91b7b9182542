"""The numeric gate: does this backend, on this device, still give the numbers the bundle was exported with?

Compilers and accelerators do get networks wrong, silently: in FP16, with a fused attention, on one version of one
library. The bundle carries inputs and the FP32 original's answers; the gate runs the one and compares with the other.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.backends import Backend, ImageBackend, ProvableBackend, open_backend
from edgedepth.bundle import Golden, Model, ModelSpec, check_spec, read_golden
from edgedepth.bundle.onnxfacts import read_facts
from edgedepth.bundle.spec import Precision
from edgedepth.bundle.store import file_sha256
from edgedepth.depth.conversion import to_units
from edgedepth.depth.postprocess import plane_of
from edgedepth.depth.preprocess import image_feed, preprocess
from edgedepth.depth.resize import ResizePlan
from edgedepth.errors import BundleError, GateError

__all__ = [
    "TOLERANCES",
    "GateReport",
    "Tolerance",
    "answers",
    "check_backend",
    "measure_backend",
    "probe_images",
    "prove_backend",
    "relative_differences",
]

REGIONS = 8
"""A frame is looked at in REGIONS x REGIONS tiles as well: one wrong person hardly moves the mean of a frame."""

IMAGE_TOLERANCE = 0.02
"""Mean difference of depth between frames resized on the device and on the CPU."""

NEGLIGIBLE = 0.05
"""Of a frame's median: smaller values have no ratios, and their differences are relative to this."""


@dataclass(frozen=True)
class Tolerance:
    """How far a backend may be off: fractions (0.01 = 1 %); ``person`` in probability, 1 allows anything."""

    relative_error: float
    region_error: float
    scale: float
    spread: float
    person: float = 1.0


TOLERANCES: dict[Precision, Tolerance] = {
    # FP32 differs by the order of additions (and TF32 on some GPUs).
    "fp32": Tolerance(relative_error=0.002, region_error=0.01, scale=0.001, spread=0.001, person=0.005),
    "fp16": Tolerance(relative_error=0.01, region_error=0.03, scale=0.005, spread=0.005, person=0.02),
    # Against the FP32 original, so quantisation itself is inside: FastDepth in INT8 measures
    # 0.035, 1.010 and 0.046 on fourteen rooms, and 0.23 in its worst region. The masks of edgedepth-s in INT8 measure
    # 0.05 in their worst region on sixteen rooms.
    "int8": Tolerance(relative_error=0.07, region_error=0.3, scale=0.03, spread=0.09, person=0.1),
}


@dataclass(frozen=True)
class GateReport:
    """What the gate measured over the golden frames.

    Attributes:
        backend: its name.
        frames: how many golden frames were run.
        relative_error: mean of ``relative_differences`` over all pixels; the worst frame's.
        max_relative_error: the worst pixel's.
        region_error: mean of ``relative_differences`` over the worst of REGIONS x REGIONS tiles of any frame.
        scale_ratio: median over the frames of each frame's median found / expected; 1 is right.
        scale_spread: largest minus smallest of those per-frame ratios: what would flicker in a video.
        invalid_pixels: NaN and infinities where a number was expected, and the reverse.
        tolerance: what was allowed.
        person_error: mean difference of the probability of a person over the worst of REGIONS x REGIONS tiles of any
            frame, so that one lost head is seen; None where the network does not tell people.
    """

    backend: str
    frames: int
    relative_error: float
    max_relative_error: float
    region_error: float
    scale_ratio: float
    scale_spread: float
    invalid_pixels: int
    tolerance: Tolerance
    person_error: float | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """What is beyond tolerance, in words; empty when the backend passes."""
        allowed = self.tolerance
        checks = (
            (self.invalid_pixels > 0, f"{self.invalid_pixels} NaN or infinite pixels"),
            (
                not self.relative_error <= allowed.relative_error,
                f"relative error {self.relative_error:.2%} (allowed {allowed.relative_error:.2%})",
            ),
            (
                not self.region_error <= allowed.region_error,
                f"relative error {self.region_error:.2%} in one region (allowed {allowed.region_error:.2%})",
            ),
            (
                not abs(self.scale_ratio - 1) <= allowed.scale,
                f"scale off by {self.scale_ratio - 1:+.2%} (allowed {allowed.scale:.2%})",
            ),
            (
                not self.scale_spread <= allowed.spread,
                f"scale varies by {self.scale_spread:.2%} between frames (allowed {allowed.spread:.2%})",
            ),
            (
                self.person_error is not None and not self.person_error <= allowed.person,
                f"probability of a person off by {self.person_error} in one region (allowed {allowed.person})",
            ),
        )
        return tuple(text for failed, text in checks if failed)


def measure_backend(
    spec: ModelSpec, golden: Golden, backend: Backend, tolerance: Tolerance | None = None
) -> GateReport:
    """Run the golden inputs and measure how far the answers are off. ``tolerance`` None takes the precision's.

    Raises:
        SpecError: spec and network disagree.
        BundleError: the golden data does not fit the network.
        BackendError: the network failed to run.
    """
    image, depth, person = check_spec(spec, backend.inputs, backend.outputs)
    errors, worst, regions, ratios, people, invalid = [], [], [], [], [], 0
    if person is not None and golden.person is None:
        raise BundleError(f"the golden data of {spec.name} does not say where people are; write the bundle again")
    for number, (tensor, expected_tensor) in enumerate(zip(golden.inputs, golden.outputs, strict=True)):
        given = backend.run({image.name: tensor})
        found = to_units(spec.output, plane_of(given[depth.name]))
        expected = plane_of(expected_tensor)
        if person is not None and golden.person is not None:
            apart = np.abs(plane_of(given[person.name]).astype(np.float64) - plane_of(golden.person[number]))
            invalid += int(np.count_nonzero(~np.isfinite(apart)))
            people.append(_worst_region(apart))
        if found.shape != expected.shape:
            raise BundleError(
                f"golden data of shape {expected.shape} does not belong to {spec.name}, which gives {found.shape}; "
                "write the bundle again"
            )
        with np.errstate(invalid="ignore"):  # NaN and infinity are what is being looked for
            known = np.isfinite(expected)
            good = known & np.isfinite(found)
            invalid += int(np.count_nonzero(known != np.isfinite(found)))
            if good.any():
                relative = relative_differences(expected, found)
                errors.append(float(np.nanmean(relative)))
                worst.append(float(np.nanmax(relative)))
                regions.append(_worst_region(relative))
            size = np.abs(expected)
            solid = good & (size > NEGLIGIBLE * np.median(size[known])) if known.any() else good
            if solid.any():
                ratios.append(float(np.median(found[solid] / expected[solid])))
    return GateReport(
        backend=backend.name,
        frames=len(golden),
        relative_error=max(errors, default=float("nan")),
        max_relative_error=max(worst, default=float("nan")),
        region_error=max(regions, default=float("nan")),
        scale_ratio=float(np.median(ratios)) if ratios else float("nan"),
        scale_spread=max(ratios) - min(ratios) if ratios else float("nan"),
        invalid_pixels=invalid,
        tolerance=tolerance or TOLERANCES[spec.precision],
        person_error=round(max(people), 6) if people else None,
    )


def relative_differences(expected: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """|found - expected| / max(|expected|, 5 % of the frame's median |expected|), pixel by pixel.

    A network whose output crosses zero (disparity of the sky) has pixels that no finite precision gets right in
    relative terms; a difference that is large beside the frame is still one. Not a number where either is none.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = np.asarray(expected, dtype=np.float64)
        size, gap = np.abs(wanted), np.abs(np.asarray(found, dtype=np.float64) - wanted)
        known = size[np.isfinite(size)]
        scale = np.maximum(size, NEGLIGIBLE * float(np.median(known)) if known.size else 0.0)
        # An all-zero frame has no scale; any difference is then infinitely large.
        relative: NDArray[np.float64] = np.where(gap == 0, 0.0, gap / scale)
    relative[~np.isfinite(wanted) | ~np.isfinite(gap)] = np.nan
    return relative


def _worst_region(relative: NDArray[np.float64]) -> float:
    """The largest mean of a tile; tiles without a number have none. NaN when no tile has."""
    rows = np.array_split(relative, min(REGIONS, relative.shape[0]), axis=0)
    tiles = [tile for row in rows for tile in np.array_split(row, min(REGIONS, row.shape[1]), axis=1)]
    return max((float(np.nanmean(tile)) for tile in tiles if not np.isnan(tile).all()), default=float("nan"))


def check_backend(spec: ModelSpec, golden: Golden, backend: Backend, tolerance: Tolerance | None = None) -> GateReport:
    """As ``measure_backend``, and refuse a backend that is beyond tolerance.

    Raises:
        GateError: the backend's numbers cannot be trusted; says what is off and by how much.
    """
    report = measure_backend(spec, golden, backend, tolerance)
    if report.failures:
        raise GateError(
            f"{report.backend} does not give {spec.name}'s numbers on {report.frames} golden frames: "
            f"{'; '.join(report.failures)}; use another backend or device, or a bundle of another precision"
        )
    return report


# What wrote the golden data, and what runs no network.
_NOT_PROVED = ("onnxruntime:cpu", "fake")


def prove_backend(model: Model, backend: Backend) -> GateReport | None:
    """Pass a network through the gate before its first number, and have a backend that keeps what it compiles remember.

    A bundle is compared with its golden data. A bare ``.onnx`` has none; one that is compiled is compared with
    onnxruntime on the CPU: that proves the compiler, not the precision. None: nothing to prove (the backend is the
    reference itself, or a bare ``.onnx`` is not compiled), or this very proof is on record; that of the same network
    under another spec, other golden data or another tolerance is none.

    Raises:
        GateError: the numbers are off; with the cause when it is a known one.
        BundleError, BackendError: as ``measure_backend``.
    """
    if not isinstance(backend, ProvableBackend):
        if model.golden_path is None or backend.name in _NOT_PROVED:
            return None
        return check_backend(model.spec, read_golden(model.golden_path), backend)
    tolerance = TOLERANCES[_precision_of(model)]
    claim = _claim(model, tolerance)
    if (backend.proof or {}).get("claim") == claim:
        return None
    if model.golden_path is not None:
        golden = read_golden(model.golden_path)
    else:
        image = model.spec.input
        shape = preprocess(image, ResizePlan.for_frame(image, (image.width, image.height)))
        inputs = np.stack([shape(pixels).copy() for pixels in probe_images(image.height, image.width)])
        with open_backend(model.onnx_path, name="onnxruntime:cpu") as reference:
            golden = answers(model.spec, reference, inputs)
    try:
        report = check_backend(model.spec, golden, backend, tolerance)
    except GateError as error:
        raise GateError(f"{error}. {backend.gate_hint}" if backend.gate_hint else str(error)) from None
    _prove_images(model.spec, backend)
    backend.record_proof({**asdict(report), "claim": claim})
    return report


def _prove_images(spec: ModelSpec, backend: Backend) -> None:
    """Frames that the device itself makes tensors of must give what the tensors of the CPU give.

    The two round a pixel's interpolation differently, by one level of 255 at most.

    Raises:
        GateError: they do not.
    """
    if not (isinstance(backend, ImageBackend) and backend.takes_images):
        return
    frame = probe_images(3 * spec.input.height // 2, 2 * spec.input.width, 1)[0]
    plan = ResizePlan.for_frame(spec.input, (frame.shape[1], frame.shape[0]))
    image, depth, _ = check_spec(spec, backend.inputs, backend.outputs)
    fed = plane_of(backend.run({image.name: preprocess(spec.input, plan)(frame)})[depth.name]).copy()
    made = plane_of(backend.run_image(frame, image_feed(spec.input, plan))[depth.name])
    off = float(np.nanmean(relative_differences(fed, made)))
    if not off <= IMAGE_TOLERANCE or (np.isfinite(fed) != np.isfinite(made)).any():
        raise GateError(
            f"{backend.name} makes another tensor of a frame than the CPU does: {spec.name}'s depth differs by "
            f"{off:.2%} (allowed {IMAGE_TOLERANCE:.0%}); use another backend and report this"
        )


def _precision_of(model: Model) -> Precision:
    """A bundle's is what its export measured. A hand-written spec may be silent or wrong; the graph is neither."""
    if model.golden_path is not None:
        return model.spec.precision
    return cast(Precision, read_facts(model.onnx_path).precision.partition("+")[0])


def _claim(model: Model, tolerance: Tolerance) -> str:
    """SHA-256 of everything but the network that a proof depends on."""
    reference = "onnxruntime" if model.golden_path is None else file_sha256(model.golden_path)
    spec = model.spec
    parts = (reference, spec.input.model_dump_json(), spec.output.model_dump_json(), repr(spec.person), repr(tolerance))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def answers(spec: ModelSpec, backend: Backend, inputs: NDArray[np.generic]) -> Golden:
    """What ``backend`` gives for input tensors stacked along a new first axis."""
    image, depth, person = check_spec(spec, backend.inputs, backend.outputs)
    depths, people = [], []
    for tensor in inputs:
        given = backend.run({image.name: tensor})
        depths.append(to_units(spec.output, given[depth.name]).astype(np.float32))
        if person is not None:
            people.append(np.array(given[person.name], np.float32))
    return Golden(inputs, np.stack(depths), np.stack(people) if people else None)


def probe_images(height: int, width: int, count: int = 2) -> list[NDArray[np.uint8]]:
    """Smooth coloured noise, uint8 RGB, the same every time: what a network is tried on when there are no frames."""
    random = np.random.default_rng(7)
    coarse = random.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
    return [np.asarray(cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8) for c in coarse]
