"""Golden data: what a bundle's network must answer, measured once with the FP32 original."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import BundleError, InputError

__all__ = ["Golden", "read_golden", "write_golden"]


@dataclass(frozen=True, eq=False)
class Golden:
    """Inputs of the network and the answers of the FP32 original to them.

    Attributes:
        inputs: N x the network's input tensor (batch included), of the network's own dtype.
        outputs: float32, N x the network's output tensor, in units: (raw - zero_point) * metres_per_unit of the spec,
            before reciprocal and focal rule. So one reference serves FP32, FP16 and INT8 alike.
        person: float32, N x the second output, probabilities; None where the network has none.

    Raises:
        InputError: the two do not hold the same number of frames, or there is none.
    """

    inputs: NDArray[Any]
    outputs: NDArray[np.float32]
    person: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.inputs.ndim < 2 or self.outputs.ndim < 2 or not 0 < len(self.inputs) == len(self.outputs):
            raise InputError(
                "golden data is the same number of input and output tensors, at least one, stacked; found inputs "
                f"{self.inputs.shape} and outputs {self.outputs.shape}"
            )
        object.__setattr__(self, "outputs", np.asarray(self.outputs, dtype=np.float32))
        if self.person is not None:
            if len(self.person) != len(self.inputs):
                raise InputError(f"golden data of {len(self.inputs)} frames tells people in {len(self.person)}")
            object.__setattr__(self, "person", np.asarray(self.person, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.inputs)


def read_golden(path: Path) -> Golden:
    """The golden data in a bundle's ``golden.npz``.

    Raises:
        BundleError: missing, unreadable, or not golden data.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return Golden(data["inputs"], data["outputs"], data.get("person"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, InputError) as error:
        raise BundleError(
            f"{path} is not golden data (expected arrays inputs and outputs): {error}; write the bundle again"
        ) from error


def write_golden(path: Path, golden: Golden) -> None:
    """Write ``golden.npz``. The file is complete only when this returns; bundles are renamed into place as a whole."""
    if golden.person is None:
        np.savez_compressed(path, inputs=golden.inputs, outputs=golden.outputs)
    else:
        np.savez_compressed(path, inputs=golden.inputs, outputs=golden.outputs, person=golden.person)
