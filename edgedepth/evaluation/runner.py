"""``evaluate``: an estimator over a data set under a protocol, to a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timezone

import numpy as np

from edgedepth import __version__
from edgedepth.bundle import ModelSpec
from edgedepth.bundle.store import ONNX_FILE
from edgedepth.data import Dataset
from edgedepth.depth import FrameEstimator
from edgedepth.device import describe_device, package_version
from edgedepth.errors import DataError, InputError
from edgedepth.evaluation.alignment import Alignment
from edgedepth.evaluation.bootstrap import bootstrap_interval
from edgedepth.evaluation.protocols import Protocol, find_protocol
from edgedepth.evaluation.ranges import range_errors
from edgedepth.evaluation.report import (
    METRICS,
    EstimatorInfo,
    EvaluationReport,
    FrameRecord,
    Interval,
    ProtocolInfo,
    RangeRow,
    Skipped,
)
from edgedepth.evaluation.scoring import Outcome, check_request, score_range

__all__ = ["WORST", "Progress", "describe_estimator", "evaluate", "sample_count", "summarise"]

Progress = Callable[[str, "float | None"], None]

WORST = 6
"""How many of the worst frames a report names."""
_PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "openvino", "tensorrt", "torch")


def evaluate(
    estimator: FrameEstimator,
    dataset: Dataset,
    protocol: Protocol | str,
    alignment: Alignment | None = None,
    *,
    limit: int | None = None,
    strict: bool = False,
    seed: int = 0,
    info: EstimatorInfo | None = None,
    progress: Progress = lambda step, fraction: None,
) -> EvaluationReport:
    """Run every sample and score it.

    A sample that cannot be read or scored is left out, counted and named with its reason; with ``strict`` it is an
    error. A pixel without a depth found lowers ``coverage`` and enters no other number.

    Args:
        estimator: gives depth on the frame's grid, of any backend or precision.
        dataset: what ``open_dataset`` gives.
        protocol: an entry of PROTOCOLS, or its name.
        alignment: None = the protocol's.
        limit: score the first so many samples only.
        strict: see above.
        seed: of the bootstrap.
        info: what is said of the estimator; None = what it says of itself.
        progress: called with what is being done and the fraction of it.

    Raises:
        InputError: an unknown protocol or alignment, or no sample that can be scored (gives the first reason).
        NotMetricError: this depth makes no metres with this alignment.
        BackendError: the network failed.
    """
    rules = find_protocol(protocol) if isinstance(protocol, str) else protocol
    align = alignment or rules.alignment
    check_request(estimator, rules, align)
    count = sample_count(dataset, limit)
    outcomes = []
    for outcome in score_range(estimator, dataset, rules, align, range(count), strict=strict):
        outcomes.append(outcome)
        progress(f"evaluating {estimator.name}", len(outcomes) / count)
    return summarise(outcomes, info or describe_estimator(estimator), dataset, rules, align, seed=seed)


def sample_count(dataset: Dataset, limit: int | None) -> int:
    """How many samples are scored. Raises InputError for a limit that is not positive."""
    if limit is not None and limit < 1:
        raise InputError(f"the limit is a number of samples, 1 or more, found {limit}")
    return len(dataset) if limit is None else min(limit, len(dataset))


def describe_estimator(estimator: FrameEstimator, sha256: str | None = None) -> EstimatorInfo:
    """What a report says of an estimator. ``sha256``: of its file, where its spec names none."""
    spec = getattr(estimator, "spec", None)
    if not isinstance(spec, ModelSpec):
        return EstimatorInfo(name=estimator.name, kind=estimator.kind.value, sha256=sha256)
    return EstimatorInfo(
        name=estimator.name,
        model=spec.name,
        precision=spec.precision,
        kind=estimator.kind.value,
        sha256=spec.files.get(ONNX_FILE) or sha256 or spec.provenance.checkpoint_sha256,
        training_data=spec.provenance.training_data,
    )


def summarise(
    outcomes: Iterable[Outcome],
    info: EstimatorInfo,
    dataset: Dataset,
    protocol: Protocol,
    alignment: Alignment,
    *,
    seed: int = 0,
) -> EvaluationReport:
    """The report of outcomes, in whatever order they come.

    Raises:
        DataError: not one was scored.
    """
    ordered = sorted(outcomes, key=lambda outcome: outcome.index)
    records = [outcome.record for outcome in ordered if outcome.record is not None]
    skipped = [Skipped(id=outcome.id, reason=outcome.skipped) for outcome in ordered if outcome.skipped is not None]
    if not records:
        why = f": {skipped[0].reason}" if skipped else ""
        raise DataError(f"none of {len(ordered)} samples of {dataset.name} could be scored{why}")
    groups = len({record.group for record in records})
    by_group = 1 < groups < len(records)
    mean: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    for name in METRICS:
        rows = [record for record in records if getattr(record, name) is not None]
        if not rows:
            continue
        values = np.array([getattr(record, name) for record in rows], dtype=np.float64)
        mean[name] = float(values.mean())
        names = [record.group for record in rows] if by_group else None
        interval = bootstrap_interval(values, names, seed=seed)
        if interval is not None:
            intervals[name] = Interval(low=interval[0], high=interval[1])
    sums = [outcome.ranges for outcome in ordered if outcome.ranges is not None]
    versions = {name: version for name in _PACKAGES if (version := package_version(name)) is not None}
    return EvaluationReport(
        estimator=info,
        protocol=_protocol_info(protocol),
        alignment=alignment,
        dataset=dataset.name,
        dataset_kind=dataset.kind,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        host=describe_device().name,
        versions={"edgedepth": __version__} | versions,
        samples=len(ordered),
        frames=tuple(records),
        mean=mean,
        interval95=intervals,
        resampled="groups" if by_group else "frames",
        by_range=tuple(RangeRow(**vars(row)) for row in range_errors(sums, protocol.bins_m)) if sums else (),
        worst=tuple(record.id for record in sorted(records, key=_badness, reverse=True)[:WORST]),
        skipped=tuple(skipped),
    )


def _badness(record: FrameRecord) -> float:
    """AbsRel, or the share of pairs that are ordered wrong."""
    return record.absrel if record.absrel is not None else record.whdr or 0.0


def _protocol_info(protocol: Protocol) -> ProtocolInfo:
    crop = None
    if protocol.crop is not None:
        unit = " pixels" if protocol.crop.size_wh else " of the size"
        crop = "rows {}:{}, columns {}:{}".format(*protocol.crop.rows, *protocol.crop.columns) + unit
    return ProtocolInfo(
        name=protocol.name,
        title=protocol.title,
        source=protocol.source,
        min_depth_m=protocol.min_depth_m,
        max_depth_m=protocol.max_depth_m,
        ranges_m=dict(protocol.ranges_m),
        crop=crop,
        clips=protocol.clips,
        truth=protocol.truth,
    )
