"""A periodic thread ticks at its moments and when it is woken, outlives a tick that breaks, and ends."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable

import pytest

from hotgraph_server.threads.periodic import PeriodicThread

from ..fakes import HANG_S, FakeClock


class Ticks:
    """Notes every tick by the name of its thread; `due` says when the next one shall be."""

    def __init__(self, due: Callable[[], float] = lambda: math.inf) -> None:
        self.due = due
        self.done: queue.SimpleQueue[str] = queue.SimpleQueue()

    def __call__(self) -> float:
        self.done.put(threading.current_thread().name)
        return self.due()

    def wait(self) -> str:
        return self.done.get(timeout=HANG_S)


class HeldTick:
    """A tick that goes on for as long as the test likes; what comes behind it is over at once."""

    def __init__(self) -> None:
        self.count = 0
        self.entered, self.let_go = threading.Event(), threading.Event()

    def __call__(self) -> float:
        self.count += 1
        self.entered.set()
        assert self.let_go.wait(HANG_S)
        return math.inf


def test_ticks_at_the_start_when_it_is_woken_and_when_something_is_due() -> None:
    ticks = Ticks()
    thread = PeriodicThread("a timer", ticks)
    thread.start()
    assert ticks.wait() == "a timer"
    thread.wake()
    ticks.wait()
    thread.wake_at(time.monotonic())
    ticks.wait()
    assert thread.stop(HANG_S)
    assert ticks.done.empty(), "nothing else was due"


def test_ticks_again_at_the_moment_that_the_last_tick_named() -> None:
    ticks = Ticks(lambda: time.monotonic() + 1e-3)
    thread = PeriodicThread("a timer", ticks)
    thread.start()
    for _ in range(3):
        ticks.wait()
    assert thread.stop(HANG_S)


def test_moment_is_one_of_its_clock() -> None:
    clock = FakeClock()
    ticks = Ticks()
    thread = PeriodicThread("a timer", ticks, clock)
    thread.start()
    ticks.wait()
    # The clock stands, so the thread looks at it again and again until the test moves it.
    moment = clock.now + 1e-3
    thread.wake_at(moment)
    assert ticks.done.empty()
    clock.now = moment
    ticks.wait()
    assert thread.stop(HANG_S)


def test_later_moment_does_not_put_off_the_one_that_is_due() -> None:
    ticks = Ticks()
    thread = PeriodicThread("a timer", ticks)
    thread.wake()
    thread.wake_at(time.monotonic() + HANG_S)
    thread.start()
    ticks.wait()
    assert thread.stop(HANG_S)


def test_all_that_woke_it_during_a_tick_is_one_tick_more() -> None:
    tick = HeldTick()
    thread = PeriodicThread("a timer", tick)
    thread.start()
    assert tick.entered.wait(HANG_S)
    tick.entered.clear()
    for _ in range(3):
        thread.wake()
    tick.let_go.set()
    assert tick.entered.wait(HANG_S)
    assert thread.stop(HANG_S)
    assert tick.count == 2


def test_tick_that_breaks_is_logged_and_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    def breaks() -> float:
        raise RuntimeError("a bug")

    ticks = Ticks(breaks)
    thread = PeriodicThread("a timer", ticks)
    with caplog.at_level(logging.ERROR):
        thread.start()
        ticks.wait()
        ticks.due = lambda: math.inf
        thread.wake()
        ticks.wait()
        assert thread.stop(HANG_S)
    assert "a timer broke" in caplog.text
    assert "a bug" in caplog.text


def test_owner_words_what_the_log_says_of_a_tick_that_breaks(caplog: pytest.LogCaptureFixture) -> None:
    ticked = threading.Event()

    def tick() -> float:
        ticked.set()
        raise RuntimeError("a bug")

    thread = PeriodicThread("watcher", tick, failure="looking at the models failed")
    thread.start()
    assert ticked.wait(HANG_S)
    assert thread.stop(HANG_S)
    assert [record.message for record in caplog.records] == ["looking at the models failed"]


def test_stop_ends_a_wait_that_has_no_end() -> None:
    before = set(threading.enumerate())
    ticks = Ticks()
    thread = PeriodicThread("a timer", ticks)
    thread.start()
    ticks.wait()
    assert thread.stop(HANG_S)
    assert set(threading.enumerate()) <= before


def test_it_can_be_stopped_before_it_began_and_twice_and_then_begins_no_more() -> None:
    before = set(threading.enumerate())
    ticks = Ticks()
    thread = PeriodicThread("a timer", ticks)
    thread.wake()
    assert thread.stop(0)
    assert thread.stop(0)
    thread.start()
    assert set(threading.enumerate()) <= before
    assert ticks.done.empty()


def test_many_that_start_it_start_one() -> None:
    ticks = Ticks()
    thread = PeriodicThread("a timer", ticks)
    thread.start()
    thread.start()
    ticks.wait()
    assert len([one for one in threading.enumerate() if one.name == "a timer"]) == 1
    assert thread.stop(HANG_S)


def test_tick_that_stops_its_thread_is_the_last() -> None:
    results = queue.SimpleQueue[bool]()

    def tick() -> float:
        results.put(thread.stop(HANG_S))
        return -math.inf

    thread = PeriodicThread("a timer", tick)
    thread.start()
    assert results.get(timeout=HANG_S)
    assert thread.stop(HANG_S)
    assert results.empty()


def test_one_that_will_not_end_is_named(caplog: pytest.LogCaptureFixture) -> None:
    tick = HeldTick()
    thread = PeriodicThread("a timer", tick)
    thread.start()
    assert tick.entered.wait(HANG_S)
    with caplog.at_level(logging.WARNING):
        assert not thread.stop(0)
    assert "thread 'a timer' has not ended after 0.0 s" in caplog.text
    tick.let_go.set()
    assert thread.stop(HANG_S)
