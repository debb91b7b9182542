"""What every backend does alike: check its feeds, put a library's exception on one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edgedepth.backends.base import TensorSpec
from edgedepth.errors import InputError

__all__ = ["check_feeds", "one_line"]


def check_feeds(inputs: tuple[TensorSpec, ...], feeds: Mapping[str, NDArray[Any]]) -> None:
    """Raise InputError, naming the tensor, unless ``feeds`` are exactly ``inputs``."""
    for spec in inputs:
        array = feeds.get(spec.name)
        if array is None:
            raise InputError(
                f"the network's input {spec.name!r} was not fed (given: {sorted(feeds) or 'nothing'}); "
                f"feed {_describe(spec)}"
            )
        if array.dtype != spec.dtype or not _fits(array.shape, spec.shape):
            raise InputError(
                f"the network's input {spec.name!r} must be {_describe(spec)}, found {array.dtype} {array.shape}; "
                "does the spec belong to this network?"
            )
    if len(feeds) != len(inputs):
        known = {spec.name for spec in inputs}
        unknown = next(name for name in feeds if name not in known)
        raise InputError(f"the network has no input {unknown!r}; its inputs are {sorted(known)}")


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    if shape == wanted:
        return True
    return len(shape) == len(wanted) and all(w is None or n == w for n, w in zip(shape, wanted, strict=True))


def _describe(spec: TensorSpec) -> str:
    return f"{spec.dtype} ({', '.join('any' if n is None else str(n) for n in spec.shape)})"


def one_line(error: BaseException) -> str:
    """A library's message without its line breaks and indentation."""
    return " ".join(str(error).split()) or type(error).__name__
