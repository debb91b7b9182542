"""A lock over processes and threads."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgedepth.output import output_errors

__all__ = ["file_lock"]


@contextmanager
def file_lock(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of ``path``; it is given back when the block ends, and when the process dies.

    The file is empty and stays: deleting it would let in who creates it anew beside who waits on the old one.

    Args:
        path: the lock file, created when it is not there.
        waiting: called once when another holds the lock, before waiting for it.

    Raises:
        OutputError: the file cannot be made.
    """
    with output_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
