from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.settings import BatchSettings
from hotgraph_server.tuning.costs import TODAY
from hotgraph_server.tuning.prediction import Candidate, Place
from hotgraph_server.tuning.replicas import MOST, Replicas, Trust, fewest, replicas, sizes, trust_of
from hotgraph_server.tuning.search import Problem, Tried

from .curves import curve, problem

D_S = 0.004
ONE_CORE = Place(1, front_s=0.0, waking_s=0.0, path_s=0.0)


def wait_within(t: float, rate: float) -> float:
    """P(wait <= t) of M/D/1 with service time D_S: Crommelin's formula (Tijms, "A First Course in Stochastic
    Models", 2003, equation 9.6.3)."""
    rho = rate * D_S
    terms = (
        (-rate * (t - k * D_S)) ** k / math.factorial(k) * math.exp(rate * (t - k * D_S))
        for k in range(int(t / D_S) + 1)
    )
    return (1 - rho) * sum(terms)


def p99_of_md1(rate: float) -> float:
    low, high = 0.0, 20 * D_S
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if wait_within(middle, rate) < 0.99 else (low, middle)
    return D_S + high


def asked(rate: float, slo: str, trust: Trust | None = None, **more: float) -> list[Replicas]:
    one: Problem = problem(
        curve(lambda _: D_S),
        rate=rate,
        slo=slo,
        base=BatchSettings(max_batch_rows=1),
        place=ONE_CORE,
        effort=1.0,
    )
    default = Candidate(TODAY)
    return list(replicas(one, [Tried(default, one.predict(default, 100, (1,)))], trust or Trust()))


@pytest.mark.parametrize("bound_ms", [12, 16, 24])
def test_fewest_replicas_are_those_of_the_closed_form_for_one_server_each(bound_ms: int) -> None:
    """Of 3,000 calls/s shared by chance each of n gets Poisson's, n times as rarely: n queues M/D/1."""
    fewer, least = asked(3000.0, f"p99<{bound_ms}ms")
    assert (fewer.count, fewer.holds, least.holds) == (least.count - 1, False, True)
    assert least.p99_s == pytest.approx(p99_of_md1(3000.0 / least.count), rel=0.15)
    exact = next(n for n in range(13, 100) if p99_of_md1(3000.0 / n) < bound_ms / 1e3)
    # A tail that is 15 % off at most moves the answer by so much.
    assert least.count == pytest.approx(exact, rel=0.1)


def test_a_load_that_a_queue_could_not_keep_up_with_never_holds_however_short_the_trace() -> None:
    (_, least) = asked(3000.0, "p99<10s")
    assert least.count == 13


def test_one_that_is_enough_is_the_whole_answer() -> None:
    (only,) = asked(10.0, "p99<20ms")
    assert (only.count, only.holds) == (1, True)


def test_what_no_number_can_do_is_said_of_the_most() -> None:
    (only,) = asked(10.0, "p99<3ms")
    assert (only.count, only.holds) == (MOST, False)


def test_what_real_loads_had_of_their_predictions_is_the_error_bar_and_its_upper_end_decides() -> None:
    trust = trust_of([1.2, 0.9, 1.5])
    assert trust == Trust(0.9, 1.2, 1.5, confirmed=True)
    *_, plain = asked(3000.0, "p99<16ms")
    at_best, likely, careful = asked(3000.0, "p99<16ms", trust)
    assert [one.kept for one in (at_best, likely, careful)] == ["at best", "likely", "yes"]
    assert at_best.count < plain.count < likely.count < careful.count
    assert at_best.low_s < 0.016 <= at_best.p99_s
    assert likely.p99_s < 0.016 <= likely.high_s
    assert careful.high_s < 0.016
    assert careful.low_s == pytest.approx(careful.predicted.p99_s * 0.9)
    assert careful.p99_s == pytest.approx(careful.predicted.p99_s * 1.2)
    assert trust_of([]) == Trust()


def test_where_no_number_holds_surely_those_that_may_are_said() -> None:
    found = asked(100.0, "p99<16ms", Trust(0.9, 1.2, 9.0, confirmed=True))
    assert [one.kept for one in found] == ["at best", "likely"]


def test_of_many_ratios_a_moment_of_the_machine_is_left_out() -> None:
    assert trust_of([1.1] * 6 + [40.0]).high == 40.0
    assert trust_of([0.1, *[1.1] * 6, 40.0]) == Trust(1.1, 1.1, 1.1, confirmed=True)


@given(st.integers(1, MOST))
def test_fewest_is_found_wherever_it_lies(least: int) -> None:
    assert fewest(lambda count: count >= least) == least
    assert fewest(lambda count: False) is None


def test_sizes_are_powers_of_two_and_the_whole_machine() -> None:
    assert sizes(1) == [1]
    assert sizes(2) == [1, 2]
    assert sizes(12) == [1, 2, 4, 8, 12]
