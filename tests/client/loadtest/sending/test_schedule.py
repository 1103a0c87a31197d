"""loadtest/sending/schedule.py."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.load import Arrivals, Assignment, Destination, Payload
from hotgraph_client.loadtest.sending.schedule import Schedule, schedule_of

BEGIN = 1000.0


def assigned(arrivals: Arrivals, payloads: int = 1, **more: Any) -> Assignment:
    values: dict[str, Any] = {"begin_s": 0.0, "seconds": 10.0, **more}
    return Assignment(Destination("h", 1, "h:1"), (Payload("/p", (), b""),) * payloads, arrivals, **values)


def scheduled(arrivals: Arrivals, payloads: int = 1, **more: Any) -> Schedule:
    return schedule_of(assigned(arrivals, payloads, **more), BEGIN)


def all_of(schedule: Schedule, most: float = math.inf) -> list[tuple[float, int]]:
    taken = []
    while schedule.next_due < most:
        due = schedule.next_due
        taken.append(schedule.take())
        assert taken[-1][0] == due
    return taken


def moments(schedule: Schedule, most: float = math.inf) -> list[float]:
    return [due for due, _ in all_of(schedule, most)]


def test_poisson_calls_are_independent_and_as_many_as_asked_for() -> None:
    got = moments(scheduled(Arrivals("poisson", rate=1000.0)))
    assert got == sorted(got)
    assert BEGIN < got[0] < got[-1] < BEGIN + 10.0
    assert len(got) == pytest.approx(10_000, rel=0.05)
    gaps = [after - before for before, after in itertools.pairwise(got)]
    # Of an exponential distribution, a share of 1 - 1/e is below the mean.
    assert sum(gap < 0.001 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.02)
    assert moments(scheduled(Arrivals("poisson", rate=1000.0))) == got
    assert moments(scheduled(Arrivals("poisson", rate=1000.0), seed=2)) != got


def test_uniform_calls_keep_their_distance_and_do_not_drift() -> None:
    got = moments(scheduled(Arrivals("uniform", rate=333.0, phase=0.001)))
    assert got == pytest.approx([BEGIN + 0.001 + place / 333.0 for place in range(3330)], abs=1e-9)


def test_warm_up_comes_before_what_is_measured() -> None:
    got = moments(scheduled(Arrivals("uniform", rate=10.0), warm_up_s=2.0, seconds=3.0))
    assert len(got) == 50
    assert got[0] == BEGIN
    assert got[-1] < BEGIN + 5.0


@given(
    st.lists(st.floats(-5.0, 20.0), max_size=3000 // 50).map(sorted),
    st.sampled_from([1, 50]),
)
def test_trace_is_followed_with_its_payloads(at: list[float], times: int) -> None:
    at = sorted(at * times)
    order = np.arange(len(at)) % 7
    schedule = scheduled(
        Arrivals("trace", moments=np.asarray(at, dtype=np.float64)),
        payloads=7,
        order=order,
        warm_up_s=2.0,
    )
    wanted = [
        (moment + BEGIN + 2.0, int(payload))
        for moment, payload in zip(at, order, strict=True)
        if BEGIN <= moment + BEGIN + 2.0 < BEGIN + 12.0
    ]
    assert all_of(schedule) == wanted


def test_trace_needs_a_payload_for_each_moment() -> None:
    with pytest.raises(ValueError, match="2 moments of a trace, and payloads for 1"):
        scheduled(Arrivals("trace", moments=np.array([1.0, 2.0])), order=np.array([0]))
    with pytest.raises(ValueError, match="moments"):
        scheduled(Arrivals("trace"))


def test_caller_of_a_closed_loop_calls_again_when_the_call_before_is_over() -> None:
    schedule = scheduled(Arrivals("closed", callers=2))
    assert [schedule.take()[0], schedule.take()[0]] == [BEGIN, BEGIN]
    assert schedule.next_due == math.inf
    schedule.call_over(BEGIN + 3.0, "")
    assert schedule.take()[0] == BEGIN + 3.0
    assert schedule.next_due == math.inf


def test_caller_who_reaches_nobody_pauses() -> None:
    schedule = scheduled(Arrivals("closed", callers=1))
    schedule.take()
    schedule.call_over(BEGIN + 1.0, "UNREACHABLE")
    assert schedule.next_due == pytest.approx(BEGIN + 1.1)


def test_no_caller_calls_after_the_end() -> None:
    schedule = scheduled(Arrivals("closed", callers=1))
    schedule.take()
    schedule.call_over(BEGIN + 10.0, "")
    assert schedule.next_due == math.inf


def test_payloads_go_in_turn_over_the_pieces_in_which_they_are_drawn() -> None:
    taken = [payload for _, payload in all_of(scheduled(Arrivals("uniform", rate=300.0), payloads=7))]
    assert taken == [place % 7 for place in range(3000)]


def test_weighted_payloads_come_as_often_as_they_weigh() -> None:
    schedule = scheduled(Arrivals("uniform", rate=1000.0), payloads=3, weights=(1.0, 0.0, 3.0))
    counts = Counter(payload for _, payload in all_of(schedule))
    assert set(counts) == {0, 2}
    assert counts[2] / counts.total() == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0), (1.0, -1.0), (1.0, math.nan), (1.0, math.inf)])
def test_weights_that_make_no_sense_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="weights"):
        scheduled(Arrivals("poisson", rate=1.0), payloads=2, weights=weights)


@pytest.mark.parametrize("kind", ["poisson", "uniform"])
def test_rate_can_be_changed_at_any_moment(kind: Any) -> None:
    schedule = scheduled(Arrivals(kind, rate=100.0))
    before = moments(schedule, BEGIN + 5.005)
    schedule.change(1000.0, BEGIN + 5.005)
    after = moments(schedule)
    assert len(before) == pytest.approx(500, rel=0.2)
    assert len(after) == pytest.approx(5000, rel=0.1)
    assert after[0] > BEGIN + 5.005
    assert after == sorted(after)


@pytest.mark.parametrize("kind", ["poisson", "uniform"])
def test_what_was_due_before_a_change_stays_due(kind: Any) -> None:
    untouched = moments(scheduled(Arrivals(kind, rate=100.0)), BEGIN + 5.005)
    schedule = scheduled(Arrivals(kind, rate=100.0))
    taken = moments(schedule, BEGIN + 4.0)
    # The sender is a second late.
    schedule.change(1000.0, BEGIN + 5.005)
    assert taken + moments(schedule, BEGIN + 5.005) == untouched
    assert schedule.next_due > BEGIN + 5.005


@pytest.mark.parametrize("kind", ["poisson", "uniform"])
def test_rate_of_nothing_is_a_pause(kind: Any) -> None:
    schedule = scheduled(Arrivals(kind, rate=100.0))
    schedule.change(0.0, BEGIN - 0.001)
    assert schedule.next_due == math.inf
    schedule.change(100.0, BEGIN + 9.0)
    assert len(moments(schedule)) == pytest.approx(100, rel=0.5)


def test_mix_can_be_changed_at_any_moment() -> None:
    schedule = scheduled(Arrivals("uniform", rate=100.0), payloads=3)
    before = [payload for _, payload in all_of(schedule, BEGIN + 2.005)]
    schedule.weigh((0.0, 1.0, 0.0))
    after = all_of(schedule)
    assert set(before) == {0, 1, 2}
    assert {payload for _, payload in after} == {1}
    assert len(before) + len(after) == 1000
    with pytest.raises(ValueError, match="weights"):
        schedule.weigh((1.0,))


def test_mix_of_callers_can_be_changed_and_the_order_of_a_trace_cannot() -> None:
    callers = scheduled(Arrivals("closed", callers=3), payloads=2)
    callers.weigh((0.0, 1.0))
    assert [callers.take()[1] for _ in range(3)] == [1, 1, 1]
    trace = scheduled(Arrivals("trace", moments=np.arange(4.0)), payloads=2, order=np.array([0, 0, 1, 0]))
    trace.weigh((0.0, 1.0))
    assert [payload for _, payload in all_of(trace)] == [0, 0, 1, 0]


@pytest.mark.parametrize(
    "arrivals",
    [
        Arrivals("poisson", rate=100.0),
        Arrivals("uniform", rate=100.0),
        Arrivals("trace", moments=np.arange(0.0, 10.0, 0.01)),
        Arrivals("closed", callers=5),
    ],
    ids=lambda arrivals: str(arrivals.kind),
)
def test_nothing_is_due_after_a_stop(arrivals: Arrivals) -> None:
    schedule = scheduled(arrivals)
    schedule.take()
    schedule.stop()
    assert schedule.next_due == math.inf
    schedule.call_over(BEGIN + 1.0, "")
    schedule.change(50.0, BEGIN + 1.0)
    assert schedule.next_due == math.inf


@pytest.mark.parametrize("rate", [-1.0, math.inf, math.nan])
@pytest.mark.parametrize(
    "setting", [lambda rate: scheduled(Arrivals("poisson", rate=rate)), lambda rate: changed(rate)]
)
def test_rates_that_make_no_sense_are_refused(setting: Callable[[float], object], rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        setting(rate)


def changed(rate: float) -> None:
    scheduled(Arrivals("uniform", rate=1.0)).change(rate, BEGIN)
