"""The same evaluation over Ray Data, for archives that one process would take days for (extra ``scale``).

A data set is cut into runs of consecutive frames; each is scored by a worker that holds the network, with the very
function that ``evaluate`` uses, so the numbers are the same. Ray starts a worker that died anew and gives it the run it
had; a frame is never counted twice, since a run's outcomes arrive together or not at all.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgedepth.data import Dataset
from edgedepth.depth import FrameEstimator
from edgedepth.errors import BackendError, EdgeDepthError
from edgedepth.evaluation.alignment import Alignment
from edgedepth.evaluation.protocols import Protocol, find_protocol
from edgedepth.evaluation.report import EstimatorInfo, EvaluationReport
from edgedepth.evaluation.runner import Progress, describe_estimator, sample_count, summarise
from edgedepth.evaluation.scoring import Outcome, check_request, score_range
from edgedepth.extras import require

__all__ = ["evaluate_with_ray"]

FRAMES_PER_TASK = 16
"""What is done again, at most, when a worker dies."""
_TASKS_PER_WORKER = 4


def evaluate_with_ray(
    open_estimator: Callable[[], FrameEstimator],
    dataset: Dataset,
    protocol: Protocol | str,
    alignment: Alignment | None = None,
    *,
    address: str | None = None,
    workers: int | None = None,
    frames_per_task: int | None = None,
    limit: int | None = None,
    strict: bool = False,
    seed: int = 0,
    info: EstimatorInfo | None = None,
    progress: Progress = lambda step, fraction: None,
) -> EvaluationReport:
    """As ``evaluate``, by several processes or machines.

    Args:
        open_estimator: opens the network; called once in each worker, so it must be picklable, and what it reads must
            be at the same path on every machine, as the data set's files must.
        dataset, protocol, alignment, limit, strict, seed, info: as ``evaluate``.
        address: of a Ray cluster (``auto``, ``ray://host:10001``); None = one on this machine for this call.
        workers: how many networks run at once; None = one per CPU of the cluster.
        frames_per_task: consecutive frames of one task; None = FRAMES_PER_TASK, less where there is not work for all.
        progress: called with what is being done and the fraction of it.

    Raises:
        MissingExtraError: Ray is not installed.
        BackendError: the cluster cannot be reached, or workers keep dying.
        Any EdgeDepthError that ``evaluate`` raises.
    """
    ray = require("ray", "scale")
    ray_data = require("ray.data", "scale")
    rules = find_protocol(protocol) if isinstance(protocol, str) else protocol
    align = alignment or rules.alignment
    with open_estimator() as estimator:  # wrong arguments are told here, not by twenty workers
        check_request(estimator, rules, align)
        said = info or describe_estimator(estimator)
    count = sample_count(dataset, limit)
    outcomes: list[Outcome] = []
    with _cluster(ray, address):
        wanted = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        step = frames_per_task or max(1, min(FRAMES_PER_TASK, count // (_TASKS_PER_WORKER * wanted)))
        tasks = [(start, min(start + step, count)) for start in range(0, count, step)]
        pool = min(wanted, len(tasks))
        ray_data.DataContext.get_current().enable_progress_bars = False
        rows = ray_data.from_items([{"start": a, "stop": b} for a, b in tasks], override_num_blocks=len(tasks))
        scored = rows.map_batches(
            _worker(open_estimator, dataset, rules, align, strict),
            batch_size=1,
            compute=ray_data.ActorPoolStrategy(size=pool),
            num_cpus=1,
        )
        try:
            for row in scored.iter_rows():
                outcomes += _unpacked(row["outcomes"])
                progress(f"evaluating {said.name} on {pool} workers", len(outcomes) / count)
        except ray.exceptions.RayError as error:
            raise BackendError(
                f"Ray gave up after {len(outcomes)} of {count} frames: {' '.join(str(error).split())[:300]}"
            ) from error
    return summarise(outcomes, said, dataset, rules, align, seed=seed)


def _worker(
    open_estimator: Callable[[], FrameEstimator],
    dataset: Dataset,
    protocol: Protocol,
    alignment: Alignment,
    strict: bool,
) -> type:
    """What Ray keeps in each worker process. The class carries its arguments, so a worker can always be made anew."""

    class Worker:
        def __init__(self) -> None:
            self.estimator = open_estimator()

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            """One row in, one out: the pickled outcomes of its frames, or the error that ended them."""
            frames = range(int(batch["start"][0]), int(batch["stop"][0]))
            try:
                found: Any = list(score_range(self.estimator, dataset, protocol, alignment, frames, strict=strict))
            except EdgeDepthError as error:  # else Ray would wrap it, and its message with it
                found = error
            return {"outcomes": np.array([pickle.dumps(found)], dtype=object)}

    return Worker


def _unpacked(blob: bytes) -> list[Outcome]:
    found = pickle.loads(blob)
    if isinstance(found, EdgeDepthError):
        raise found
    outcomes: list[Outcome] = found
    return outcomes


@contextmanager
def _cluster(ray: Any, address: str | None) -> Iterator[None]:
    """Joined or started for this call; one that was joined before stays."""
    if ray.is_initialized():
        yield
        return
    if address is None:  # ours: it sends statistics to nobody, and its own log stays in its files
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Ray takes SIGTERM for itself and does not give it back.
    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main_thread else None
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        ray.init(
            address=address,
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        where = f"no Ray cluster at {address}" if address else "no Ray cluster could be started here"
        raise BackendError(f"{where}: {' '.join(str(error).split())[:300]}") from error
    try:
        yield
    finally:
        ray.shutdown()
        if before is not None:
            signal.signal(signal.SIGTERM, before)
