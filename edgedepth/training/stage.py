"""One stage of a training: its data, optimiser and learning rate, and the step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from edgedepth.errors import DataError
from edgedepth.models.base import DepthNetwork
from edgedepth.training.batches import StepPlan
from edgedepth.training.dataset import Batch, TrainingSet, collate
from edgedepth.training.losses import Objective, Truth
from edgedepth.training.network import ModelSetup, normalise, parameter_groups, predict, rate, set_mode
from edgedepth.training.recipe import Stage, TrainingRecipe
from edgedepth.training.sources import TrainingData

__all__ = ["StageRun", "Stepped"]


@dataclass(frozen=True)
class Stepped:
    """What a step did. ``lr``: of the decoder, the highest. ``values``: the loss and its terms, this process's.
    ``skipped``: samples not read."""

    lr: float
    values: dict[str, Tensor]
    skipped: tuple[str, ...]


class StageRun:
    """A stage that is being run.

    Args:
        recipe, stage, plan: what is done.
        setup, network: what is trained.
        data: the recipe's data sets by name.
        accelerator: where.
        steps_before: of earlier stages.
        strict, workers: as in TrainOptions.
    """

    def __init__(
        self, recipe: TrainingRecipe, stage: Stage, plan: StepPlan, setup: ModelSetup, network: DepthNetwork,
        data: Mapping[str, TrainingData], accelerator: Accelerator, *, steps_before: int, strict: bool, workers: int,
    ) -> None:  # fmt: skip
        self.recipe, self.stage, self.plan, self.setup, self.network = recipe, stage, plan, setup, network
        self.accelerator, self.steps_before = accelerator, steps_before
        self.parts = [(data[name].training, data[name].source) for name in stage.data]
        self.strict, self.workers = strict, workers
        sources = [source for _, source in self.parts]
        span_m = min(s.min_depth_m for s in sources), max(s.max_depth_m for s in sources)
        self.objective = Objective(recipe.losses_of(stage), span_m, setup.output.kind)
        self.train_mode()
        groups = parameter_groups(network, stage, recipe.optimizer.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=stage.lr, betas=recipe.optimizer.betas, fused=True)
        self.schedule = LambdaLR(self.optimizer, lambda step: rate(stage.schedule, step, plan.total_steps))
        accelerator.free_memory()  # of the stage before
        self.model, self.prepared = accelerator.prepare(network, self.optimizer)

    def train_mode(self) -> None:
        """After a validation, which sets the other."""
        set_mode(self.network, self.stage, freeze_batch_norm=self.recipe.freeze_batch_norm)

    def state(self) -> dict[str, Any]:
        """What goes into a checkpoint beside the weights."""
        scaler = self.accelerator.scaler
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The reverse."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def steps(self, first: int) -> Iterator[Stepped]:
        """Do the steps from number ``first`` to the end of the stage, one per turn.

        Raises:
            DataError: a sample cannot be read, with ``strict``; or very many.
        """
        batches = iter(self._loader(first))
        for step in range(first, self.plan.total_steps):
            # A function of the step alone, so that resuming does not change what dropout drops.
            number = self.recipe.seed * 1_000_003 + self.steps_before + step
            torch.manual_seed(number * 1024 + self.accelerator.process_index)
            yield self._step(batches, is_last=step + 1 == self.plan.total_steps)

    def close(self) -> None:
        """Give the network back as it was built."""
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)

    def _step(self, batches: Iterator[Batch], *, is_last: bool) -> Stepped:
        lr = max(float(group["lr"]) for group in self.optimizer.param_groups)  # the encoder's is a share of it
        values: dict[str, Tensor] = {}
        skipped: list[str] = []
        parts = self.stage.accumulate
        for part in range(parts):
            batch = next(batches)
            # Gradients travel between processes once per step.
            wait: AbstractContextManager[Any] = nullcontext() if part == parts - 1 else self._no_sync()
            with wait:
                for name, value in self._backward(batch, parts).items():
                    values[name] = values.get(name, torch.zeros_like(value)) + value / parts
            skipped.extend(batch.skipped)
        if self.recipe.optimizer.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.optimizer.clip_norm)
        self.prepared.step()
        self.prepared.zero_grad()
        if not is_last:
            self.schedule.step()
        return Stepped(lr, values, tuple(skipped))

    def _no_sync(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self.accelerator.no_sync(self.model)
        return context

    def _backward(self, batch: Batch, parts: int) -> dict[str, Tensor]:
        if batch.error is not None:
            raise DataError(batch.error)
        device = self.accelerator.device
        image = batch.image.to(device, non_blocking=True)
        depth_m = batch.depth_m.to(device, non_blocking=True)
        raw = self.model(normalise(image, self.setup.input))
        size_hw = int(depth_m.shape[-2]), int(depth_m.shape[-1])
        prediction = predict(raw, self.setup.output, size_hw, batch.f_px.to(device))
        person = batch.person.to(device, non_blocking=True)
        truth = Truth(depth_m, image.float() / 255, batch.pairs.to(device), person)
        loss, found = self.objective(prediction, truth)
        self.accelerator.backward(loss / parts)
        return {"loss": loss.detach(), **found}

    def _loader(self, first: int) -> DataLoader[Any]:
        dataset = TrainingSet(
            self.parts, (self.stage.height, self.stage.width), self.recipe.augment_of(self.stage), self.setup.input,
            seed=self.recipe.seed, stage=self.plan.stage, strict=self.strict,
        )  # fmt: skip
        return DataLoader(
            dataset,
            batch_sampler=_Batches(self.plan, first, self.accelerator),
            collate_fn=collate,
            num_workers=self.workers,
            pin_memory=self.accelerator.device.type == "cuda",
            # Forking a process that has threads, as torch has, can lock up.
            multiprocessing_context="spawn" if self.workers else None,
        )


class _Batches:
    """StepPlan's batches of this process, as a DataLoader wants them."""

    def __init__(self, plan: StepPlan, first: int, accelerator: Accelerator) -> None:
        self.plan, self.where = plan, (first, accelerator.process_index, accelerator.num_processes)

    def __iter__(self) -> Iterator[Any]:
        return self.plan.batches(*self.where)
