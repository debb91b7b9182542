from __future__ import annotations

import gc
import threading

import cv2
import numpy as np

from edgedepth.pool import ArrayPool


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_comes_back_when_nobody_refers_to_it() -> None:
    pool = ArrayPool(keep=4)
    first = pool.take((48, 64), np.float32)
    assert (first.shape, first.dtype, first.flags.c_contiguous, first.flags.writeable) == ((48, 64), np.float32, 1, 1)
    where = address(first)
    del first
    assert address(pool.take((48, 64), np.float32)) == where


def test_any_view_keeps_it() -> None:
    """NumPy lets a view of a view refer to the owner of the memory; the pool must notice all of them."""
    views = [
        lambda a: a[10:, ::2],
        lambda a: a[10:][5:].T,
        lambda a: a.reshape(-1),
        lambda a: a.view(np.uint8),
        memoryview,
        lambda a: np.frombuffer(a, np.float32),
        lambda a: np.asarray(memoryview(a))[3:],
        lambda a: cv2.resize(np.ones((2, 2), np.float32), (64, 48), dst=a),
    ]
    for make in views:
        pool = ArrayPool(keep=4)
        array = pool.take((48, 64), np.float32)
        array.fill(7)
        where = address(array)
        view = make(array)
        del array
        gc.collect()
        other = pool.take((48, 64), np.float32)
        assert address(other) != where
        other.fill(0)
        values = np.frombuffer(view, np.float32) if isinstance(view, memoryview) else np.ascontiguousarray(view)
        assert (values.view(np.float32) != 0).all()
        del view, values
        taken = [pool.take((48, 64), np.float32) for _ in range(2)]
        assert where in [address(a) for a in taken]


def test_idle_memory_is_bounded() -> None:
    pool = ArrayPool(keep=2)
    arrays = [pool.take((10, 10), np.uint8) for _ in range(5)]
    del arrays
    assert len(pool._idle) == 2
    bigger = pool.take((20, 10), np.uint8)
    assert bigger.shape == (20, 10)
    assert len(pool._idle) == 0


def test_taken_and_let_go_by_many_threads() -> None:
    pool, wrong = ArrayPool(keep=8), []

    def work(value: int) -> None:
        for _ in range(300):
            held = [pool.take((16, 16), np.int32) for _ in range(3)]
            for array in held:
                array.fill(value)
            if any((array != value).any() for array in held):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong


def test_arrays_outlive_the_pool() -> None:
    array = ArrayPool(keep=2).take((10, 10), np.uint8)
    gc.collect()
    array.fill(3)
    assert array.min() == 3
