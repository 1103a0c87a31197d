from __future__ import annotations

import threading

import pytest

from hotgraph_server.fleet.workers import Workers

from ..fakes import until

PATIENCE_S = 30.0


def named(name: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith(name)]


def test_work_is_done_at_the_same_time_up_to_a_number() -> None:
    workers, gate, begun = Workers(2, "some work"), threading.Event(), threading.Semaphore(0)

    def work() -> None:
        begun.release()
        assert gate.wait(PATIENCE_S)

    futures = [workers.begin(work) for _ in range(3)]
    assert begun.acquire(timeout=PATIENCE_S)
    assert begun.acquire(timeout=PATIENCE_S)
    assert len(named("some work")) == 2
    assert not begun.acquire(timeout=0.05)
    gate.set()
    for future in futures:
        assert future.result(PATIENCE_S) is None
    workers.stop()
    until(lambda: not named("some work"), PATIENCE_S)


def test_idle_thread_takes_what_comes_next() -> None:
    workers = Workers(8, "idle work")
    for _ in range(5):
        workers.begin(lambda: None).result(PATIENCE_S)
    assert len(named("idle work")) == 1
    workers.stop()
    until(lambda: not named("idle work"), PATIENCE_S)


def test_what_goes_wrong_is_told_and_ends_no_thread() -> None:
    workers = Workers(1, "bad work")

    def work() -> None:
        raise ValueError("so")

    with pytest.raises(ValueError, match="so"):
        workers.begin(work).result(PATIENCE_S)
    workers.begin(lambda: None).result(PATIENCE_S)
    workers.stop()
    until(lambda: not named("bad work"), PATIENCE_S)


def test_stop_waits_for_nothing_and_begins_nothing() -> None:
    workers, gate, begun = Workers(1, "long work"), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert gate.wait(PATIENCE_S)

    first, second = workers.begin(work), workers.begin(lambda: None)
    assert begun.wait(PATIENCE_S)
    assert all(thread.daemon for thread in named("long work"))
    workers.stop()
    assert second.cancelled()
    gate.set()
    first.result(PATIENCE_S)
    until(lambda: not named("long work"), PATIENCE_S)
