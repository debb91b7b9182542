"""Chosen frames of several sources as one sequence, decoded only when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from edgedepth.closing import Closing
from edgedepth.errors import CalibrationSetError, EdgeDepthError, EndOfStream
from edgedepth.sources import Source, SourceOptions, open_source
from edgedepth.types import Frame

__all__ = ["Chosen", "FrameSequence", "count_frames"]

READ_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Chosen:
    """Frames of one source: their numbers, ascending, and what the camera is when the source does not say."""

    uri: str
    numbers: range
    intrinsics: str | None = None


def _open(uri: str, intrinsics: str | None) -> Source:
    return open_source(uri, SourceOptions(intrinsics=intrinsics))


def count_frames(uri: str, intrinsics: str | None = None) -> int:
    """How many frames a source has.

    Raises:
        CalibrationSetError: a live source, or one that does not know.
        InputError, SourceError: it cannot be opened.
    """
    with _open(uri, intrinsics) as source:
        if source.is_live or not source.frame_count:
            raise CalibrationSetError(
                f"{source.uri} is live or does not know its length, so it gives other images every time; record it, "
                "and give the file"
            )
        return source.frame_count


class FrameSequence(Sequence[Frame]):
    """Frames by number or one after another. Going forward is as cheap as reading; going back opens a source again.

    Raises:
        CalibrationSetError: (when a frame is read) one cannot be decoded, or a source is shorter than it said.
    """

    def __init__(self, parts: Sequence[Chosen]) -> None:
        self.parts = tuple(part for part in parts if part.numbers)
        self._reader: tuple[Chosen, _Reader] | None = None

    def __len__(self) -> int:
        return sum(len(part.numbers) for part in self.parts)

    def __iter__(self) -> Iterator[Frame]:
        for part in self.parts:
            with _Reader(part) as reader:
                for number in part.numbers:
                    yield reader.read(number)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | Sequence[Frame]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        left = index + len(self) if index < 0 else index
        for part in self.parts:
            if 0 <= left < len(part.numbers):
                return self._reader_of(part, part.numbers[left]).read(part.numbers[left])
            left -= len(part.numbers)
        raise IndexError(f"frame {index} of {len(self)}")

    def _reader_of(self, part: Chosen, number: int) -> _Reader:
        if self._reader is not None:
            held, reader = self._reader
            if held is part and reader.next_number <= number:
                return reader
            reader.close()
        reader = _Reader(part)
        self._reader = (part, reader)
        return reader


class _Reader(Closing):
    """A source read forward, from frame number to frame number."""

    def __init__(self, part: Chosen) -> None:
        self._source = _open(part.uri, part.intrinsics)
        self.next_number = 0

    def read(self, number: int) -> Frame:
        while True:
            wanted = self.next_number == number
            try:
                frame = self._source.read(READ_TIMEOUT_S)
            except EndOfStream:
                raise CalibrationSetError(
                    f"{self._source.uri} said it has more, and ended after {self.next_number} frames; "
                    f"set stop = {self.next_number} for it"
                ) from None
            except EdgeDepthError as error:  # of one that is skipped it does not matter
                if wanted:
                    raise CalibrationSetError(f"frame {number} cannot be read: {error}; or leave it out") from error
            self.next_number += 1
            if wanted:
                return frame

    def close(self) -> None:
        self._source.close()
