"""The network in training: its start, what is frozen, learning rates by layer, and what its numbers mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from edgedepth.bundle.spec import InputSpec, OutputSpec, PersonSpec
from edgedepth.errors import NotMetricError, RecipeError
from edgedepth.models import build_network
from edgedepth.models.base import DepthNetwork
from edgedepth.models.checkpoint import load_checkpoint
from edgedepth.training.losses import Prediction
from edgedepth.training.recipe import Schedule, Stage, TrainingRecipe
from edgedepth.types import DepthKind

__all__ = [
    "RANDOM",
    "ModelSetup",
    "normalise",
    "parameter_groups",
    "predict",
    "rate",
    "set_mode",
    "set_momentum",
    "start_network",
]

RANDOM = "random"
"""What is given for a start from random weights, whatever the recipe says."""


@dataclass(frozen=True)
class ModelSetup:
    """What an export recipe says of the network that is trained.

    Attributes:
        name: the export recipe.
        family, config: see ``build_network``.
        input: of the exported network; training resizes and normalises the same.
        output: what its numbers mean.
        size_multiple: height and width are multiples of it.
        person: its second output, or None.
    """

    name: str
    family: str
    input: InputSpec
    output: OutputSpec
    config: Mapping[str, Any] = field(default_factory=dict)
    size_multiple: int = 32
    person: PersonSpec | None = None

    def check(self, recipe: TrainingRecipe) -> None:
        """Raises RecipeError when a stage's size or losses do not fit the network, or pixels are fitted as export
        can and training cannot."""
        if self.input.resize not in ("stretch", "letterbox") or self.input.layout != "NCHW":
            raise RecipeError(
                f"training brings images to size as resize = 'stretch' or 'letterbox' does, in NCHW; {self.name} says "
                f"{self.input.resize}, {self.input.layout}"
            )
        for stage in recipe.stages:
            if self.person is None and any(term.name == "person" for term in recipe.losses_of(stage)):
                raise RecipeError(
                    f"{recipe.name}, stage {stage.name}: the person loss needs a network that tells people, and "
                    f"{self.name} gives depth alone; leave the loss out"
                )
            height, width = recipe.augment_of(stage).crop or (stage.height, stage.width)
            if height % self.size_multiple or width % self.size_multiple:
                raise RecipeError(
                    f"{recipe.name}, stage {stage.name}: {self.name} takes heights and widths that are multiples of "
                    f"{self.size_multiple}, found {height}x{width}"
                )


def start_network(setup: ModelSetup, recipe: TrainingRecipe, start: str | None = None) -> DepthNetwork:
    """The network before the first step.

    Args:
        setup: which.
        recipe: says what it starts from.
        start: instead of that: ``RANDOM``, or a checkpoint as ``load_checkpoint`` takes it.

    Raises:
        RecipeError, CheckpointError, MissingExtraError: as ``build_network`` and ``load_checkpoint``.
    """
    config = dict(setup.config)
    if start is None and recipe.start.encoder_weights is not None:
        config["encoder_weights"] = recipe.start.encoder_weights
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build_network(setup.family, config)
    checkpoint = start or recipe.start.checkpoint
    if checkpoint is not None and checkpoint != RANDOM:
        load_checkpoint(network, checkpoint)
    return network


def set_mode(network: DepthNetwork, stage: Stage, *, freeze_batch_norm: bool) -> None:
    """Training mode with what the stage freezes: no gradients and no new statistics there."""
    network.train()
    network.requires_grad_(True)
    if stage.freeze_encoder:
        network.encoder.eval().requires_grad_(False)
    if freeze_batch_norm:
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def set_momentum(network: DepthNetwork, momentum: float) -> None:
    """Share of each batch in the running statistics of every batch normalisation."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = momentum


def parameter_groups(network: DepthNetwork, stage: Stage, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for the optimiser: decoder at the stage's rate, encoder by ``encoder_lr`` and ``layer_decay``.

    Biases and the weights of normalisations (one dimension) do not decay. What is frozen is left out.
    """
    depth_of = _block_numbers(network.encoder)
    last = max(depth_of.values(), default=0)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if not parameter.requires_grad:
            continue
        factor = 1.0
        if id(parameter) in depth_of:
            factor = stage.encoder_lr * stage.layer_decay ** (last - depth_of[id(parameter)])
        groups.setdefault((factor, parameter.ndim > 1), []).append(parameter)
    return [
        {"params": parameters, "lr": stage.lr * factor, "weight_decay": weight_decay if decays else 0.0}
        for (factor, decays), parameters in groups.items()
    ]


def _block_numbers(encoder: nn.Module) -> dict[int, int]:
    """id of each of the encoder's parameters -> number of the block it is in, from the input on."""
    blocks = [child for child in encoder.children() if any(True for _ in child.parameters())]
    if len(blocks) == 1:
        return _block_numbers(blocks[0])
    numbers = {id(parameter): number for number, block in enumerate(blocks) for parameter in block.parameters()}
    return {id(parameter): numbers.get(id(parameter), 0) for parameter in encoder.parameters()}


def rate(schedule: Schedule, step: int, total: int) -> float:
    """Learning rate of a step as a share of the highest: one cycle of two half cosines (Smith, arXiv 1708.07120)."""
    if schedule.name == "constant" or total == 1:  # of one step, the cycle's end would be all
        return 1.0
    top = schedule.warmup * (total - 1)
    if step < top:
        low, share = schedule.start, step / top
    else:
        low, share = schedule.end, (total - 1 - step) / max(total - 1 - top, 1e-9)
    return low + (1 - low) * (1 - math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2


def normalise(image: Tensor, spec: InputSpec) -> Tensor:
    """uint8 RGB B x 3 x H x W -> the network's input: (p * scale - mean) / std in the spec's order of colours."""
    order = image if spec.color == "RGB" else image.flip(1)
    mean, std = (torch.tensor(values, device=image.device).view(3, 1, 1) for values in (spec.mean, spec.std))
    return (order.float() * spec.scale - mean) / std


def predict(raw: Tensor | tuple[Tensor, ...], spec: OutputSpec, size_hw: tuple[int, int], f_px: Tensor) -> Prediction:
    """A network's output (B x 1 x h x w) in the unit its spec states, enlarged to the truth's grid.

    ``raw`` is a tuple where the network tells people as well; its second is their probability.

    Raises:
        NotMetricError: a focal rule, and images whose camera is not known.
    """
    person = None
    if isinstance(raw, tuple):
        raw, person = raw
        person = _enlarged(person.float(), size_hw)
    values = (raw.float() - spec.zero_point) * spec.metres_per_unit
    inverse = spec.reciprocal or spec.kind is DepthKind.DISPARITY
    if spec.focal is not None:
        if not bool(torch.isfinite(f_px).all()):
            raise NotMetricError(
                f"this network gives depth for a camera of f = {spec.focal.canonical_f_px:g} px, so it is trained on "
                "data with intrinsics; this data set has none"
            )
        factor = (f_px / spec.focal.canonical_f_px).view(-1, 1, 1, 1)
        values = values / factor if inverse else values * factor
    return Prediction(_enlarged(values, size_hw), "inverse" if inverse else "depth", spec.kind, person)


def _enlarged(values: Tensor, size_hw: tuple[int, int]) -> Tensor:
    if values.shape[-2:] == size_hw:
        return values
    return functional.interpolate(values, size_hw, mode="bilinear", align_corners=False)
