"""Splits by subject or scene, never by frame: frames of one scene on both sides make a test of memory."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping

from edgedepth.data.base import Dataset, Subset
from edgedepth.errors import DataError

__all__ = ["shared_groups", "split_by_group"]


def split_by_group(dataset: Dataset, fractions: Mapping[str, float], seed: int = 0) -> dict[str, Subset]:
    """Divide a data set into parts that share no group.

    Groups are taken in the order of SHA-256("seed:group"), which is the same on every machine and version, and each
    goes to the part that lacks most frames.

    Args:
        dataset: any data set.
        fractions: share of the frames by name of the part, ``{"train": 0.8, "val": 0.2}``; they add up to 1.
        seed: another one gives another division.

    Returns:
        One part per name, none of them empty, their samples in the order of ``dataset``.

    Raises:
        DataError: fractions that do not add up to 1, or fewer groups than parts.
    """
    if not fractions or any(not share > 0 for share in fractions.values()) or not _adds_up(fractions):
        raise DataError(f"the fractions of a split are positive and add up to 1, found {dict(fractions)}")
    frames = Counter(dataset.groups)
    if len(frames) < len(fractions):
        raise DataError(
            f"{dataset.name} has {len(frames)} group(s) (subjects or scenes) and {len(fractions)} parts are asked for; "
            "a split never divides a group: give a data set with more scenes, or one per part"
        )
    order = sorted(frames, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    lacking = {name: share * len(dataset) for name, share in fractions.items()}
    part_of: dict[str, str] = {}
    for position, group in enumerate(order):
        empty = [name for name in fractions if name not in part_of.values()]
        candidates = empty if len(order) - position == len(empty) else list(fractions)
        chosen = max(candidates, key=lambda name: lacking[name])
        part_of[group] = chosen
        lacking[chosen] -= frames[group]
    return {
        name: Subset(
            dataset, [i for i, group in enumerate(dataset.groups) if part_of[group] == name], f"{dataset.name}:{name}"
        )
        for name in fractions
    }


def _adds_up(fractions: Mapping[str, float]) -> bool:
    return math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-6)


def shared_groups(first: Dataset, second: Dataset) -> list[str]:
    """The groups that are in both, sorted. Two sides of a split share none."""
    return sorted(set(first.groups) & set(second.groups))
