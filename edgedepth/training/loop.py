"""The training loop: one path for the CPU, one GPU and many (torchrun), through Hugging Face Accelerate."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch import Tensor

from edgedepth.errors import OutputError, TrainingError
from edgedepth.output import output_errors
from edgedepth.training.averaged import average_of
from edgedepth.training.batches import StepPlan
from edgedepth.training.logs import Logs, read_curve
from edgedepth.training.network import RANDOM, ModelSetup, set_momentum, start_network
from edgedepth.training.on_cpu import depthwise_in_float32, keep_freed_memory
from edgedepth.training.options import Progress, TrainingResult, TrainOptions
from edgedepth.training.processes import join_batch_norm
from edgedepth.training.recipe import Stage, TrainingRecipe
from edgedepth.training.record import write_record
from edgedepth.training.sources import TrainingData
from edgedepth.training.stage import StageRun
from edgedepth.training.state import keep_best, read_state, remove_leftovers, write_state, write_weights
from edgedepth.training.validate import METRICS, Totals, score, validate

__all__ = ["train"]


def _silent(step: str, fraction: float | None, note: str = "") -> None:
    """Progress that nobody sees."""


def train(
    recipe: TrainingRecipe,
    setup: ModelSetup,
    data: Mapping[str, TrainingData],
    output: Path,
    options: TrainOptions | None = None,
    progress: Progress = _silent,
) -> TrainingResult:
    """Train a network by a recipe. In a process started by torchrun, one of several that train together.

    Args:
        recipe: what is done.
        setup: the network, from its export recipe.
        data: see ``open_training_data``.
        output: a folder that is new or empty, or with ``resume`` that of the same training.
        options, progress: see there.

    Raises:
        OutputError: ``output`` holds something, or cannot be written.
        CheckpointError: nothing to resume, or of another training; weights to start from that do not fit.
        RecipeError: the recipe does not fit the network. DataError: a sample, with ``strict``; or nearly all of them.
        TrainingError: out of memory (says what to make smaller), or the loss is no number.
    """
    chosen = options or TrainOptions()
    setup.check(recipe)
    AcceleratorState._reset_state()  # a training before this one in the same process, with another precision
    accelerator = _accelerator(recipe, chosen)
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    occupied = output.is_dir() and any(output.iterdir())
    accelerator.wait_for_everyone()  # before one of them writes there
    if occupied and not chosen.resume:
        raise OutputError(f"{output} is not empty; give another --output, or --resume to go on with what is there")
    with _memory_advice(recipe):
        return _Training(recipe, setup, data, output, chosen, progress, accelerator).run()


class _Training:
    """One run: what the stages share, and what is written."""

    def __init__(
        self, recipe: TrainingRecipe, setup: ModelSetup, data: Mapping[str, TrainingData], output: Path,
        options: TrainOptions, progress: Progress, accelerator: Accelerator,
    ) -> None:  # fmt: skip
        self.recipe, self.setup, self.data, self.output, self.options = recipe, setup, data, output, options
        self.accelerator, self.is_main = accelerator, accelerator.is_main_process
        self.progress = progress if self.is_main else _silent
        self.settings = {
            "recipe": json.dumps(recipe.model_dump(mode="json"), sort_keys=True),
            "model": json.dumps({"family": setup.family, "config": dict(setup.config)}, sort_keys=True, default=str),
            **{f"data set {name}": part.digest for name, part in data.items()},
        }
        self.plans = [_plan(recipe, number, stage, data) for number, stage in enumerate(recipe.stages)]
        self.stage_number, self.step = 0, 0
        self.best: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.skipped = [line for part in data.values() for line in part.left_out]
        self.state = read_state(output, self.settings) if options.resume else None
        # The state replaces the weights, so nothing needs to be fetched for them.
        start = RANDOM if self.state else options.start
        self.network = start_network(setup, recipe, start).to(accelerator.device)
        if recipe.precision == "bf16":  # the layout its convolutions are written for
            self.network.to(memory_format=torch.channels_last)
            if accelerator.device.type == "cpu":
                depthwise_in_float32(self.network)
        if recipe.batch_norm_momentum is not None:
            set_momentum(self.network, recipe.batch_norm_momentum)
        if recipe.join_batch_norm:
            join_batch_norm(self.network, accelerator.device, accelerator.num_processes)
        self.average = average_of(self.network, recipe.ema) if recipe.ema else None
        if self.state:
            self._load(self.state)
        self.logs = None
        if self.is_main:
            with output_errors(output):
                for folder in ("checkpoints", "samples"):
                    (output / folder).mkdir(parents=True, exist_ok=True)
            remove_leftovers(output)
            terms = [term.key for stage in recipe.stages for term in recipe.losses_of(stage)]
            columns = ["stage", "epoch", "lr", "loss", *dict.fromkeys(terms), *(f"val_{name}" for name in METRICS)]
            self.logs = Logs(output, columns, self._steps_done)

    @property
    def _steps_before(self) -> int:
        """Steps of earlier stages."""
        return sum(plan.total_steps for plan in self.plans[: self.stage_number])

    @property
    def _steps_done(self) -> int:
        return self._steps_before + self.step

    @property
    def _kept(self) -> Any:
        """The network that is validated and written."""
        return self.network if self.average is None else self.average.module

    def run(self) -> TrainingResult:
        """Every stage from where it stands."""
        try:
            while self.stage_number < len(self.recipe.stages):
                self._run_stage(self.recipe.stages[self.stage_number], self.plans[self.stage_number])
                self.stage_number, self.step = self.stage_number + 1, 0
        finally:
            if self.logs is not None:
                self.logs.close()
        record = self.output / "training.json"
        if self.is_main:
            write_record(
                record, self.recipe, self.setup, self.data, asdict(self.options), self.best, self.history,
                read_curve(self.output / "curve.csv"), self.skipped, self.accelerator,
            )  # fmt: skip
        self.accelerator.wait_for_everyone()
        return TrainingResult(self.output / "weights.safetensors", record, self.best, tuple(self.skipped))

    def _run_stage(self, stage: Stage, plan: StepPlan) -> None:
        running = StageRun(
            self.recipe, stage, plan, self.setup, self.network, self.data, self.accelerator,
            steps_before=self._steps_before, strict=self.options.strict, workers=self.options.workers,
        )  # fmt: skip
        if self.state:
            running.load_state(self.state)
            self.state = None
        elif self.stage_number:
            self.best = {}  # of other data or another size
        started_s, first = time.monotonic(), self.step
        for done in running.steps(self.step):
            self.step += 1
            if self.average is not None:
                self.average.update_parameters(self.network)
            self.skipped.extend(line for line in done.skipped if line not in self.skipped)
            ends_epoch = self.step % plan.steps_per_epoch == 0
            saves = ends_epoch or self.step % self.options.save_steps == 0
            if saves or self.step % self.options.log_steps == 0 or self.step == 1:
                seconds = (time.monotonic() - started_s) / (self.step - first)
                self._log(stage, plan, {"lr": done.lr, **self._numbers(done.values)}, seconds)
                self._check_weights()
            is_best = ends_epoch and self._validate(stage, plan, running)
            if saves:
                self._save(running)
                if is_best and self.is_main:
                    keep_best(self.output)
        running.close()

    def _numbers(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """The means over the processes. Raises TrainingError when the loss is no number."""
        stacked = torch.stack([value.float() for value in values.values()])
        means: list[float] = self.accelerator.reduce(stacked, "mean").tolist()
        if not bool(torch.isfinite(torch.tensor(means)).all()):
            raise self._diverged(f"the loss is {dict(zip(values, means, strict=True))}")
        return dict(zip(values, means, strict=True))

    def _check_weights(self) -> None:
        """The loss is of the weights before the step, so it is finite where a gradient alone is not. Raises
        TrainingError."""
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.network.parameters()):
            raise self._diverged("a weight is no number")

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what} at step {self._steps_done}: the training diverged; start again with a smaller --lr, or with "
            "precision = 'fp32' in the recipe"
        )

    def _log(self, stage: Stage, plan: StepPlan, values: dict[str, float], seconds_per_step: float) -> None:
        epoch = (self.step - 1) // plan.steps_per_epoch
        if self.logs is not None:
            self.logs.write(self._steps_done, {"stage": stage.name, "epoch": epoch + 1, **values})
        remaining = sum(p.total_steps for p in self.plans) - self._steps_done
        fraction = (self.step - epoch * plan.steps_per_epoch) / plan.steps_per_epoch
        note = f"loss {values['loss']:.4g}, all done in {_clock(seconds_per_step * remaining)}"
        self.progress(f"{stage.name}, epoch {epoch + 1} of {stage.epochs}", fraction, note)

    def _validate(self, stage: Stage, plan: StepPlan, running: StageRun) -> bool:
        """Score what is kept, write it when it is the best of the stage, and say whether it was."""
        epoch = self.step // plan.steps_per_epoch
        network = self._kept
        network.eval()
        # What was trained on crops is validated on the whole picture, as it is exported.
        seen = self.setup.input.model_copy(update={"height": stage.height, "width": stage.width})
        totals = validate(
            network, [(self.data[name].validation, self.data[name].source) for name in stage.data],
            seen, self.setup.output, strict=self.options.strict,
            rank=self.accelerator.process_index, processes=self.accelerator.num_processes,
            pictures=(self.output / "samples", self.options.pictures),
        )  # fmt: skip
        running.train_mode()
        whole = sum(gather_object([totals]), Totals())
        means = whole.means
        self.skipped.extend(line for line in whole.skipped if line not in self.skipped)
        row = {"stage": stage.name, "epoch": epoch, "frames": whole.frames, "pairs": whole.pairs, **means}
        self.history.append(row)
        is_best = not self.best or score(means) < self.best["score"]
        if is_best:
            self.best = {**row, "score": score(means)}
        if self.logs is not None:
            values = {f"val_{name}": value for name, value in means.items()}
            self.logs.write(self._steps_done, {"stage": stage.name, "epoch": epoch, **values})
            if is_best:
                write_weights(self.output, network)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        self.progress(f"{stage.name}, epoch {epoch} of {stage.epochs}", 1.0, shown)
        return is_best

    def _save(self, running: StageRun) -> None:
        self.skipped = list(dict.fromkeys(gather_object(self.skipped)))
        if self.is_main:
            write_state(self.output, {
                "settings": self.settings, "stage": self.stage_number, "step": self.step,
                "network": self.network.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
                "best": self.best, "history": self.history, "skipped": self.skipped, **running.state(),
            })  # fmt: skip
        self.accelerator.wait_for_everyone()

    def _load(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.stage_number, self.step = state["stage"], state["step"]
        self.best, self.history, self.skipped = state["best"], state["history"], state["skipped"]


def _plan(recipe: TrainingRecipe, number: int, stage: Stage, data: Mapping[str, TrainingData]) -> StepPlan:
    parts = [data[name] for name in stage.data]
    sizes = tuple(len(part.training) for part in parts)
    return StepPlan(
        sizes=sizes,
        per_epoch=tuple(min(part.source.per_epoch or size, size) for part, size in zip(parts, sizes, strict=True)),
        epochs=stage.epochs,
        batch_size=stage.batch_size,
        accumulate=stage.accumulate,
        seed=recipe.seed,
        stage=number,
    )


def _accelerator(recipe: TrainingRecipe, options: TrainOptions) -> Accelerator:
    if options.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            "--device cuda needs an NVIDIA GPU that torch can use, and there is none; give --device cpu"
        )
    on_cpu = options.device == "cpu" or not torch.cuda.is_available()
    precision = "bf16" if recipe.precision == "bf16" else "no"
    if recipe.precision == "mixed" and not on_cpu:
        precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return Accelerator(cpu=on_cpu, mixed_precision=precision, step_scheduler_with_optimizer=False)


@contextmanager
def _memory_advice(recipe: TrainingRecipe) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch has a class of its own for a GPU's memory, and a plain RuntimeError for the CPU's.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        stage = max(recipe.stages, key=lambda stage: stage.batch_size * stage.height * stage.width)
        half = max(1, stage.batch_size // 2)
        raise TrainingError(
            f"out of memory with batches of {stage.batch_size} images of {stage.height}x{stage.width}; give a smaller "
            f"--batch-size and more of --accumulate (--batch-size {half} --accumulate {stage.accumulate * 2} takes as "
            "many images per step), or a smaller --size"
        ) from error


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
