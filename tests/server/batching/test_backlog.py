"""What waits, in which lanes, and who is let in. The queue's own tests (test_queue.py) drive most of this."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hotgraph_server.batching.backlog import Backlog
from hotgraph_server.batching.call import Call
from hotgraph_server.errors import QueueFull, WouldBeLate
from hotgraph_server.settings import BatchSettings

from ..fakes import call, rows, signature

NOW = 1000.0


def backlog_of(**settings: Any) -> Backlog:
    return Backlog("the queue of m", BatchSettings(**settings))


def call_of(count: int = 1, **given: Any) -> Call:
    return call(rows(*range(count)), **{"arrived": NOW, **given})


def taken(backlog: Backlog) -> list[Call]:
    choice = backlog.choose(NOW, closing=False)
    assert choice.lane is not None
    return backlog.take(choice.lane, NOW, passes_over=choice.passes_over)[0]


def test_sums_are_those_of_what_waits() -> None:
    backlog = backlog_of()
    calls = [call_of(2), call_of(3), call_of(of=signature("other"))]
    for one in calls:
        backlog.insert(one)
    assert (backlog.calls, backlog.rows, backlog.nbytes, len(backlog.lanes)) == (3, 6, 48, 2)
    assert backlog.remove(calls[0])
    assert not backlog.remove(calls[0])
    assert (backlog.calls, backlog.rows, backlog.nbytes) == (2, 4, 32)
    assert sorted(backlog.clear(), key=lambda one: one.rows) == [calls[2], calls[1]]
    assert (backlog.calls, backlog.rows, backlog.nbytes, backlog.lanes) == (0, 0, 0, {})


def test_call_that_never_waited_is_not_let_go() -> None:
    assert not backlog_of().remove(call_of())


@pytest.mark.parametrize(
    ("settings", "unit"),
    [
        ({"max_queued_calls": 2}, "calls"),
        ({"max_queued_rows": 2, "max_batch_rows": 2}, "rows"),
        ({"max_queued_mb": 1}, "MiB of inputs"),
    ],
)
def test_each_edge_refuses_by_its_own_unit_and_says_when_to_come_again(
    settings: dict[str, int], unit: str
) -> None:
    backlog = backlog_of(**settings)
    for count in (1, 2, 4):
        backlog.load.ran("serving_default", [rows(1)], count, 2.0)
    large = call_of()
    large.nbytes = 2**20
    for one in (large, call_of()):
        backlog.insert(one)
    refusal = backlog.refusal(call_of(), NOW)
    assert isinstance(refusal, QueueFull)
    assert unit in str(refusal)
    # Half of what waits, which is one run of two seconds.
    assert refusal.retry_after_ms == 1000


def test_calls_that_run_apart_may_take_a_part_of_the_edge_alone() -> None:
    backlog = backlog_of(max_queued_calls=8)
    apart, other = call_of(), call_of()
    apart.apart = other.apart = True
    backlog.insert(apart)
    assert backlog.apart == 1
    refusal = backlog.refusal(other, NOW)
    assert isinstance(refusal, QueueFull)
    assert "calls of callers whose calls keep failing" in str(refusal)
    assert backlog.refusal(call_of(), NOW) is None
    assert taken(backlog) == [apart]
    assert backlog.apart == 0


def test_free_executor_refuses_no_call_for_a_prediction() -> None:
    backlog = backlog_of()
    for _ in range(3):
        backlog.load.ran("serving_default", [rows(1)], 1, 9.0)
    assert backlog.refusal(call_of(deadline=NOW + 1.0), NOW) is None
    backlog.insert(call_of())
    taken(backlog)
    assert isinstance(backlog.refusal(call_of(deadline=NOW + 1.0), NOW), WouldBeLate)
    assert backlog.refusal(call_of(deadline=NOW + 99.0), NOW) is None
    backlog.load.run_is_over(NOW + 9.0)
    assert backlog.refusal(call_of(deadline=NOW + 1.0), NOW) is None


def test_calls_that_have_become_too_large_for_a_batch_wait_by_themselves_from_then_on() -> None:
    backlog = backlog_of(max_batch_rows=8)
    small, large = call_of(), call_of(6)
    for one in (small, large, call_of(of=signature("other"), arrived=NOW + 1)):
        backlog.insert(one)
    assert len(backlog.lanes) == 2
    backlog.limit_rows("serving_default", 4)
    assert len(backlog.lanes) == 3
    assert (backlog.calls, backlog.rows) == (3, 8)
    backlog.limit_rows("serving_default", 8)
    assert len(backlog.lanes) == 2
    assert taken(backlog) == [small, large]


def test_calls_that_change_state_are_seen_while_they_wait() -> None:
    backlog = backlog_of()
    assert not backlog.has_writes()
    one = call_of(of=signature(writes=True), joinable=False)
    backlog.insert(one)
    assert backlog.has_writes()
    backlog.remove(one)
    assert not backlog.has_writes()


def test_without_policies_no_call_times_out() -> None:
    backlog = backlog_of()
    backlog.insert(call_of())
    assert backlog.next_timeout == math.inf
    assert backlog.time_out(math.inf) == ([], [])
