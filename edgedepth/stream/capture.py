"""The capture side of the pipeline: a source read into a mailbox, in a thread of its own."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

from edgedepth.errors import EndOfStream, FrameInvalid, FrameTimeout, SourceLost
from edgedepth.sources.base import Source
from edgedepth.stream.mailbox import Mailbox
from edgedepth.types import Frame

__all__ = ["Capture", "Captured"]


class Captured(NamedTuple):
    """A frame, how long reading it took, and when that was done (monotonic)."""

    frame: Frame
    took_ns: int
    at_ns: int


class Capture:
    """Reads ``source`` into ``inbox`` until its end, an error, ``limit`` frames, or ``stop``; then closes the inbox.

    Args:
        source: opened; stays the caller's.
        inbox: takes the frames.
        limit: frames to read; None for all.
        read_timeout_s: how long one read waits.
        patience_s: how long no frame may come before it gives up; None leaves giving up to the source.
        skip_invalid: count a frame that cannot be decoded and go on.

    Attributes:
        error: what ended it, other than the end of the stream.
        invalid: frames that were skipped.
        stopped: it was asked to stop.
    """

    def __init__(
        self,
        source: Source,
        inbox: Mailbox[Captured],
        *,
        limit: int | None,
        read_timeout_s: float,
        patience_s: float | None,
        skip_invalid: bool,
    ) -> None:
        self._source, self._inbox, self._limit = source, inbox, limit
        self._read_timeout_s, self._patience_s, self._skip_invalid = read_timeout_s, patience_s, skip_invalid
        self.error: BaseException | None = None
        self.invalid = 0
        self.stopped = False

    def run(self) -> None:
        """The body of the thread. Raises nothing: see ``error``."""
        try:
            self._read()
        except EndOfStream:
            pass
        except BaseException as error:  # handed to the publishing side, which raises it
            self.error = error
        finally:
            self._inbox.close()

    def stop(self) -> None:
        """Take no more frames, and let go of those that nobody has taken. From any thread, also from a signal."""
        self.stopped = True
        self._inbox.close(discard=True)

    def _read(self) -> None:
        left = math.inf if self._limit is None else self._limit
        last_frame_s = time.monotonic()
        while left > 0 and not self.stopped:
            start_ns = time.monotonic_ns()
            try:
                frame = self._source.read(self._read_timeout_s)
            except FrameTimeout as error:
                if self._patience_s is not None and time.monotonic() - last_frame_s > self._patience_s:
                    raise SourceLost(
                        f"{self._source.uri}: no frame for {self._patience_s:g} s ({error}); "
                        "check the camera or stream, or be more patient"
                    ) from error
                continue
            except FrameInvalid:
                if not self._skip_invalid:
                    raise
                self.invalid += 1
                continue
            now_ns = time.monotonic_ns()
            last_frame_s = now_ns / 1e9
            if not self._inbox.put(Captured(frame, now_ns - start_ns, now_ns)):
                return
            del frame  # before waiting for the next one, so that its memory can be used again
            left -= 1
