"""How far a build is: TensorRT's nested phases as one fraction."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

__all__ = ["BuildProgress", "Progress", "make_monitor"]

Progress = Callable[[str, "float | None"], None]
"""Called with (what is being done, fraction 0..1 or None)."""

_SMALLEST_STEP = 0.01


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class BuildProgress:
    """Turns phases and steps into calls of ``report`` with a fraction that never goes back.

    Methods may be called from TensorRT's threads. What ``report`` raises (Ctrl-C too) must not travel through
    TensorRT: it is kept in ``error``, and ``step`` answers that the build be stopped.
    """

    def __init__(self, report: Progress, what: str) -> None:
        self._report, self._what = report, what
        self._lock = threading.RLock()
        self._phases: dict[str, _Phase] = {}
        self._fraction = -_SMALLEST_STEP
        self.error: BaseException | None = None

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins; ``parent`` is None for the outermost."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(steps, 1))
            self._tell(name)

    def step(self, name: str, step: int) -> bool:
        """Step number ``step`` (from 0) of a phase is done. False asks TensorRT to stop."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done = step + 1
                self._tell(name)
            return self.error is None

    def finish(self, name: str) -> None:
        """A phase has ended."""
        with self._lock:
            self._phases.pop(name, None)

    def _tell(self, name: str) -> None:
        fraction = min(self._share(None), 1.0)
        if self.error is not None or fraction < self._fraction + _SMALLEST_STEP:
            return
        self._fraction = fraction
        try:
            inner = f": {name[:1].lower()}{name[1:]}" if self._phases[name].parent else ""
            self._report(f"{self._what}{inner}", fraction)
        except BaseException as error:
            self.error = error

    def _share(self, parent: str | None) -> float:
        """How much is done of the furthest phase inside ``parent``."""
        inside = [(name, phase) for name, phase in self._phases.items() if phase.parent == parent]
        return max(((phase.done + min(self._share(name), 1.0)) / phase.steps for name, phase in inside), default=0.0)


def make_monitor(trt: ModuleType, progress: BuildProgress) -> Any:
    """A ``trt.IProgressMonitor`` that feeds ``progress``. Only for a library that has the capability ``progress``."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind11 wants the base called by name

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()
