"""loadtest/sending/merging.py."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.histograms import Histogram
from hotgraph_client.loadtest.load import Answer, Arrivals, Assignment, Destination, Interval, Payload
from hotgraph_client.loadtest.sending.merging import (
    Merger,
    assignments_for,
    ended_of,
    interval_of,
    sum_of,
)
from hotgraph_client.loadtest.sending.messages import Finished, Known
from hotgraph_client.loadtest.sending.schedule import schedule_of


def assigned(arrivals: Arrivals, **more: Any) -> Assignment:
    return Assignment(
        Destination("h", 1, "h:1"), (Payload("/p", (), b""),), arrivals, begin_s=0.0, seconds=10.0, **more
    )


def due(assignment: Assignment) -> list[tuple[float, int]]:
    schedule, taken = schedule_of(assignment, 0.0), []
    while schedule.next_due < 100.0:
        taken.append(schedule.take())
    return taken


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_equal_distances_stay_equal_over_all_processes(count: int) -> None:
    whole = assigned(Arrivals("uniform", rate=210.0, phase=0.001))
    spread = [moment for part in assignments_for(count, whole) for moment, _ in due(part)]
    assert sorted(spread) == pytest.approx([moment for moment, _ in due(whole)], abs=1e-9)


def test_independent_calls_share_the_rate_and_no_chances() -> None:
    parts = [due(part) for part in assignments_for(3, assigned(Arrivals("poisson", rate=900.0)))]
    assert [len(part) for part in parts] == pytest.approx([3000] * 3, rel=0.1)
    assert parts[0][:20] != parts[1][:20] != parts[2][:20]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_call_of_a_trace_is_made_by_one(count: int) -> None:
    moments = np.sort(np.random.default_rng(3).uniform(0.0, 9.9, 101))
    order = np.arange(101)
    whole = assigned(Arrivals("trace", moments=moments), order=order)
    spread = sorted(call for part in assignments_for(count, whole) for call in due(part))
    assert spread == list(zip(moments.tolist(), order.tolist(), strict=True))


@pytest.mark.parametrize(("callers", "spread"), [(7, [3, 2, 2]), (2, [1, 1]), (3, [1, 1, 1])])
def test_callers_are_spread(callers: int, spread: list[int]) -> None:
    parts = assignments_for(3, assigned(Arrivals("closed", callers=callers)))
    assert [part.arrivals.callers for part in parts] == spread


def test_bytes_for_answers_are_those_of_all() -> None:
    parts = assignments_for(4, assigned(Arrivals("poisson", rate=1.0), keep_bytes=1000))
    assert [part.keep_bytes for part in parts] == [250] * 4
    with pytest.raises(ValueError, match="0 processes"):
        assignments_for(0, assigned(Arrivals("poisson", rate=1.0)))


KNOWN = st.builds(
    lambda second, due, errors, latency, lag: Known(
        second, due, len(latency), len(latency), errors, array("I", latency), array("I", lag)
    ),
    second=st.integers(-2, 9),
    due=st.integers(0, 9),
    errors=st.dictionaries(st.sampled_from(["LATE", "UNAVAILABLE"]), st.integers(1, 5)),
    latency=st.lists(st.integers(1, 10**6), max_size=4),
    lag=st.lists(st.integers(1, 10**6), max_size=4),
)


@given(st.lists(KNOWN, max_size=30))
def test_what_was_told_in_parts_adds_up(told: list[Known]) -> None:
    merger = Merger()
    for known in told:
        merger.add(known)
    intervals = merger.intervals()
    assert [one.second for one in intervals] == sorted({known.second for known in told})
    for interval in intervals:
        parts = [known for known in told if known.second == interval.second]
        assert interval.due == sum(part.due for part in parts)
        assert interval.answered == interval.rows == sum(part.answered for part in parts)
        for status in ("LATE", "UNAVAILABLE"):
            assert interval.errors.get(status, 0) == sum(part.errors.get(status, 0) for part in parts)
        latencies = [value for part in parts for value in part.latency_us]
        assert interval.latency == Histogram.of(latencies).encode()
        lags = [value for part in parts for value in part.lag_us]
        assert interval.lag == Histogram.of(lags).encode()
    # The same, from the increments that others hear of.
    summed: dict[int, Interval] = {}
    for one in map(interval_of, told):
        summed[one.second] = sum_of(summed[one.second], one) if one.second in summed else one
    assert [summed[second] for second in sorted(summed)] == intervals


def test_same_answers_of_several_processes_are_one() -> None:
    def finished(answers: list[Answer], texts: dict[str, str]) -> Finished:
        return Finished([], answers, 2, 0.5, 3.0, texts)

    ended = ended_of(
        [],
        [
            finished([Answer(1, (), b"a", 3), Answer(0, (("x", "1"),), b"b", 1)], {"LATE": ""}),
            finished(
                [Answer(0, (("x", "2"),), b"b", 4), Answer(0, (), b"a", 1)], {"LATE": "", "UNKNOWN": "?"}
            ),
        ],
        7.0,
        "",
    )
    assert ended.answers == [
        Answer(0, (("x", "1"),), b"b", 5),
        Answer(0, (), b"a", 1),
        Answer(1, (), b"a", 3),
    ]
    assert (ended.unchecked, ended.cpu_s, ended.seconds, ended.began_s) == (4, 1.0, 3.0, 7.0)
    assert ended.error_texts == {"LATE": "", "UNKNOWN": "?"}
