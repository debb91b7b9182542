from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edgedepth.depth import SensorDepth
from edgedepth.errors import InputError, NotMetricError
from edgedepth.evaluation.frames import score_estimator
from edgedepth.types import DepthKind, DepthMap, Frame

IMAGE = np.zeros((4, 6, 3), np.uint8)
TRUTH = np.arange(1, 25, dtype=np.float32).reshape(4, 6) / 4


class Wrong(SensorDepth):
    """The sensor's depth times a factor."""

    last_stage_ns: Mapping[str, int] = {}

    def __init__(self, factor: float, kind: DepthKind = DepthKind.METRIC) -> None:
        super().__init__()
        self.factor, self.kind = np.float32(factor), kind

    def estimate(self, frame: Frame, out: object = None) -> DepthMap:
        return DepthMap(frame.depth_m * self.factor, self.kind)


def frames() -> list[Frame]:
    return [Frame(IMAGE, depth_m=TRUTH), Frame(IMAGE, depth_m=TRUTH[::-1].copy())]


def test_the_sensor_against_itself_and_a_wrong_scale() -> None:
    assert score_estimator(SensorDepth(), frames()).abs_rel == 0
    assert score_estimator(Wrong(1.1), frames()).abs_rel == pytest.approx(0.1, rel=1e-4)
    assert score_estimator(Wrong(1.1), frames(), align="median").abs_rel == pytest.approx(0, abs=1e-6)
    relative = Wrong(0.01, DepthKind.RELATIVE_DEPTH)
    assert score_estimator(relative, frames(), align="median").abs_rel == pytest.approx(0, abs=1e-6)


def test_the_range_limits_reach_the_metrics() -> None:
    depth = TRUTH.copy()
    depth[0] = 50
    assert score_estimator(Wrong(1.1), [Frame(IMAGE, depth_m=depth)], max_depth_m=100).rmse_m > 2
    assert score_estimator(Wrong(1.1), [Frame(IMAGE, depth_m=depth)], max_depth_m=10).rmse_m < 1


def test_what_cannot_be_compared_says_so() -> None:
    with pytest.raises(InputError, match=r"room\.png brings no sensor depth"):
        score_estimator(SensorDepth(), [Frame(IMAGE, source="room.png")])
    with pytest.raises(NotMetricError, match="relative_depth map cannot be compared with metres"):
        score_estimator(Wrong(1, DepthKind.RELATIVE_DEPTH), frames())
    with pytest.raises(NotMetricError, match="disparity map"):
        score_estimator(Wrong(1, DepthKind.DISPARITY), frames(), align="median")
    with pytest.raises(
        InputError, match="align is none, median, scale-shift-depth, scale-shift-disparity, found 'mean'"
    ):
        score_estimator(SensorDepth(), frames(), align="mean")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="frame 7: no pixel can be scored"):
        score_estimator(SensorDepth(), [Frame(IMAGE, depth_m=np.full((4, 6), np.nan, np.float32), sequence=7)])
    with pytest.raises(InputError, match="at least one frame"):
        score_estimator(SensorDepth(), [])


def test_depth_on_another_grid_is_not_resampled() -> None:
    class Small(SensorDepth):
        def estimate(self, frame: Frame, out: object = None) -> DepthMap:
            return DepthMap(np.ones((2, 3), np.float32), DepthKind.METRIC)

    with pytest.raises(InputError, match=r'6x4 and its depth map 3x2; .* grid="frame"'):
        score_estimator(Small(), frames())
