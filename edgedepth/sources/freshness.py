"""What must not reach a network although a camera delivered it: images without content, and old ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LagMeter", "has_content"]

# A lit scene spans far more than this, noise of a dark one too. A black frame, a closed shutter, a stream that lost
# its signal and the green of an empty decoder buffer do not, whatever their colour.
_FLAT_RANGE = 3
# Two clocks of 50 ppm drift 8 s a day against each other; a stream falls behind by percents.
_DRIFT = 0.002
# A larger step is a clock that was set anew (a camera that looped or synchronised), not a delay.
_RESET_S = 30.0


def has_content(image: NDArray[np.uint8]) -> bool:
    """False when every channel of the image (H x W x 3) is constant within 2 grey levels, as black frames are.

    Looks at a grid of about 32 x 48 pixels, shifted so that it does not run along the image's edge.
    """
    height, width = image.shape[:2]
    step_y, step_x = max(1, height // 32), max(1, width // 48)
    grid = image[step_y // 2 :: step_y, step_x // 2 :: step_x]
    return bool((np.ptp(grid, axis=(0, 1)) >= _FLAT_RANGE).any())


class LagMeter:
    """How far a stream runs behind the best it has done, from its own clock against ours.

    The delay of a frame is arrival time minus stream time plus an unknown constant. The smallest one seen is taken as
    no lag; it may rise by 0.2 % so that clock drift is not mistaken for lag.
    """

    def __init__(self) -> None:
        self._least_s: float | None = None
        self._last_s = 0.0

    def lag_s(self, stream_s: float, arrival_s: float) -> float:
        """Seconds that the frame of stream time ``stream_s`` came later than the quickest one so far."""
        delay_s = arrival_s - stream_s
        if self._least_s is None or abs(delay_s - self._least_s) > _RESET_S:
            self._least_s = delay_s
        else:
            self._least_s = min(delay_s, self._least_s + _DRIFT * (arrival_s - self._last_s))
        self._last_s = arrival_s
        return delay_s - self._least_s
