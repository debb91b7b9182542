"""Trained weights into a network: all of them, or none and the reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgedepth.bundle.store import file_sha256
from edgedepth.errors import CheckpointError
from edgedepth.extras import require
from edgedepth.models import build_network
from edgedepth.models.base import DepthNetwork
from edgedepth.models.hub import HubNetwork, one_line, quiet_transformers
from edgedepth.models.weights_file import find_weights, read_weights

__all__ = ["CheckpointInfo", "load_checkpoint", "load_network"]

SEED = 0
"""Of the random weights a network has without a checkpoint."""

_FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar", ".pkl")
# Names that training programs put in front of every weight.
_PREFIXES = ("module", "model", "network", "net", "_orig_mod")


@dataclass(frozen=True)
class CheckpointInfo:
    """Weights that were loaded.

    Attributes:
        source: the file, folder or hub id as it was given.
        format: "safetensors", "torch, state_dict", "transformers folder, safetensors".
        sha256: of the weights file; of several files, the SHA-256 of their SHA-256 in order of name.
        files: names of the weights files.
        weights: how many tensors were loaded. None is ever missing or left over.
    """

    source: str
    format: str
    sha256: str
    files: tuple[str, ...]
    weights: int


@dataclass(frozen=True)
class _Fit:
    """How a checkpoint's names and shapes meet a network's."""

    state: dict[str, Tensor]
    """What the network would load."""
    total: int
    missing: list[str]
    unexpected: list[str]
    shapes: list[tuple[str, tuple[int, ...], tuple[int, ...]]]
    """Name, shape in the file, shape in the network."""


def load_network(
    family: str, config: Mapping[str, Any] | None, checkpoint: str | Path | None
) -> tuple[DepthNetwork, CheckpointInfo | None]:
    """A network of ``family`` in evaluation mode, with the weights of ``checkpoint`` or, for None, random ones.

    The random weights are the same every time, whatever was drawn before.

    Raises:
        RecipeError, MissingExtraError: see ``build_network``.
        CheckpointError: see ``load_checkpoint``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = build_network(family, dict(config or {}))
    info = None if checkpoint is None else load_checkpoint(network, checkpoint)
    return network.eval(), info


def load_checkpoint(network: DepthNetwork, source: str | Path) -> CheckpointInfo:
    """Load all weights of ``network`` from a file, a transformers folder or a hub id; on error it is unchanged.

    Names are met with what wraps them taken off (``module.``, ``model.``, ``network.``), and for hub families as
    transformers, older versions of it and the model's original repository write them.

    Args:
        source: ``.safetensors``; ``.pth``, ``.pt`` or ``.ckpt`` of tensors alone; a folder with ``config.json`` and
            weights; or ``owner/name`` on the Hugging Face hub, which is downloaded into its own cache.

    Raises:
        CheckpointError: nothing there, unreadable, unsafe, of another network (says which weights), of another
            configuration of this one, or not finite.
        MissingExtraError: safetensors or transformers is not installed.
    """
    path, is_hub_id = _locate(source)
    if path.is_dir():
        _check_folder(network, path, is_hub_id)
        files = find_weights(path)
    else:
        files = [path]
    weights: dict[str, Tensor] = {}
    for file in files:
        tensors, form = read_weights(file)
        weights |= tensors
    fit = _fit(network, weights)
    _check(fit, network, source)
    network.load_state_dict(fit.state)
    return CheckpointInfo(
        source=str(source),
        format=f"transformers folder, {form}" if path.is_dir() else form,
        sha256=_sha256(files),
        files=tuple(file.name for file in files),
        weights=len(fit.state),
    )


def _locate(source: str | Path) -> tuple[Path, bool]:
    path = Path(source).expanduser()
    if path.exists():
        return path, False
    name = str(source)
    if (
        isinstance(source, str)
        and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name)
        and path.suffix not in _FILE_SUFFIXES
    ):
        return _download(name), True
    raise CheckpointError(
        f"no checkpoint at {source}; give a weights file, a transformers folder or a hub id such as owner/name"
    )


def _download(hub_id: str) -> Path:
    hub = require("huggingface_hub", "export")
    try:
        # Pickles only where there is nothing else.
        for patterns in (["config.json", "*.safetensors", "*.safetensors.index.json"], ["pytorch_model*"]):
            folder = Path(hub.snapshot_download(hub_id, allow_patterns=patterns))
            if any(folder.glob("*.safetensors")):
                break
    except Exception as error:  # connection, HTTP, permission and cache errors of three libraries
        raise CheckpointError(
            f"{hub_id} could not be had from the Hugging Face hub ({_short(error)}); check the name and the network, "
            "or download it on another machine and give the folder"
        ) from error
    return folder


def _check_folder(network: DepthNetwork, folder: Path, is_hub_id: bool) -> None:
    """The folder's config.json describes this network, as far as shapes of weights cannot tell."""
    if not isinstance(network, HubNetwork):
        raise CheckpointError(
            f"{folder} is a folder, which only the families of transformers take; give {type(network).__name__} "
            "its .safetensors or .pth file"
        )
    if not (folder / "config.json").is_file():
        original = "; for a repository of original weights, download the .pth and give that" if is_hub_id else ""
        raise CheckpointError(f"{folder} has no config.json, so it is no transformers folder{original}")
    transformers = require("transformers", "export")
    try:
        with quiet_transformers():
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # JSON, unknown model_type, wrong keys: as many kinds
        raise CheckpointError(f"{folder}/config.json cannot be read: {_short(error)}") from error
    if config.model_type != network.model_type:
        raise CheckpointError(
            f"{folder}/config.json says model_type {config.model_type!r}, this recipe's family is "
            f"{network.model_type!r}; choose the recipe of that family"
        )
    expected = network.facts(network.hub_config)
    try:
        found = network.facts(config)
    except (AttributeError, KeyError, TypeError) as error:  # such as DPT on a Swin encoder
        raise CheckpointError(
            f"{folder}/config.json describes a {config.model_type} network of another build than the recipe's "
            f"({_short(error)}); give the folder of this recipe's checkpoint"
        ) from error
    different = [key for key in expected if expected[key] != found[key]]
    if different:
        key = different[0]
        raise CheckpointError(
            f"{folder}/config.json says {key} = {found[key]}, the recipe's network has {expected[key]}: its weights "
            "would fit and its numbers mean something else; choose the recipe of this checkpoint, or write one"
        )


def _fit(network: DepthNetwork, weights: Mapping[str, Tensor]) -> _Fit:
    weights = {name: value for name, value in weights.items() if name != "n_averaged"}  # of torch's averaged models
    found = dict(zip(_core(weights), weights.values(), strict=True))
    if not isinstance(network, HubNetwork):
        return _meet(network, found)
    found = network.renamed(found) or found
    fit = _meet(network, found)
    return _convert(network, found) if fit.missing or fit.unexpected or fit.shapes else fit


def _core(names: Iterable[str]) -> list[str]:
    """Names without the prefixes that all of them share."""
    result = list(names)
    for prefix in _PREFIXES * 3:
        if result and all(name.startswith(f"{prefix}.") for name in result):
            result = [name[len(prefix) + 1 :] for name in result]
    return result


def _meet(network: DepthNetwork, found: Mapping[str, Tensor]) -> _Fit:
    own = network.state_dict()
    names = dict(zip(_core(own), own, strict=True))
    # Absent from files of before torch 0.4.1; counts batches, and nothing reads it in evaluation.
    counters = {core for core in names if core.endswith("num_batches_tracked") and core not in found}
    shapes = [
        (core, tuple(found[core].shape), tuple(own[name].shape))
        for core, name in names.items()
        if core in found and found[core].shape != own[name].shape
    ]
    return _Fit(
        state={name: own[name] if core in counters else found.get(core, own[name]) for core, name in names.items()},
        total=len(names),
        missing=[core for core in names if core not in found and core not in counters],
        unexpected=[core for core in found if core not in names],
        shapes=shapes,
    )


def _convert(network: HubNetwork, found: Mapping[str, Tensor]) -> _Fit:
    """Names of other versions of transformers, which it converts itself as it loads."""
    model_class: Any = type(network.model)
    try:
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            model, report = model_class.from_pretrained(
                None,
                config=network.hub_config,
                state_dict={k: v.float() if v.is_floating_point() else v for k, v in found.items()},
                ignore_mismatched_sizes=True,  # reported like the others
                output_loading_info=True,
            )
    except Exception as error:  # the conversions of some fifty architectures
        raise CheckpointError(f"transformers cannot convert the checkpoint: {_short(error)}") from error
    prefix = "model."
    return _Fit(
        state={prefix + name: value for name, value in model.state_dict().items()},
        total=len(model.state_dict()),
        missing=sorted(report["missing_keys"]),
        unexpected=sorted(report["unexpected_keys"]),
        shapes=[(name, tuple(file), tuple(own)) for name, file, own in sorted(report["mismatched_keys"])],
    )


def _check(fit: _Fit, network: DepthNetwork, source: str | Path) -> None:
    if fit.missing or fit.unexpected or fit.shapes:
        parts = [f"{fit.total - len(fit.missing) - len(fit.shapes)} of {fit.total} weights match"]
        if fit.missing:
            parts.append(f"{len(fit.missing)} are missing, first {fit.missing[0]}")
        if fit.unexpected:
            parts.append(f"{len(fit.unexpected)} are of no use, first {fit.unexpected[0]}")
        if fit.shapes:
            name, file, own = fit.shapes[0]
            parts.append(f"{len(fit.shapes)} have another shape, first {name}: {file} in the file, {own} expected")
        raise CheckpointError(
            f"{source} is not a checkpoint of this {type(network).__name__} network: {', '.join(parts)}; give this "
            "model's checkpoint, or correct the recipe's [model.config]"
        )
    for name, value in fit.state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{source} holds NaN or infinity in {name}; the training diverged, or it is damaged")


def _sha256(files: list[Path]) -> str:
    digests = [file_sha256(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _short(error: BaseException) -> str:
    text = one_line(error)
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
