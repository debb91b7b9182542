"""Image memory is used again only when nobody can see it any more."""

from __future__ import annotations

import gc

import numpy as np

from edgedepth.sources._pool import ImagePool


def address(image: np.ndarray) -> int:
    return image.__array_interface__["data"][0]


def test_memory_returns_when_the_image_is_gone() -> None:
    pool = ImagePool()
    first = pool.take(48, 64)
    where = address(first)
    del first
    assert address(pool.take(48, 64)) == where


def test_any_kind_of_view_keeps_the_memory() -> None:
    pool = ImagePool()
    makers = [
        lambda image: image,
        lambda image: image[10:20, ::2],
        lambda image: image[..., 1].T[3:],
        memoryview,
        lambda image: image.reshape(-1).view(np.uint16),
        lambda image: np.frombuffer(image, np.uint8),
    ]
    for make in makers:
        image = pool.take(48, 64)
        image[:] = 7
        where, kept = address(image), make(image)
        del image
        gc.collect()
        other = pool.take(48, 64)
        assert address(other) != where
        other[:] = 1
        assert np.asarray(kept).view(np.uint8).max() == np.asarray(kept).view(np.uint8).min() == 7
        del kept, other


def test_another_size_takes_other_memory_and_it_keeps_a_limited_number() -> None:
    pool = ImagePool(keep=2)
    images = [pool.take(48, 64) for _ in range(5)]
    assert len({address(image) for image in images}) == 5
    images.clear()
    assert pool.take(96, 64).shape == (96, 64, 3)
    assert len(pool._free) <= 2


def test_images_outlive_the_pool() -> None:
    image = ImagePool().take(48, 64)
    gc.collect()
    image[:] = 3
    assert image.min() == 3
