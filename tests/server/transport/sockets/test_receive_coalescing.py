"""How long arrivals lie when many calls come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.sockets.receive_coalescing import (
    MAX_DELAY_S,
    MIN_CALLS,
    MIN_DELAY_S,
    SHARE,
    ReceiveCoalescer,
)


def answered_once(now: float = 0.0) -> ReceiveCoalescer:
    """It has seen the first answer, and no arrival."""
    coalescer = ReceiveCoalescer()
    coalescer.delay_s(now, 1, 0, 1)
    return coalescer


def test_few_calls_are_taken_in_one_by_one_however_long_the_run() -> None:
    assert answered_once().delay_s(1000.0, 1, MIN_CALLS - 1, 1) == 0.0


def test_many_lie_for_a_part_of_the_time_without_answers() -> None:
    assert answered_once().delay_s(0.009, 1, MIN_CALLS, 1) == pytest.approx(0.009 * SHARE)


def test_those_of_a_quick_model_never_lie() -> None:
    assert answered_once().delay_s(MIN_DELAY_S / SHARE * 0.99, 1, 1000, 1) == 0.0


def test_answer_ends_the_delay() -> None:
    coalescer = answered_once()
    assert coalescer.delay_s(1.0, 1, MIN_CALLS, 2) == 0.0
    assert coalescer.delay_s(9.0, 1, MIN_CALLS, 2) == 0.0


def test_those_before_the_answer_do_not_count_afterwards() -> None:
    coalescer = answered_once()
    coalescer.delay_s(1.0, 1, MIN_CALLS, 2)
    assert coalescer.delay_s(9.0, 1, 2 * MIN_CALLS - 1, 2) == 0.0
    assert coalescer.delay_s(9.0, 1, 2 * MIN_CALLS, 2) == MAX_DELAY_S


def test_where_no_call_waits_none_lies() -> None:
    assert answered_once().delay_s(9.0, 0, 1000, 1) == 0.0


@given(
    st.lists(st.tuples(st.sampled_from(["arrived", "answered", "look"]), st.floats(0.0, 10.0)), max_size=60)
)
def test_no_delay_is_longer_than_the_longest_or_shorter_than_can_be_slept(
    steps: list[tuple[str, float]],
) -> None:
    coalescer, now, arrived, answered = ReceiveCoalescer(), 0.0, 0, 0
    for step, passes in steps:
        now += passes
        if step == "arrived":
            arrived += 1
        elif step == "answered":
            answered += 1
        else:
            delay_s = coalescer.delay_s(now, 1, arrived, answered)
            assert delay_s == 0.0 or MIN_DELAY_S <= delay_s <= MAX_DELAY_S
