"""What the pipeline's workers need of a meter: replicas that hold what is theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgedepth.backends import open_backend
from edgedepth.errors import BackendError
from edgedepth.people import DetectorFinder, GeometricFinder, HeightMeter
from edgedepth.types import Frame

IMAGE = Frame(np.zeros((64, 64, 3), np.uint8))


def test_detector_replica_finds_the_same_and_is_closed_alone(realdata: Path) -> None:
    backend = open_backend(realdata / "nets/fastestdet/FastestDet.onnx")
    finder = DetectorFinder(backend, score_threshold=0.3)
    replica = finder.replica()
    assert replica.family == finder.family
    replica.close()
    with pytest.raises(BackendError, match="closed"):
        replica.find(IMAGE)
    assert finder.find(IMAGE) == ()
    finder.close()
    with pytest.raises(BackendError, match="closed"):
        finder.find(IMAGE)


def test_meter_passes_it_on_to_its_finder() -> None:
    class Finder(GeometricFinder):
        replicas = closed = 0

        def replica(self) -> Finder:
            Finder.replicas += 1
            return Finder()

        def close(self) -> None:
            Finder.closed += 1

    meter = HeightMeter(Finder(), camera_height_m=1.5)
    other = meter.replica()
    other.close()
    assert (Finder.replicas, Finder.closed) == (1, 1)
    assert other is not meter
