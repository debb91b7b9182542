"""The default model: two heads on one decoder, small, of plain layers, each pixel told where it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgedepth.errors import RecipeError
from edgedepth.models import build_network
from edgedepth.models.measure import count_parameters


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("edgedepth_s")


def rooms(batch: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Grey pictures of a box before a floor, its depth and where it is."""
    rows = torch.linspace(6, 1, height)[:, None].expand(batch, 1, height, width).clone()
    who = torch.zeros_like(rows)
    for i in range(batch):
        who[i, :, height // 4 : 3 * height // 4, 8 + 8 * i : 24 + 8 * i] = 1
    depth_m = torch.where(who > 0, 2.0, rows)
    image = torch.cat([who, rows / 6, who * 0.5], dim=1) * 2 - 1
    return image, depth_m, who


def test_depth_and_person_are_planes_of_the_pictures_size(network: nn.Module) -> None:
    network.eval()
    with torch.inference_mode():
        depth, person = network(torch.randn(2, 3, 64, 96))
        far, sure = network(1e4 * torch.randn(1, 3, 64, 96))
    assert depth.shape == person.shape == (2, 1, 64, 96)
    assert network.output_names == ("depth", "person")
    assert 1.0 < depth.median() < 6.0, "before any training a room's distances"
    for plane, limit in ((depth, 25.0), (far, 25.0), (person, 1.0), (sure, 1.0)):
        assert plane.min() >= 0
        assert plane.max() <= limit


def test_it_is_small_and_of_nothing_but_convolutions_and_relu(network: nn.Module) -> None:
    assert count_parameters(network) <= 4_000_000
    plain = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Identity, nn.AdaptiveAvgPool2d, nn.PixelShuffle, nn.Sequential)
    others = {type(m).__name__ for m in network.modules() if not any(True for _ in m.children())} - {
        kind.__name__ for kind in plain
    }
    # timm's normalisation with its activation is a class of its own.
    assert others <= {"BatchNormAct2d"}, others


def test_it_learns_both_heads_from_one_batch() -> None:
    torch.manual_seed(0)
    learner = build_network("edgedepth_s").train()
    image, depth_m, who = rooms(4, 64, 64)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=3e-3)
    found = []
    for _ in range(80):
        depth, person = learner(image)
        losses = (depth.log() - depth_m.log()).abs().mean(), functional.binary_cross_entropy(person, who)
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
        found.append([float(loss.detach()) for loss in losses])
    assert found[-1][0] < 0.4 * found[0][0]
    assert found[-1][1] < 0.25 * found[0][1]
    unused = [name for name, weight in learner.named_parameters() if weight.grad is None]
    assert not unused, "weights that do nothing"
    # Learnt by heart, the outline lies where it was drawn: to the pixel, not to the half-size grid of the heads.
    rows = (learner(image)[1] > 0.5).float().mean((1, 2))
    edges = [int(torch.nonzero(row > row.max() / 2)[0]) for row in rows]
    assert edges == pytest.approx([8, 16, 24, 32], abs=2)


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(RecipeError, match="five widths"):
        build_network("edgedepth_s", {"widths": (8, 8)})
    with pytest.raises(RecipeError, match="cannot be built"):
        build_network("edgedepth_s", {"encoder": "no_such_net"})
