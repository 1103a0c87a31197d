"""The budget for the messages of all calls."""

from __future__ import annotations

import contextlib

import grpc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hotgraph_server.transport.inflight import Inflight, InflightOfEach, TooMuchInside


class Holding:
    def __init__(self) -> None:
        self.held_bytes = 0


def test_connection_may_hold_what_it_leaves_to_others() -> None:
    budget, connections, calls = Inflight(120), [Holding(), Holding()], [Holding() for _ in range(3)]
    budget.take(calls[0], connections[0], 60)
    with pytest.raises(TooMuchInside, match="this connection would hold") as raised:
        budget.take(calls[0], connections[0], 1)
    assert raised.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert raised.value.retry_after_ms
    budget.take(calls[1], connections[1], 30)
    with pytest.raises(TooMuchInside, match="this connection would hold"):
        budget.take(calls[1], connections[1], 1)
    with pytest.raises(TooMuchInside, match="the messages of all calls may hold"):
        budget.take(calls[2], Holding(), 31)
    budget.take(calls[0], connections[0], 0)
    budget.end(calls[0], connections[0])
    budget.take(calls[1], connections[1], 30)
    assert budget.nbytes == 60


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2**20)), max_size=200))
def test_who_comes_finds_room_whatever_eight_others_have_taken(takes: list[tuple[int, int]]) -> None:
    budget, connections, calls = Inflight(2**20), [Holding() for _ in range(8)], [Holding() for _ in range(8)]
    for index, nbytes in takes:
        with contextlib.suppress(TooMuchInside):
            budget.take(calls[index], connections[index], nbytes)
    # At worst each took half of what its predecessors had left, at one go.
    budget.take(Holding(), Holding(), 2**20 // 2**9)


def test_call_that_is_over_holds_nothing_whoever_still_works_for_it() -> None:
    budget, connection, call = Inflight(100), Holding(), Holding()
    budget.take(call, connection, 10)
    budget.end(call, connection)
    budget.take(call, connection, 10)
    budget.settle(call, connection, ANSWER)
    budget.end(call, connection)
    assert (budget.nbytes, connection.held_bytes) == (0, 0)


ANSWER = 5


@example([(0, "take", 36), (0, "take", 60), (2, "settle", 0)])
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["take", "settle", "end"]), st.integers(0, 60))))
def test_sums_are_those_of_the_calls(steps: list[tuple[int, str, int]]) -> None:
    budget, connections, calls = Inflight(200), [Holding(), Holding()], [Holding() for _ in range(4)]
    for index, step, nbytes in steps:
        call, connection = calls[index], connections[index % 2]
        try:
            if step == "take":
                budget.take(call, connection, nbytes)
            elif step == "end":
                budget.end(call, connection)
            else:
                budget.settle(call, connection, ANSWER)
        except TooMuchInside:
            pass
        held = [max(one.held_bytes, 0) for one in calls]
        # Answers are not refused: what is settled may come on top.
        assert budget.nbytes == sum(held) <= 200 + 4 * ANSWER
        assert [one.held_bytes for one in connections] == [held[0] + held[2], held[1] + held[3]]
        assert max(held[0] + held[2], held[1] + held[3]) <= 100 + 2 * ANSWER


def test_where_each_has_its_own_nobody_is_refused_for_what_others_hold() -> None:
    budget, connection, call = InflightOfEach(10), Holding(), Holding()
    for _ in range(100):
        budget.take(Holding(), Holding(), 10)
    budget.take(call, connection, 10)
    assert budget.nbytes == 1010
    with pytest.raises(TooMuchInside, match="would hold 11 bytes of messages, and may 10"):
        budget.take(Holding(), connection, 1)
    budget.end(call, connection)
    budget.take(call, connection, 10)
    budget.take(Holding(), connection, 10)
    assert (budget.nbytes, connection.held_bytes) == (1010, 10)
