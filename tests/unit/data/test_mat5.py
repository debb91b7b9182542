"""MATLAB v5 files as scipy writes them, whole and damaged."""

from __future__ import annotations

import io

import numpy as np
import pytest
import scipy.io

from edgedepth.data.mat5 import read_mat5
from edgedepth.errors import DataError


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8", "i8"])
def test_numbers(tmp_path, dtype, compressed):
    file = tmp_path / "a.mat"
    values = np.arange(1, 13).reshape(3, 4).astype(dtype)
    scipy.io.savemat(file, {"first": np.ones((2, 2)), "found": values, "x": 7}, do_compression=compressed)
    assert read_mat5(file, "found") == values.ravel(order="F").tolist()  # column by column
    assert read_mat5(file, "x") == [7]


@pytest.mark.parametrize("compressed", [False, True])
def test_text_cells_and_what_else_stands_there(tmp_path, compressed):
    file = tmp_path / "a.mat"
    cells = np.array([["/n/fs/a/b"], ["c"], ["kv1/é"]], object).T
    numbers = np.empty((1, 2), object)
    numbers[0, 0], numbers[0, 1] = np.array([[1.0, 2.0]]), np.array([[3.0]])
    content = {"struct": {"a": 1}, "cells": cells, "text": "hello", "numbers": numbers}
    scipy.io.savemat(file, content, do_compression=compressed)
    assert read_mat5(file, "cells") == ["/n/fs/a/b", "c", "kv1/é"]
    assert read_mat5(file, "text") == ["hello"]
    assert read_mat5(file, "numbers") == [[1.0, 2.0], 3.0]
    with pytest.raises(DataError, match="has no other"):
        read_mat5(file, "other")


def test_other_formats(tmp_path):
    file = tmp_path / "a.mat"
    with pytest.raises(DataError, match="cannot be read"):
        read_mat5(file, "x")
    for content in (b"", b"short", b"MATLAB 7.3".ljust(124) + b"\x00\x02IM" + bytes(500)):
        file.write_bytes(content)
        with pytest.raises(DataError, match="expected a MATLAB v5 file, found another format"):
            read_mat5(file, "x")


def test_damage_is_an_error_or_other_numbers_and_never_more(tmp_path):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"trainNdxs": np.arange(1, 20), "cells": np.array([["a"], ["b"]], object)})
    whole, random, file, refused = buffer.getvalue(), np.random.default_rng(5), tmp_path / "a.mat", 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 5)):
            damaged[place] = random.integers(0, 256)
        file.write_bytes(damaged[: random.integers(len(whole) // 2, len(whole) + 1)])
        for name in ("trainNdxs", "cells"):
            try:
                read_mat5(file, name)
            except DataError:
                refused += 1
    assert refused > 150
