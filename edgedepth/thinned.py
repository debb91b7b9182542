"""A sample of bounded size out of a stream of any length."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Generic, TypeVar

__all__ = ["Thinned"]

T = TypeVar("T")


class Thinned(Generic[T]):
    """All that was added, up to ``capacity``; beyond it every 2nd, then every 4th ...: systematic sampling.

    What is kept is spread evenly over all of it, whenever one looks.

    Args:
        capacity: how many are kept at most.
        into: an empty list or ``array.array`` that keeps them; None is a list.

    Attributes:
        items: what is kept, in the order it came. count: how many were added.
    """

    def __init__(self, capacity: int, into: MutableSequence[T] | None = None) -> None:
        self.items: MutableSequence[T] = [] if into is None else into
        self.count = 0
        self._capacity, self._stride = capacity, 1

    def add(self, item: T) -> None:
        """Take the next one."""
        if self.count % self._stride == 0:
            if len(self.items) >= self._capacity:
                self.items, self._stride = self.items[::2], 2 * self._stride
            if self.count % self._stride == 0:
                self.items.append(item)
        self.count += 1
