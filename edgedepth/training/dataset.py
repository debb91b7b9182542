"""Data sets as torch reads them: augmented, resized, and with corrupt samples replaced and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from edgedepth.bundle.spec import InputSpec
from edgedepth.data import Dataset, Sample
from edgedepth.errors import DataError
from edgedepth.training.augment import UNKNOWN, augment, generator
from edgedepth.training.batches import Key
from edgedepth.training.recipe import Augmentation, DataSource

__all__ = ["Batch", "TrainingSet", "collate"]

MOST_CORRUPT = 100
"""So many samples in a row that cannot be read are no accident."""


@dataclass(frozen=True)
class Item:
    """One sample as tensors: image uint8 3 x H x W, depth float32 1 x H x W (NaN unknown), pairs int64 N x 5,
    person uint8 1 x H x W (0 no, 1 yes, UNKNOWN)."""

    image: Tensor
    depth_m: Tensor
    person: Tensor
    pairs: Tensor
    f_px: float
    skipped: tuple[str, ...]
    error: str | None = None


@dataclass
class Batch:
    """Items stacked. ``person`` uint8 B x 1 x H x W. ``pairs`` int64 N x 6: the image first, then as in Item. ``f_px``
    float32 B, NaN unknown.

    Attributes:
        skipped: one sentence for each sample that could not be read and was replaced.
        error: the same, where it ends the training.
    """

    image: Tensor
    depth_m: Tensor
    person: Tensor
    pairs: Tensor
    f_px: Tensor
    skipped: tuple[str, ...]
    error: str | None

    def pin_memory(self) -> Batch:
        """For a DataLoader that copies to a GPU."""
        for name in ("image", "depth_m", "person"):
            setattr(self, name, getattr(self, name).pin_memory())
        return self


class TrainingSet(TorchDataset[Item]):
    """The data sets of a stage laid end to end. Indexed by (epoch, index), see StepPlan.

    Args:
        parts: data sets with what the recipe says of each.
        size_hw: height and width of the stage.
        how: augmentation.
        input_spec: the network's.
        seed, stage: of the augmentation's random numbers.
        strict: a sample that cannot be read is an error; else the next one takes its place and it is counted.
    """

    def __init__(
        self, parts: Sequence[tuple[Dataset, DataSource]], size_hw: tuple[int, int], how: Augmentation,
        input_spec: InputSpec, *, seed: int, stage: int, strict: bool,
    ) -> None:  # fmt: skip
        self.parts, self.size_hw, self.how, self.input_spec = tuple(parts), size_hw, how, input_spec
        self.seed, self.stage, self.strict = seed, stage, strict
        self.ends = np.cumsum([len(dataset) for dataset, _ in parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        part = int(np.searchsorted(self.ends, index, side="right"))
        dataset, source = self.parts[part]
        start = int(self.ends[part]) - len(dataset)
        skipped: list[str] = []
        for attempt in range(min(len(dataset), MOST_CORRUPT)):
            own = (index - start + attempt) % len(dataset)
            try:
                sample = dataset[own]
            except DataError as error:
                skipped.append(str(error))
                if self.strict:
                    return self._nothing(skipped, str(error))
                continue
            return self._item(sample, source, generator(self.seed, self.stage, epoch, start + own), skipped)
        return self._nothing(
            skipped, f"{dataset.name}: {len(skipped)} samples in a row cannot be read, the last because {skipped[-1]}"
        )

    def _item(self, sample: Sample, source: DataSource, random: np.random.Generator, skipped: list[str]) -> Item:
        max_m = source.max_depth_m
        seen = augment(sample, self.size_hw, self.how, random, max_depth_m=max_m, spec=self.input_spec)
        height, width = seen.image.shape[:2]
        depth = np.full((height, width), np.nan, np.float32) if seen.depth_m is None else seen.depth_m.copy()
        with np.errstate(invalid="ignore"):
            depth[~((depth >= source.min_depth_m) & (depth <= max_m))] = np.nan
        rows = np.zeros((0, 5), np.int64)
        if seen.pairs is not None:
            xy = np.concatenate([seen.pairs.first_xy, seen.pairs.second_xy], axis=1)
            xy = np.clip(np.floor(xy + 0.5), 0, [width - 1, height - 1, width - 1, height - 1])
            rows = np.concatenate([xy, seen.pairs.relation[:, None]], axis=1).astype(np.int64)
        return Item(
            torch.from_numpy(np.ascontiguousarray(seen.image.transpose(2, 0, 1))),
            torch.from_numpy(depth)[None],
            torch.from_numpy(_is_person(seen, (height, width)))[None],
            torch.from_numpy(rows),
            float("nan") if seen.intrinsics is None else seen.intrinsics.f_px,
            tuple(skipped),
        )

    def _nothing(self, skipped: list[str], error: str) -> Item:
        height, width = self.how.crop or self.size_hw
        blank = torch.zeros(3, height, width, dtype=torch.uint8)
        return Item(blank, torch.full((1, height, width), torch.nan), torch.full_like(blank[:1], UNKNOWN),
                    torch.zeros(0, 5, dtype=torch.int64), float("nan"), tuple(skipped), error)  # fmt: skip


def _is_person(sample: Sample, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """1 where a person is, 0 where none is, UNKNOWN where nobody looked: uint8 H x W."""
    if sample.person_ids is None:
        return np.full(size_hw, UNKNOWN, np.uint8)
    ids = sample.person_ids
    return np.where(ids == UNKNOWN, UNKNOWN, np.minimum(ids, 1)).astype(np.uint8)


def collate(items: Sequence[Item]) -> Batch:
    """Items of one size into a batch."""
    pairs: list[Any] = [
        torch.cat([torch.full((len(item.pairs), 1), number, dtype=torch.int64), item.pairs], dim=1)
        for number, item in enumerate(items)
    ]
    return Batch(
        torch.stack([item.image for item in items]),
        torch.stack([item.depth_m for item in items]),
        torch.stack([item.person for item in items]),
        torch.cat(pairs),
        torch.tensor([item.f_px for item in items], dtype=torch.float32),
        tuple(line for item in items for line in item.skipped),
        next((item.error for item in items if item.error), None),
    )
