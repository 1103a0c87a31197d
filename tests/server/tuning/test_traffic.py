from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.simulator import Arrival
from hotgraph_server.tuning.traffic import (
    Senseless,
    Trace,
    as_arrivals,
    logged_traffic,
    poisson_traffic,
    read_trace,
    rows_of,
    spread_over_seconds,
    trace_of,
)


def test_random_calls_come_at_their_rate_with_their_sizes_and_the_same_every_time() -> None:
    traffic = poisson_traffic(200.0, {1: 3.0, 8: 1.0})
    trace = traffic.trace(10_000, seed=1)
    assert trace.seconds == pytest.approx(50.0, rel=0.05)
    assert np.mean(trace.rows == 8) == pytest.approx(0.25, abs=0.02)
    assert set(trace.rows.tolist()) == {1, 8}
    assert traffic.rows_per_s == pytest.approx(200 * (3 + 8) / 4)
    assert traffic.most_rows == 8
    assert np.array_equal(trace.moments, traffic.trace(10_000, seed=1).moments)
    assert not np.array_equal(trace.moments, traffic.trace(10_000, seed=2).moments)


def test_one_of_several_servers_gets_its_share_of_a_random_load() -> None:
    whole, part = poisson_traffic(200.0).trace(10_000, 1), poisson_traffic(200.0).trace(10_000, 1, 0.25)
    assert part.seconds == pytest.approx(4 * whole.seconds)


def logged() -> Trace:
    return Trace(np.arange(1000, dtype=np.float64) * 0.01 + 5.0, np.arange(1000) % 2 + 1)


def test_a_log_is_replayed_at_its_own_pace_or_another() -> None:
    traffic = logged_traffic(logged())
    assert traffic.rate == pytest.approx(100.0)
    assert dict(traffic.rows) == {1: 500.0, 2: 500.0}
    trace = traffic.trace(1000, seed=1)
    assert np.diff(trace.moments) == pytest.approx(0.01)
    faster = logged_traffic(logged(), rate=400.0)
    assert faster.rate == 400.0
    assert np.diff(faster.trace(1000, 1).moments) == pytest.approx(0.0025)
    assert np.diff(traffic.at(50.0).trace(1000, 1).moments) == pytest.approx(0.02)


def test_a_share_of_a_log_is_drawn_from_it() -> None:
    trace = logged_traffic(logged()).trace(200, seed=3, share=0.25)
    assert 150 < len(trace.moments) < 250
    steps = np.diff(trace.moments) / 0.01
    assert np.all(np.abs(steps - np.round(steps)) < 1e-6)


def test_a_log_without_a_pace_is_refused() -> None:
    with pytest.raises(Senseless, match="--rate"):
        logged_traffic(Trace(np.zeros(3), np.ones(3, np.int64)))


def test_calls_whose_seconds_alone_are_known_are_spread_over_them() -> None:
    trace = spread_over_seconds([100] * 50 + [103] * 50, [1] * 50 + [2] * 50)
    assert trace.moments[0] == 0.0
    assert np.all(np.diff(trace.moments) >= 0)
    assert trace.rows.tolist() == [1] * 50 + [2] * 50
    assert trace.moments[50] - trace.moments[49] > 2.0


@pytest.mark.parametrize(
    ("text", "rows"),
    [("4", {4: 1.0}), ("1,4,16", {1: 1.0, 4: 1.0, 16: 1.0}), ("1:9,16:1", {1: 9.0, 16: 1.0})],
)
def test_sizes_are_written_as_load_tests_have_them(text: str, rows: dict[int, float]) -> None:
    assert rows_of(text) == rows


@given(st.text("0123456789:,.-x ", max_size=12))
def test_any_other_text_is_refused_as_senseless(text: str) -> None:
    try:
        rows = rows_of(text)
    except Senseless:
        return
    assert rows
    assert all(size >= 1 and 0 < weight < math.inf for size, weight in rows.items())


def test_arrivals_carry_deadlines_and_lanes() -> None:
    trace = Trace(np.array([0.0, 1.0]), np.array([2, 3]))
    assert as_arrivals(trace, timeout_s=0.5) == [Arrival(0.0, 2, 0.5), Arrival(1.0, 3, 1.5)]
    assert all(one.lane is None for one in as_arrivals(trace, joins=False))
    assert trace_of([Arrival(3.0, 3), Arrival(2.0, 2)]).moments.tolist() == [0.0, 1.0]


def test_trace_is_read_line_by_line_with_a_default_for_all_but_the_moment() -> None:
    lines = [
        '{"at_s": 0.25, "rows": 2, "deadline_ms": 50, "priority": 3, "lane": "images"}',
        "",
        '{"at_s": 1, "lane": null}',
        '{"at_s": 2, "deadline_ms": null}',
    ]
    assert read_trace(lines) == [
        Arrival(0.25, 2, 0.30, 3, "images"),
        Arrival(1.0, lane=None),
        Arrival(2.0),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "at 3",
        "[]",
        "{}",
        '{"at_s": "1"}',
        '{"at_s": true}',
        '{"at_s": NaN}',
        f'{{"at_s": 1{"0" * 400}}}',
        '{"at_s": 1, "row": 2}',
        '{"at_s": 1, "rows": 0}',
        '{"at_s": 1, "rows": 1.5}',
        '{"at_s": 1, "priority": 0}',
        '{"at_s": 1, "deadline_ms": 0}',
        '{"at_s": 1, "lane": 7}',
    ],
)
def test_line_that_is_no_call_is_named(line: str) -> None:
    with pytest.raises(Senseless, match="line 2 of the trace"):
        read_trace(['{"at_s": 0}', line])


def test_trace_without_calls_is_refused() -> None:
    with pytest.raises(Senseless, match="no calls"):
        read_trace(["", " "])
