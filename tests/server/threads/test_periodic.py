from __future__ import annotations

import logging
import queue
import threading

import pytest

from hotgraph_server.threads.periodic import Watcher

from ..fakes import HANG_S


class Ticks:
    """Notes every tick; the test says how long each may wait for the next."""

    def __init__(self, *waits: float | None) -> None:
        self.done: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._waits = [*waits]

    def __call__(self) -> float | None:
        self.done.put(threading.current_thread().name)
        return self._waits.pop(0) if self._waits else None

    def wait(self) -> str:
        return self.done.get(timeout=HANG_S)


def test_ticks_at_the_start_when_time_is_up_and_when_it_is_woken() -> None:
    ticks = Ticks(0.0, None)
    watcher = Watcher(ticks)
    watcher.start()
    assert ticks.wait() == ticks.wait() == "repository watcher"
    watcher.wake()
    ticks.wait()
    assert watcher.stop(HANG_S)
    assert ticks.done.empty()


def test_stop_ends_a_wait_that_has_no_end() -> None:
    before = set(threading.enumerate())
    ticks = Ticks(None)
    watcher = Watcher(ticks)
    watcher.start()
    ticks.wait()
    assert watcher.stop(HANG_S)
    assert set(threading.enumerate()) <= before


def test_what_was_never_started_is_stopped() -> None:
    watcher = Watcher(Ticks())
    watcher.wake()
    assert watcher.stop(0)


def test_stop_names_a_thread_that_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def tick() -> None:
        inside.set()
        assert go_on.wait(HANG_S)

    watcher = Watcher(tick)
    watcher.start()
    assert inside.wait(HANG_S)
    assert not watcher.stop(0)
    assert "'repository watcher' has not ended" in caplog.text
    go_on.set()
    assert watcher.stop(HANG_S)


def test_tick_that_breaks_is_logged_and_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    ticked = queue.SimpleQueue[int]()

    def tick() -> None:
        ticked.put(1)
        raise RuntimeError("a bug")

    watcher = Watcher(tick)
    with caplog.at_level(logging.ERROR):
        watcher.start()
        ticked.get(timeout=HANG_S)
        watcher.wake()
        ticked.get(timeout=HANG_S)
        assert watcher.stop(HANG_S)
    assert "looking at the models failed" in caplog.text
