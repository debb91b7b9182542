"""``edgedepth evaluate``: one model or several against a data set, under a named protocol."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from edgedepth.backends import BackendOptions
from edgedepth.bundle import load_model
from edgedepth.bundle.store import network_sha256
from edgedepth.cli import options as opt
from edgedepth.cli.app import print_json, print_report
from edgedepth.cli.evaluation_table import report_lines
from edgedepth.cli.progress import shown_progress
from edgedepth.data import Dataset, guess_kind, open_dataset, parse_options
from edgedepth.depth import DepthEstimator, FrameEstimator, SensorDepth
from edgedepth.errors import InputError
from edgedepth.evaluation.alignment import ALIGNMENTS, Alignment
from edgedepth.evaluation.plots import Example, worst_examples
from edgedepth.evaluation.protocols import PROTOCOLS, Protocol, find_protocol
from edgedepth.evaluation.report import EvaluationReport
from edgedepth.evaluation.runner import Progress, describe_estimator
from edgedepth.evaluation.runner import evaluate as run_evaluation
from edgedepth.extras import require
from edgedepth.output import PartFile, atomic_output

__all__ = ["evaluate"]

_PROTOCOL_HELP = f"The rules: {', '.join(PROTOCOLS)}."
_ALIGN_HELP = f"What is taken away before scoring: {', '.join(ALIGNMENTS)}. Default: the protocol's, none."


@dataclass(frozen=True)
class Candidate:
    """Something to evaluate.

    Attributes:
        open: opens it; may be sent to other processes.
        sha256: of its file, when its spec names none.
    """

    open: Callable[..., FrameEstimator]
    sha256: str | None = None


def evaluate(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Bundle folders, .onnx files, or edgedepth-s of the package. None: the sensor's own depth.",
            metavar="[BUNDLE|ONNX]...",
            callback=opt.find_models,
        ),
    ] = None,
    protocol: Annotated[str, typer.Option("--protocol", "-p", help=_PROTOCOL_HELP)] = "rgbd",
    data: Annotated[Path | None, typer.Option("--data", "-d", help="The data set: its folder, or its list.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", "-k", help="Its format; default: what it looks like.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Its split; default: the protocol's.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Of the data's format, as in frames=eigen_test_files.txt.")
    ] = None,
    spec: Annotated[
        list[Path] | None, typer.Option("--spec", help="Spec of a bare .onnx; of several, once for all or once each.")
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", help="onnxruntime, openvino or tensorrt; can be repeated, to compare them."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Export recipe of --checkpoint: evaluates the network in torch.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", "-c", help="Trained weights, with --recipe.")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", help="Input size HxW of --recipe, instead of its own.")] = None,
    align: Annotated[str | None, typer.Option("--align", "-a", help=_ALIGN_HELP)] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many samples.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A sample that cannot be read or scored ends it, instead of being skipped.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    html: Annotated[Path | None, typer.Option("--html", help="Write a report with plots and the worst frames.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Write the JSON to this file.")] = None,
    rerun: Annotated[
        Path | None,
        typer.Option("--rerun", help="Write the worst frames as a Rerun recording (.rrd): 3D, image, depth."),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Spread over worker processes with Ray: on this machine, or --ray-address.")
    ] = False,
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="Ray cluster to use: auto, or ray://HOST:10001; implies --ray.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads of one network.")] = None,
    allow_untrained: opt.UntrainedOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: opt.JsonOption = False,
) -> None:
    """Measure how far depth is from the truth, under a published protocol.

    Every number states its alignment. Means are over frames, with a 95 % bootstrap interval. Several models make one
    table: FP32, FP16 and INT8 of one network, or one network on several backends.

    Examples:

    [bold]edgedepth evaluate fastdepth-fp32 fastdepth-int8 --protocol nyu --data nyu/[/]

    [bold]edgedepth evaluate net.onnx --spec net.toml --data recordings/ --align median --html report.html[/]

    [bold]edgedepth evaluate --recipe glpn-nyu --checkpoint best.safetensors --protocol diode --data diode/[/]
    """
    if data is None:
        raise InputError("an evaluation needs a data set: give --data FOLDER")
    rules = find_protocol(protocol)
    alignment = _alignment(align, rules)
    outputs = Outputs(html, json_file, rerun)
    outputs.check(data)
    candidates = _candidates(
        models or [], spec or [], backend or [None], recipe, checkpoint, size,
        options=BackendOptions(threads=threads), allow_untrained=allow_untrained,
    )  # fmt: skip
    dataset = _open_data(data, kind, split, option or [], rules)
    run: Callable[..., EvaluationReport] = run_evaluation
    if ray or ray_address is not None:
        from edgedepth.evaluation.ray_runner import evaluate_with_ray

        run = functools.partial(evaluate_with_ray, address=ray_address)
    reports, examples = [], {}
    with shown_progress(quiet) as progress:
        for number, candidate in enumerate(candidates):
            with _opened(candidate, progress) as opened:
                info = describe_estimator(opened, candidate.sha256)
                runs_here = run is run_evaluation
                report = run(
                    opened if runs_here else candidate.open, dataset, rules, alignment,
                    limit=limit, strict=strict, seed=seed, info=info, progress=progress,
                )  # fmt: skip
                reports.append(report)
                if outputs.wants_examples:
                    progress("looking at the worst frames", None)
                    examples[number] = worst_examples(opened, dataset, report)
    document = _document(reports)
    outputs.write(reports, examples, document)
    if as_json:
        print_json(document)
    else:
        print_report(*report_lines(reports))


@dataclass(frozen=True)
class Outputs:
    """The files that were asked for."""

    html: Path | None
    json_file: Path | None
    rerun: Path | None

    @property
    def wants_examples(self) -> bool:
        """Whether frames are shown in any."""
        return self.html is not None or self.rerun is not None

    def check(self, data: Path) -> None:
        """What cannot be written or drawn is told before any work."""
        opt.refuse_overwrites(
            {"--data": data}, {"--html": self.html, "--json-file": self.json_file, "--rerun": self.rerun}
        )
        for path in (self.html, self.json_file, self.rerun):
            if path is not None:
                if path.is_file() and path.resolve().is_relative_to(data.resolve()):
                    raise InputError(f"{path} would overwrite a file of --data {data}; give a name outside of it")
                PartFile(path).discard()
        if self.html is not None:
            require("matplotlib", "train")
        if self.rerun is not None:
            require("rerun", "rerun")

    def write(
        self, reports: Sequence[EvaluationReport], examples: dict[int, list[Example]], document: dict[str, Any]
    ) -> None:
        """Each file appears whole."""
        if self.html is not None:
            from edgedepth.evaluation.report_html import write_html

            write_html(self.html, reports, examples)
        if self.rerun is not None:
            from edgedepth.evaluation.rerun_log import write_examples

            write_examples(self.rerun, [example for shown in examples.values() for example in shown])
        if self.json_file is not None:
            with atomic_output(self.json_file) as temporary:
                temporary.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _alignment(name: str | None, rules: Protocol) -> Alignment:
    if name is None:
        return rules.alignment
    known = next((one for one in ALIGNMENTS if one == name), None)
    if known is None:
        raise InputError(f"--align is {', '.join(ALIGNMENTS)}, found {name!r}")
    return known


def _candidates(
    models: Sequence[Path],
    specs: Sequence[Path],
    backends: Sequence[str | None],
    recipe: str | None,
    checkpoint: str | None,
    size: str | None,
    *,
    options: BackendOptions,
    allow_untrained: bool,
) -> list[Candidate]:
    bare = [model for model in models if model.suffix == ".onnx"]
    if specs and models and not bare:
        raise InputError("--spec is of a bare .onnx file; a bundle has its own, leave it out")
    if specs and len(specs) not in (1, len(bare)):
        raise InputError(
            f"--spec is given once for all .onnx files or once each: {len(bare)} files, {len(specs)} specs"
        )
    if (recipe is None) != (checkpoint is None) and not (recipe is not None and allow_untrained):
        raise InputError("a checkpoint is evaluated with its recipe: give --recipe NAME and --checkpoint FILE")
    if size is not None and recipe is None:
        raise InputError("--size is of --recipe; a bundle and an .onnx file have their size in them")
    size_hw = None if size is None else opt.parse_size(size)
    spec_of = dict(zip(bare, specs if len(specs) == len(bare) else [*specs] * len(bare), strict=True)) if specs else {}
    found = []
    for model in models:
        loaded = load_model(model, spec_of.get(model))  # what is wrong with one is told before the first runs
        for backend in backends:
            opener = functools.partial(
                DepthEstimator.open, model, spec_of.get(model), backend=backend, options=options,
                allow_untrained=allow_untrained,
            )  # fmt: skip
            found.append(Candidate(opener, None if loaded.spec.files else network_sha256(loaded.onnx_path)))
    if recipe is not None:
        from edgedepth.export.estimator import open_checkpoint

        opener = functools.partial(
            open_checkpoint, recipe, checkpoint, size_hw=size_hw, allow_untrained=allow_untrained
        )  # fmt: skip
        found.append(Candidate(opener))
    if not found:
        if specs or any(backends):
            raise InputError("--spec and --backend can only be given with a model; name a bundle or an .onnx file")
        found.append(Candidate(SensorDepth))
    return found


def _open_data(path: Path, kind: str | None, split: str | None, options: list[str], rules: Protocol) -> Dataset:
    chosen = kind
    if chosen is None:
        seen = guess_kind(path) if path.exists() else None
        chosen = seen if seen is not None else rules.kinds[0]
    if chosen not in rules.kinds:
        raise InputError(
            f"the protocol {rules.name} is for {', '.join(rules.kinds)} data and {path} is {chosen}; "
            "choose another protocol with --protocol, or say what the data is with --kind"
        )
    # The protocol's split is of its own data set; the others have none.
    given = {**rules.options.get(chosen, {}), **parse_options(chosen, options)}
    return open_dataset(path, chosen, split or rules.split, **given)


def _opened(candidate: Candidate, progress: Progress) -> FrameEstimator:
    opener = candidate.open
    if isinstance(opener, functools.partial) and "options" in opener.keywords:  # of an engine that is built first
        opener = functools.partial(opener, options=replace(opener.keywords["options"], progress=progress))
    return opener()


def _document(reports: Sequence[EvaluationReport]) -> dict[str, Any]:
    """The report; of several candidates, a list of them."""
    if len(reports) == 1:
        return reports[0].model_dump(mode="json")
    return {"evaluations": [report.model_dump(mode="json") for report in reports]}
