"""What the losses share: a batch in one space, and means over valid pixels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["LossBatch", "differences", "masked_mean"]


@dataclass(frozen=True)
class LossBatch:
    """Prediction and truth in the space of one loss.

    Attributes:
        predicted, true: float32 B x 1 x H x W; ``true`` is some number, not NaN, where it is not valid.
        valid: bool B x 1 x H x W.
        image: float32 B x 3 x H x W, RGB in 0..1.
        pairs: int64 N x 6, see Truth.
        farther: +1 where larger is farther, -1 where it is nearer (inverse depth).
    """

    predicted: Tensor
    true: Tensor
    valid: Tensor
    image: Tensor
    pairs: Tensor
    farther: int = 1


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of B x 1 x H x W over the valid pixels of each image, B; 0 where there is none."""
    count = valid.sum((1, 2, 3))
    return (values * valid).sum((1, 2, 3)) / count.clamp_min(1)


def differences(values: Tensor, valid: Tensor, step: int = 1) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Forward differences of neighbours ``step`` pixels apart, along x and along y, each with where both are valid."""
    along_x = values[..., step:] - values[..., :-step], valid[..., step:] & valid[..., :-step]
    along_y = values[..., step:, :] - values[..., :-step, :], valid[..., step:, :] & valid[..., :-step, :]
    return along_x, along_y
