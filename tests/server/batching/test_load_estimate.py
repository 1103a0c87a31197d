"""How long the executor is busy, with its run and with what waits."""

from __future__ import annotations

import math
import sys

import pytest

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.lane import Lane
from hotgraph_server.batching.load_estimate import LoadEstimate

from ..fakes import call, rows, signature

NOW = 1000.0


def call_of(count: int = 1, *, joinable: bool = True) -> Call:
    return call(rows(*range(count)), arrived=NOW, joinable=joinable)


def learnt(seconds: float = 2.0, levels: int = 1) -> LoadEstimate:
    """Of batches of 4 rows; a run takes so long, whatever its rows."""
    load = LoadEstimate(levels, 4)
    for count in (1, 2, 4):
        for _ in range(3):
            load.ran("serving_default", [rows(1)], count, seconds)
    return load


def waiting(load: LoadEstimate, *calls: Call, level: int = 1, joins: bool = True) -> Lane:
    lane = Lane(("lane", level), load.flow(calls[0]), level, joins=joins)
    for one in calls:
        lane.append(one, 0.0 if joins else load.flow(one).curve.predict(one.length))
    load.uncounted.add(lane)
    return lane


def test_run_is_free_when_it_is_predicted_to_be_and_its_time_is_learnt() -> None:
    load = learnt()
    assert load.free_at == -math.inf
    one = call_of()
    load.begin(waiting(load, one), one, 1, NOW)
    assert load.free_at == NOW + 2.0
    load.run_is_over(NOW + 8.0)
    assert load.free_at == -math.inf
    load.run_is_over(NOW + 99.0)
    assert load.flow(one).curve.predict(1) == 2.0
    for _ in range(16):
        load.begin(waiting(load, one), one, 1, NOW)
        load.run_is_over(NOW + 8.0)
    assert load.flow(one).curve.predict(1) == 8.0
    assert load.longest_run_s == 8.0


def test_work_is_that_of_full_batches_or_of_single_runs() -> None:
    load = learnt()
    waiting(load, *[call_of() for _ in range(9)])
    assert load.waiting_s(1) == pytest.approx(3 * 2.0)
    waiting(load, call_of(joinable=False), call_of(joinable=False), joins=False)
    assert load.waiting_s(1) == pytest.approx(5 * 2.0)


def test_lane_that_may_take_fewer_rows_has_more_runs() -> None:
    load = learnt()
    lane = waiting(load, *[call_of() for _ in range(4)])
    lane.max_rows = 2
    assert load.waiting_s(1) == pytest.approx(2 * 2.0)


def test_work_of_lower_levels_is_not_ahead() -> None:
    load = learnt(levels=2)
    waiting(load, call_of(), level=2)
    assert load.waiting_s(1) == 0.0
    waiting(load, call_of(), level=1)
    assert (load.waiting_s(1), load.waiting_s(2)) == (2.0, 4.0)


def test_work_of_a_lane_is_counted_again_when_it_has_changed() -> None:
    load = learnt()
    calls = [call_of() for _ in range(8)]
    lane = waiting(load, *calls)
    assert load.waiting_s(1) == 4.0
    for one in calls[:4]:
        lane.remove([one])
    load.uncounted.add(lane)
    assert load.waiting_s(1) == 2.0
    load.gone(lane, last=False)
    assert load.waiting_s(1) == 0.0


def test_when_nothing_waits_there_is_no_work_however_sums_have_drifted() -> None:
    load = learnt(0.1)
    lanes = [waiting(load, call_of()) for _ in range(10)]
    load.waiting_s(1)
    for lane in lanes:
        load.gone(lane, last=lane is lanes[-1])
    assert load.waiting_s(1) == 0.0


def test_lane_that_has_gone_is_not_held() -> None:
    load = learnt()
    lane = waiting(load, call_of())
    holders = sys.getrefcount(lane)
    load.gone(lane, last=True)
    assert sys.getrefcount(lane) == holders - 1


def test_calls_of_one_lane_share_a_flow_and_those_that_run_alone_share_its_curve() -> None:
    load = learnt()
    flow = load.flow(call_of())
    assert load.flow(call_of(3)) is flow
    alone = load.flow(call_of(joinable=False))
    assert alone is not flow
    assert alone.curve is flow.curve
    apart = call_of()
    apart.apart = True
    assert load.flow(apart) is not flow


def test_flows_are_forgotten_when_callers_have_made_too_many() -> None:
    load = learnt()
    flow = load.flow(call_of())
    for number in range(1024):
        load.flow(call(rows(1), of=signature(f"s{number}")))
    assert load.flow(call_of()) is not flow
