"""Which samples make which step: a function of the recipe's seed and the step's number, so resuming is exact."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import InputError

__all__ = ["StepPlan"]

Key = tuple[int, int]
"""Epoch, and index over the data sets of a stage laid end to end."""


@dataclass(frozen=True)
class StepPlan:
    """The steps of a stage. A step is ``accumulate`` batches of ``batch_size`` images over all processes.

    Attributes:
        sizes: samples of each data set.
        per_epoch: how many of each are drawn per epoch; the next epoch goes on where this one ended, so that all have
            their turn before one comes again.
        epochs, batch_size, accumulate, seed: as in the recipe.
        stage: number of the stage, which has an order of its own.
    """

    sizes: tuple[int, ...]
    per_epoch: tuple[int, ...]
    epochs: int
    batch_size: int
    accumulate: int
    seed: int
    stage: int

    @property
    def steps_per_epoch(self) -> int:
        """The last step of an epoch is filled up from the beginning of its order."""
        return math.ceil(sum(self.per_epoch) / (self.batch_size * self.accumulate))

    @property
    def total_steps(self) -> int:
        """Of the stage."""
        return self.epochs * self.steps_per_epoch

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The samples of one epoch, a whole number of steps of them."""
        drawn, offset = [], 0
        for data, (size, count) in enumerate(zip(self.sizes, self.per_epoch, strict=True)):
            position = np.arange(epoch * count, (epoch + 1) * count)
            rounds = [
                _permutation(size, self.seed, self.stage, data, int(turn)) for turn in np.unique(position // size)
            ]
            laid = np.concatenate(rounds)
            drawn.append(laid[position - position[0] // size * size] + offset)
            offset += size
        together = np.concatenate(drawn)
        mixed = together[_permutation(len(together), self.seed, self.stage, -1, epoch)]
        return np.resize(mixed, self.steps_per_epoch * self.batch_size * self.accumulate)

    def batches(self, first_step: int, rank: int = 0, processes: int = 1) -> Iterator[Sequence[Key]]:
        """The batches of one process from a step on, to the end of the stage; ``accumulate`` of them are a step.

        Raises:
            InputError: the batch cannot be divided over the processes.
        """
        if self.batch_size % processes:
            raise InputError(
                f"a batch of {self.batch_size} images cannot be divided over {processes} processes; give a "
                f"--batch-size that is a multiple of {processes}"
            )
        own = self.batch_size // processes
        for epoch in range(first_step // self.steps_per_epoch, self.epochs):
            order = self.order(epoch).reshape(-1, self.batch_size)
            skip = max(0, first_step - epoch * self.steps_per_epoch) * self.accumulate
            for row in order[skip:]:
                yield [(epoch, int(index)) for index in row[rank * own : (rank + 1) * own]]


@lru_cache(maxsize=16)
def _permutation(size: int, seed: int, stage: int, data: int, turn: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, stage, data + 1, turn)).permutation(size)
