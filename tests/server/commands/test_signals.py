"""Signals, as far as they end nothing: those that do are tried on a process of their own (acceptance)."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from hotgraph_server.commands.signals import Stop

PATIENCE_S = 60.0


@pytest.fixture
def stop() -> Iterator[Stop]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    stop = Stop()
    stop.start()
    yield stop
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Asked:
    """Counts how often it was called, for who waits for it."""

    def __init__(self) -> None:
        self._calls = threading.Semaphore(0)

    def __call__(self) -> None:
        self._calls.release()

    def once(self) -> bool:
        return self._calls.acquire(timeout=PATIENCE_S)

    def never_again(self) -> bool:
        return not self._calls.acquire(blocking=False)


def test_hanging_up_asks_for_the_configuration_each_time(stop: Stop) -> None:
    asked = Asked()
    stop.from_now_on_a_request()
    stop.reload_by(asked)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGHUP)
        assert asked.once()
    assert asked.never_again()


def test_hanging_up_while_models_load_is_remembered_and_ends_nothing(stop: Stop) -> None:
    asked = Asked()
    os.kill(os.getpid(), signal.SIGHUP)
    # Read in another thread; what it notes is waited for.
    assert stop._hung_up.wait(PATIENCE_S)
    assert asked.never_again()
    stop.reload_by(asked)
    assert asked.once()
    assert asked.never_again()


def test_hanging_up_is_no_request_to_stop(stop: Stop) -> None:
    asked = Asked()
    stop.from_now_on_a_request()
    stop.reload_by(asked)
    os.kill(os.getpid(), signal.SIGHUP)
    assert asked.once()
    assert not stop._asked.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    stop.wait()


def test_stop_can_be_asked_for_without_a_signal_and_more_than_once(stop: Stop) -> None:
    stop.from_now_on_a_request()
    stop.request()
    stop.request()
    stop.wait()


def test_no_signal_changes_how_a_process_ends_that_is_done(stop: Stop) -> None:
    stop.over()
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
