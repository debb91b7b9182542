"""Tiny torch networks for export tests, each with one property that real networks have."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class LoudBlock(nn.Module):
    """Up by ``gain`` in two steps and down again: harmless in FP32, infinite in FP16 when gain is large.

    No single weight is beyond FP16 for gains up to 1e9.
    """

    def __init__(self, channels: int, gain: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.up = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1))
        self.down = nn.Conv2d(channels, channels, 1)
        with torch.no_grad():
            for layer in self.up:
                layer.weight *= gain**0.5
            self.down.weight /= gain

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.up(functional.relu(self.norm(self.conv(x)))))


class Attention(nn.Module):
    """One head, eager. ``gain`` multiplies queries and keys: their product overflows, no weight and no module does."""

    def __init__(self, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.scale = 1.0 / (gain * gain)
        with torch.no_grad():
            self.qkv.weight[: 2 * channels] *= gain

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x.flatten(2).transpose(1, 2))).chunk(3, dim=-1)
        weights = torch.softmax(q @ k.transpose(1, 2) * self.scale, dim=-1)
        return x + self.proj(weights @ v).transpose(1, 2).reshape(b, c, h, w)


class SdpaAttention(Attention):
    """The same through ``scaled_dot_product_attention``, which exports with guards against rows without any weight."""

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x.flatten(2).transpose(1, 2))).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.proj(mixed).transpose(1, 2).reshape(b, c, h, w)


class TinyDepth(nn.Module):
    """Stem, middle, upsampled head; metres 0.1..10."""

    def __init__(self, *middle: nn.Module, channels: int = 8, out_gain: float = 1.0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.middle = nn.Sequential(*middle)
        self.head = nn.Conv2d(channels, 1, 3, padding=1)
        self.out_gain = out_gain

    def forward(self, image: Tensor) -> Tensor:
        x = self.middle(functional.relu(self.stem(image)))
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        logits = self.head(x) * self.out_gain / self.out_gain
        return 0.1 + 9.9 * torch.sigmoid(logits)


def tiny_depth(*middle: nn.Module, seed: int = 0, out_gain: float = 1.0) -> TinyDepth:
    """Reproducible; batch statistics as a trained network has them."""
    torch.manual_seed(seed)
    network = TinyDepth(*middle, out_gain=out_gain)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def loud_network(gain: float) -> TinyDepth:
    """``middle.1`` reaches about ``gain``; its neighbours are quiet."""
    torch.manual_seed(1)
    return tiny_depth(LoudBlock(8, 1.0), LoudBlock(8, gain), Attention(8))
