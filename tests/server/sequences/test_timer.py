from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

import pytest

from hotgraph_server.sequences.timer import Timer

from ..fakes import HANG_S


class Looks:
    """What a timer's owner does when it is called: count, and say when it is due next."""

    def __init__(self, due: Callable[[], float] = lambda: math.inf) -> None:
        self.due = due
        self.seen = threading.Semaphore(0)

    def __call__(self) -> float:
        self.seen.release()
        return self.due()

    def wait_for_one(self) -> None:
        assert self.seen.acquire(timeout=HANG_S), "the timer never looked"


def test_it_looks_when_it_begins_and_when_something_is_due() -> None:
    looks = Looks()
    timer = Timer("a timer", looks, time.monotonic)
    timer.start()
    looks.wait_for_one()
    timer.look_at(time.monotonic())
    looks.wait_for_one()
    assert timer.stop(HANG_S)
    assert not looks.seen.acquire(blocking=False), "nothing else was due"


def test_it_looks_again_at_the_moment_that_the_last_look_named() -> None:
    looks = Looks(lambda: time.monotonic() + 1e-3)
    timer = Timer("a timer", looks, time.monotonic)
    timer.start()
    for _ in range(3):
        looks.wait_for_one()
    assert timer.stop(HANG_S)


def test_a_look_that_breaks_is_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    def breaks() -> float:
        raise RuntimeError("broken")

    looks = Looks(breaks)
    timer = Timer("a timer", looks, time.monotonic)
    timer.start()
    looks.wait_for_one()
    looks.due = lambda: math.inf
    timer.look_at(time.monotonic())
    # It may have been asked before it knew that the first look broke, and then looks at once after it.
    looks.wait_for_one()
    assert timer.stop(HANG_S)
    assert "a timer broke" in caplog.text


def test_it_can_be_stopped_before_it_began_and_twice() -> None:
    timer = Timer("a timer", Looks(), time.monotonic)
    assert timer.stop(0)
    assert timer.stop(0)


def test_one_that_will_not_end_is_named(caplog: pytest.LogCaptureFixture) -> None:
    entered, let_go = threading.Event(), threading.Event()

    def hang() -> float:
        entered.set()
        assert let_go.wait(HANG_S)
        return math.inf

    timer = Timer("a timer", hang, time.monotonic)
    timer.start()
    assert entered.wait(HANG_S)
    with caplog.at_level(logging.WARNING):
        assert not timer.stop(0)
    assert "'a timer'" in caplog.text
    let_go.set()
    assert timer.stop(HANG_S)
