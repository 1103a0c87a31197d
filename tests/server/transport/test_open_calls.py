"""The count of calls that a stop waits for."""

from __future__ import annotations

import threading

from hotgraph_server.transport.open_calls import OpenCalls

from .conftest import PATIENCE_S


def test_nothing_open_is_nothing_to_wait_for() -> None:
    assert OpenCalls().wait_until_none(0)


def test_open_call_outlasts_the_limit() -> None:
    calls = OpenCalls()
    calls.enter()
    assert calls.count == 1
    assert not calls.wait_until_none(0)
    calls.leave()
    assert calls.count == 0
    assert calls.wait_until_none(0)


def test_last_call_that_leaves_ends_the_wait() -> None:
    calls = OpenCalls()
    for _ in range(3):
        calls.enter()
    ended = threading.Event()

    def wait() -> None:
        if calls.wait_until_none(PATIENCE_S):
            ended.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    calls.leave()
    calls.leave()
    assert not ended.is_set()
    calls.leave()
    assert ended.wait(PATIENCE_S)
    waiting.join(PATIENCE_S)


def test_calls_may_come_and_go_while_somebody_waits() -> None:
    calls = OpenCalls()
    calls.enter()

    def come_and_go() -> None:
        for _ in range(1000):
            calls.enter()
            calls.leave()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not calls.wait_until_none(0)
    calls.leave()
    assert calls.wait_until_none(0)
