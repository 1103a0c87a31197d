from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.cost import MIN_MARGIN
from hotgraph_server.batching.decisions import (
    MISFITS,
    PASS_OVER,
    backfill,
    choose,
    goes_at,
    pick,
    waiting_pays,
)
from hotgraph_server.batching.estimates import SLACK_S
from hotgraph_server.batching.lane import Lane
from hotgraph_server.errors import Cancelled

from ..fakes import call, rows
from .flows import LINEAR, flow_of

NOW = 1000.0
TICK = 1e-6


def lane_of(
    *calls: Call, costs: Mapping[int, float] | None = None, joins: bool = True, level: int = 1
) -> Lane:
    lane = Lane("key", flow_of(costs), level, joins=joins)
    for one in calls:
        lane.append(one, 0.0 if joins else lane.flow.curve.predict(one.rows))
    return lane


def call_of(count: int = 1, arrived: float = NOW, deadline: float = math.inf) -> Call:
    return call(rows(*range(count)), arrived=arrived, deadline=deadline)


def due(seconds: float, count: int = 1, arrived: float = NOW) -> Call:
    return call_of(count, arrived, NOW + seconds)


class TestChoice:
    def test_without_a_wait_the_lane_whose_oldest_call_came_first_goes(self) -> None:
        late, early = lane_of(call_of(arrived=NOW - 1)), lane_of(call_of(arrived=NOW - 2), call_of())
        assert choose([late, early], NOW, 64, 0.0).lane is early
        assert choose([early, late], NOW, 64, 0.0).lane is early

    def test_nothing_to_choose_from_is_waited_for_without_end(self) -> None:
        choice = choose([], NOW, 64, 0.0)
        assert (choice.lane, choice.wait_until) == (None, math.inf)

    def test_lane_that_may_go_is_not_held_up_by_an_older_one_that_waits_for_rows(self) -> None:
        waiting, full = lane_of(call_of(arrived=NOW - 1)), lane_of(call_of(4))
        assert choose([waiting, full], NOW, 4, 2.0).lane is full

    def test_executor_is_told_the_first_moment_at_which_any_lane_may_go(self) -> None:
        lanes = [lane_of(call_of(arrived=NOW + after)) for after in (1, 0, 2)]
        assert choose(lanes, NOW, 64, 5.0).wait_until == NOW + 5.0

    def test_deadline_that_would_be_missed_behind_another_lane_goes_first(self) -> None:
        older = lane_of(*(call_of(arrived=NOW - 9) for _ in range(5)), costs=LINEAR)
        urgent = lane_of(due(4.0), costs=LINEAR)
        assert choose([older, urgent], NOW, 64, 0.0).lane is urgent

    def test_deadline_that_can_wait_or_cannot_be_kept_does_not_overtake(self) -> None:
        older = lane_of(*(call_of(arrived=NOW - 9) for _ in range(5)), costs=LINEAR)
        for seconds in (6.0, 1.0 - TICK):
            other = lane_of(due(seconds), costs=LINEAR)
            assert choose([older, other], NOW, 64, 0.0).lane is older

    def test_of_two_deadlines_in_danger_the_earlier_one_goes_first(self) -> None:
        lanes = [lane_of(due(after), due(9.0), costs=LINEAR) for after in (3.0, 2.5, 3.5)]
        assert choose(lanes, NOW, 64, 0.0).lane is lanes[1]

    def test_deadline_of_a_call_that_is_not_next_in_a_lane_of_single_calls_does_not_count(self) -> None:
        older = lane_of(call_of(arrived=NOW - 9), costs=LINEAR)
        queued = lane_of(call_of(), due(1.5), costs=LINEAR, joins=False)
        assert choose([older, queued], NOW, 64, 0.0).lane is older
        queued = lane_of(due(1.5), call_of(), costs=LINEAR, joins=False)
        assert choose([older, queued], NOW, 64, 0.0).lane is queued

    def test_higher_level_goes_first_and_says_that_it_passes_over_an_older_call(self) -> None:
        high, low = lane_of(call_of()), lane_of(call_of(arrived=NOW - 9), level=2)
        choice = choose([low, high], NOW, 64, 0.0)
        assert choice.lane is high
        assert choice.passes_over

    def test_younger_call_of_a_lower_level_is_not_passed_over(self) -> None:
        high, low = lane_of(call_of(arrived=NOW - 9)), lane_of(call_of(), level=2)
        assert not choose([low, high], NOW, 64, 0.0, passed_over=99).passes_over
        assert choose([low, high], NOW, 64, 0.0, passed_over=99).lane is high

    def test_oldest_call_of_all_goes_when_enough_batches_have_passed_it_over(self) -> None:
        high, low = lane_of(call_of()), lane_of(call_of(arrived=NOW - 9), level=2)
        assert choose([high, low], NOW, 64, 0.0, passed_over=PASS_OVER - 1).lane is high
        assert choose([high, low], NOW, 64, 0.0, passed_over=PASS_OVER).lane is low

    def test_its_turn_is_put_off_while_it_costs_a_deadline_and_no_more_than_twice_as_long(self) -> None:
        high, low = lane_of(due(2.5), costs=LINEAR), lane_of(call_of(3, NOW - 9), level=2, costs=LINEAR)
        for passed_over in (PASS_OVER, 2 * PASS_OVER - 1):
            assert choose([high, low], NOW, 64, 0.0, passed_over=passed_over).lane is high
        assert choose([high, low], NOW, 64, 0.0, passed_over=2 * PASS_OVER).lane is low

    def test_lane_full_of_deadlines_in_danger_does_not_starve_its_equals(self) -> None:
        old, urgent = lane_of(call_of(3, NOW - 9), costs=LINEAR), lane_of(due(2.5), costs=LINEAR)
        choice = choose([old, urgent], NOW, 64, 0.0, passed_over=2 * PASS_OVER - 1)
        assert choice.lane is urgent
        assert choice.passes_over
        assert choose([old, urgent], NOW, 64, 0.0, passed_over=2 * PASS_OVER).lane is old

    def test_lane_that_yields_goes_only_if_no_other_may(self) -> None:
        large, small, waiting = lane_of(call_of(arrived=NOW - 9)), lane_of(call_of()), lane_of(call_of())
        assert choose([large, small], NOW, 64, 0.0, yielding=large).lane is small
        assert choose([large], NOW, 64, 0.0, yielding=large).lane is large
        full = lane_of(call_of(64))
        assert choose([full, waiting], NOW, 64, 9.0, yielding=full).lane is full


class TestWaiting:
    def test_lane_that_is_not_full_goes_when_its_oldest_call_has_waited_and_not_a_tick_before(self) -> None:
        lane = lane_of(call_of(), call_of(arrived=NOW + 1))
        ripe_at = NOW + 2.0
        assert goes_at(lane, ripe_at - TICK, 64, 2.0) == ripe_at
        assert goes_at(lane, ripe_at, 64, 2.0) <= ripe_at

    def test_nobody_waits_where_nobody_was_told_to(self) -> None:
        assert goes_at(lane_of(call_of()), NOW, 64, 0.0) == -math.inf

    @pytest.mark.parametrize("count", [4, 5])
    def test_full_lane_goes_at_once(self, count: int) -> None:
        assert goes_at(lane_of(call_of(count)), NOW, 4, 2.0) == -math.inf
        assert goes_at(lane_of(call_of(3)), NOW, 4, 2.0) > NOW

    def test_lane_that_cannot_be_joined_waits_for_nobody(self) -> None:
        assert goes_at(lane_of(call_of(), joins=False), NOW, 64, 2.0) == -math.inf

    def test_deadline_ends_the_wait_while_it_can_still_be_kept(self) -> None:
        lane = lane_of(due(1.0), call_of())
        assert goes_at(lane, NOW, 64, 9.0) == pytest.approx(NOW + 1.0 - SLACK_S)
        lane.flow = flow_of({1: 0.5, 4: 0.5}, gap_s=1e-3)
        assert goes_at(lane, NOW, 64, 9.0) == pytest.approx(NOW + 1.0 - MIN_MARGIN * 0.5 - SLACK_S)

    def test_lane_goes_at_once_where_waiting_does_not_pay(self) -> None:
        lane = lane_of(call_of())
        lane.flow = flow_of(LINEAR, gap_s=1e-3)
        assert goes_at(lane, NOW, 64, 9.0) == -math.inf

    def test_waiting_pays_as_long_as_the_fixed_cost_of_a_run_buys_the_time(self) -> None:
        """With a + b * rows: while (rows + 1) * gap + rows * b < a."""
        fixed, per_row = 1.0, 0.125
        costs = {count: fixed + per_row * count for count in (1, 2, 4, 8)}
        for count in range(1, 7):
            limit = (fixed - count * per_row) / (count + 1)
            assert waiting_pays(count, flow_of(costs, gap_s=limit - TICK))
            assert not waiting_pays(count, flow_of(costs, gap_s=limit + TICK))

    def test_without_a_second_arrival_there_is_nobody_to_wait_for(self) -> None:
        assert not waiting_pays(1, flow_of({1: 1.0}))

    def test_without_any_run_the_owners_wish_stands(self) -> None:
        assert waiting_pays(1, flow_of())


class TestPick:
    def test_all_calls_go_that_fit_into_one_batch(self) -> None:
        calls = [call_of(2), call_of(1), call_of(1)]
        picked = pick(lane_of(*calls), NOW, 4)
        assert (picked.taken, picked.expired, picked.shrunk) == (calls, [], False)

    def test_picking_takes_nothing_out(self) -> None:
        lane = lane_of(call_of())
        pick(lane, NOW, 4)
        assert len(lane) == 1

    def test_from_a_crowd_calls_go_in_arrival_order_up_to_the_row_limit(self) -> None:
        calls = [call_of(2), call_of(2), call_of(1), call_of(1)]
        assert pick(lane_of(*calls), NOW, 5).taken == calls[:3]

    def test_call_that_does_not_fit_closes_the_batch_for_nobody_and_is_first_of_the_next(self) -> None:
        calls = [call_of(10), call_of(60), *(call_of(1) for _ in range(60))]
        lane = lane_of(*calls)
        taken = pick(lane, NOW, 64).taken
        assert taken == [calls[0], *calls[2:56]]
        for one in taken:
            lane.remove([one])
        assert pick(lane, NOW, 64).taken == [calls[1], *calls[56:60]]

    def test_search_for_small_calls_ends(self) -> None:
        calls = [call_of(2), *(call_of(3) for _ in range(MISFITS)), call_of(1)]
        assert pick(lane_of(*calls), NOW, 4).taken == calls[:1]
        del calls[1]
        assert pick(lane_of(*calls), NOW, 4).taken == [calls[0], calls[-1]]

    def test_call_larger_than_the_limit_goes_by_itself(self) -> None:
        calls = [call_of(9)]
        assert pick(lane_of(*calls), NOW, 4).taken == calls

    def test_lane_that_does_not_join_gives_one_call_at_a_time(self) -> None:
        calls = [call_of(), call_of()]
        assert pick(lane_of(*calls, joins=False), NOW, 64).taken == calls[:1]
        ended = due(0.0)
        assert pick(lane_of(ended, call_of(), joins=False), NOW, 64).expired == [ended]

    @pytest.mark.parametrize("crowd", [0, 5])
    def test_calls_that_have_ended_or_expired_are_not_taken(self, crowd: int) -> None:
        expired, alive, left = due(0.0), due(TICK), call_of()
        left.completion.finish(Cancelled())
        others = [call_of() for _ in range(crowd)]
        picked = pick(lane_of(expired, left, alive, *others), NOW, 4)
        assert picked.expired == [expired, left]
        assert picked.taken == [alive, *others[:3]]

    def test_batch_is_kept_small_where_that_saves_a_deadline(self) -> None:
        calls = [call_of(), call_of(), due(2.0), due(9.0)]
        picked = pick(lane_of(*calls, costs=LINEAR), NOW, 64)
        assert picked.taken == calls[2:]
        assert picked.shrunk

    def test_batch_that_keeps_its_deadlines_is_not_kept_small(self) -> None:
        calls = [call_of(), due(3.0), due(9.0)]
        picked = pick(lane_of(*calls, costs=LINEAR), NOW, 64)
        assert (picked.taken, picked.shrunk) == (calls, False)

    def test_deadline_that_cannot_be_kept_anyway_keeps_no_batch_small(self) -> None:
        calls = [call_of(), due(1.0 - TICK), call_of()]
        picked = pick(lane_of(*calls, costs=LINEAR), NOW, 64)
        assert picked.taken == [calls[0], calls[2]]
        only = [due(0.5), due(0.5)]
        assert pick(lane_of(*only, costs=LINEAR), NOW, 64).taken == only

    def test_nobody_is_left_out_of_small_batches_for_ever(self) -> None:
        calls = [call_of(), due(1.0)]
        lane = lane_of(*calls, costs=LINEAR)
        assert pick(lane, NOW, 64, passed_over=PASS_OVER - 1).taken == calls[1:]
        assert pick(lane, NOW, 64, passed_over=PASS_OVER).taken == calls

    def test_in_a_crowd_batches_stay_full_and_late_calls_get_the_room_that_is_left(self) -> None:
        late, others = [due(3.5), due(3.9)], [due(5.0), call_of(), call_of()]
        lane = lane_of(*late, *others, costs=LINEAR)
        assert pick(lane, NOW, 4).taken == [*others, late[0]]

    def test_crowd_in_which_all_are_late_goes_all_the_same(self) -> None:
        calls = [due(1.0) for _ in range(9)]
        assert pick(lane_of(*calls, costs=LINEAR), NOW, 4).taken == calls[:4]

    @given(
        st.lists(
            st.tuples(st.integers(1, 6), st.sampled_from([-1.0, 0.5, 2.0, 5.0, math.inf])),
            min_size=1,
            max_size=20,
        ),
        st.sampled_from([{}, LINEAR, {1: 1.0, 64: 2.0}]),
    )
    def test_batch_fits_is_wanted_and_is_there_if_anybody_is(
        self, wanted: list[tuple[int, float]], costs: dict[int, float]
    ) -> None:
        calls = [due(seconds, count) for count, seconds in wanted]
        picked = pick(lane_of(*calls, costs=costs), NOW, 6)
        assert sum(one.rows for one in picked.taken) <= 6
        assert len(set(picked.taken)) == len(picked.taken)
        assert all(one.deadline > NOW for one in picked.taken)
        assert all(one.deadline <= NOW for one in picked.expired)
        assert set(picked.taken) | set(picked.expired) <= set(calls)
        assert bool(picked.taken) is any(one.deadline > NOW for one in calls)


class TestBackfill:
    def test_lower_level_fills_the_room_that_is_left(self) -> None:
        calls = [call_of(2), call_of(3), call_of(1), call_of(1)]
        assert backfill([call_of(1)], lane_of(*calls, level=2), NOW, 4) == [calls[0], calls[2]]

    def test_it_takes_no_time_from_a_deadline(self) -> None:
        lane = lane_of(call_of(1), call_of(1), level=2, costs=LINEAR)
        assert backfill([due(2.0)], lane, NOW, 4) == list(lane.calls)[:1]
        assert backfill([due(1.0)], lane, NOW, 4) == []

    def test_it_takes_nobody_who_has_gone(self) -> None:
        lane = lane_of(due(0.0), level=2)
        assert backfill([call_of()], lane, NOW, 4) == []
