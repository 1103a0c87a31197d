from __future__ import annotations

import math

import pytest

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.lane import Lane, choose

from ..fakes import call, rows

NOW = 1000.0
TICK = 1e-6


def lane_of(*calls: Call, joins: bool = True) -> Lane:
    lane = Lane("key" if joins else None)
    for one in calls:
        lane.append(one)
    return lane


def call_of(count: int, arrived: float = NOW) -> Call:
    return call(rows(*range(count)), arrived=arrived)


def test_lane_counts_calls_and_rows_and_knows_its_oldest() -> None:
    lane = lane_of(call_of(2, NOW), call_of(3, NOW + 1))
    assert (len(lane), lane.rows, lane.oldest) == (2, 5, NOW)
    assert Lane("key").oldest == math.inf


def test_take_gives_calls_in_arrival_order_up_to_the_row_limit() -> None:
    calls = [call_of(2), call_of(2), call_of(1), call_of(1)]
    lane = lane_of(*calls)
    assert lane.take(5) == calls[:3]
    assert (len(lane), lane.rows) == (1, 1)
    assert lane.take(5) == calls[3:]
    assert (len(lane), lane.rows) == (0, 0)


def test_call_that_does_not_fit_is_not_overtaken_by_a_smaller_one() -> None:
    calls = [call_of(3), call_of(3), call_of(1)]
    lane = lane_of(*calls)
    assert lane.take(4) == calls[:1]
    assert lane.take(4) == calls[1:]


def test_call_larger_than_the_limit_goes_by_itself() -> None:
    calls = [call_of(9), call_of(1)]
    lane = lane_of(*calls)
    assert lane.take(4) == calls[:1]
    assert lane.take(4) == calls[1:]


def test_lane_without_a_key_gives_one_call_at_a_time() -> None:
    calls = [call_of(1), call_of(1)]
    lane = lane_of(*calls, joins=False)
    assert lane.take(64) == calls[:1]
    assert lane.take(64) == calls[1:]


def test_call_leaves_from_the_middle_once() -> None:
    calls = [call_of(1), call_of(2), call_of(3)]
    lane = lane_of(*calls)
    assert lane.remove(calls[1])
    assert not lane.remove(calls[1])
    assert (len(lane), lane.rows) == (2, 4)
    assert lane.take(64) == [calls[0], calls[2]]


def test_take_all_empties_the_lane() -> None:
    calls = [call_of(1), call_of(2)]
    lane = lane_of(*calls)
    assert lane.take_all() == calls
    assert (len(lane), lane.rows) == (0, 0)


def test_without_a_wait_the_lane_whose_oldest_call_came_first_goes() -> None:
    late, early = lane_of(call_of(1, NOW - 1)), lane_of(call_of(1, NOW - 2), call_of(1, NOW))
    assert choose([late, early], NOW, 64, 0.0).lane is early
    assert choose([early, late], NOW, 64, 0.0).lane is early


def test_nothing_to_choose_from_is_waited_for_without_end() -> None:
    for lanes in ([], [Lane("key")]):
        choice = choose(lanes, NOW, 64, 0.0)
        assert choice.lane is None
        assert choice.wait_until == math.inf


def test_lane_that_is_not_full_goes_when_its_oldest_call_has_waited_and_not_a_tick_before() -> None:
    lane = lane_of(call_of(1, NOW), call_of(1, NOW + 1))
    ripe_at = NOW + 2.0
    before = choose([lane], ripe_at - TICK, 64, 2.0)
    assert before.lane is None
    assert before.wait_until == ripe_at
    assert choose([lane], ripe_at, 64, 2.0).lane is lane
    assert choose([lane], ripe_at + TICK, 64, 2.0).lane is lane


@pytest.mark.parametrize("count", [4, 5])
def test_full_lane_goes_at_once(count: int) -> None:
    assert choose([lane_of(call_of(count))], NOW, 4, 2.0).lane is not None
    assert choose([lane_of(call_of(3))], NOW, 4, 2.0).lane is None


def test_lane_that_cannot_be_joined_waits_for_nobody() -> None:
    lane = lane_of(call_of(1), joins=False)
    assert choose([lane], NOW, 64, 2.0).lane is lane


def test_lane_that_may_go_is_not_held_up_by_an_older_one_that_waits_for_rows() -> None:
    waiting, full = lane_of(call_of(1, NOW - 1)), lane_of(call_of(4, NOW))
    assert choose([waiting, full], NOW, 4, 2.0).lane is full


def test_executor_is_told_the_first_moment_at_which_any_lane_may_go() -> None:
    lanes = [lane_of(call_of(1, NOW + 1)), lane_of(call_of(1, NOW)), lane_of(call_of(1, NOW + 2))]
    assert choose(lanes, NOW, 64, 5.0).wait_until == NOW + 5.0
