"""What was trained, on what, by what, and what came out: one JSON file beside the weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from edgedepth import __version__
from edgedepth.bundle.store import file_sha256
from edgedepth.device import describe_device, package_version
from edgedepth.output import atomic_output
from edgedepth.training.network import ModelSetup
from edgedepth.training.recipe import TrainingRecipe
from edgedepth.training.sources import TrainingData
from edgedepth.training.validate import ALIGNMENT_OF

__all__ = ["write_record"]

PACKAGES = ("torch", "torchvision", "timm", "transformers", "segmentation-models-pytorch", "accelerate", "torchmetrics",
            "numpy", "opencv-python-headless")  # fmt: skip


def write_record(
    path: Path, recipe: TrainingRecipe, setup: ModelSetup, data: Mapping[str, TrainingData], options: dict[str, Any],
    best: Mapping[str, Any], history: Sequence[Mapping[str, Any]], curve: Sequence[Mapping[str, str]],
    skipped: Sequence[str], accelerator: Accelerator,
) -> None:  # fmt: skip
    """Write the record. Numbers of the curve are those of ``curve.csv``. Raises OutputError."""
    weights = path.with_name("weights.safetensors")
    last = recipe.stages[-1]
    record = {
        "schema_version": 1,
        "recipe": recipe.model_dump(mode="json"),
        "model": setup.name,
        "size": {"height": last.height, "width": last.width},
        "seed": recipe.seed,
        "options": options,
        "data": {
            name: {
                "kind": part.source.kind,
                "name": part.training.name,
                "digest": part.digest,
                "training": {"samples": len(part.training), "groups": len(set(part.training.groups)),
                             "ids_sha256": _digest(part.training.ids)},
                "validation": {"samples": len(part.validation), "groups": len(set(part.validation.groups)),
                               "ids_sha256": _digest(part.validation.ids)},
            }
            for name, part in data.items()
        },
        "weights": {"file": weights.name, "sha256": file_sha256(weights)},
        "best": dict(best),
        "validation_alignment": ALIGNMENT_OF.get(setup.output.kind),
        "history": [dict(row) for row in history],
        "curve": [{key: value for key, value in row.items() if value != ""} for row in curve],
        "skipped": {"count": len(skipped), "first": list(skipped[:20])},
        "precision": accelerator.mixed_precision,
        "processes": accelerator.num_processes,
        "device": describe_device().as_dict(),
        "versions": {"edgedepth": __version__, **{name: package_version(name) for name in PACKAGES}},
    }  # fmt: skip
    with atomic_output(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _digest(ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()
