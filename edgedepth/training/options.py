"""How a training is run and what comes out of it; what is trained stands in the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Progress", "TrainOptions", "TrainingResult"]


class Progress(Protocol):
    """Told what is being done, the fraction of it that is done or None, and how it goes."""

    def __call__(self, step: str, fraction: float | None, note: str = "") -> None:
        """See the class."""


@dataclass(frozen=True)
class TrainOptions:
    """How, not what: none of these changes the weights that come out, but ``start`` and ``strict``.

    Attributes:
        start: instead of the recipe's start: "random", a weights file, a transformers folder or a hub id.
        resume: go on from the last checkpoint of the output folder.
        device: "cpu"; None takes a GPU where there is one.
        strict: a sample that cannot be read ends the training.
        workers: processes that read data, per training process.
        save_steps: steps between checkpoints, beside the one after each epoch.
        log_steps: steps between rows of the curve.
        pictures: validation samples drawn after each epoch.
    """

    start: str | None = None
    resume: bool = False
    device: str | None = None
    strict: bool = False
    workers: int = 0
    save_steps: int = 500
    log_steps: int = 10
    pictures: int = 4


@dataclass(frozen=True)
class TrainingResult:
    """What came out.

    Attributes:
        weights: the best of the last stage, for ``edgedepth export --checkpoint``.
        record: JSON: data, recipe, seed, versions, curve, best.
        best: stage, epoch and the validation's numbers of these weights.
        skipped: samples that could not be read, paired or scored, one sentence each.
    """

    weights: Path
    record: Path
    best: dict[str, Any]
    skipped: tuple[str, ...]
