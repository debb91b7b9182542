"""What is varied between epochs. Pure functions of a sample and drawn numbers; the camera moves with the picture.

Who calls them seeds the generator by sample, epoch and stage, so what a sample becomes does not depend on workers,
processes or on where training was resumed.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedepth.bundle.spec import InputSpec
from edgedepth.data import OrdinalPairs, Sample
from edgedepth.depth.resize import ResizePlan
from edgedepth.training.recipe import Augmentation, Colour
from edgedepth.types import DistortionModel, Intrinsics

__all__ = [
    "UNKNOWN", "augment", "crop", "cut_to_aspect", "cutdepth", "fit", "flip", "generator", "recolour", "resize", "zoom",
]  # fmt: skip

UNKNOWN = 255
"""In ``person_ids``: padding, where there is nothing to know."""

_INTERPOLATION = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}


def generator(seed: int, stage: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers of one sample in one epoch."""
    return np.random.default_rng((seed, stage, epoch, index))


def augment(
    sample: Sample, size_hw: tuple[int, int], how: Augmentation, random: np.random.Generator, *,
    max_depth_m: float, spec: InputSpec,
) -> Sample:  # fmt: skip
    """One sample as training sees it: varied by ``how``, at ``size_hw``, or the crop's size where there is one.

    Args:
        sample: as the data set gives it.
        size_hw: height and width it is brought to, as ``spec`` says.
        how: what is varied.
        random: see ``generator``.
        max_depth_m: the depth that Vertical CutDepth paints white.
        spec: the exported network's input, at any size: how pictures are fitted to it.
    """
    # All are drawn, whatever is switched on: changing one leaves the others.
    mirrored, cut = random.random() < how.flip, random.random() < how.cutdepth
    factor = random.uniform(1.0, how.zoom)
    places = random.random(4)
    slices = random.random(2)
    is_cut, shape, where = random.random(3)
    if mirrored:
        sample = flip(sample)
    if how.aspect is not None and is_cut < 0.5:
        low, high = np.log(how.aspect)
        sample = cut_to_aspect(sample, float(np.exp(low + shape * (high - low))), float(where))
    if factor > 1:
        sample = zoom(sample, factor, (places[0], places[1]))
    sample = fit(sample, *size_hw, spec)
    if how.crop is not None:
        height, width = how.crop
        y, x = (int(place * (room + 1)) for place, room in zip(places[2:], (size_hw[0] - height, size_hw[1] - width),
                                                               strict=True))  # fmt: skip
        sample = crop(sample, x, y, width, height)
    if how.colour is not None:
        sample = replace(sample, image=recolour(sample.image, how.colour, random))
    if cut and sample.depth_m is not None:
        image = cutdepth(sample.image, sample.depth_m, (slices[0], slices[1]), max_depth_m)
        sample = replace(sample, image=image)
    return sample


def flip(sample: Sample) -> Sample:
    """Mirrored left to right: cx' = width - 1 - cx. The pose, which a mirror has not, is dropped."""
    width = sample.size_wh[0]
    camera = sample.intrinsics
    pairs = sample.pairs
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[:, ::-1]),
        depth_m=None if sample.depth_m is None else np.ascontiguousarray(sample.depth_m[:, ::-1]),
        person_ids=None if sample.person_ids is None else np.ascontiguousarray(sample.person_ids[:, ::-1]),
        intrinsics=None if camera is None else _mirrored(camera),
        pairs=None if pairs is None else _moved(pairs, (-1.0, 1.0), (width - 1.0, 0.0)),
        pose=None,
        up=None if sample.up is None else (-sample.up[0], sample.up[1], sample.up[2]),
    )


def crop(sample: Sample, x: int, y: int, width: int, height: int) -> Sample:
    """The part of width x height at pixel (x, y). Pairs with a point outside are dropped."""
    rows, columns = slice(y, y + height), slice(x, x + width)
    pairs = sample.pairs
    if pairs is not None:
        pairs = _inside(_moved(pairs, (1.0, 1.0), (-float(x), -float(y))), width, height)
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[rows, columns]),
        depth_m=None if sample.depth_m is None else np.ascontiguousarray(sample.depth_m[rows, columns]),
        person_ids=None if sample.person_ids is None else np.ascontiguousarray(sample.person_ids[rows, columns]),
        intrinsics=None if sample.intrinsics is None else sample.intrinsics.cropped(x, y, width, height),
        pairs=pairs,
    )


def cut_to_aspect(sample: Sample, aspect: float, place: float) -> Sample:
    """The largest part whose width over height is ``aspect``; ``place`` (0..1) says which, from the top or left."""
    width, height = sample.size_wh
    w, h = min(width, max(1, round(height * aspect))), min(height, max(1, round(width / aspect)))
    return crop(sample, int(place * (width - w + 1)), int(place * (height - h + 1)), w, h)


def fit(sample: Sample, height: int, width: int, spec: InputSpec) -> Sample:
    """Brought to the network's size by the rule of its spec, stretch or letterbox. Of padding nothing is known."""
    plan = ResizePlan.for_frame(spec.model_copy(update={"height": height, "width": width}), sample.size_wh)
    u, v, w, h = plan.content
    sample = resize(sample, h, w, spec.interpolation)
    if (w, h) == (width, height):
        return sample
    image = np.full((height, width, 3), spec.pad_value, np.uint8)
    content = np.s_[v : v + h, u : u + w]
    image[content] = sample.image
    depth_m: NDArray[np.float32] | None = None
    ids: NDArray[np.uint8] | None = None
    if sample.depth_m is not None:
        depth_m = np.full((height, width), np.nan, np.float32)
        depth_m[content] = sample.depth_m
    if sample.person_ids is not None:
        ids = np.full((height, width), UNKNOWN, np.uint8)
        ids[content] = sample.person_ids
    camera, pairs = sample.intrinsics, sample.pairs
    return replace(
        sample,
        image=image,
        depth_m=depth_m,
        intrinsics=None if camera is None else camera.cropped(-u, -v, width, height),
        pairs=None if pairs is None else _moved(pairs, (1.0, 1.0), (float(u), float(v))),
        person_ids=ids,
    )


def resize(sample: Sample, height: int, width: int, interpolation: str = "bilinear") -> Sample:
    """Brought to a size. Depth takes the pixel whose centre is nearest: metres on both sides of an edge do not mix."""
    w, h = sample.size_wh
    if (w, h) == (width, height):
        return sample
    image = cv2.resize(sample.image, (width, height), interpolation=_INTERPOLATION[interpolation]).astype(np.uint8)
    sx, sy = width / w, height / h
    pairs = sample.pairs
    if pairs is not None:  # a point in the outer half of a border pixel stays in the image
        pairs = _moved(pairs, (sx, sy), (0.5 * sx - 0.5, 0.5 * sy - 0.5))
        top = np.array([width - 1.0, height - 1.0])
        first, second = (np.clip(points, 0, top) for points in (pairs.first_xy, pairs.second_xy))
        pairs = OrdinalPairs(first, second, pairs.relation)
    return replace(
        sample,
        image=image,
        depth_m=None if sample.depth_m is None else sample.depth_m[_nearest(height, h)][:, _nearest(width, w)],
        person_ids=None if sample.person_ids is None else sample.person_ids[_nearest(height, h)][:, _nearest(width, w)],
        intrinsics=None if sample.intrinsics is None else sample.intrinsics.resized(width, height),
        pairs=pairs,
    )


def zoom(sample: Sample, factor: float, place: tuple[float, float]) -> Sample:
    """What the same camera sees ``factor`` times nearer to a flat scene: a part of the picture, its depth divided.

    The picture keeps its size to a pixel's rounding and the camera its focal length. ``place`` (0..1, 0..1) says which
    part, from the top and from the left.
    """
    width, height = sample.size_wh
    w, h = max(1, round(width / factor)), max(1, round(height / factor))
    x, y = int(place[1] * (width - w + 1)), int(place[0] * (height - h + 1))
    part = resize(crop(sample, x, y, w, h), height, width)
    camera = part.intrinsics
    if camera is not None and sample.intrinsics is not None:
        camera = replace(camera, fx=sample.intrinsics.fx, fy=sample.intrinsics.fy)
    depth_m = None if part.depth_m is None else (part.depth_m / np.float32(factor)).astype(np.float32)
    return replace(part, depth_m=depth_m, intrinsics=camera)


def recolour(image: NDArray[np.uint8], how: Colour, random: np.random.Generator) -> NDArray[np.uint8]:
    """Brightness, contrast, gamma, saturation and hue, then the channels' order; in that order."""
    applied = random.random() < how.probability
    drawn = random.uniform(-1, 1, 5)
    shuffled = random.random() < how.channel_shuffle
    order = random.permutation(3)
    if applied:
        brightness, contrast, gamma, saturation = (
            1 + amount * part for amount, part in zip(drawn, (how.brightness, how.contrast, how.gamma, how.saturation),
                                                      strict=False)
        )  # fmt: skip
        levels = np.arange(256) / 255 * brightness  # of a byte each: a table is ten times as fast as the pixels
        mean = image.mean() / 255 * brightness
        levels = np.clip((levels - mean) * contrast + mean, 0, 1) ** max(gamma, 0.05)
        values = cv2.LUT(image, levels.astype(np.float32))
        if how.saturation or how.hue:
            hsv = cv2.cvtColor(values, cv2.COLOR_RGB2HSV)  # float: H in degrees, S and V in 0..1
            hsv[..., 0] = (hsv[..., 0] + 360 * drawn[4] * how.hue) % 360
            hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 1)
            values = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        image = np.clip(np.round(values * 255), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image[..., order]) if shuffled else image


def cutdepth(
    image: NDArray[np.uint8], depth_m: NDArray[np.float32], slice_ab: tuple[float, float], max_depth_m: float
) -> NDArray[np.uint8]:
    """Vertical CutDepth (Kim et al., arXiv 2107.07684): a vertical strip of the picture becomes its true depth.

    l = a W, width max((W - l) b 0.75, 1), of the full height. Depth is brought to the picture's range, 255 =
    max_depth_m; stored millimetres would wrap around in 8 bits. Where no depth is known the picture stays.
    """
    width = image.shape[1]
    left = min(int(slice_ab[0] * width), width - 1)
    columns = slice(left, left + max(int((width - left) * slice_ab[1] * 0.75), 1))
    result = image.copy()
    strip, depth = result[:, columns], depth_m[:, columns]
    known = np.isfinite(depth)
    grey = np.clip(np.round(depth[known] / max_depth_m * 255), 0, 255).astype(np.uint8)
    strip[known] = grey[:, None]
    return result


def _mirrored(camera: Intrinsics) -> Intrinsics:
    distortion = camera.distortion
    if distortion.model in (DistortionModel.BROWN_CONRADY, DistortionModel.INVERSE_BROWN_CONRADY):
        k1, k2, p1, p2, *rest = distortion.coefficients  # p2 (r^2 + 2 x^2) does not change its sign with x
        distortion = replace(distortion, coefficients=(k1, k2, p1, -p2, *rest))
    return replace(camera, cx=camera.width - 1 - camera.cx, distortion=distortion)


def _nearest(size: int, old: int) -> NDArray[np.int64]:
    """For each of ``size`` pixels the one of ``old`` pixels that holds its centre."""
    return np.minimum((np.arange(size) + 0.5) * old / size, old - 1).astype(np.int64)


def _moved(pairs: OrdinalPairs, scale: tuple[float, float], offset: tuple[float, float]) -> OrdinalPairs:
    first, second = (points * np.array(scale) + np.array(offset) for points in (pairs.first_xy, pairs.second_xy))
    return OrdinalPairs(first, second, pairs.relation)


def _inside(pairs: OrdinalPairs, width: int, height: int) -> OrdinalPairs:
    top = np.array([width - 0.5, height - 0.5])
    keep = ((pairs.first_xy > -0.5) & (pairs.first_xy < top) & (pairs.second_xy > -0.5) & (pairs.second_xy < top)).all(
        1
    )
    return OrdinalPairs(pairs.first_xy[keep], pairs.second_xy[keep], pairs.relation[keep])
