"""The numeric gate: does this backend, on this device, still give the numbers the bundle was exported with?

Compilers and accelerators do get networks wrong, silently: in FP16, with a fused attention, on one version of one
library. The bundle carries inputs and the FP32 original's answers; the gate runs the one and compares with the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgedepth.backends import Backend
from edgedepth.bundle import Golden, ModelSpec, check_spec
from edgedepth.bundle.spec import Precision
from edgedepth.depth.conversion import to_units
from edgedepth.depth.postprocess import plane_of
from edgedepth.errors import BundleError, GateError

__all__ = ["TOLERANCES", "GateReport", "Tolerance", "check_backend", "measure_backend"]

# Values this much smaller than the frame's median are left out of ratios, which they would dominate.
NEGLIGIBLE = 0.05


@dataclass(frozen=True)
class Tolerance:
    """How far a backend may be off: fractions (0.01 = 1 %)."""

    relative_error: float
    scale: float
    spread: float


TOLERANCES: dict[Precision, Tolerance] = {
    # FP32 differs by the order of additions (and TF32 on some GPUs).
    "fp32": Tolerance(relative_error=0.002, scale=0.001, spread=0.001),
    "fp16": Tolerance(relative_error=0.01, scale=0.005, spread=0.005),
    # Against the FP32 original, so quantisation itself is inside: FastDepth in INT8 measures
    # 0.035, 1.010 and 0.046 on fourteen rooms.
    "int8": Tolerance(relative_error=0.07, scale=0.03, spread=0.09),
}


@dataclass(frozen=True)
class GateReport:
    """What the gate measured over the golden frames.

    Attributes:
        backend: its name.
        frames: how many golden frames were run.
        relative_error: mean of |found - expected| / |expected| over all pixels; the worst frame's.
        scale_ratio: median over the frames of each frame's median found / expected; 1 is right.
        scale_spread: largest minus smallest of those per-frame ratios: what would flicker in a video.
        invalid_pixels: NaN and infinities where a number was expected.
        tolerance: what was allowed.
    """

    backend: str
    frames: int
    relative_error: float
    scale_ratio: float
    scale_spread: float
    invalid_pixels: int
    tolerance: Tolerance

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
                not abs(self.scale_ratio - 1) <= allowed.scale,
                f"scale off by {self.scale_ratio - 1:+.2%} (allowed {allowed.scale:.2%})",
            ),
            (
                not self.scale_spread <= allowed.spread,
                f"scale varies by {self.scale_spread:.2%} between frames (allowed {allowed.spread:.2%})",
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
    image, depth = check_spec(spec, backend.inputs, backend.outputs)
    errors, ratios, invalid = [], [], 0
    for tensor, expected_tensor in zip(golden.inputs, golden.outputs, strict=True):
        found = to_units(spec.output, plane_of(backend.run({image.name: tensor})[depth.name]))
        expected = plane_of(expected_tensor)
        if found.shape != expected.shape:
            raise BundleError(
                f"golden data of shape {expected.shape} does not belong to {spec.name}, which gives {found.shape}; "
                "write the bundle again"
            )
        with np.errstate(invalid="ignore"):  # NaN and infinity are what is being looked for
            known = np.isfinite(expected)
            good = known & np.isfinite(found)
            invalid += int(np.count_nonzero(known & ~good))
            size = np.abs(expected)
            solid = good & (size > NEGLIGIBLE * np.median(size[known])) if known.any() else good
            if solid.any():
                errors.append(float(np.mean(np.abs(found[solid] - expected[solid]) / size[solid])))
                ratios.append(float(np.median(found[solid] / expected[solid])))
    return GateReport(
        backend=backend.name,
        frames=len(golden),
        relative_error=max(errors, default=float("nan")),
        scale_ratio=float(np.median(ratios)) if ratios else float("nan"),
        scale_spread=max(ratios) - min(ratios) if ratios else float("nan"),
        invalid_pixels=invalid,
        tolerance=tolerance or TOLERANCES[spec.precision],
    )


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
