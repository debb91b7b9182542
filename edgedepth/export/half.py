"""A torch network in half precision: FP32 islands where asked for, float32 at its doors."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from edgedepth.errors import ExportError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["to_half"]


def to_half(network: nn.Module, fp32_modules: Collection[str]) -> None:
    """FP16 in place, with FP32 islands and float32 doors.

    A plain ``half()`` first and ``float()`` later would lose what FP16 cannot hold.
    """
    import torch

    modules = dict(network.named_modules())
    missing = [name for name in fp32_modules if name not in modules]
    if missing:
        raise ExportError(f"the network has no module {missing[0]!r} to keep in FP32; print(network) lists its modules")
    with torch.no_grad():
        _normalise_batchnorms(network)
    islands = {id(modules[name]) for name in fp32_modules}

    def convert(module: nn.Module) -> None:
        if id(module) in islands:
            _cast_at_doors(module, torch.float32, torch.float16)
            return
        for child in module.children():
            convert(child)
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if tensor.is_floating_point():
                tensor.data = tensor.data.half()

    convert(network)
    _cast_at_doors(network, torch.float16, torch.float32)


def _cast_at_doors(module: nn.Module, inside: torch.dtype, outside: torch.dtype) -> None:
    """Floating tensors that enter become ``inside``, those that leave ``outside``."""
    from torch import Tensor
    from torch.utils._pytree import tree_map

    def caster(dtype: torch.dtype) -> Callable[[Any], Any]:
        def cast(value: Any) -> Any:
            return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

        return cast

    enter, leave = caster(inside), caster(outside)
    module.register_forward_pre_hook(
        lambda _, args, kwargs: (tree_map(enter, args), tree_map(enter, kwargs)), with_kwargs=True
    )
    module.register_forward_hook(lambda _, args, output: tree_map(leave, output))


def _normalise_batchnorms(network: nn.Module) -> None:
    """Rewrite every batch normalisation as a scale and a shift, with mean 0 and variance 1.

    In FP32, before anything is rounded: variances of images that were not normalised exceed 65504, the largest FP16.
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    for module in network.modules():
        if not isinstance(module, _BatchNorm) or module.running_mean is None or module.running_var is None:
            continue
        scale = (module.running_var.double() + module.eps).rsqrt()
        if module.weight is not None:
            scale = scale * module.weight.double()
        shift = -module.running_mean.double() * scale
        if module.bias is not None:
            shift = shift + module.bias.double()
        module.weight, module.bias = torch.nn.Parameter(scale.float()), torch.nn.Parameter(shift.float())
        module.running_mean.zero_()
        module.running_var.fill_(1.0 - module.eps)
