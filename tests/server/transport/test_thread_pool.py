"""Pools that are waited for with a limit."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref

import pytest

from hotgraph_server.transport.thread_pool import ThreadPool, stop

from .conftest import PATIENCE_S


def test_stopped_pool_does_what_it_has_and_its_threads_have_ended(caplog: pytest.LogCaptureFixture) -> None:
    pools, go_on = [ThreadPool(2, "one"), ThreadPool(1, "other")], threading.Event()
    done = [pool.submit(go_on.wait, PATIENCE_S) for pool in pools for _ in range(3)]
    stopping = threading.Thread(target=stop, args=(pools, time.monotonic() + PATIENCE_S))
    stopping.start()
    go_on.set()
    stopping.join(PATIENCE_S)
    assert all(one.result(0) for one in done)
    threads = [thread for pool in pools for thread in pool.threads]
    assert {thread.name for thread in threads} == {"one_0", "one_1", "other_0"}
    assert not any(thread.is_alive() for thread in threads)
    assert caplog.messages == []
    with pytest.raises(RuntimeError):
        pools[0].submit(gc.collect)


def test_thread_that_does_not_end_is_named_and_the_others_are_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stuck, well = ThreadPool(1, "stuck"), ThreadPool(1, "well")
    begun, go_on = threading.Event(), threading.Event()
    stuck.submit(begun.set)
    stuck.submit(go_on.wait, PATIENCE_S)
    well.submit(gc.collect).result(PATIENCE_S)
    assert begun.wait(PATIENCE_S)
    with caplog.at_level(logging.WARNING):
        stop([stuck], time.monotonic())
        stop([well], time.monotonic() + PATIENCE_S)
    assert caplog.messages == ["thread 'stuck_0' has not ended"]
    assert not any(thread.is_alive() for thread in well.threads)
    go_on.set()
    stop([stuck], time.monotonic() + PATIENCE_S)
    assert caplog.messages == ["thread 'stuck_0' has not ended"]


def test_pool_that_is_not_stopped_is_not_kept_by_its_threads() -> None:
    pool = ThreadPool(1, "left")
    pool.submit(gc.collect).result(PATIENCE_S)
    (thread,) = pool.threads
    left = weakref.ref(pool)
    del pool
    gc.collect()
    assert left() is None
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
