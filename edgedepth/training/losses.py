"""Losses between a predicted and a true depth map, all masked, each a mean per image.

Every loss has the signature ``loss(batch, options) -> Tensor[B]``. A loss of a batch is the mean over its images, and
an image without anything to learn from (no valid pixel, no pair) adds zero: so the loss does not depend on how a batch
is divided over processes or accumulated. Symbols: p predicted, g true, e = p - g, in the term's space; M the valid
pixels of an image. Structure and ordinal losses stand in modules of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edgedepth.errors import RecipeError
from edgedepth.training.ordinal import ordinal
from edgedepth.training.recipe import LOSS_OPTIONS, LossTerm, Space
from edgedepth.training.structure import gradient, scale_shift_invariant, smoothness, ssim
from edgedepth.training.tensors import LossBatch, masked_mean
from edgedepth.types import DepthKind

__all__ = ["LOSSES", "Objective", "Prediction", "Truth", "berhu", "in_space", "l1", "mse", "silog"]

TINY_M = 1e-3
"""Predicted depth is not taken for less than this before a logarithm or a reciprocal, metres."""


def l1(batch: LossBatch, options: Mapping[str, float]) -> Tensor:
    """mean_M |e|."""
    return masked_mean((batch.predicted - batch.true).abs(), batch.valid)


def mse(batch: LossBatch, options: Mapping[str, float]) -> Tensor:
    """mean_M e^2."""
    return masked_mean((batch.predicted - batch.true) ** 2, batch.valid)


def berhu(batch: LossBatch, options: Mapping[str, float]) -> Tensor:
    """Reverse Huber (Laina et al., arXiv 1606.00373): |e| up to c, else (e^2 + c^2) / 2c; c = share * max_M |e|.

    c is of each image and carries no gradient.
    """
    e = (batch.predicted - batch.true).abs()
    c = (e.detach() * batch.valid).amax((1, 2, 3), keepdim=True) * options["share"]
    c = c.clamp_min(1e-9)
    return masked_mean(torch.where(e <= c, e, (e**2 + c**2) / (2 * c)), batch.valid)


def silog(batch: LossBatch, options: Mapping[str, float]) -> Tensor:
    """sqrt(mean_M d^2 - variance_focus * (mean_M d)^2), d = ln p - ln g (Eigen et al., arXiv 1406.2283).

    variance_focus is the paper's lambda: 0.5 there and in GLPN, 0.85 in BTS; 1 forgets the scale altogether.
    """
    d = batch.predicted.clamp_min(TINY_M).log() - batch.true.clamp_min(TINY_M).log()
    squared = masked_mean(d**2, batch.valid) - options["variance_focus"] * masked_mean(d, batch.valid) ** 2
    # The root has no slope at zero. An image without truth is exactly zero, so that it adds nothing.
    return torch.where(batch.valid.any(3).any(2).any(1), (squared.clamp_min(0) + 1e-12).sqrt(), squared)


LOSSES: Mapping[str, Callable[[LossBatch, Mapping[str, float]], Tensor]] = {
    "l1": l1,
    "mse": mse,
    "berhu": berhu,
    "ssim": ssim,
    "gradient": gradient,
    "smoothness": smoothness,
    "silog": silog,
    "scale-shift-invariant": scale_shift_invariant,
    "ordinal": ordinal,
}


@dataclass(frozen=True)
class Prediction:
    """What a network says, on the truth's grid.

    Attributes:
        values: float32 B x 1 x H x W.
        space: "depth" or "inverse", what they are.
        kind: METRIC, or which of their scale and shift mean nothing.
        person: float32 B x 1 x H x W, probability that it is a person; None where the network does not tell.
    """

    values: Tensor
    space: Space
    kind: DepthKind = DepthKind.METRIC
    person: Tensor | None = None


@dataclass(frozen=True)
class Truth:
    """What is known of a batch.

    Attributes:
        depth_m: float32 B x 1 x H x W, NaN = unknown.
        image: float32 B x 3 x H x W, RGB in 0..1.
        pairs: int64 N x 6: image of the batch, x and y of the first point, x and y of the second, relation (+1 the
            first is farther).
        person: uint8 B x 1 x H x W, 1 where a person is, 0 where none is; None or anything else = unknown.
    """

    depth_m: Tensor
    image: Tensor
    pairs: Tensor
    person: Tensor | None = None


def in_space(values: Tensor, found: Space, wanted: Space) -> Tensor:
    """Depth or inverse depth as another space, differentiable; what is not positive counts as TINY_M or 1 / TINY_M."""
    if found == wanted:
        return values
    if wanted == "log":
        logarithm = values.clamp_min(TINY_M if found == "depth" else 1e-6).log()
        return logarithm if found == "depth" else -logarithm
    return 1 / values.clamp_min(TINY_M if found == "depth" else 1e-6)


def person(prediction: Prediction, truth: Truth) -> Tensor:
    """mean -(y ln p + (1 - y) ln(1 - p)) + 1 - 2 sum(p y) / sum(p + y): cross-entropy and Dice (arXiv 1606.04797).

    Over the pixels where it is known, B; 0 where none is. Dice asks for the outline of a small figure as much as of a
    large one; one without figures has no Dice.

    """
    assert prediction.person is not None  # see ModelSetup.check
    if truth.person is None:
        return prediction.person.sum((1, 2, 3)) * 0
    known = truth.person <= 1
    y = (truth.person == 1).float()
    p = prediction.person.clamp(1e-4, 1 - 1e-4)
    entropy = masked_mean(-(y * p.log() + (1 - y) * (1 - p).log()), known)
    shared, both = (p * y * known).sum((1, 2, 3)), ((p + y) * known).sum((1, 2, 3))
    someone = (y * known).sum((1, 2, 3)) > 0
    return entropy + torch.where(someone, 1 - 2 * shared / both.clamp_min(1), torch.zeros_like(both))


class Objective:
    """The weighted sum of a recipe's losses.

    Args:
        terms: which.
        range_m: smallest and largest depth of the data, from which SSIM's range follows where it is not given.
        kind: what the network gives.

    Raises:
        RecipeError: a loss that compares metres, for a network that gives none.
    """

    def __init__(self, terms: Sequence[LossTerm], range_m: tuple[float, float], kind: DepthKind) -> None:
        self.terms = tuple(terms)
        free = {"scale-shift-invariant", "ordinal", "smoothness", "person"}
        for term in self.terms:
            if kind is not DepthKind.METRIC and term.name not in free:
                raise RecipeError(
                    f"the {term.name} loss compares metres and the network gives {kind.value}; use "
                    f"{', '.join(sorted(free))}, or a metric network"
                )
        low, high = range_m
        spans = {"depth": high, "log": float(torch.tensor(high / low).log()), "inverse": 1 / low}
        self.options = [{**LOSS_OPTIONS[term.name], **term.options} for term in self.terms]
        for term, options in zip(self.terms, self.options, strict=True):
            if options.get("data_range") == 0:
                options["data_range"] = spans[term.space]

    def __call__(self, prediction: Prediction, truth: Truth) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum, and each term before its weight by ``LossTerm.key`` (detached)."""
        valid = torch.isfinite(truth.depth_m)
        safe_m = torch.where(valid, truth.depth_m, torch.ones_like(truth.depth_m))
        total = prediction.values.sum() * 0
        parts: dict[str, Tensor] = {}
        base = LossBatch(prediction.values, safe_m, valid, truth.image, truth.pairs)
        for term, options in zip(self.terms, self.options, strict=True):
            if term.name == "person":
                value = person(prediction, truth).mean()
                total = total + term.weight * value
                parts[term.key] = value.detach()
                continue
            batch = replace(
                base,
                predicted=self._predicted(prediction, term.space),
                true=in_space(safe_m, "depth", term.space),
                farther=1 if term.space != "inverse" else -1,
            )
            value = LOSSES[term.name](batch, options).mean()
            total = total + term.weight * value
            parts[term.key] = value.detach()
        return total, parts

    @staticmethod
    def _predicted(prediction: Prediction, space: Space) -> Tensor:
        if prediction.kind is not DepthKind.METRIC and (space == "inverse") != (prediction.space == "inverse"):
            raise RecipeError(
                f"a {prediction.kind.value} network is compared in space {prediction.space!r}, found {space!r}: its "
                "shift is unknown, so it has no reciprocal"
            )
        return in_space(prediction.values, prediction.space, space)
