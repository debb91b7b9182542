"""Image sets for INT8: which frames calibrate the ranges of activations, and which, never seen by it, judge the result.

A manifest names sources of any kind that ``open_source`` reads; paths are relative to it::

    name = "entrance-hall"
    [[entry]]
    source = "recordings/morning.mp4"   # or a folder, a glob pattern, an RGB-D folder or manifest.json, a list of them
    split = "calibrate"
    stride = 20                         # every 20th frame
    [[entry]]
    source = "rgbd/manifest.json"       # brings sensor depth, so accuracy is measured in metres
    split = "held_out"
    start = 10                          # frames 10, 11, ... 29 of it
    stop = 30
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edgedepth.bundle.spec import InputSpec
from edgedepth.calibration.frame_sequence import Chosen, FrameSequence, count_frames
from edgedepth.depth.preprocess import Preprocessor, preprocess
from edgedepth.depth.resize import ResizePlan
from edgedepth.documents import read_document
from edgedepth.errors import CalibrationSetError, EdgeDepthError
from edgedepth.sources._uri import scheme_of
from edgedepth.types import Frame

__all__ = ["FEW", "MINIMUM", "ImageSet", "check_image_set", "load_image_set", "network_feeds", "read_manifest"]

MINIMUM = 16
"""Fewer different images than this are refused: the range of an activation is set by its extremes, and a handful of
images has not shown them."""
FEW = 100
"""Fewer than this are allowed and said: published results use 100 to 500 and more, NVIDIA advises 500."""
FEW_HELD_OUT = 10

# A folder gives at most this many frames, evenly over the whole: 480 of them to calibrate.
MOST = 640
HELD_OUT_SHARE, GAP_SHARE = 0.2, 0.05

# Grey levels of 255. A lens cap gives 1 to 2, a white wall 4 and more.
BLANK_DEVIATION = 2.0
# Correlation of neighbouring pixels: white noise has 0, photographs 0.9 and more.
NOISE_CORRELATION = 0.5

Split = Literal["calibrate", "held_out"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ManifestEntry(_Section):
    """Frames ``start``, ``start + stride``, ... below ``stop`` of every source."""

    source: str | tuple[str, ...]
    split: Split
    start: int = Field(default=0, ge=0)
    stop: int | None = Field(default=None, gt=0)
    stride: int = Field(default=1, gt=0)
    intrinsics: str | None = None
    """The camera, for networks whose metres depend on it and sources that do not know theirs; a file relative to the
    manifest, or ``fx,fy,cx,cy``."""


class Manifest(_Section):
    """An image set as authored."""

    name: str = Field(min_length=1)
    summary: str | None = None
    entry: Annotated[tuple[ManifestEntry, ...], Field(min_length=1)]


@dataclass(frozen=True)
class _Seen:
    """What one image is like."""

    where: str
    digest: str
    deviation: float
    correlation: float


@dataclass(frozen=True)
class ImageSet:
    """Frames to calibrate with and frames to judge by. Decoded when they are read.

    Attributes:
        name: for reports.
        calibration: frames that calibrate.
        held_out: frames that are kept from the calibration.
    """

    name: str
    calibration: FrameSequence
    held_out: FrameSequence

    @cached_property
    def sha256(self) -> str:
        """Of the pixels of every frame in order, with its part in the set. Reads all of them the first time."""
        digest = hashlib.sha256()
        for split, frames in self._seen.items():
            digest.update(split.encode())
            for frame in frames:
                digest.update(bytes.fromhex(frame.digest))
        return digest.hexdigest()

    @cached_property
    def _seen(self) -> dict[Split, list[_Seen]]:
        return {"calibrate": list(map(_look, self.calibration)), "held_out": list(map(_look, self.held_out))}


def load_image_set(path: str | Path) -> ImageSet:
    """The image set of a ``.toml`` manifest, or of a folder or recording without one.

    Without a manifest (a folder of images, an RGB-D folder or ``manifest.json``, a video), at most 640 frames evenly
    over the whole are taken; the last 20 % of them are held out, and 5 % before those are left unused, so that no
    frame that calibrates has a neighbour that judges.

    Raises:
        CalibrationSetError: a malformed manifest, a source that cannot be opened or has no length.
    """
    path = Path(path)
    if path.suffix == ".toml":
        manifest = read_manifest(path)
        parts: dict[Split, list[Chosen]] = {"calibrate": [], "held_out": []}
        for index, entry in enumerate(manifest.entry):
            parts[entry.split] += _chosen(entry, path.parent, f"{path}: entry {index + 1}")
        return ImageSet(manifest.name, FrameSequence(parts["calibrate"]), FrameSequence(parts["held_out"]))
    uri = str(path)
    count = _count(uri, None, where=uri)
    numbers = range(0, count, -(-count // MOST))
    held_out = max(1, round(HELD_OUT_SHARE * len(numbers)))
    gap = max(1, round(GAP_SHARE * len(numbers)))
    calibration = max(0, len(numbers) - held_out - gap)
    return ImageSet(
        path.resolve().name,
        FrameSequence([Chosen(uri, numbers[:calibration])]),
        FrameSequence([Chosen(uri, numbers[-held_out:])]),
    )


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file; its sources are not opened. Raises CalibrationSetError."""
    return read_document(path, Manifest, what="calibration set", error=CalibrationSetError)


def _chosen(entry: ManifestEntry, folder: Path, where: str) -> Iterator[Chosen]:
    intrinsics = entry.intrinsics
    if intrinsics is not None and (folder / intrinsics).is_file():
        intrinsics = str(folder / intrinsics)
    for text in (entry.source,) if isinstance(entry.source, str) else entry.source:
        path = folder / text
        if glob.has_magic(text) and not path.exists():
            path = Path(glob.escape(str(folder))) / text  # the folder's own brackets are no pattern
        uri = text if scheme_of(text) else str(path)
        numbers = range(_count(uri, intrinsics, where=where))[entry.start : entry.stop : entry.stride]
        if not numbers:
            raise CalibrationSetError(f"{where}: start, stop and stride choose no frame of {text}; widen them")
        yield Chosen(uri, numbers, intrinsics)


def _count(uri: str, intrinsics: str | None, *, where: str) -> int:
    try:
        return count_frames(uri, intrinsics)
    except EdgeDepthError as error:
        text = str(error)
        raise CalibrationSetError(text if text.startswith(where) else f"{where}: {text}") from error


def check_image_set(image_set: ImageSet, *, minimum: int = MINIMUM) -> tuple[str, ...]:
    """Refuse a set that cannot calibrate; give what should be said of one that can. Reads every frame.

    Raises:
        CalibrationSetError: fewer than ``minimum`` different images to calibrate with, or none to judge by; a blank
            image; one that is noise; an image that is in both parts. In one line, with the first that is wrong.
    """
    calibrate, held_out = image_set._seen["calibrate"], image_set._seen["held_out"]
    name = image_set.name
    _refuse_spoiled(name, [*calibrate, *held_out])
    different = len({frame.digest for frame in calibrate})
    if different == 1 < len(calibrate):
        raise CalibrationSetError(
            f"{name}: its {len(calibrate)} images to calibrate with are all the same; give images of the places, "
            "people and light the camera will see"
        )
    if different < minimum:
        raise CalibrationSetError(
            f"{name}: expected at least {minimum} different images to calibrate with (a few hundred are good), found "
            f"{different} beside {len(held_out)} held out; add images like those the camera will see"
        )
    if not held_out:
        raise CalibrationSetError(
            f'{name} holds no frame out, so accuracy cannot be measured; add entries with split = "held_out"'
        )
    known = {frame.digest for frame in calibrate}
    shared = [frame.where for frame in held_out if frame.digest in known]
    if shared:
        raise CalibrationSetError(
            f"{name}: {len(shared)} held-out images also calibrate, such as {shared[0]}; what judges must not have "
            "been seen, so take them out of one part"
        )
    advice = []
    if different < FEW:
        advice.append(f"{different} images calibrate; {FEW} to 500 cover the ranges better")
    if len(held_out) < FEW_HELD_OUT:
        advice.append(f"{len(held_out)} held-out images say little of accuracy; {FEW_HELD_OUT} or more are better")
    return tuple(advice)


def network_feeds(spec: InputSpec, frames: Iterable[Frame]) -> Iterator[NDArray[Any]]:
    """The input tensor of every frame, by the runtime's own preprocess; one at a time, each an array of its own."""
    made: dict[tuple[int, int], Preprocessor] = {}
    for frame in frames:
        if frame.size_wh not in made:
            made[frame.size_wh] = preprocess(spec, ResizePlan.for_frame(spec, frame.size_wh))
        yield made[frame.size_wh](frame.image).copy()


def _refuse_spoiled(name: str, frames: Sequence[_Seen]) -> None:
    blank = [frame for frame in frames if frame.deviation < BLANK_DEVIATION]
    noise = [frame for frame in frames if frame.deviation >= BLANK_DEVIATION and frame.correlation < NOISE_CORRELATION]
    for found, what in (
        (blank, "blank (all of one colour)"),
        (noise, "noise (neighbouring pixels have nothing in common)"),
    ):
        if found:
            raise CalibrationSetError(
                f"{name}: {len(found)} of {len(frames)} images are {what}, such as {found[0].where}; such images set "
                "wrong ranges, so leave them out"
            )


def _look(frame: Frame) -> _Seen:
    image = np.ascontiguousarray(frame.image)
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(image.data)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    correlation = max(_correlation(grey[:, :-1], grey[:, 1:]), _correlation(grey[:-1], grey[1:]))
    where = f"{frame.source} (frame {frame.sequence})"
    return _Seen(where, digest.hexdigest(), float(grey.std()), correlation)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Pearson's, 0 where it is not defined."""
    a, b = one - one.mean(), other - other.mean()
    size = float(np.sqrt(np.mean(a * a) * np.mean(b * b)))
    return float(np.mean(a * b)) / size if size > 0 else 0.0
