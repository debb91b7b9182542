"""A torch network to one ONNX file: static size, one input ``image``, the network's outputs by name, all float32."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgedepth.errors import ExportError
from edgedepth.export.half import to_half
from edgedepth.extras import require
from edgedepth.output import atomic_output

if TYPE_CHECKING:
    from torch import nn

__all__ = ["OPSET", "SCOPES_KEY", "export_onnx", "quiet"]

OPSET = 18
"""The exporter's own operator set: nothing is converted down, LayerNormalization is one operator, and every TensorRT
since 8.6 reads it."""

SCOPES_KEY = "pkg.torch.onnx.name_scopes"
"""Node metadata that says which module a node comes from; the exporter's other notes hold source lines and paths."""

# protobuf refuses messages of 2 GiB; the graph itself takes a little.
_MOST_BYTES = 2**31 - 2**22


def export_onnx(
    network: nn.Module,
    height: int,
    width: int,
    path: Path,
    *,
    fp32_modules: Collection[str] = (),
    half: bool = False,
    opset: int = OPSET,
    progress: Callable[[str, float | None], None] | None = None,
) -> None:
    """Write ``network`` (1 x 3 x H x W to 1 x 1 x h x w, or several of these) as ONNX. The network is not changed.

    Outputs are named as ``network.output_names`` says, else ``depth``.

    Args:
        height: of the image, pixels; the graph takes no other. ``width`` likewise.
        fp32_modules: with ``half``: names of modules (``"encoder.block.3"``) that compute in FP32, between casts.
        half: compute in FP16. Input and output stay float32, so that feeds and answers are those of every precision.
        progress: called with what is being done, and None.

    Raises:
        ExportError: the network does not run or cannot be traced (names the module), gives another shape, is larger
            than one ONNX file can be, or has no module of a name in ``fp32_modules``.
        MissingExtraError: torch or onnxscript is not installed.
        OutputError: ``path`` cannot be written.
    """
    torch = require("torch", "export")
    require("onnxscript", "export")
    onnx = require("onnx", "export")
    if half or network.training:
        network = copy.deepcopy(network).eval()
    width_bytes = 2 if half else 4
    size = width_bytes * sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    if size > _MOST_BYTES:
        raise ExportError(
            f"the network's weights take {size / 2**30:.1f} GiB and an ONNX file holds 2 GiB; export it with --fp16, "
            "or choose a smaller variant"
        )
    names = tuple(getattr(network, "output_names", ("depth",)))
    image = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(0))
    if progress:
        progress("tracing the network", None)
    try:
        with quiet(), torch.no_grad():
            _check_answer(network(image), names)
            if half:
                to_half(network, fp32_modules)
            program = torch.onnx.export(
                network,
                (image,),
                dynamo=True,
                opset_version=opset,
                input_names=["image"],
                output_names=list(names),
                external_data=False,
                verbose=False,
            )
            model = program.model_proto
    except ExportError:
        raise
    except Exception as error:  # the exporter wraps whatever the network's own code raises
        raise ExportError(f"the network could not be exported at {height}x{width}: {_cause(error, network)}") from error
    _strip(model)
    # The exporter stamps IR 10 on everything; runtimes older than the operator set needs would refuse the file.
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import))
    if progress:
        progress("writing ONNX", None)
    with atomic_output(path) as part:
        onnx.save(model, str(part))


def _check_answer(answer: Any, names: tuple[str, ...]) -> None:
    given = answer if isinstance(answer, tuple) and len(names) > 1 else (answer,)
    if len(given) != len(names):
        raise ExportError(f"the network names the outputs {', '.join(names)} and gives {len(given)}; name each")
    for one in given:
        shape = tuple(getattr(one, "shape", ()))
        if len(shape) != 4 or shape[:2] != (1, 1):
            found = shape or type(one).__name__
            raise ExportError(f"a depth network gives a 1 x 1 x h x w tensor, found {found}; wrap it so that it does")


@contextmanager
def quiet() -> Iterator[None]:
    """Exporters, converters and networks print, log and warn about their own plans; users cannot act on it."""
    disabled = logging.root.manager.disable
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


def _strip(model: Any) -> None:
    """Drop the exporter's notes except the module names: they hold stack traces with the paths of this machine."""
    for holder in (model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info):
        kept = [(entry.key, entry.value) for entry in holder.metadata_props if entry.key == SCOPES_KEY]
        del holder.metadata_props[:]
        for key, value in kept:
            holder.metadata_props.add(key=key, value=value)
    for node in model.graph.node:
        node.doc_string = ""


def _cause(error: BaseException, network: nn.Module) -> str:
    """One line: the innermost error, and the module whose code raised it."""
    chain = [error]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) is not None and deeper not in chain:
        chain.append(deeper)
    root = chain[-1]
    names = {id(module): name or "the network itself" for name, module in network.named_modules()}
    for each in reversed(chain):
        where = _innermost(each.__traceback__, names)
        if where is not None:
            break
    # Torch puts the fact into the first line and advice, graphs and traces into the rest.
    text = next((line.strip() for line in str(root).splitlines() if line.strip()), "")
    return f"{type(root).__name__}: {text[:300]}" + (f" (in {where})" if where else "")


def _innermost(traceback: TracebackType | None, names: dict[int, str]) -> str | None:
    where = None
    while traceback is not None:
        where = names.get(id(traceback.tb_frame.f_locals.get("self")), where)
        traceback = traceback.tb_next
    return where
