"""Frames to depth maps: fitting to the network, the meaning of its numbers, and back onto the frame's grid."""

from edgedepth.depth.base import FrameEstimator, Grid
from edgedepth.depth.conversion import MetricScale
from edgedepth.depth.estimator import DepthEstimator, SensorDepth
from edgedepth.depth.gate import GateReport, answers, check_backend, measure_backend, prove_backend
from edgedepth.depth.resize import ResizePlan

__all__ = [
    "DepthEstimator",
    "FrameEstimator",
    "GateReport",
    "Grid",
    "MetricScale",
    "ResizePlan",
    "SensorDepth",
    "answers",
    "check_backend",
    "measure_backend",
    "prove_backend",
]
