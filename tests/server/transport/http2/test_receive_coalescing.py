"""Naps in a crowd."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.http2.receive_coalescing import (
    CROWD,
    LONGEST_S,
    PART,
    SHORTEST_S,
    ReceiveCoalescer,
)


def crowd_of(arrivals: int, now: float = 0.0) -> ReceiveCoalescer:
    crowd = ReceiveCoalescer()
    crowd.answers += 1
    crowd.nap_s(now, 1)
    for _ in range(arrivals):
        crowd.arrived()
    return crowd


def test_few_calls_are_taken_in_one_by_one_however_long_the_run() -> None:
    assert crowd_of(CROWD - 1).nap_s(1000.0, 1) == 0.0


def test_crowd_lies_for_a_part_of_the_time_without_answers() -> None:
    assert crowd_of(CROWD).nap_s(0.009, 1) == pytest.approx(0.009 * PART)


def test_quick_models_crowd_never_lies() -> None:
    assert crowd_of(1000).nap_s(SHORTEST_S / PART * 0.99, 1) == 0.0


def test_answer_ends_the_crowd() -> None:
    crowd = crowd_of(CROWD)
    crowd.answers += 1
    assert crowd.nap_s(1.0, 1) == 0.0
    assert crowd.nap_s(9.0, 1) == 0.0


def test_those_before_the_answer_do_not_count_afterwards() -> None:
    crowd = crowd_of(CROWD)
    crowd.answers += 1
    crowd.nap_s(1.0, 1)
    for _ in range(CROWD - 1):
        crowd.arrived()
    assert crowd.nap_s(9.0, 1) == 0.0


@given(
    st.lists(st.tuples(st.sampled_from(["arrived", "answered", "nap"]), st.floats(0.0, 10.0)), max_size=60)
)
def test_no_nap_is_longer_than_the_longest_or_shorter_than_can_be_slept(
    steps: list[tuple[str, float]],
) -> None:
    crowd, now = ReceiveCoalescer(), 0.0
    for step, passes in steps:
        now += passes
        if step == "arrived":
            crowd.arrived()
        elif step == "answered":
            crowd.answers += 1
        else:
            nap_s = crowd.nap_s(now, 1)
            assert nap_s == 0.0 or SHORTEST_S <= nap_s <= LONGEST_S
