"""What an evaluation found, as JSON: every frame, the means with their intervals, and everything they depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgedepth.evaluation.alignment import Alignment

__all__ = [
    "METRICS",
    "EstimatorInfo",
    "EvaluationReport",
    "FrameRecord",
    "Interval",
    "Metric",
    "ProtocolInfo",
    "RangeRow",
    "Skipped",
]

Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Metric:
    """One number of a frame.

    Attributes:
        title: as tables head it, with its unit.
        meaning: which variant it is.
        form: how it is printed.
        higher_is_better: None where neither end is.
    """

    title: str
    meaning: str
    form: str = ".4f"
    higher_is_better: bool | None = False


METRICS: Mapping[str, Metric] = {
    "absrel": Metric("AbsRel", "mean |p - g| / g"),
    "sqrel_m": Metric("SqRel m", "mean (p - g)^2 / g"),
    "sqrel_kitti": Metric("SqRel KITTI", "mean ((p - g) / g)^2, KITTI devkit"),
    "rmse_m": Metric("RMSE m", "sqrt mean (p - g)^2", ".3f"),
    "rmse_log": Metric("RMSElog", "sqrt mean (ln p - ln g)^2"),
    "log10": Metric("log10", "mean |log10 p - log10 g|"),
    "silog": Metric("SILog", "100 sqrt(mean d^2 - mean(d)^2), d = ln p - ln g: KITTI benchmark", ".2f"),
    "silog_half": Metric("SILog 0.5", "sqrt(mean d^2 - mean(d)^2 / 2): BTS, GLPDepth"),
    "mae_m": Metric("MAE m", "mean |p - g|", ".3f"),
    "mse_m2": Metric("MSE m2", "mean (p - g)^2", ".3f"),
    "delta1": Metric("delta1", "share with max(p / g, g / p) < 1.25", higher_is_better=True),
    "delta2": Metric("delta2", "share below 1.25^2", higher_is_better=True),
    "delta3": Metric("delta3", "share below 1.25^3", higher_is_better=True),
    "coverage": Metric("coverage", "share of the true pixels for which a depth was found", higher_is_better=True),
    "boundary_f1": Metric("edge F1", "Depth Pro's scale-invariant boundary F1", higher_is_better=True),
    "floor_rms_m": Metric("floor rms m", "rms distance of the floor's pixels from their own plane", ".4f"),
    "floor_angle_deg": Metric("floor angle", "angle of that plane to the true floor, degrees", ".2f"),
    "tae_percent": Metric("TAE %", "temporal alignment error to the frame before, metric depth as it comes", ".3f"),
    "ordinal_accuracy": Metric("ordinal", "share of pairs ordered right", higher_is_better=True),
    "whdr": Metric("WHDR", "1 - ordinal accuracy, all weights 1"),
    "person_iou": Metric(
        "person IoU", "found and true mask of all people, over frames with somebody in view", higher_is_better=True
    ),
    "person_false": Metric("false person", "share of nobody's pixels that are called a person"),
}
"""Every number a frame can have, by its key in the report. p is the depth found, g the true one."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FrameRecord(_Section):
    """One frame. Its numbers are those of METRICS; None = not defined for it."""

    id: str
    group: str
    absrel: Finite | None = None
    sqrel_m: Finite | None = None
    sqrel_kitti: Finite | None = None
    rmse_m: Finite | None = None
    rmse_log: Finite | None = None
    log10: Finite | None = None
    silog: Finite | None = None
    silog_half: Finite | None = None
    mae_m: Finite | None = None
    mse_m2: Finite | None = None
    delta1: Finite | None = None
    delta2: Finite | None = None
    delta3: Finite | None = None
    coverage: Finite | None = None
    boundary_f1: Finite | None = None
    floor_rms_m: Finite | None = None
    floor_angle_deg: Finite | None = None
    tae_percent: Finite | None = None
    ordinal_accuracy: Finite | None = None
    whdr: Finite | None = None
    person_iou: Finite | None = None
    person_false: Finite | None = None
    scale: Finite | None = None
    """What the alignment multiplied by; None for none."""
    shift: Finite | None = None


class Interval(_Section):
    """95 % interval of a mean."""

    low: Finite
    high: Finite


class RangeRow(_Section):
    """Errors of the pixels whose true depth lies in from_m <= g < to_m, pooled over frames. ``bias``: mean (p-g)/g."""

    from_m: Finite
    to_m: Finite
    pixels: int
    absrel: Finite | None
    bias: Finite | None
    rmse_m: Finite | None
    delta1: Finite | None


class Skipped(_Section):
    """A sample that has no number, and why."""

    id: str
    reason: str


class EstimatorInfo(_Section):
    """What was evaluated."""

    name: str
    """Model and backend."""
    model: str | None = None
    """The spec's name; None for the sensor's own depth."""
    precision: str | None = None
    kind: str
    sha256: str | None = None
    """Of the graph or checkpoint that was run, where there is a file."""
    training_data: str | None = None


class ProtocolInfo(_Section):
    """The rules, spelled out."""

    name: str
    title: str
    source: str
    min_depth_m: Finite
    max_depth_m: Finite
    ranges_m: dict[str, tuple[Finite, Finite]]
    crop: str | None
    clips: bool
    truth: Literal["depth", "pairs"] = "depth"

    @property
    def limits(self) -> str:
        """Which true depths are scored, for a person; ordinal pairs have none."""
        if self.truth == "pairs":
            return "ordinal pairs"
        if self.ranges_m:
            return "; ".join(f"{name} {low:g} - {high:g} m" for name, (low, high) in self.ranges_m.items())
        return f"{self.min_depth_m:g} - {self.max_depth_m:g} m"


class EvaluationReport(_Section):
    """An evaluation. Means are over the frames that have the number; a frame's own is a mean over its pixels."""

    schema_version: Literal[1] = 1
    estimator: EstimatorInfo
    protocol: ProtocolInfo
    alignment: Alignment
    dataset: str
    dataset_kind: str
    date: str
    host: str
    versions: dict[str, str]
    samples: int
    """How many were asked for: those scored and those skipped."""
    frames: tuple[FrameRecord, ...]
    mean: dict[str, Finite]
    interval95: dict[str, Interval]
    """Percentile bootstrap; missing where there are fewer than two units."""
    resampled: Literal["frames", "groups"]
    """What the bootstrap drew: whole groups (scenes, subjects) where there are several."""
    by_range: tuple[RangeRow, ...]
    worst: tuple[str, ...]
    """Ids of the worst frames, the worst first."""
    skipped: tuple[Skipped, ...]
