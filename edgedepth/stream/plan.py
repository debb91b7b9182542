"""How many frames at once: latency for live sources, throughput for files."""

from __future__ import annotations

from edgedepth.backends import BackendOptions
from edgedepth.device import usable_cpus
from edgedepth.errors import InputError
from edgedepth.sources.base import Source

__all__ = ["stream_options", "worker_count"]


def stream_options(source: Source, *, workers: int | None = None, device: str | None = None) -> BackendOptions:
    """How to open the backend for a stream from ``source``.

    A live source wants the newest frame soon: one frame at a time on all cores. A file wants throughput: a frame per
    core, each on one thread, which for small networks gives about twice the frames of one run on all cores.
    """
    count = worker_count(source, workers)
    return BackendOptions("latency" if count == 1 and source.is_live else "throughput", None, count, device)


def worker_count(source: Source, workers: int | None = None) -> int:
    """``workers``, or what suits ``source``. Raises InputError when below 1."""
    if workers is None:
        return 1 if source.is_live else usable_cpus()
    if workers < 1:
        raise InputError(f"workers must be 1 or more, found {workers}")
    return workers
