"""Hand-over between threads: a slot where the latest wins, a queue that waits, and a buffer that restores order.

All wait on re-entrant locks, so that a signal handler which interrupts the thread holding one may still close it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

__all__ = ["LatestSlot", "Mailbox", "OrderedOutbox", "WaitingQueue"]

T = TypeVar("T")


class Mailbox(Protocol[T]):
    """From one thread that puts to several that take."""

    @property
    def dropped(self) -> int:
        """Items that were superseded before anyone took them."""
        ...

    def put(self, item: T) -> bool:
        """Hand over ``item``. False when closed: the item was not accepted."""
        ...

    def take(self) -> tuple[int, T] | None:
        """The next item and how many were taken before it; waits for one. None when closed and empty."""
        ...

    def close(self, *, discard: bool = False) -> None:
        """Accept no more. What is waiting is still handed out, unless ``discard``. Safe to call twice."""
        ...


class _Box(Generic[T]):
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._taken = 0
        self.dropped = 0

    def take(self) -> tuple[int, T] | None:
        with self._changed:
            while not self._items:
                if self._closed:
                    return None
                self._changed.wait()
            item = self._items.popleft()
            order = self._taken
            self._taken += 1
            self._changed.notify_all()
            return order, item

    def close(self, *, discard: bool = False) -> None:
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._changed.notify_all()


class LatestSlot(_Box[T]):
    """Holds one item; a newer one replaces it, so that whoever takes never lags behind. For live sources."""

    def __init__(self) -> None:
        super().__init__(1)

    def put(self, item: T) -> bool:
        """Never waits. See Mailbox.put."""
        with self._changed:
            if self._closed:
                return False
            if self._items:
                self._items.clear()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify()
            return True


class WaitingQueue(_Box[T]):
    """Holds up to ``capacity`` items and makes whoever puts wait; nothing is lost. For files."""

    def put(self, item: T) -> bool:
        """Waits while full. See Mailbox.put."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True


class OrderedOutbox(Generic[T]):
    """Collects what several workers finish and hands it out in order, holding a bounded number.

    A worker reserves a place *before* it takes work, so at most ``places`` items are between being taken and being
    handed out. The worker with the oldest item always has its place: nobody can block it, so nothing deadlocks. For a
    live source it also means that a worker held back by a slow sink takes the newest frame, not the one it blocked on.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._items: dict[int, T] = {}
        self._next = 0
        self._changed = threading.Condition()
        self._closed = False

    def reserve(self) -> bool:
        """Wait for a place. False when closed."""
        with self._changed:
            while self._free <= 0 and not self._closed:
                self._changed.wait()
            self._free -= 1
            return not self._closed

    def put(self, order: int, item: T) -> None:
        """Fill a reserved place with the item that was the ``order``-th to be taken."""
        with self._changed:
            self._items[order] = item
            if order == self._next:
                self._changed.notify_all()

    def take(self) -> T | None:
        """The next item in order; waits for it. None when closed and the next one is not there."""
        with self._changed:
            while self._next not in self._items:
                if self._closed:
                    return None
                self._changed.wait()
            item = self._items.pop(self._next)
            self._next += 1
            self._free += 1
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Nothing more will be put. What is there in order is still handed out. Safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
