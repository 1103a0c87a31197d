from __future__ import annotations

import math

import pytest

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.cost import CostCurve
from hotgraph_server.batching.lane import Flow, Lane

from ..fakes import call, rows

NOW = 1000.0


def lane_of(*calls: Call) -> Lane:
    lane = Lane("key", Flow(CostCurve()))
    for one in calls:
        lane.append(one)
    return lane


def call_of(count: int, arrived: float = NOW) -> Call:
    return call(rows(*range(count)), arrived=arrived)


def test_lane_counts_calls_rows_and_bytes_and_knows_its_oldest() -> None:
    calls = [call_of(2, NOW), call_of(3, NOW + 1)]
    lane = lane_of(*calls)
    assert (len(lane), lane.rows, lane.nbytes, lane.oldest) == (2, 5, 40, NOW)
    assert list(lane.calls) == calls
    assert lane_of().oldest == math.inf


def test_call_leaves_from_the_middle_once() -> None:
    calls = [call_of(1), call_of(2), call_of(3)]
    lane = lane_of(*calls)
    assert lane.remove([calls[1]])
    assert not lane.remove([calls[1]])
    assert (len(lane), lane.rows, lane.nbytes) == (2, 4, 32)
    assert list(lane.calls) == [calls[0], calls[2]]


def test_take_all_empties_the_lane() -> None:
    calls = [call_of(1), call_of(2)]
    lane = lane_of(*calls)
    assert lane.take_all() == calls
    assert (len(lane), lane.rows, lane.nbytes) == (0, 0, 0)
    assert not lane.remove([calls[0]])


def test_of_a_call_in_pieces_only_the_rows_that_are_left_wait() -> None:
    large = call_of(9)
    large.rows_done = 4
    lane = lane_of(large)
    assert lane.rows == 5
    assert lane.remove([large])
    assert lane.rows == 0


def test_lane_knows_whether_anybody_brought_a_deadline_and_call_knows_its_lane() -> None:
    patient, hurried = call_of(1), call(deadline=NOW)
    lane = lane_of(patient)
    assert not lane.has_deadlines
    lane.append(hurried)
    assert lane.has_deadlines
    assert patient.waits_in is hurried.waits_in is lane


def test_pace_is_the_time_between_rows() -> None:
    flow = Flow(CostCurve())
    flow.arrival(NOW, 1)
    assert flow.gap_s == math.inf
    flow.arrival(NOW + 8.0, 4)
    assert flow.gap_s == 2.0
    for number in range(200):
        flow.arrival(NOW + 9.0 + number, 1)
    assert flow.gap_s == pytest.approx(1.0, rel=1e-3)


def test_clock_that_two_threads_read_in_the_other_order_makes_no_negative_pace() -> None:
    flow = Flow(CostCurve())
    flow.arrival(NOW, 1)
    flow.arrival(NOW - 1.0, 1)
    assert flow.gap_s == 0.0
