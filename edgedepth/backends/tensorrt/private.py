"""Files that nobody but their user could have written: TensorRT does not check the code it loads for the GPU.

A plan is trusted because of where it lies: in a folder and a file that belong to the user and that no one else may
write. Files are checked through the descriptor they are read from, so that they cannot be exchanged in between.
"""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path

from edgedepth.errors import EngineError
from edgedepth.output import atomic_output, output_errors

__all__ = ["check_private_folder", "make_private_folder", "read_private", "write_private"]

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def make_private_folder(path: Path) -> None:
    """Create ``path`` for this user alone, unless it is there; then check it.

    Raises:
        OutputError: it cannot be made.
        EngineError: it is there and not private.
    """
    with output_errors(path), suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    check_private_folder(path)


def check_private_folder(path: Path) -> None:
    """Raise EngineError unless ``path`` is a folder that belongs to this user and that no one else may write."""
    try:
        found = path.stat()
    except OSError as error:
        raise EngineError(f"{path} cannot be looked at: {error.strerror}; check its permissions") from error
    if not stat.S_ISDIR(found.st_mode):
        raise EngineError(f"{path} is not a folder; engines are kept in one: remove it, or set XDG_CACHE_HOME")
    _check(path, found)


def read_private(path: Path) -> bytes:
    """The bytes of a file that belongs to this user and that no one else may write.

    Raises:
        FileNotFoundError: it is not there.
        EngineError: it is a link or no file, belongs to somebody else, or may be written by others.
    """
    try:
        # No link is followed and nothing is waited for (a pipe would block).
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EngineError(f"{path} cannot be read ({error.strerror}) or is a link; remove it: {_rm(path)}") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise EngineError(f"{path} is not a regular file; remove it: {_rm(path)}")
        _check(path, found)
        return file.read()


def write_private(path: Path, data: bytes) -> None:
    """Write a file for this user alone; it appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_output(path) as temporary:
        temporary.chmod(0o600)
        temporary.write_bytes(data)


def _check(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise EngineError(
            f"{path} belongs to user {found.st_uid}, not to {os.geteuid()}: what is in it could crash or take over "
            f"this program; run as its owner, or: sudo chown -R {os.geteuid()} {shlex.quote(str(path))}, or set "
            "XDG_CACHE_HOME to a folder of yours"
        )
    if found.st_mode & _WRITABLE_BY_OTHERS:
        raise EngineError(
            f"{path} may be written by others (mode {stat.S_IMODE(found.st_mode):04o}): what is in it could crash or "
            f"take over this program; if you trust what is in it, run: chmod go-w {shlex.quote(str(path))}"
        )


def _rm(path: Path) -> str:
    return f"rm {shlex.quote(str(path))}"
