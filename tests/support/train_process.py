"""A training in a process of its own: ``python train_process.py OUTPUT NETWORK [kill=STEP] [resume]``.

Under torchrun it is one of several. ``kill`` sends itself SIGKILL after that step: nothing is tidied up.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from training_data import recipe_of, rooms, setup_of, tiny_setup

from edgedepth.training.loop import train
from edgedepth.training.network import ModelSetup
from edgedepth.training.options import TrainingResult, TrainOptions
from edgedepth.training.recipe import TrainingRecipe

SAVE_STEPS = 2


def what(network: str) -> tuple[TrainingRecipe, ModelSetup]:
    """Two stages, the first with a frozen encoder; accumulation, an average, everything augmented."""
    setup = tiny_setup() if network == "resunet" else tiny_glpn()
    stage = {"name": "rooms", "data": ["rooms"], "epochs": 2, "batch_size": 2, "accumulate": 2, "height": 64,
             "width": 96, "lr": 2e-3}  # fmt: skip
    recipe = recipe_of(
        losses=({"name": "l1", "space": "log"}, {"name": "gradient", "space": "log", "weight": 0.5}),
        augment={"flip": 0.5, "zoom": 1.2, "crop": [32, 64], "cutdepth": 0.3, "colour": {"brightness": 0.2}},
        ema=0.9,
        stages=[stage | {"freeze_encoder": True}, stage | {"name": "all", "encoder_lr": 0.3, "layer_decay": 0.7}],
    )
    return recipe, setup


def tiny_glpn() -> ModelSetup:
    """With dropout, which random numbers decide."""
    overrides = {
        "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2],
        "decoder_hidden_size": 8, "hidden_dropout_prob": 0.2, "drop_path_rate": 0.2, "mlp_ratios": [2, 2, 2, 2],
    }  # fmt: skip
    return setup_of("glpn-nyu", overrides=overrides)


def run(output: Path, network: str, *, resume: bool = False, kill: int | None = None) -> TrainingResult:
    """Train on twelve rooms."""
    recipe, setup = what(network)
    logged: list[str] = []

    def progress(step: str, fraction: float | None, note: str = "") -> None:
        if note.startswith("loss"):  # one per step
            logged.append(note)
            if len(logged) == kill:
                os.kill(os.getpid(), signal.SIGKILL)

    options = TrainOptions(resume=resume, device="cpu", save_steps=SAVE_STEPS, log_steps=1, pictures=0, start="random")
    return train(recipe, setup, {"rooms": rooms(11, width=96, height=64)}, output, options, progress)


if __name__ == "__main__":
    flags = dict(argument.partition("=")[::2] for argument in sys.argv[3:])
    run(Path(sys.argv[1]), sys.argv[2], resume="resume" in flags, kill=int(flags["kill"]) if "kill" in flags else None)
