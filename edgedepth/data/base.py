"""What a data set gives: samples with a camera, metres and a group, whatever the format it came in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgedepth.errors import DataError, EdgeDepthError, MissingExtraError
from edgedepth.types import Intrinsics, Pose

__all__ = [
    "Dataset",
    "DepthFacts",
    "Entry",
    "Listed",
    "OrdinalPairs",
    "Sample",
    "Subset",
    "data_errors",
    "subset",
    "unit_problem",
]


@dataclass(frozen=True, eq=False)
class OrdinalPairs:
    """Pairs of points of an image of which is known which is farther (Depth in the Wild).

    Attributes:
        first_xy, second_xy: float64 N x 2, pixels (x, y), the centre of the first pixel at (0, 0).
        relation: int8 N: +1 the first point is FARTHER, -1 it is nearer, 0 they are equally far.

    Raises:
        DataError: the three do not belong together, or a relation is none of these.
    """

    first_xy: NDArray[np.float64]
    second_xy: NDArray[np.float64]
    relation: NDArray[np.int8]

    def __post_init__(self) -> None:
        count = len(self.relation)
        for name in ("first_xy", "second_xy"):
            points = getattr(self, name)
            if points.shape != (count, 2) or not np.isfinite(points).all():
                raise DataError(f"{count} relations need finite {name} of shape ({count}, 2), found {points.shape}")
        if not np.isin(self.relation, (-1, 0, 1)).all():
            raise DataError(f"a relation is +1 (first farther), -1 or 0, found {np.unique(self.relation).tolist()}")

    def __len__(self) -> int:
        return len(self.relation)


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with what is known of its depth, camera and origin. Its arrays are not shared with other samples.

    Attributes:
        image: uint8 RGB, H x W x 3.
        depth_m: float32 H x W on the image's grid, metres along Z, positive, NaN = invalid; None where there are
            only pairs.
        intrinsics: the camera of this image, or None when the data set does not say.
        id: unique in the data set, and the same on every machine.
        group: the subject or scene; splits never divide a group.
        pose: camera pose, or None.
        pairs: ordinal pairs, or None.
        up: unit vector opposite to gravity in the camera frame, or None.
        person_ids: uint8 H x W, who is where: 0 nobody, i the i-th person; None where nobody looked.

    Raises:
        DataError: types or sizes that do not fit each other.
    """

    image: NDArray[np.uint8]
    depth_m: NDArray[np.float32] | None
    intrinsics: Intrinsics | None
    id: str
    group: str
    pose: Pose | None = None
    pairs: OrdinalPairs | None = None
    up: tuple[float, float, float] | None = None
    person_ids: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise DataError(f"{self.id}: expected a uint8 H x W x 3 image, found {self.image.dtype} {self.image.shape}")
        width, height = self.size_wh
        if self.depth_m is not None and self.depth_m.dtype != np.float32:
            raise DataError(f"{self.id}: depth is float32 metres, found {self.depth_m.dtype}")
        if self.depth_m is not None and (np.isinf(self.depth_m) | (self.depth_m <= 0)).any():
            raise DataError(f"{self.id}: depth is positive and finite, or NaN where invalid; found others: corrupt?")
        if self.depth_m is not None and self.depth_m.shape != (height, width):
            found = "x".join(map(str, self.depth_m.shape[::-1]))
            raise DataError(
                f"{self.id}: the image is {width}x{height} and its depth {found}; depth is never resampled: "
                "do these two files belong together?"
            )
        ids = self.person_ids
        if ids is not None and (ids.shape != (height, width) or ids.dtype != np.uint8):
            raise DataError(
                f"{self.id}: who is where is one number of 8 bits per pixel of the {width}x{height} image, found "
                f"{ids.dtype} {'x'.join(map(str, ids.shape[::-1]))}"
            )
        if self.intrinsics is not None and self.intrinsics.size_wh != (width, height):
            raise DataError(
                f"{self.id}: the image is {width}x{height} and its intrinsics are for "
                f"{self.intrinsics.width}x{self.intrinsics.height}"
            )

    @property
    def size_wh(self) -> tuple[int, int]:
        """Image size (width, height), pixels."""
        return int(self.image.shape[1]), int(self.image.shape[0])


@dataclass(frozen=True)
class DepthFacts:
    """What the stored numbers of a format are, and what a scene of it can be.

    Attributes:
        stored: in words, as in ``16-bit PNG, 1/256 m, 0 = invalid``.
        metres_per_unit: of the stored number; 1 for metres.
        median_range_m: what the median depth of a frame can be. Outside of it the unit is wrong.
        max_m: the farthest depth the sensor or the format gives.
    """

    stored: str
    metres_per_unit: float
    median_range_m: tuple[float, float]
    max_m: float


@runtime_checkable
class Dataset(Protocol):
    """A data set, opened: its list is in memory, its images are decoded when asked for. May be pickled."""

    @property
    def kind(self) -> str:
        """The format, a key of ``KINDS``."""
        ...

    @property
    def name(self) -> str:
        """Where it lies, with its split."""
        ...

    @property
    def ids(self) -> Sequence[str]:
        """``Sample.id`` of each sample, without decoding any."""
        ...

    @property
    def groups(self) -> Sequence[str]:
        """``Sample.group`` of each sample, without decoding any."""
        ...

    @property
    def depth(self) -> DepthFacts | None:
        """What the stored depth is; None for a data set of ordinal pairs."""
        ...

    @property
    def left_out(self) -> Sequence[str]:
        """What its lists or folders name and it does not hold, one sentence each, such as a missing partner."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample:
        """Decode one sample.

        Raises:
            DataError: a file of it is missing or corrupt; names the file and the cause. Others may be sound.
            IndexError: no such sample.
        """
        ...


@dataclass(frozen=True)
class Entry:
    """What a reader knows of a sample before it is decoded. Readers extend it with their files."""

    id: str
    group: str


E = TypeVar("E", bound=Entry)


class Listed(Generic[E]):
    """What every reader is: a list of entries, and ``load`` to decode one.

    Args:
        kind, name, depth, left_out: see Dataset.
        entries: at least one.

    Raises:
        DataError: no entry.
    """

    def __init__(
        self, kind: str, name: str, entries: Sequence[E], depth: DepthFacts | None, left_out: Sequence[str] = ()
    ) -> None:
        if not entries:
            why = f"{len(left_out)} left out, the first because {left_out[0]}" if left_out else "none was found"
            raise DataError(f"{name}: no sample of kind {kind}: {why}")
        self.left_out = tuple(left_out)
        self.kind = kind
        self.name = name
        self.depth = depth
        self.entries = tuple(entries)
        self.ids = tuple(entry.id for entry in self.entries)
        self.groups = tuple(entry.group for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int, /) -> Sample:
        """See Dataset."""
        entry = self.entries[index]
        with data_errors(f"{self.kind} sample {entry.id}"):
            return self.load(entry)

    def load(self, entry: E) -> Sample:
        """Decode ``entry``. Raises any EdgeDepthError or OSError; a DataError is made of it."""
        raise NotImplementedError


class Subset:
    """Some samples of a data set, in the order given. What ``subset`` and ``split_by_group`` make."""

    def __init__(self, whole: Dataset, indices: Sequence[int], name: str) -> None:
        self.whole = whole
        self.indices = tuple(indices)
        self.kind = whole.kind
        self.name = name
        self.depth = whole.depth
        self.left_out: tuple[str, ...] = ()
        self.ids = tuple(whole.ids[i] for i in self.indices)
        self.groups = tuple(whole.groups[i] for i in self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Sample:
        """See Dataset."""
        return self.whole[self.indices[index]]


def subset(dataset: Dataset, indices: Sequence[int], name: str | None = None) -> Subset:
    """The samples ``indices`` of ``dataset``, for overfitting on a few or for a fixed list."""
    return Subset(dataset, indices, name or f"{dataset.name}[{len(indices)}]")


# Units that depth is stored in by mistake for another: metres per stored number.
_UNITS = (("metres", 1.0), ("millimetres", 1e-3), ("centimetres", 1e-2), ("1/256 m", 1 / 256), ("1/5000 m", 1 / 5000))


def unit_problem(depth_m: NDArray[np.float32], facts: DepthFacts) -> str | None:
    """What is wrong with the unit of a depth map, told by its range; None when nothing is, or nothing is valid."""
    valid = depth_m[np.isfinite(depth_m)]
    if not valid.size:
        return None
    median_m, (low, high) = float(np.median(valid)), facts.median_range_m
    if low <= median_m <= high:
        return None
    stored = median_m / facts.metres_per_unit
    fitting = [name for name, unit_m in _UNITS if low <= stored * unit_m <= high and unit_m != facts.metres_per_unit]
    guess = f"; stored as {' or '.join(fitting)}?" if fitting else ""
    return f"the median depth is {median_m:.4g} m, expected {low:g} to {high:g} m of {facts.stored}{guess}"


@contextmanager
def data_errors(where: str | Path) -> Iterator[None]:
    """Turn what reading can raise into a DataError that names the file and the cause."""
    try:
        yield
    except (DataError, MissingExtraError):  # a missing library is not the file's fault
        raise
    except EdgeDepthError as error:  # what decodes images names the file itself
        raise DataError(str(error)) from error
    except OSError as error:
        raise DataError(f"{error.filename or where}: cannot be read ({error.strerror or error})") from error
