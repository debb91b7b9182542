"""What the precision gate measured when a bundle was made: ``report.json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgedepth.bundle.spec import Precision

__all__ = ["FrameSet", "PrecisionReport", "PrecisionRow"]

Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FrameSet(_Section):
    """The frames the numbers were measured on."""

    name: str
    """The image set's name, or ``"rendered rooms"`` when none was given."""
    frames: int = Field(gt=0)
    truth: Literal["sensor", "fp32"]
    """What accuracy is measured against. ``fp32``: no depth at hand, so the FP32 network stands for the truth."""


class PrecisionRow(_Section):
    """One precision of the network. Accuracy is the mean over frames of per-frame values, unaligned (metric models)."""

    precision: Precision
    abs_rel: Finite | None
    """Mean |d - truth| / truth. None for kinds that are not metric and have no scale."""
    delta1: Finite | None
    """Share of pixels with max(d / truth, truth / d) < 1.25."""
    rmse_m: Finite | None
    relative_error: Finite | None
    """Mean |d - d_fp32| / max(|d_fp32|, 5 % of the frame's median); the worst frame's. None, as the next three, where
    no pixel could be compared."""
    max_relative_error: Finite | None
    """The worst pixel's."""
    scale_ratio: Finite | None
    """Median over frames of each frame's median d / d_fp32."""
    scale_spread: Finite | None
    """Largest minus smallest of those."""
    nan_inf: int = Field(ge=0)
    """Pixels that are a number in FP32 and none here, and the reverse."""
    person_error: Finite | None = None
    """Mean |p - p_fp32| of the probability of a person over the worst tile of any frame, for networks that give it."""
    size_mb: Finite
    latency_ms_p50: Finite
    latency_ms_p95: Finite


class PrecisionReport(_Section):
    """``report.json``: every precision that was made on the way, on one host, on one set of frames."""

    schema_version: Literal[1] = 1
    date: str
    host: str
    """The device's name."""
    backend: str
    """What ran the graphs: ``"onnxruntime:cpu"``."""
    versions: dict[str, str]
    frame_set: FrameSet
    rows: tuple[PrecisionRow, ...]
    kept_fp32: tuple[str, ...] = ()
    """Parts of the network kept in FP32 because FP16 could not hold their values."""
    notes: tuple[str, ...] = ()
    """What else was noticed on the way."""
    not_quantized: tuple[str, ...] = ()
    """Blocks left out of INT8 because they cost too much accuracy."""
    calibration: dict[str, Any] | None = None
    """The INT8 calibration: set, frames, method."""
    verdict: str
    """One sentence: what passed, or what was kept in spite of what."""
