"""Who is told that the time is up, on a clock of numbers."""

from __future__ import annotations

import math
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.transport import deadlines
from hotgraph_server.transport.deadlines import Deadlines


class Timed:
    """A call as the deadlines see it."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.open = True


def test_nothing_to_wait_for_is_waited_for_for_ever() -> None:
    calls: Deadlines[Timed] = Deadlines()
    assert calls.due(0.0) == []
    assert calls.next == math.inf


def test_call_is_due_at_its_deadline_and_not_before() -> None:
    calls: Deadlines[Timed] = Deadlines()
    call = Timed(5.0)
    calls.add(call)
    assert calls.next == -math.inf  # what was added has not been looked at
    assert calls.due(4.999) == []
    assert calls.next == 5.0
    assert calls.due(5.0) == [call]
    assert calls.due(9.0) == []
    assert calls.next == math.inf


def test_call_whose_deadline_came_nearer_is_due_then() -> None:
    calls: Deadlines[Timed] = Deadlines()
    call = Timed(9.0)
    calls.add(call)
    assert calls.due(0.0) == []
    call.deadline = 3.0
    calls.add(call)
    assert calls.due(3.0) == [call]


def test_nobody_is_woken_for_a_call_that_has_ended() -> None:
    calls: Deadlines[Timed] = Deadlines()
    first, second, third = Timed(1.0), Timed(2.0), Timed(3.0)
    for call in (first, second, third):
        calls.add(call)
    calls.due(0.0)
    first.open = second.open = False
    assert calls.next == 3.0
    third.open = False
    assert calls.next == math.inf


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=40))
def test_calls_are_due_in_the_order_of_their_deadlines(added: list[tuple[int, bool]]) -> None:
    calls: Deadlines[Timed] = Deadlines()
    everything, told = [], []
    for now, (wait, look) in enumerate(added):
        everything.append(Timed(now + wait))
        calls.add(everything[-1])
        if look:
            told += calls.due(now)
            assert all(call.deadline <= now for call in told)
    told += calls.due(100)
    assert sorted(map(id, told)) == sorted(map(id, everything))


def test_calls_that_ended_long_before_are_cleared_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """And clearing costs no look at all calls each time."""
    monkeypatch.setattr(deadlines, "CLEARED_AT", 10)
    calls: Deadlines[Timed] = Deadlines()
    stay = [Timed(1000.0) for _ in range(50)]
    for call in stay:
        calls.add(call)
    calls.due(0.0)
    ended: list[weakref.ref[Timed]] = []
    for _ in range(1000):
        gone = Timed(1000.0)
        ended.append(weakref.ref(gone))
        calls.add(gone)
        gone.open = False
        calls.due(0.0)
    del gone
    assert sum(call() is not None for call in ended) <= len(stay) + 10
    assert [call for call in calls.due(1000.0) if call.open] == stay


class TestInOrder:
    """Calls that have as long as each other, noted without a search for their place."""

    def test_call_is_due_at_its_deadline_and_not_before(self) -> None:
        calls: Deadlines[Timed] = Deadlines()
        first, second = Timed(5.0), Timed(6.0)
        calls.add_in_order(first)
        calls.add_in_order(second)
        assert calls.next == 5.0
        assert calls.due(4.999) == []
        assert calls.due(5.0) == [first]
        assert calls.next == 6.0
        assert calls.due(6.0) == [second]
        assert calls.next == math.inf

    def test_nobody_is_woken_for_a_call_that_has_ended_and_none_is_told(self) -> None:
        calls: Deadlines[Timed] = Deadlines()
        first, second = Timed(5.0), Timed(6.0)
        calls.add_in_order(first)
        calls.add_in_order(second)
        first.open = False
        assert calls.next == 6.0
        second.open = False
        assert calls.due(9.0) == []
        assert calls.next == math.inf

    def test_the_earlier_of_both_kinds_is_next(self) -> None:
        calls: Deadlines[Timed] = Deadlines()
        calls.add_in_order(Timed(5.0))
        calls.add(Timed(3.0))
        assert calls.next == -math.inf
        calls.due(0.0)
        assert calls.next == 3.0
        calls.due(3.0)
        assert calls.next == 5.0

    def test_call_whose_deadline_came_nearer_is_told_then(self) -> None:
        calls: Deadlines[Timed] = Deadlines()
        behind = Timed(6.0)
        calls.add_in_order(Timed(5.0))
        calls.add_in_order(behind)
        behind.deadline = 2.0
        calls.add(behind)
        assert calls.due(2.0) == [behind]

    def test_those_that_ended_are_not_kept(self) -> None:
        """Most end before their time, whoever asks."""
        calls: Deadlines[Timed] = Deadlines()
        for ask in (lambda: calls.due(0.0), lambda: calls.next):
            ended: list[weakref.ref[Timed]] = []
            for _ in range(100):
                gone = Timed(1000.0)
                ended.append(weakref.ref(gone))
                calls.add_in_order(gone)
                gone.open = False
                ask()
            del gone
            assert not any(call() for call in ended)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=40))
    def test_each_that_is_open_is_told_once_and_in_time(self, steps: list[tuple[int, bool, bool]]) -> None:
        calls: Deadlines[Timed] = Deadlines()
        now, noted = 0, list[Timed]()
        told: list[Timed] = []
        for passes, ends, looks in steps:
            now += passes
            noted.append(Timed(now + 5))
            calls.add_in_order(noted[-1])
            if ends:
                noted[len(noted) // 2].open = False
            if looks:
                told += calls.due(now)
                assert calls.next == min(
                    (one.deadline for one in noted if one.open and one not in told), default=math.inf
                )
        told += calls.due(now + 5)
        assert len(told) == len(set(map(id, told)))
        assert {id(one) for one in noted if one.open} <= set(map(id, told))


def test_calls_that_ended_behind_one_that_goes_on_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "CLEARED_AT", 3)
    calls: Deadlines[Timed] = Deadlines()
    first, last = Timed(9.0), Timed(9.5)
    ended = [Timed(9.1) for _ in range(10)]
    for call in (first, *ended, last):
        calls.add_in_order(call)
    for call in ended:
        call.open = False
    kept = [weakref.ref(call) for call in ended]
    del ended, call
    assert calls.due(0.0) == []
    assert [ref() for ref in kept] == [None] * 10
    assert calls.due(9.0) == [first]
    assert calls.next == 9.5
