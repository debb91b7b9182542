"""What every network here is to the exporter and to training."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

__all__ = ["DepthNetwork"]


class DepthNetwork(nn.Module, ABC):
    """Image to one plane of numbers whose meaning the recipe's ``[output]`` states.

    ``forward(image)``: float, B x 3 x H x W, RGB, normalised as the recipe's ``[input]`` says; returns B x 1 x h x w,
    of the same dtype, or a tuple of such where ``output_names`` has several. No data-dependent control flow, no
    antialiased resize, eager attention: the graph is traced.

    Attributes:
        size_multiple: H and W must be multiples of it.
        output_names: what ``forward`` gives. "depth" first; "person" is the probability, 0 to 1, that a pixel shows a
            person, of the same size.
    """

    size_multiple: int = 32
    output_names: tuple[str, ...] = ("depth",)

    @property
    @abstractmethod
    def encoder(self) -> nn.Module:
        """The part that carries pre-trained features: frozen first, with a lower learning rate later."""

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """See the class."""
