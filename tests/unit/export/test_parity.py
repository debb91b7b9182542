"""Graph against network: the measure, and what a failure says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import write_network

from edgedepth.backends import Backend, open_backend
from edgedepth.errors import BackendError, ExportError, ParityError
from edgedepth.export.parity import check_parity, compare_arrays


def test_relative_to_the_value_itself_where_it_is_large() -> None:
    difference = compare_arrays("depth", [[2.0, 4.0]], [[2.0, 4.4]])
    assert difference.max_relative == pytest.approx(0.1)
    assert difference.mean_relative == pytest.approx(0.05)
    assert difference.worst == (0, 1)
    assert (difference.expected, difference.found) == (4.0, 4.4)


def test_zero_crossings_are_relative_to_the_frame() -> None:
    # The median magnitude is 1, so nothing is divided by less than 0.05.
    difference = compare_arrays("depth", [1.0, -1.0, 1.0, 1e-9], [1.0, -1.0, 1.0, 0.01])
    assert difference.max_relative == pytest.approx(0.01 / 0.05, rel=1e-6)


@pytest.mark.parametrize(("found", "lost", "gained"), [([1, np.nan, 3], 1, 0), ([1, 2, -np.inf], 1, 0)])
def test_a_number_that_is_lost_is_beyond_any_tolerance(found: list[float], lost: int, gained: int) -> None:
    difference = compare_arrays("depth", [1, 2, 3], found)
    assert (difference.lost, difference.gained) == (lost, gained)
    assert difference.of("max") == difference.of("mean") == np.inf
    assert difference.mean_relative == 0  # of the others


def test_a_number_out_of_nothing_counts_too_and_equal_nans_do_not() -> None:
    assert compare_arrays("depth", [1, np.nan], [1, 5]).of("mean") == np.inf
    assert compare_arrays("depth", [1, np.nan], [1, np.nan]).of("max") == 0


def test_an_empty_frame_has_no_scale() -> None:
    assert compare_arrays("depth", [0.0, 0.0], [0.0, 0.0]).max_relative == 0
    assert compare_arrays("depth", [0.0, 0.0], [0.0, 1e-6]).max_relative == np.inf


def test_shapes_must_agree() -> None:
    with pytest.raises(ParityError, match=r"expected shape \(2,\), found \(3,\)"):
        compare_arrays("depth", [1, 2], [1, 2, 3])


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """The mean of the channels, times 3."""
    return write_network(tmp_path / "n.onnx")


def feeds(count: int = 3) -> list[np.ndarray]:
    return list(np.random.default_rng(0).uniform(0.5, 1, (count, 1, 3, 8, 8)).astype(np.float32))


def right(feed: np.ndarray) -> np.ndarray:
    return feed.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_equal_networks_agree(graph: Path, backend: str) -> None:
    parity = check_parity(right, graph, feeds(), tolerance=1e-5, backend=backend)
    assert len(parity.frames) == 3
    assert 0 <= parity.mean_relative <= parity.max_relative <= 1e-5
    assert {frame.name for frame in parity.frames} == {"depth"}


def test_a_failure_says_where_and_by_how_much(graph: Path) -> None:
    count = 0

    def wrong_once(feed: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        answer = right(feed)
        if count == 2:
            answer[0, 0, 5, 3] = 4.0
        return answer

    given = feeds()
    given[1][0, :, 5, 3] = 1.0
    with pytest.raises(ParityError) as caught:
        check_parity(wrong_once, graph, given, tolerance=1e-3)
    message = str(caught.value)
    for words in ("n.onnx on onnxruntime", "output 'depth'", "frame 2 of 3", "(5, 3)", "expected 4, found 3"):
        assert words in message
    assert "25.000%" in message
    assert "allowed 0.100%" in message
    assert "\n" not in message


def test_kind_mean_forgives_a_pixel_and_not_a_frame(graph: Path) -> None:
    def one_pixel(feed: np.ndarray) -> np.ndarray:
        answer = right(feed)
        answer[0, 0, 0, 0] *= 1.1
        return answer

    check_parity(one_pixel, graph, feeds(), tolerance=0.01, kind="mean")
    with pytest.raises(ParityError, match="worst pixel off by"):
        check_parity(one_pixel, graph, feeds(), tolerance=0.01)
    with pytest.raises(ParityError, match=r"mean over the frame off by 9\.\d+%"):
        check_parity(lambda feed: right(feed) * 1.1, graph, feeds(), tolerance=0.01, kind="mean")


def test_nan_is_named_as_such(graph: Path) -> None:
    feed = feeds(1)[0]
    feed[0, 0, 2, 7] = np.nan
    with pytest.raises(ParityError, match=r"1 pixels are no numbers, the first at \(row, column\) \(2, 7\)"):
        check_parity(lambda given: np.nan_to_num(right(given)), graph, [feed], tolerance=0.5, kind="mean")


def test_nothing_to_compare_is_refused(graph: Path) -> None:
    with pytest.raises(ExportError, match="at least one"):
        check_parity(right, graph, [], tolerance=1)


def test_a_graph_as_reference(graph: Path, tmp_path: Path) -> None:
    assert check_parity(graph, graph, feeds(), tolerance=1e-9).max_relative == 0
    brighter = write_network(tmp_path / "b.onnx", weights=(1.0, 1.0, 1.1))
    with pytest.raises(ParityError, match=r"b\.onnx on onnxruntime"):
        check_parity(graph, brighter, feeds(), tolerance=0.01)


def test_graphs_are_closed_again(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Backend] = []

    def remembered(*arguments: Any, **options: Any) -> Backend:
        opened.append(open_backend(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr("edgedepth.export.parity.open_backend", remembered)
    check_parity(graph, graph, feeds(), tolerance=1e-9)
    assert len(opened) == 2
    for backend in opened:
        with pytest.raises(BackendError, match="closed"):
            backend.run({})
