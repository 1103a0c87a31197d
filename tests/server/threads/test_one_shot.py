"""Threads that do one thing each: named, joined at the end, and none begun after it."""

from __future__ import annotations

import threading
import time

import pytest

from hotgraph_server.threads.one_shot import OneShotThreads

from ..fakes import HANG_S


def test_thread_has_its_name_and_is_waited_for() -> None:
    threads, names, go = OneShotThreads(), [], threading.Event()

    def run() -> None:
        go.wait(HANG_S)
        names.append(threading.current_thread().name)

    threads.start("loader a", run)
    go.set()
    assert threads.join(time.monotonic() + HANG_S, HANG_S)
    assert names == ["loader a"]


def test_none_is_begun_once_they_are_refused() -> None:
    threads, ran = OneShotThreads(), []
    threads.refuse()
    threads.start("late", lambda: ran.append(1))
    assert threads.join(time.monotonic() + HANG_S, HANG_S)
    assert ran == []


def test_one_that_does_not_end_is_named(caplog: pytest.LogCaptureFixture) -> None:
    threads, go = OneShotThreads(), threading.Event()

    def wait() -> None:
        go.wait(HANG_S)

    threads.start("stuck", wait)
    assert not threads.join(time.monotonic(), 0.0)
    assert "thread 'stuck' has not ended after 0.0 s" in caplog.text
    go.set()
    assert threads.join(time.monotonic() + HANG_S, HANG_S)


def test_one_that_fails_is_forgotten_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    threads = OneShotThreads()

    def fail() -> None:
        raise RuntimeError("a bug")

    threads.start("fails", fail)
    assert threads.join(time.monotonic() + HANG_S, HANG_S)
