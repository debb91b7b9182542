"""How well a network tells people from things, on frames that say who is where."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgedepth.bundle import ModelSpec
from edgedepth.bundle.spec import PersonSpec
from edgedepth.depth import FrameEstimator
from edgedepth.errors import InputError

__all__ = ["person_scores", "person_threshold"]


def person_threshold(estimator: FrameEstimator) -> float:
    """The probability from which on a pixel is a person: what the estimator's spec says, else the usual one."""
    spec = getattr(estimator, "spec", None)
    said = spec.person if isinstance(spec, ModelSpec) else None
    return said.threshold if said is not None else float(PersonSpec.model_fields["threshold"].default)


def person_scores(
    probability: NDArray[np.float32], is_person: NDArray[np.bool_], threshold: float
) -> tuple[float | None, float | None]:
    """Overlap of the found mask with the true one, and the share of nobody's pixels that are called a person.

    Pixels without a probability, which the network did not see, are found to be nobody. The overlap (intersection over
    union) is None where nobody is in view: one wrong pixel there would count as much as a person who is missed, and is
    in the share instead. That is None where there is nothing but people.

    Args:
        probability: float32 H x W, NaN = not seen.
        is_person: bool H x W.
        threshold: see ``person_threshold``.

    Raises:
        InputError: the sizes differ.
    """
    if probability.shape != is_person.shape:
        raise InputError(
            f"the person mask found is {probability.shape[1]}x{probability.shape[0]} and the true one "
            f'{is_person.shape[1]}x{is_person.shape[0]}; open the estimator with grid="frame"'
        )
    with np.errstate(invalid="ignore"):
        found = probability >= np.float32(threshold)
    true, both = int(np.count_nonzero(is_person)), int(np.count_nonzero(found & is_person))
    wrong = int(np.count_nonzero(found)) - both
    nobody = is_person.size - true
    return both / (true + wrong) if true else None, wrong / nobody if nobody else None
