"""Losses of structure: SSIM, gradients, edge-aware smoothness, and shape up to scale and shift."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image.ssim import structural_similarity_index_measure

from edgedepth.training.tensors import LossBatch, differences, masked_mean

__all__ = ["align_scale_shift", "gradient", "scale_shift_invariant", "smoothness", "ssim"]

SSIM_WINDOW = 11
"""torchmetrics' window: a Gaussian of sigma 1.5 on 11 x 11 pixels (Wang et al., 2004)."""


def ssim(batch: LossBatch, options: Mapping[str, float]) -> Tensor:
    """mean (1 - SSIM) / 2 over the windows that hold valid pixels alone.

    ``data_range`` is L in C1 = (0.01 L)^2 and C2 = (0.03 L)^2: the span of the space's values. One far beyond them
    makes the constants swamp the variances, and the loss blind to structure.
    """
    predicted = torch.where(batch.valid, batch.predicted, batch.true)
    _, similarity = structural_similarity_index_measure(
        predicted, batch.true, data_range=float(options["data_range"]), return_full_image=True
    )
    # The window at the border is filled by reflection, which repeats pixels that are inside of it.
    unknown = functional.max_pool2d((~batch.valid).float(), SSIM_WINDOW, 1, SSIM_WINDOW // 2)
    return masked_mean((1 - similarity).clamp(0, 2) / 2, unknown == 0)


def gradient(batch: LossBatch, options: Mapping[str, float]) -> Tensor:
    """mean |d_x e| + mean |d_y e| over neighbours that are both valid (DenseDepth's edge loss, arXiv 1812.11941)."""
    (dx, valid_x), (dy, valid_y) = differences(batch.predicted - batch.true, batch.valid)
    return masked_mean(dx.abs(), valid_x) + masked_mean(dy.abs(), valid_y)


def smoothness(batch: LossBatch, options: Mapping[str, float]) -> Tensor:
    """mean |d_x p| exp(-|d_x I|) + mean |d_y p| exp(-|d_y I|), I the image in 0..1 (Godard et al., arXiv 1609.03677).

    |d I| is the mean over the channels. Of the prediction alone: it needs no truth and takes every pixel. In log space
    it does not depend on the depth's scale.
    """
    everywhere = torch.ones_like(batch.valid)
    (dx, all_x), (dy, all_y) = differences(batch.predicted, everywhere)
    image_x = (batch.image[..., 1:] - batch.image[..., :-1]).abs().mean(1, keepdim=True)
    image_y = (batch.image[..., 1:, :] - batch.image[..., :-1, :]).abs().mean(1, keepdim=True)
    return masked_mean(dx.abs() * (-image_x).exp(), all_x) + masked_mean(dy.abs() * (-image_y).exp(), all_y)


def scale_shift_invariant(batch: LossBatch, options: Mapping[str, float]) -> Tensor:
    """mean_M R^2 / 2 + gradient_weight * sum_k (sum |d_x R_k| + sum |d_y R_k|) / |M_k|, R = s p + t - g.

    s and t are each image's least squares fit. R_k is R at every 2^k-th pixel, k < scales. Ranftl et al., arXiv
    1907.01341, eq. 4, 7 and 11, as in the published code (per image).
    """
    scale, shift = align_scale_shift(batch.predicted, batch.true, batch.valid)
    residual = scale * batch.predicted + shift - batch.true
    loss = masked_mean(residual**2, batch.valid) / 2
    for k in range(int(options["scales"])):
        every = slice(None, None, 2**k)
        valid = batch.valid[..., every, every]
        (dx, valid_x), (dy, valid_y) = differences(residual[..., every, every], valid)
        total = (dx.abs() * valid_x).sum((1, 2, 3)) + (dy.abs() * valid_y).sum((1, 2, 3))
        loss = loss + options["gradient_weight"] * total / valid.sum((1, 2, 3)).clamp_min(1)
    return loss


def align_scale_shift(predicted: Tensor, true: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """s and t (B x 1 x 1 x 1) of the least squares s p + t = g over each image's valid pixels; 0 where none fits."""
    weight = valid.to(predicted.dtype)
    count = weight.sum((1, 2, 3), keepdim=True).clamp_min(1)
    mean_p = (predicted * weight).sum((1, 2, 3), keepdim=True) / count
    mean_g = (true * weight).sum((1, 2, 3), keepdim=True) / count
    # Centred, so that float32 holds it.
    p, g = (predicted - mean_p) * weight, (true - mean_g) * weight
    scale = (p * g).sum((1, 2, 3), keepdim=True) / (p * p).sum((1, 2, 3), keepdim=True).clamp_min(1e-12)
    return scale, mean_g - scale * mean_p
