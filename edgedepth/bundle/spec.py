"""The model spec: what a depth network takes and what its numbers mean.

It is the contract between the machine that exports a network and the device that runs it. A bundle carries it as
``spec.json``; a bare third-party ``.onnx`` gets one written by hand as TOML or JSON with the same keys. Example::

    name = "fastdepth"
    [input]
    layout = "NHWC"
    height = 224
    width = 224
    color = "RGB"
    dtype = "float32"
    scale = 0.00392156862745098     # x = (pixel * scale - mean) / std
    [output]
    kind = "metric"
    metres_per_unit = 1.0
    valid_range_m = [0.1, 10.0]
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgedepth.types import DepthKind

__all__ = [
    "FocalRule",
    "InputSpec",
    "Interpolation",
    "License",
    "ModelSpec",
    "OutputSpec",
    "PersonSpec",
    "Precision",
    "Provenance",
    "ResizeRule",
]

Layout = Literal["NCHW", "NHWC"]
TensorDtype = Literal["float32", "float16", "uint8"]
ColorOrder = Literal["RGB", "BGR"]
Precision = Literal["fp32", "fp16", "int8"]
ResizeRule = Literal["stretch", "letterbox", "center_crop", "keep_aspect_multiple"]
"""stretch: the whole image onto the whole input, aspect not kept.
letterbox: aspect kept, centred, the rest filled with ``pad_value``; depth there is not returned.
center_crop: aspect kept, the input covered, what sticks out is cut; depth there is NaN.
keep_aspect_multiple: for networks whose height and width are free: aspect kept, the sides scaled so that neither is
below the spec's height and width, then each rounded to a multiple of ``multiple_of`` (DPT, Depth Anything)."""

Interpolation = Literal["bilinear", "area"]
"""How pixels are resampled, on pixel centres. bilinear: four neighbours, the fastest, aliases when shrinking a lot.
area: the mean over each output pixel's footprint (box filter, OpenCV INTER_AREA): no aliasing, ten times the cost."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Triple = tuple[Finite, Finite, Finite]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSpec(_Model):
    """The image tensor. Pixel p (0..255) becomes (p * scale - mean) / std, channel by channel in ``color`` order."""

    name: str | None = None
    """Tensor name; None takes the network's only input."""
    layout: Layout = "NCHW"
    dtype: TensorDtype = "float32"
    color: ColorOrder = "RGB"
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    resize: ResizeRule = "stretch"
    multiple_of: int = Field(default=1, gt=0)
    pad_value: int = Field(default=0, ge=0, le=255)
    interpolation: Interpolation = "bilinear"
    scale: Positive = 1 / 255
    mean: Triple = (0.0, 0.0, 0.0)
    std: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _uint8_takes_pixels(self) -> InputSpec:
        if self.dtype == "uint8" and (self.scale != 1 or any(self.mean) or self.std != (1.0, 1.0, 1.0)):
            raise ValueError("a uint8 input takes pixels as they are: set scale = 1, and neither mean nor std")
        return self


class FocalRule(_Model):
    """Networks trained in a canonical camera: depth = output * f_px / canonical_f_px, f_px at network resolution."""

    canonical_f_px: Positive


class OutputSpec(_Model):
    """The depth tensor. Raw value q becomes (q - zero_point) * metres_per_unit, then the focal rule, for METRIC.

    For the other kinds ``metres_per_unit`` is only a factor. ``reciprocal`` says that a metric network gives 1/Z.
    """

    name: str | None = None
    """Tensor name; None takes the network's only output."""
    kind: DepthKind
    metres_per_unit: Positive = 1.0
    zero_point: Finite = 0.0
    reciprocal: bool = False
    focal: FocalRule | None = None
    valid_range_m: tuple[Finite, Finite] | None = None
    """Depth outside [min, max] becomes NaN; in metres for METRIC, else in the output's own unit."""

    @model_validator(mode="after")
    def _consistent(self) -> OutputSpec:
        if self.valid_range_m is not None and not 0 <= self.valid_range_m[0] < self.valid_range_m[1]:
            raise ValueError(f"valid_range_m must be [min, max] with 0 <= min < max, found {list(self.valid_range_m)}")
        if self.kind is not DepthKind.METRIC and (self.focal or self.reciprocal):
            raise ValueError(f"focal and reciprocal make metres, but kind is {self.kind.value}")
        return self


class PersonSpec(_Model):
    """A second output, on the depth's grid: the probability, 0 to 1, that a pixel shows a person."""

    name: str
    """Tensor name."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """A pixel of at least this belongs to a person."""


class License(_Model):
    """The licence of the weights."""

    name: str = "unknown"
    commercial_use: bool | None = None
    url: str | None = None


class Provenance(_Model):
    """Where the weights come from."""

    recipe: str | None = None
    checkpoint_sha256: str | None = None
    training_data: str | None = None
    trained: bool = True
    """False for randomly initialised weights: metres from them are refused unless asked for."""
    license: License = License()


class ModelSpec(_Model):
    """Everything the runtime needs to know of one network."""

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1)
    input: InputSpec
    output: OutputSpec
    person: PersonSpec | None = None
    """The output that tells people from things, where the network has one."""
    precision: Precision = "fp32"
    opset: int | None = None
    parameters: int | None = Field(default=None, ge=0)
    provenance: Provenance = Provenance()
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 (hex) of every file of the bundle, by name; of ``spec.json`` without its own entry. Empty for a
    hand-written spec."""
