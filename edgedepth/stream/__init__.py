"""Frames through the estimator into sinks, at the same time and in order."""

from edgedepth.stream.meter import Meter
from edgedepth.stream.pipeline import Pipeline
from edgedepth.stream.plan import stream_options
from edgedepth.stream.result import STAGES, Result
from edgedepth.stream.signals import stop_on_signals
from edgedepth.stream.timing import Percentiles, RunSummary

__all__ = [
    "STAGES",
    "Meter",
    "Percentiles",
    "Pipeline",
    "Result",
    "RunSummary",
    "stop_on_signals",
    "stream_options",
]
