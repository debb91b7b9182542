"""Checkpoints: everything the next step depends on, written whole, read without running code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgedepth.errors import CheckpointError
from edgedepth.extras import require
from edgedepth.models.base import DepthNetwork
from edgedepth.output import atomic_output, output_errors

__all__ = ["LAST", "keep_best", "read_state", "remove_leftovers", "write_state", "write_weights"]

LAST, BEST = "last.pt", "best.pt"
FOLDER = "checkpoints"
VERSION = 1


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """``checkpoints/last.pt``, replaced at once. Raises OutputError."""
    with atomic_output(_path(folder, LAST)) as temporary:
        torch.save({"version": VERSION, **state}, temporary)


def keep_best(folder: Path) -> None:
    """``checkpoints/best.pt`` is what ``last.pt`` is now. Raises OutputError."""
    with atomic_output(_path(folder, BEST)) as temporary:
        shutil.copyfile(_path(folder, LAST), temporary)


def read_state(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The state in ``checkpoints/last.pt`` of a training with the same ``settings``.

    Raises:
        CheckpointError: there is none, it is damaged, or it is of another training (names what differs).
    """
    path = _path(folder, LAST)
    if not path.is_file():
        raise CheckpointError(f"nothing to resume: no {path}; leave out --resume, or give the training's --output")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        version, before = state["version"], state["settings"]
    except Exception as error:  # unpickling has as many kinds as damage has
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}); resume from {BEST} by copying it there, or start again"
        ) from error
    if version != VERSION:
        raise CheckpointError(f"{path} is of version {version}, this program reads {VERSION}; start again")
    different = [key for key in settings if before.get(key) != settings[key]]
    if different:
        where, was, now = _first_difference(
            different[0], _parsed(before.get(different[0])), _parsed(settings[different[0]])
        )
        raise CheckpointError(
            f"{path} is of another training: {where} was {_short(was)} and is {_short(now)}; "
            "resume with the same, or start in another --output"
        )
    return state


def remove_leftovers(folder: Path) -> None:
    """What was being written in ``folder`` when a training was killed, each as large as a checkpoint. Raises
    OutputError."""
    with output_errors(folder):
        for part in folder.rglob(".*.part.*"):
            part.unlink(missing_ok=True)


def write_weights(folder: Path, network: DepthNetwork) -> Path:
    """``weights.safetensors``, which ``edgedepth export --checkpoint`` takes. Raises OutputError."""
    save = require("safetensors.torch", "export").save
    path = folder / "weights.safetensors"
    # Clones: tensors that share memory are not taken.
    tensors: dict[str, Tensor] = {k: v.detach().cpu().clone().contiguous() for k, v in network.state_dict().items()}
    with atomic_output(path) as temporary:
        temporary.write_bytes(save(tensors))  # its save_file makes a file that nobody else may read
    return path


def _path(folder: Path, name: str) -> Path:
    return folder / FOLDER / name


def _parsed(setting: Any) -> Any:
    try:
        return json.loads(setting)
    except (TypeError, ValueError):  # a SHA-256, or nothing
        return setting


def _first_difference(where: str, was: Any, now: Any) -> tuple[str, Any, Any]:
    """The innermost place where two settings differ first, and what each has there."""
    if isinstance(was, dict) and isinstance(now, dict):
        pairs = [(f"{where}.{key}", was.get(key), now.get(key)) for key in dict.fromkeys((*was, *now))]
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        pairs = [(f"{where}[{number}]", *pair) for number, pair in enumerate(zip(was, now, strict=True))]
    else:
        return where, was, now
    return _first_difference(*next(pair for pair in pairs if pair[1] != pair[2]))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
