"""Data sets: one reader per format, all giving samples with metres, a camera and the group that splits keep whole."""

from __future__ import annotations

from edgedepth.data.base import Dataset, DepthFacts, Entry, Listed, OrdinalPairs, Sample, Subset, subset, unit_problem
from edgedepth.data.kinds import KINDS, Kind, guess_kind, open_dataset, parse_options, require_unit
from edgedepth.data.splits import shared_groups, split_by_group

__all__ = [
    "KINDS",
    "Dataset",
    "DepthFacts",
    "Entry",
    "Kind",
    "Listed",
    "OrdinalPairs",
    "Sample",
    "Subset",
    "guess_kind",
    "open_dataset",
    "parse_options",
    "require_unit",
    "shared_groups",
    "split_by_group",
    "subset",
    "unit_problem",
]
