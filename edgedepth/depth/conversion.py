"""What a network's raw numbers mean, compiled into one formula that runs in place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.bundle.spec import OutputSpec
from edgedepth.errors import InputError, NotMetricError
from edgedepth.types import DepthKind

__all__ = ["Conversion", "MetricScale", "to_units"]

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class MetricScale:
    """What turns a network's values x into metres: scale * x, or 1 / (scale * x + shift) for disparity.

    ``shift`` is for disparity alone, which must say it: 0 for a stereo pair, unknown for most monocular networks.

    Raises:
        InputError: a scale that is not positive, or a number that is not finite.
    """

    scale: float
    shift: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0 and math.isfinite(self.shift or 0.0)):
            raise InputError(
                "a depth scale is a positive number and its shift, for disparity, a finite one, found "
                f"{self.scale if self.shift is None else f'{self.scale} and {self.shift}'}"
            )


@dataclass(frozen=True)
class Conversion:
    """Raw q -> u = (q - zero) * gain + shift, then v = 1 / u if ``reciprocal`` else u; NaN unless low <= v <= high.

    Attributes:
        kind: what v is.
        canonical_f_px: v is multiplied by f_px / this (f_px of the network's image); None: no focal rule.
    """

    kind: DepthKind
    zero: float
    gain: float
    shift: float
    reciprocal: bool
    low: float
    high: float
    canonical_f_px: float | None

    @classmethod
    def of(cls, output: OutputSpec, metric: MetricScale | None = None) -> Conversion:
        """The formula of an output spec, with ``metric`` given into metres.

        Raises:
            NotMetricError: a scale does not make metres of this kind.
            InputError: a shift where the formula has none.
        """
        gain, shift, reciprocal, kind = output.metres_per_unit, 0.0, output.reciprocal, output.kind
        low, high = output.valid_range_m or (-math.inf, math.inf)
        if metric is not None:
            if kind is DepthKind.ORDINAL:
                raise NotMetricError("an ordinal map has no metres, whatever the scale; use another model")
            if kind is DepthKind.DISPARITY:
                if metric.shift is None:
                    raise InputError(
                        "a disparity's scale comes with its shift: S,SHIFT; S,0 where it has none (stereo)"
                    )
                gain, shift, reciprocal = gain * metric.scale, metric.shift, True
                low, high = _reciprocal_range(low * metric.scale + shift, high * metric.scale + shift)
            elif metric.shift:
                raise InputError(f"a shift belongs to disparity, not to a {kind.value} model; give the scale alone")
            elif kind is DepthKind.RELATIVE_DEPTH:
                gain, low, high = gain * metric.scale, low * metric.scale, high * metric.scale
            else:  # a correction of metres, such as a calibrated factor; the valid range stays in metres
                gain = gain / metric.scale if reciprocal else gain * metric.scale
            kind = DepthKind.METRIC
        if kind is DepthKind.METRIC:
            low = max(low, _FLOAT32_TINY)  # no surface is at or behind the camera
        return cls(
            kind,
            output.zero_point,
            gain,
            shift,
            reciprocal,
            max(low, -_FLOAT32_MAX),
            min(high, _FLOAT32_MAX),
            output.focal.canonical_f_px if output.focal else None,
        )

    def focal_factor(self, f_px: float | None) -> float:
        """What the focal rule multiplies depth by; 1 without a rule.

        Raises:
            NotMetricError: there is a rule and no focal length.
        """
        if self.canonical_f_px is None:
            return 1.0
        if f_px is None:
            raise NotMetricError(
                f"this model gives depth for a camera of f = {self.canonical_f_px:g} px, so metres need this camera's "
                "focal length and the frame has no intrinsics; pass --intrinsics"
            )
        return f_px / self.canonical_f_px

    def apply(
        self, raw: NDArray[Any], factor: float, buffer: NDArray[np.float32], masks: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Convert ``raw`` (H x W, any real dtype). ``buffer`` (H x W) and ``masks`` (2 x H x W) are overwritten.

        Returns ``buffer``, or ``raw`` itself where it needs no change.
        """
        gain = self.gain / factor if self.reciprocal else self.gain * factor
        plain = raw.dtype == np.float32 and gain == 1 and not (self.zero or self.shift or self.reciprocal)
        with np.errstate(all="ignore"):  # division by zero and overflow give infinities, which become NaN below
            if not plain:
                np.copyto(buffer, raw, casting="unsafe")
                if self.zero:
                    np.subtract(buffer, np.float32(self.zero), out=buffer)
                if gain != 1:
                    np.multiply(buffer, np.float32(gain), out=buffer)
                if self.shift:
                    np.add(buffer, np.float32(self.shift), out=buffer)
                if self.reciprocal:
                    np.reciprocal(buffer, out=buffer)
            values = raw if plain else buffer
            # Reading the extremes is half the price of masking. A NaN fails the comparison and masking keeps it.
            if self.low <= values.min() and values.max() <= self.high:
                return values
            if plain:
                np.copyto(buffer, raw)
            below, above = masks
            np.less(buffer, np.float32(self.low), out=below)
            np.greater(buffer, np.float32(self.high), out=above)
            np.logical_or(below, above, out=below)
            np.copyto(buffer, np.float32(np.nan), where=below)
            return buffer


def _reciprocal_range(low: float, high: float) -> tuple[float, float]:
    """The range of 1 / u for low <= u <= high, of which only positive u make a depth."""
    return (1 / high if high > 0 else math.inf), (1 / low if low > 0 else math.inf)


def to_units(output: OutputSpec, raw: NDArray[Any]) -> NDArray[np.float32]:
    """(raw - zero_point) * metres_per_unit, float32: the unit golden data is kept in."""
    return ((raw.astype(np.float32) - np.float32(output.zero_point)) * np.float32(output.metres_per_unit)).astype(
        np.float32, copy=False
    )
