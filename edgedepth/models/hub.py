"""What the families taken from transformers have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from torch import Tensor, nn

from edgedepth.errors import RecipeError
from edgedepth.extras import require
from edgedepth.models.base import DepthNetwork

__all__ = ["HubNetwork", "merged", "one_line", "quiet_transformers", "variant_of", "whole"]


class HubNetwork(DepthNetwork):
    """A depth model of transformers, its attention written out (no fused kernels) so that the graph can be traced.

    Args:
        config: the keys of the model's transformers config, nested configs as dictionaries.

    Attributes:
        model: the transformers model.

    Raises:
        RecipeError: transformers refuses the config.
        MissingExtraError: transformers is not installed.
    """

    model_type: ClassVar[str]
    """The ``model_type`` of the family's ``config.json``."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        transformers = require("transformers", "export")
        try:
            with quiet_transformers():
                self.hub_config = transformers.AutoConfig.for_model(self.model_type, **_copy(config))
                self.model: nn.Module = transformers.AutoModelForDepthEstimation.from_config(
                    self.hub_config, attn_implementation="eager"
                )
        except Exception as error:  # a wrong key or value shows as any of a dozen kinds, some of them private
            raise RecipeError(
                f"transformers cannot build a {self.model_type} network of this config: {one_line(error)}; correct "
                "the recipe's [model.config]"
            ) from error
        _unit_gain(self.model)

    def forward(self, image: Tensor) -> Tensor:
        """See DepthNetwork."""
        depth: Tensor = self.model(pixel_values=image, return_dict=True).predicted_depth
        return depth.unsqueeze(1)

    @classmethod
    @abstractmethod
    def facts(cls, config: Any) -> dict[str, Any]:
        """What a transformers config says of the numbers and cannot be seen in the shapes of the weights.

        A folder whose config differs in one of them holds another network, though its weights would fit.
        """

    def renamed(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Weights named as in the model's original repository, under transformers' names; None: they are not."""
        return None


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """transformers without its log lines and progress bars, which are about files the caller never named."""
    logging = require("transformers", "export").utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def variant_of(variants: Mapping[str, Mapping[str, Any]], variant: str, family: str) -> dict[str, Any]:
    """The config of a variant. Raises RecipeError when the family has none of that name."""
    if variant not in variants:
        raise RecipeError(f"the {family} family has no variant {variant!r}; there are: {', '.join(variants)}")
    return _copy(variants[variant])


def merged(config: Mapping[str, Any], overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """``config`` with the keys of ``overrides`` put in, nested dictionaries key by key."""
    result = _copy(config)
    for key, value in (overrides or {}).items():
        here = result.get(key)
        result[key] = merged(here, value) if isinstance(here, Mapping) and isinstance(value, Mapping) else value
    return result


def _copy(config: Mapping[str, Any]) -> dict[str, Any]:
    # Nested configs too: transformers writes defaults into the dictionaries it is given.
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in config.items()}


def whole(depth_m: float) -> float:
    """20 for 20.0: transformers declares the largest depth of its networks as an integer."""
    return int(depth_m) if float(depth_m).is_integer() else depth_m


def _unit_gain(model: nn.Module) -> None:
    """Random weights that keep the size of the activations.

    transformers starts vision transformers so small (standard deviation 0.02, position embeddings of zero) that an
    untrained network gives one number for every image: nothing to judge a graph or a precision by.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=1 / math.sqrt(_fan_in(module)))
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.LayerNorm):  # all different, or a compiler merges those of one input
            nn.init.normal_(module.weight, 1.0, 0.1)
            nn.init.normal_(module.bias, std=0.1)
    for name, parameter in model.named_parameters():
        if name.endswith(("position_embeddings", "cls_token", "relative_position_bias_table")):
            nn.init.normal_(parameter, std=0.5)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.out_channels == 1:  # the last one, on ReLU's answers: depth > 0
            nn.init.uniform_(layer.weight, 0, 2 / _fan_in(layer))


def _fan_in(module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> int:
    if isinstance(module, nn.ConvTranspose2d):  # stride = kernel here: every output pixel sees one tap of each channel
        return module.in_channels
    return module.weight[0].numel()


def one_line(error: BaseException) -> str:
    """The message of another library's error, for ours."""
    return " ".join(str(error).split())
