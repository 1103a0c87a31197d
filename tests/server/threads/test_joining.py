"""An owner waits for a thread of his for so long at most, and hears of one that stays."""

from __future__ import annotations

import queue
import threading

import pytest

from hotgraph_server.threads.joining import join_within

from ..fakes import HANG_S


def test_thread_that_ends_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    assert join_within(thread, HANG_S)
    assert not thread.is_alive()
    assert not caplog.records


def test_thread_that_stays_is_named_with_the_seconds_that_it_was_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, args=(HANG_S,), name="stuck")
    thread.start()
    assert not join_within(thread, 0.0)
    assert not join_within(thread, 0.0, 2.5)
    assert [record.message for record in caplog.records] == [
        "thread 'stuck' has not ended after 0.0 s",
        "thread 'stuck' has not ended after 2.5 s",
    ]
    go_on.set()
    assert join_within(thread, HANG_S)


def test_thread_that_was_never_started_and_one_that_waits_for_itself_have_ended() -> None:
    assert join_within(threading.Thread(), 0.0)
    results = queue.SimpleQueue[bool]()
    thread = threading.Thread(target=lambda: results.put(join_within(threading.current_thread(), HANG_S)))
    thread.start()
    assert results.get(timeout=HANG_S)
    thread.join(HANG_S)
