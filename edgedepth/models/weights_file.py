"""Weights files: safetensors, and what ``torch.save`` writes. Reading one never runs code that is in it."""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgedepth.errors import CheckpointError
from edgedepth.extras import require

__all__ = ["find_weights", "read_weights"]

# Where training programs put the weights in what they save, the averaged ones first: they are those to use.
WRAPPERS = (
    "state_dict_ema",
    "ema_state_dict",
    "model_ema",
    "params_ema",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "network",
    "params",
    "weights",
)
_CONVERT = (
    "in an environment you trust, load it with the program that wrote it and save its weights with "
    "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
)


def read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors in a weights file by name, on the CPU, and the format ("safetensors", "torch, state_dict").

    The content decides, not the name. Pickles are read with ``weights_only``: tensors and plain containers, nothing
    else; the averaged weights are taken where a file holds both.

    Raises:
        CheckpointError: no such file, empty, truncated, not a checkpoint, or a pickle that needs more.
    """
    head = _head(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:
        return _read_safetensors(path), "safetensors"
    if head[:2] == b"PK" or head[:1] == b"\x80":
        tensors, wrapper = _unwrap(_read_torch(path), path)
        return tensors, f"torch, {wrapper}" if wrapper else "torch"
    raise CheckpointError(f"{path} {_what_it_is(head, path)}; give a .safetensors, .pth, .pt or .ckpt file")


def find_weights(folder: Path) -> list[Path]:
    """The weights files of a transformers folder, safetensors before pickles.

    Raises:
        CheckpointError: it holds none, or not all the parts its index names.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _parts(index)
    names = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise CheckpointError(
        f"{folder} holds neither model.safetensors nor pytorch_model.bin, found {names}; give the folder that "
        "save_pretrained wrote, or the weights file itself"
    )


def _parts(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is not an index of weights files; download the folder again") from error
    missing = [name for name in names if Path(name).name != name or not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{index.parent} has {len(names) - len(missing)} of the {len(names)} weights files its index names, "
            f"{missing[0]} is missing; download it again"
        )
    return [index.parent / name for name in names]


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError as error:
        raise CheckpointError(f"no weights file at {path}; check the path") from error
    except OSError as error:
        raise CheckpointError(f"the weights file {path} cannot be read: {error.strerror}") from error
    if not head:
        raise CheckpointError(f"{path} is empty (0 bytes); download or save it again")
    return head


def _what_it_is(head: bytes, path: Path) -> str:
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the weights: fetch them with git lfs pull"
    if head.lstrip()[:1] == b"<":
        return "is a web page, not weights: the download was answered with a login or an error page"
    if head.startswith(b"\x89HDF"):
        return "is HDF5 (Keras): its weights are for another framework, convert them to the torch network first"
    if path.suffix == ".onnx":
        return "is an ONNX graph and not weights: export takes it in place of a model's name"
    return "is not a checkpoint"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    safetensors = require("safetensors.torch", "export")
    try:
        tensors: dict[str, Tensor] = safetensors.load_file(path)
    except Exception as error:  # its own error class, ValueError or OSError, by what is wrong
        raise CheckpointError(
            f"{path} is a damaged or truncated safetensors file ({_first_line(error)}); download or save it again"
        ) from error
    return tensors


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():  # about old pickles and TorchScript, both answered below
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, error)) from error
    except (RuntimeError, EOFError, KeyError, ValueError, IndexError, AttributeError, OSError) as error:
        if "TorchScript" in str(error):
            raise CheckpointError(f"{path} is a TorchScript program and not weights alone; {_CONVERT}") from error
        raise CheckpointError(
            f"{path} is a damaged or truncated torch file, or not one ({_first_line(error)}); download or save it again"
        ) from error


def _refusal(path: Path, error: pickle.UnpicklingError) -> str:
    try:
        wanted = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (ValueError, RuntimeError):  # files of before torch 1.6, and bare pickles
        wanted = re.findall(r"GLOBAL ([\w.]+)", str(error))
    needs = f"it needs {', '.join(sorted(set(wanted))[:3])}" if wanted else "it is not a pickle of tensors"
    return f"{path} is a pickle that holds more than weights: {needs}, and loading that may run any code; {_CONVERT}"


def _unwrap(content: Any, path: Path) -> tuple[dict[str, Tensor], str]:
    keys: list[str] = []
    while isinstance(content, Mapping):
        wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if wrapper is None:
            tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
            if not tensors:
                break
            return tensors, ".".join(keys)
        keys.append(wrapper)
        content = content[wrapper]
    found = ", ".join(map(str, content)) if isinstance(content, Mapping) else f"a {type(content).__name__}"
    raise CheckpointError(
        f"{path} holds no weights by name, found {found or 'nothing'} inside; save model.state_dict() in it"
    )


def _first_line(error: BaseException) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
