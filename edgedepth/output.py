"""Files and folders that appear whole or not at all: a temporary name in the same folder, then a rename.

The one place where the operating system's errors about writing become OutputError.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from edgedepth.errors import OutputError, ReaderGone

__all__ = ["PartFile", "atomic_folder", "atomic_output", "output_errors", "standard_output"]

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space or write elsewhere",
    errno.EDQUOT: "the disk quota is used up; free some space or write elsewhere",
    errno.EACCES: "no permission to write there; choose a folder that is yours",
    errno.EPERM: "no permission to write there; choose a folder that is yours",
    errno.EROFS: "the file system is read-only; write elsewhere",
    errno.ENOENT: "its folder does not exist; make the folder first",
    errno.ENOTDIR: "a part of its path is a file, not a folder; choose another path",
    errno.EEXIST: "a part of its path is a file, not a folder; choose another path",
    errno.EISDIR: "it is a folder; give a file name",
}


@contextmanager
def output_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an OSError inside the block into an OutputError about ``path`` that says what to do."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone(f"cannot write {os.fspath(path)}: the reader of the pipe went away") from error
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0) or error.strerror or str(error)
        raise OutputError(f"cannot write {os.fspath(path)}: {advice}") from error


def standard_output() -> TextIO:
    """Standard output. Raises OutputError when the program was started without one (``>&-``)."""
    # The type says that it is always there; Python sets it to None when the descriptor is closed.
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise OutputError("cannot write standard output: it is closed; give it a file or a pipe")
    return stream


class PartFile:
    """A file under construction. Write to ``temporary``, then ``commit`` it under its final name or ``discard`` it.

    What is there and not a regular file (a pipe, ``/dev/stdout``) cannot be renamed over and is written directly.

    Args:
        path: the final path.
        sync: wait for the disk before the rename. Off for the many small files of a sequence, of which a power cut
            may take the last ones.

    Attributes:
        path: the final path, symbolic links followed.
        temporary: where to write meanwhile; same folder and same suffix. Exists, empty, from the start.

    Raises:
        OutputError: the place cannot be written to; known before any work is done.
    """

    def __init__(self, path: str | os.PathLike[str], *, sync: bool = True) -> None:
        self._sync = sync
        with output_errors(path):
            self.path = Path(path)
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a folder")
            self._direct = self.path.exists() and not self.path.is_file()
            if not self._direct:
                self.path = self.path.resolve()
            name = f".{self.path.stem}.{secrets.token_hex(4)}.part{self.path.suffix}"
            self.temporary = self.path if self._direct else self.path.with_name(name)
            if not self._direct:
                os.close(os.open(self.temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        # One that is forgotten goes with the object or at the end of the program.
        self._forget = weakref.finalize(self, _remove, None if self._direct else self.temporary)

    def commit(self) -> None:
        """Give the file its final name, replacing what had it. Does nothing the second time."""
        if self._forget.detach() is None or self._direct:
            return
        try:
            with output_errors(self.path):
                if self._sync:
                    _to_disk(self.temporary)
                self.temporary.replace(self.path)
        except OutputError:
            _remove(self.temporary)
            raise

    def discard(self) -> None:
        """Remove the temporary file; the final name keeps what it had. Does nothing after ``commit``."""
        self._forget()


def _remove(path: Path | None) -> None:
    if path is not None:
        with suppress(OSError):
            path.unlink()


def _to_disk(path: Path) -> None:
    """Without this a power cut after the rename can leave an empty file under the final name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_output(path: str | os.PathLike[str], *, sync: bool = True) -> Iterator[Path]:
    """A path to write to, which becomes ``path`` when the block ends well and vanishes when it does not.

    Raises:
        OutputError: ``path`` cannot be written, or an OSError was raised inside the block.
    """
    part = PartFile(path, sync=sync)
    try:
        with output_errors(path):
            yield part.temporary
    except BaseException:
        part.discard()
        raise
    part.commit()


@contextmanager
def atomic_folder(
    path: str | os.PathLike[str], *, replaces: Callable[[Path], bool] = lambda existing: False
) -> Iterator[Path]:
    """A folder to fill, which becomes ``path`` when the block ends well and vanishes when it does not.

    The folders above it are made when they are missing.

    Args:
        path: the final path.
        replaces: tells whether what exists there may go; it stays until the new folder is whole.

    Raises:
        OutputError: ``path`` exists and may not go, or cannot be written; or an OSError was raised inside the block.
    """
    folder = Path(path)
    if folder.exists() and not replaces(folder):
        raise OutputError(f"{folder} exists already; remove it or choose another name")
    with output_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            work.chmod(0o755)  # mkdtemp's 0o700 would keep everybody else out of the result
            yield work
            if folder.exists() and replaces(folder):
                old = folder.replace(work.with_name(f"{work.name}.old"))
                try:
                    work.replace(folder)
                except OSError:
                    old.replace(folder)
                    raise
                shutil.rmtree(old, ignore_errors=True)
            else:
                work.replace(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
