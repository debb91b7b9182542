"""The timing cache: what TensorRT measured of each layer, so that the next build need not measure it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedepth.backends.tensorrt.private import read_private, write_private

__all__ = ["TimingCache"]


@dataclass
class TimingCache:
    """A timing cache that a builder configuration uses.

    Attributes:
        path: its file.
        handle: TensorRT's object, which must outlive the build.
        note: why what was in the file is not used, or None.
    """

    path: Path
    handle: Any
    note: str | None

    @classmethod
    def attach(cls, config: Any, path: Path | None) -> TimingCache | None:
        """Give ``config`` the timings in ``path``, or an empty cache when they are not there or of no use here.

        Raises:
            EngineError: the file is not this user's own.
        """
        if path is None:
            return None
        try:
            stored = read_private(path)
        except FileNotFoundError:
            stored = b""
        handle = config.create_timing_cache(stored)
        # TensorRT refuses what another version or GPU measured.
        if handle is not None and config.set_timing_cache(handle, False):
            return cls(path, handle, None)
        handle = config.create_timing_cache(b"")
        config.set_timing_cache(handle, False)
        return cls(path, handle, f"the timings in {path} are of another TensorRT or GPU, or damaged: measured anew")

    def save(self, config: Any) -> None:
        """Write what is known now. Of two builds at once the last one's timings stay.

        Raises:
            OutputError: it cannot be written.
        """
        current = config.get_timing_cache()
        if current is not None:
            write_private(self.path, bytes(current.serialize()))
