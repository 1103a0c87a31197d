"""The budget for the messages of all calls."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.inflight import Inflight, TooMuchInside


class Holding:
    def __init__(self) -> None:
        self.held_bytes = 0


def test_connection_may_hold_half_and_all_together_the_whole() -> None:
    budget, connections = Inflight(100), [Holding(), Holding(), Holding()]
    calls = [Holding(), Holding(), Holding()]
    budget.take(calls[0], connections[0], 50)
    with pytest.raises(TooMuchInside, match="calls of one connection") as raised:
        budget.take(calls[0], connections[0], 1)
    assert raised.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert raised.value.retry_after_ms
    budget.take(calls[1], connections[1], 50)
    with pytest.raises(TooMuchInside, match="calls of this server"):
        budget.take(calls[2], connections[2], 1)
    budget.end(calls[0], connections[0])
    budget.take(calls[2], connections[2], 50)
    assert budget.nbytes == 100


def test_call_that_is_over_holds_nothing_whoever_still_works_for_it() -> None:
    budget, connection, call = Inflight(100), Holding(), Holding()
    budget.take(call, connection, 10)
    budget.end(call, connection)
    budget.take(call, connection, 10)
    budget.give_back(call, connection)
    budget.end(call, connection)
    assert (budget.nbytes, connection.held_bytes) == (0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["take", "give back", "end"]), st.integers(0, 60)))
)
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
                budget.give_back(call, connection)
        except TooMuchInside:
            pass
        held = [max(one.held_bytes, 0) for one in calls]
        assert budget.nbytes == sum(held) <= 200
        assert [one.held_bytes for one in connections] == [held[0] + held[2], held[1] + held[3]]
        assert max(held[0] + held[2], held[1] + held[3]) <= 100
