"""Each architecture of the seed systems learns eight frames by heart: delta1 above 0.95 on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from training_data import recipe_of, rooms, setup_of

from edgedepth.training.loop import train
from edgedepth.training.options import TrainOptions


@dataclass(frozen=True)
class Case:
    """What of a network is made small, and how long it takes: rounds over the eight frames."""

    model: str
    rounds: int
    lr: float
    size: tuple[int, int] = (64, 96)
    config: dict[str, Any] = field(default_factory=dict)
    space: str = "log"


CASES = [
    Case("resunet", 60, 5e-3),
    Case("lraspp", 160, 5e-3, (64, 64)),
    Case("unetpp", 40, 2e-3, config={"encoder": "resnet18"}),
    Case("densedepth", 40, 3e-4, config={"encoder": "densenet121", "decoder_width": 0.5}),
    Case("irv2-attention", 40, 1e-3),
    Case("glpn-nyu", 180, 6e-4, (64, 64)),
]
FAST = ("resunet",)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.model, marks=() if case.model in FAST else pytest.mark.slow) for case in CASES]
)
def test_eight_frames_are_learnt_by_heart(case: Case, tmp_path: Path) -> None:
    height, width = case.size
    recipe = recipe_of(
        case.model,
        losses=({"name": "l1", "space": case.space},),
        stage={"epochs": 4, "lr": case.lr, "height": height, "width": width, "batch_size": 4},
        precision="fp32",
        batch_norm_momentum=0.1,
    )
    data = {"rooms": rooms(8, times=case.rounds // 4, width=width, height=height)}
    setup = setup_of(case.model, **case.config)
    result = train(recipe, setup, data, tmp_path / "out", TrainOptions(device="cpu", start="random", pictures=0))
    print(case.model, {key: value for key, value in result.best.items() if key in ("delta1", "abs_rel", "epoch")})
    assert result.best["delta1"] > 0.95
