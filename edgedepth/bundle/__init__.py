"""Model bundles: the contract between the machine that exports a network and the device that runs it."""

from edgedepth.bundle.contract import check_spec
from edgedepth.bundle.golden import Golden, read_golden
from edgedepth.bundle.report import FrameSet, PrecisionReport, PrecisionRow
from edgedepth.bundle.spec import FocalRule, InputSpec, License, ModelSpec, OutputSpec, Provenance
from edgedepth.bundle.specfile import parse_spec, read_spec
from edgedepth.bundle.store import Model, load_model, write_bundle

__all__ = [
    "FocalRule",
    "FrameSet",
    "Golden",
    "InputSpec",
    "License",
    "Model",
    "ModelSpec",
    "OutputSpec",
    "PrecisionReport",
    "PrecisionRow",
    "Provenance",
    "check_spec",
    "load_model",
    "parse_spec",
    "read_golden",
    "read_spec",
    "write_bundle",
]
