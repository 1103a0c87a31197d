"""The queue's timer: calls end at their moment whatever the executor does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.timer import QueueTimer
from hotgraph_server.errors import QueueTimedOut
from hotgraph_server.settings import BatchSettings, QueuePolicy

from ..fakes import HANG_S, Caller, FakeClock, call


@contextmanager
def timed(clock: FakeClock) -> Iterator[BatchQueue]:
    settings = BatchSettings(queue_policy=QueuePolicy(default_timeout_us=1_000_000))
    queue = BatchQueue("model 'm' version 1", settings, clock)
    timer = QueueTimer("model 'm' version 1", queue, clock)
    timer.start()
    try:
        yield queue
    finally:
        assert timer.stop(HANG_S)


def waiting(queue: BatchQueue, until: float) -> Caller:
    caller = Caller()
    one = call(completion=caller.completion)
    one.queue_until = until
    queue.put(one)
    return caller


def test_call_ends_though_nobody_takes_a_batch() -> None:
    clock = FakeClock()
    with timed(clock) as queue:
        # The clock stands, so the thread looks again and again until the test moves it.
        first, second = waiting(queue, clock.now + 1e-3), waiting(queue, clock.now + HANG_S)
        clock.now += 1e-3
        assert isinstance(first.error(), QueueTimedOut)
        assert second.outcomes == []
        assert len(queue) == 1


def test_call_whose_moment_comes_before_the_others_wakes_the_thread() -> None:
    clock = FakeClock()
    with timed(clock) as queue:
        late = waiting(queue, clock.now + 2 * HANG_S)
        early = waiting(queue, clock.now)
        assert isinstance(early.error(), QueueTimedOut)
        assert late.outcomes == []


def test_there_is_no_thread_before_a_call_has_a_moment() -> None:
    clock = FakeClock()
    with timed(clock) as queue:
        queue.put(call())
        assert not threads()
        waiting(queue, clock.now)
        assert len(threads()) == 1
    assert not threads()


def test_many_that_ring_first_start_one_thread_and_none_after_the_stop() -> None:
    timer = QueueTimer("model 'm' version 1", BatchQueue("m", BatchSettings(), FakeClock()), FakeClock())
    together = threading.Barrier(8)

    def ring() -> None:
        together.wait(HANG_S)
        timer.ring()

    callers = [threading.Thread(target=ring) for _ in range(8)]
    for one in callers:
        one.start()
    for one in callers:
        one.join(HANG_S)
    assert len(threads()) == 1
    assert timer.stop(HANG_S)
    late = QueueTimer("model 'm' version 1", BatchQueue("m", BatchSettings(), FakeClock()), FakeClock())
    assert late.stop(HANG_S)
    late.ring()
    assert not threads()


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "queue timer model 'm' version 1"]


def test_timer_that_was_never_started_stops_at_once() -> None:
    clock = FakeClock()
    queue = BatchQueue("m", BatchSettings(), clock)
    timer = QueueTimer("m", queue, clock)
    assert timer.stop(0.0)
    assert timer.stop(0.0)
