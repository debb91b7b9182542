"""Does the exported graph give the network's numbers? Compared frame by frame, and the worst pixel is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgedepth.backends import BackendOptions, open_backend
from edgedepth.depth.gate import relative_differences
from edgedepth.errors import ExportError, ParityError

__all__ = ["Difference", "Parity", "check_parity", "compare_arrays"]

Kind = Literal["max", "mean"]
MOST_OUTPUTS = 2
Answers = Callable[[NDArray[Any]], "NDArray[Any] | tuple[NDArray[Any], ...]"]
"""One input tensor to the outputs in the graph's order; an array where there is one."""


@dataclass(frozen=True)
class Difference:
    """How far ``found`` is from ``expected``, over one frame.

    Relative differences are those of ``relative_differences``, as the gate's; of probabilities, whose whole scale is
    1, the plain ones.

    Attributes:
        name: of the output.
        max_relative: the worst pixel's; infinite when a number became NaN or infinite.
        mean_relative: over the pixels that are numbers in both.
        worst: index of the worst pixel in the array.
        expected: there. ``found`` likewise.
        lost: pixels that are a number in ``expected`` and none in ``found``.
        gained: the reverse.
    """

    name: str
    max_relative: float
    mean_relative: float
    worst: tuple[int, ...]
    expected: float
    found: float
    lost: int
    gained: int

    def of(self, kind: Kind) -> float:
        """The figure a tolerance of this kind is held against. What is no number is beyond any tolerance."""
        if self.lost or self.gained:
            return float("inf")
        return self.max_relative if kind == "max" else self.mean_relative


@dataclass(frozen=True)
class Parity:
    """Every frame's difference, of its output that differs most. ``worst``: the frame with the largest figure of the
    kind that was checked."""

    frames: tuple[Difference, ...]
    kind: Kind
    tolerance: float

    @property
    def worst(self) -> int:
        return int(np.argmax([frame.of(self.kind) for frame in self.frames]))

    @property
    def max_relative(self) -> float:
        return max(frame.max_relative for frame in self.frames)

    @property
    def mean_relative(self) -> float:
        """The worst frame's."""
        return max(frame.mean_relative for frame in self.frames)


def compare_arrays(name: str, expected: ArrayLike, found: ArrayLike, *, is_probability: bool = False) -> Difference:
    """Compare one output. See Difference for the measure.

    Raises:
        ParityError: the shapes differ, or there is nothing to compare.
    """
    want, have = np.asarray(expected, dtype=np.float64), np.asarray(found, dtype=np.float64)
    if want.shape != have.shape or not want.size:
        raise ParityError(f"{name}: expected shape {want.shape}, found {have.shape}; the graph is of another network")
    known, good = np.isfinite(want), np.isfinite(have)
    both = known & good
    # Where both are none, equal NaNs and equal infinities are agreement.
    lost, gained = int(np.count_nonzero(known & ~good)), int(np.count_nonzero(good & ~known))
    with np.errstate(invalid="ignore"):
        apart = np.abs(have - want) if is_probability else relative_differences(want, have)
    relative = np.nan_to_num(apart, nan=0.0, posinf=np.inf)
    mean = float(relative[both].mean()) if both.any() else float("nan")
    relative[known != good] = np.inf
    index = np.unravel_index(int(np.argmax(relative)), want.shape)
    worst = tuple(int(i) for i in index)
    return Difference(name, float(relative[worst]), mean, worst, float(want[worst]), float(have[worst]), lost, gained)


@contextmanager
def _answers(reference: Answers | Path) -> Iterator[Answers]:
    if not isinstance(reference, Path):
        yield reference
        return
    with open_backend(reference) as backend:
        if len(backend.inputs) != 1 or len(backend.outputs) > MOST_OUTPUTS:
            raise ExportError(
                f"{reference.name} has {len(backend.inputs)} inputs and {len(backend.outputs)} outputs; a depth "
                "network has one input, and one output or a second for people"
            )
        image = backend.inputs[0].name
        names = [output.name for output in backend.outputs]

        def answer(feed: NDArray[Any]) -> tuple[NDArray[Any], ...]:
            given = backend.run({image: feed})
            return tuple(given[name].copy() for name in names)

        yield answer


def check_parity(
    reference: Answers | Path,
    onnx_path: Path,
    feeds: Sequence[NDArray[Any]],
    *,
    tolerance: float,
    kind: Kind = "max",
    backend: str | None = None,
    person: str | None = None,
) -> Parity:
    """Run the graph and the reference on every feed and refuse the graph when any output is beyond ``tolerance``.

    Args:
        reference: gives the right answer to one input tensor, such as the torch network; or the graph that does.
        feeds: input tensors, batch included; at least one.
        tolerance: largest relative difference, a fraction. ``kind``: of the worst pixel (``max``) or of the frame's
            mean (``mean``).
        backend: what runs the graph (``open_backend`` name).
        person: name of the output that is a probability.

    Raises:
        ParityError: says which output and frame, where, what was expected and found, and by how much.
        ExportError: no feeds, or a reference with further inputs or outputs. BackendError: a graph cannot be loaded
            or run.
    """
    if not len(feeds):
        raise ExportError("nothing to compare the graph on; give at least one input tensor")
    with _answers(reference) as answer, open_backend(onnx_path, BackendOptions(), name=backend) as opened:
        image, names = opened.inputs[0].name, [output.name for output in opened.outputs]
        frames = []
        for feed in feeds:
            wanted, found = answer(feed), opened.run({image: feed})
            each = wanted if isinstance(wanted, tuple) else (wanted,)
            if len(each) != len(names):
                raise ParityError(
                    f"{onnx_path.name} gives {', '.join(names)} and the network {len(each)} outputs; it is of another"
                )
            outputs = [
                compare_arrays(name, want, found[name], is_probability=name == person)
                for name, want in zip(names, each, strict=True)
            ]
            frames.append(max(outputs, key=lambda one: one.of(kind)))
        runner = opened.name
    parity = Parity(tuple(frames), kind, tolerance)
    worst = frames[parity.worst]
    if not worst.of(kind) <= tolerance:
        raise ParityError(_complaint(worst, parity, onnx_path.name, runner))
    return parity


def _complaint(worst: Difference, parity: Parity, file: str, runner: str) -> str:
    where = f"output {worst.name!r}, frame {parity.worst + 1} of {len(parity.frames)}"
    at = f"at (row, column) {worst.worst[-2:]}" if len(worst.worst) >= 2 else f"at {worst.worst}"
    pixel = f"{at}: expected {worst.expected:.6g}, found {worst.found:.6g}"
    if worst.lost or worst.gained:
        what = f"{worst.lost or worst.gained} pixels are {'no numbers' if worst.lost else 'numbers and should not be'}"
        what += f", the first {pixel}"
    else:
        figure = "worst pixel" if parity.kind == "max" else "mean over the frame"
        what = f"{figure} off by {worst.of(parity.kind):.3%} (allowed {parity.tolerance:.3%}); worst {pixel}"
    return (
        f"{file} on {runner} does not give the network's numbers: {where}: {what}; "
        "keep the offending part in FP32, or report the operator that is exported wrongly"
    )
