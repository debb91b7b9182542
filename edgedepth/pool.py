"""Large arrays that come back by themselves."""

from __future__ import annotations

import math
import weakref
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["ArrayPool"]


class ArrayPool:
    """Hands out arrays and takes each back when the last reference to it, or to any view of it, is gone.

    Fresh memory costs a page fault per 4 KiB, several times the work of filling it. A consumer may keep what it was
    given for as long as it likes: that memory is then simply not reused. Any thread may take, any may let go.

    Args:
        keep: how many idle arrays are held for reuse; further ones are freed.
    """

    def __init__(self, keep: int) -> None:
        # A finaliser can run inside any line of any thread. A deque's operations are atomic: no lock is ever held.
        self._idle: deque[bytearray] = deque(maxlen=keep)

    def take(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A C-contiguous array of ``shape`` and ``dtype``; its contents are arbitrary."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        memory = None
        while memory is None or len(memory) != size:  # of another size: the stream changed its resolution
            try:
                memory = self._idle.pop()  # the latest back: still in the cache
            except IndexError:
                memory = bytearray(size)
        # A view of a view refers to the array that owns the memory. Here that is no array, so views refer to this one.
        array: NDArray[Any] = np.ndarray(shape, dtype, buffer=memory)
        weakref.finalize(array, self._idle.append, memory).atexit = False
        return array
