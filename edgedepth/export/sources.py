"""What can be exported: a recipe's network with its checkpoint, or an FP32 ONNX file that somebody else made."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.bundle import License, Model, ModelSpec, Provenance
from edgedepth.bundle.onnxfacts import read_facts
from edgedepth.bundle.store import network_sha256
from edgedepth.errors import InputError, RecipeError
from edgedepth.export.fp16 import Fp16Method, Fp16Result, convert_fp16, export_fp16
from edgedepth.export.onnx_export import OPSET, export_onnx
from edgedepth.export.parity import check_parity
from edgedepth.export.recipe import PrecisionNotes, Recipe
from edgedepth.export.simplify import simplify

__all__ = ["ExportSource", "GraphSource", "NetworkSource"]

Array = NDArray[Any]


@dataclass(frozen=True)
class ExportSource(ABC):
    """Gives FP32 and FP16 graphs of one network.

    Attributes:
        spec: the contract of the FP32 graph; ``files`` empty.
        notes: what is known of its precisions.
    """

    spec: ModelSpec
    notes: PrecisionNotes

    @abstractmethod
    def write_fp32(self, path: Path, feeds: Sequence[Array]) -> None:
        """Write the simplified FP32 graph and prove it on input tensors ``feeds``.

        Raises:
            ExportError, ParityError: it cannot be made, or does not give the network's numbers.
        """

    @abstractmethod
    def write_fp16(
        self, fp32: Path, path: Path, feeds: Sequence[Array], *, method: Fp16Method, keep_fp32: Collection[str]
    ) -> Fp16Result:
        """Write the FP16 graph (FP32 at its inputs and outputs) and prove it on ``feeds``. Errors as above."""


@dataclass(frozen=True)
class NetworkSource(ExportSource):
    """A network in torch."""

    network: Any

    @classmethod
    def of_recipe(cls, recipe: Recipe, checkpoint: str | Path | None, *, random_init: bool = False) -> NetworkSource:
        """The recipe's network with the weights in ``checkpoint``, or random ones when that is asked for.

        Raises:
            RecipeError: neither or both; CheckpointError: see ``load_network``.
        """
        from edgedepth.models.checkpoint import load_network

        if random_init and checkpoint is not None:
            raise RecipeError("--checkpoint and --random-init both say where the weights come from; give one")
        if not random_init and checkpoint is None:
            where = recipe.weights.hub_id or recipe.weights.url
            known = f" (trained weights: {where})" if where else ""
            raise RecipeError(
                f"{recipe.name} ships no weights: give --checkpoint FILE, FOLDER or HUB-ID{known}, "
                "or --random-init to try the export without"
            )
        network, info = load_network(recipe.model.family, dict(recipe.model.config), checkpoint)
        provenance = Provenance(
            recipe=recipe.name,
            checkpoint_sha256=info.sha256 if info else None,
            training_data=recipe.weights.training_data,
            trained=info is not None,
            license=recipe.weights.license if info else License(name="none: random weights"),
        )
        spec = ModelSpec(
            name=recipe.name,
            input=recipe.input.model_copy(update={"name": "image"}),
            output=recipe.output.model_copy(update={"name": "depth"}),
            person=recipe.person,
            opset=OPSET,
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            provenance=provenance,
        )
        return cls(spec, recipe.precision, network)

    def write_fp32(self, path: Path, feeds: Sequence[Array]) -> None:
        """See ExportSource."""
        export_onnx(self.network, self.spec.input.height, self.spec.input.width, path)
        simplify(path)
        check_parity(self._answer, path, feeds, tolerance=self.notes.onnx_tolerance, person=_person(self.spec))

    def write_fp16(
        self, fp32: Path, path: Path, feeds: Sequence[Array], *, method: Fp16Method, keep_fp32: Collection[str]
    ) -> Fp16Result:
        """See ExportSource."""
        if method == "autocast":
            result = convert_fp16(fp32, path, feeds=feeds, method="autocast", keep_fp32=keep_fp32)
        else:
            size = self.spec.input.height, self.spec.input.width
            result = export_fp16(self.network, *size, path, feeds=feeds, fp32_onnx=fp32, keep_fp32=keep_fp32)
        check_parity(fp32, path, feeds, tolerance=self.notes.fp16_tolerance, kind="mean", person=_person(self.spec))
        return result

    def _answer(self, feed: Array) -> tuple[Array, ...]:
        import torch

        with torch.inference_mode():
            given = self.network(torch.from_numpy(np.ascontiguousarray(feed)))
        return tuple(one.numpy() for one in (given if isinstance(given, tuple) else (given,)))


@dataclass(frozen=True)
class GraphSource(ExportSource):
    """An FP32 ONNX file with its spec; torch is not needed."""

    onnx_path: Path

    @classmethod
    def of_model(cls, model: Model) -> GraphSource:
        """A bundle, or a bare ``.onnx`` with its spec.

        Raises:
            InputError: spec or graph is not FP32: what a lower precision lost cannot be had back; or the spec is for
                images of every size.
        """
        spec = model.spec
        # A hand-written spec says FP32 by saying nothing.
        found = read_facts(model.onnx_path).precision if spec.precision == "fp32" else spec.precision
        if found != "fp32":
            raise InputError(
                f"{model.root or model.onnx_path} is {found}; export starts from the FP32 network, "
                "so give that bundle or .onnx"
            )
        if spec.input.resize == "keep_aspect_multiple":
            raise InputError(
                f"{spec.name} takes every size (input.resize = keep_aspect_multiple) and a bundle has one; set "
                "input.resize to letterbox, stretch or center_crop, and input.height and width to the size wanted"
            )
        if spec.provenance.checkpoint_sha256 is None:
            digest = network_sha256(model.onnx_path)
            provenance = spec.provenance.model_copy(update={"checkpoint_sha256": digest})
            spec = spec.model_copy(update={"provenance": provenance})
        return cls(spec.model_copy(update={"files": {}}), PrecisionNotes(), model.onnx_path)

    def write_fp32(self, path: Path, feeds: Sequence[Array]) -> None:
        """See ExportSource."""
        shutil.copyfile(self.onnx_path, path)
        image = self.spec.input
        shape = (3, image.height, image.width) if image.layout == "NCHW" else (image.height, image.width, 3)
        simplify(path, folder=self.onnx_path.parent, input_shape=(1, *shape))
        check_parity(self.onnx_path, path, feeds, tolerance=self.notes.onnx_tolerance, person=_person(self.spec))

    def write_fp16(
        self, fp32: Path, path: Path, feeds: Sequence[Array], *, method: Fp16Method, keep_fp32: Collection[str]
    ) -> Fp16Result:
        """See ExportSource."""
        result = convert_fp16(
            fp32, path, feeds=feeds, method="autocast" if method == "autocast" else "graph", keep_fp32=keep_fp32
        )
        check_parity(fp32, path, feeds, tolerance=self.notes.fp16_tolerance, kind="mean", person=_person(self.spec))
        return result


def _person(spec: ModelSpec) -> str | None:
    return None if spec.person is None else spec.person.name
