from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

from edgedepth.stream.mailbox import LatestSlot, OrderedOutbox, WaitingQueue


def in_thread(function: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    return thread, results


def is_waiting(thread: threading.Thread) -> bool:
    thread.join(0.05)
    return thread.is_alive()


def test_slot_keeps_the_latest_and_counts_the_rest() -> None:
    slot = LatestSlot[str]()
    assert [slot.put(x) for x in "abc"] == [True] * 3
    assert slot.take() == (0, "c")
    assert slot.dropped == 2
    slot.put("d")
    assert slot.take() == (1, "d")
    assert slot.dropped == 2


def test_queue_keeps_everything_in_order_and_makes_the_putter_wait() -> None:
    queue = WaitingQueue[str](2)
    queue.put("a")
    queue.put("b")
    thread, results = in_thread(lambda: queue.put("c"))
    assert is_waiting(thread)
    assert queue.take() == (0, "a")
    thread.join(5)
    assert results == [True]
    assert [queue.take(), queue.take()] == [(1, "b"), (2, "c")]
    assert queue.dropped == 0


@pytest.mark.parametrize("box", [LatestSlot[str](), WaitingQueue[str](3)])
def test_closed_hands_out_what_is_left_then_none(box) -> None:
    box.put("a")
    box.close()
    box.close()
    assert box.put("b") is False
    assert box.take() == (0, "a")
    assert box.take() is None
    assert box.take() is None


@pytest.mark.parametrize("box", [LatestSlot[str](), WaitingQueue[str](3)])
def test_discarding_close_throws_away_what_waits(box) -> None:
    box.put("a")
    box.close(discard=True)
    assert box.take() is None


@pytest.mark.parametrize("box", [LatestSlot[str](), WaitingQueue[str](3)])
def test_close_wakes_every_taker(box) -> None:
    takers = [in_thread(box.take) for _ in range(3)]
    assert is_waiting(takers[0][0])
    box.close()
    for thread, results in takers:
        thread.join(5)
        assert results == [None]


def test_close_wakes_the_putter() -> None:
    queue = WaitingQueue[str](1)
    queue.put("a")
    thread, results = in_thread(lambda: queue.put("b"))
    assert is_waiting(thread)
    queue.close(discard=True)
    thread.join(5)
    assert results == [False]


def test_outbox_restores_order() -> None:
    outbox = OrderedOutbox[str](3)
    assert all(outbox.reserve() for _ in range(3))
    outbox.put(2, "c")
    outbox.put(0, "a")
    thread, results = in_thread(lambda: [outbox.take() for _ in range(3)])
    assert is_waiting(thread)
    outbox.put(1, "b")
    thread.join(5)
    assert results == [["a", "b", "c"]]


def test_outbox_is_bounded_from_reserving_to_being_taken() -> None:
    outbox = OrderedOutbox[str](1)
    assert outbox.reserve()
    thread, results = in_thread(outbox.reserve)
    assert is_waiting(thread)
    outbox.put(0, "a")
    assert is_waiting(thread)
    assert outbox.take() == "a"
    thread.join(5)
    assert results == [True]


def test_closed_outbox_hands_out_what_is_in_order_and_refuses_places() -> None:
    outbox = OrderedOutbox[str](3)
    outbox.put(0, "a")
    outbox.put(2, "c")
    outbox.close()
    assert outbox.reserve() is False
    assert outbox.take() == "a"
    assert outbox.take() is None


def test_outbox_close_wakes_both_sides() -> None:
    outbox = OrderedOutbox[str](1)
    outbox.reserve()
    reserving, refused = in_thread(outbox.reserve)
    taking, nothing = in_thread(outbox.take)
    assert is_waiting(reserving)
    assert is_waiting(taking)
    outbox.close()
    reserving.join(5)
    taking.join(5)
    assert (refused, nothing) == ([False], [None])


def test_many_workers_through_queue_and_outbox_keep_the_order() -> None:
    queue, outbox, count = WaitingQueue[int](4), OrderedOutbox[int](6), 300
    pause = random.Random(0)

    def work() -> None:
        while outbox.reserve() and (taken := queue.take()) is not None:
            order, item = taken
            time.sleep(pause.random() * 1e-3)
            outbox.put(order, item)

    workers = [in_thread(work)[0] for _ in range(4)]

    def feed() -> None:
        for n in range(count):
            queue.put(n)
        queue.close()
        for worker in workers:
            worker.join(30)
        outbox.close()

    in_thread(feed)
    received = []
    while (item := outbox.take()) is not None:
        received.append(item)
    assert received == list(range(count))
