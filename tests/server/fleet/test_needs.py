"""What copies take of a replica's time, held against a queue that is played through."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.fleet.needs import ModelNeeds, duty, line_of_costs

RATES = st.floats(0, 1e5)
COSTS = st.floats(0, 1.0)


def played(rate: float, fixed_s: float, per_row_s: float, calls: int = 40_000) -> float:
    """The share of time in runs of an executor that takes all that waits whenever it is free."""
    chance = random.Random(7)
    at_s = free_s = busy_s = 0.0
    waiting = 0
    for _ in range(calls):
        at_s += chance.expovariate(rate)
        while waiting and free_s <= at_s:
            run_s = fixed_s + waiting * per_row_s
            busy_s, free_s, waiting = busy_s + run_s, free_s + run_s, 0
        if free_s <= at_s:
            free_s, busy_s = at_s + fixed_s + per_row_s, busy_s + fixed_s + per_row_s
        else:
            waiting += 1
    return busy_s / max(at_s, free_s)


@pytest.mark.parametrize("rate", [10, 100, 200, 300, 600])
@pytest.mark.parametrize(("fixed_ms", "per_row_ms"), [(2.0, 0.0), (2.0, 0.5), (0.5, 1.5), (0.0, 1.5)])
def test_duty_is_that_of_a_queue(rate: float, fixed_ms: float, per_row_ms: float) -> None:
    told = duty(rate, fixed_ms / 1000, per_row_ms / 1000)
    assert told == pytest.approx(played(rate, fixed_ms / 1000, per_row_ms / 1000), abs=0.06)


@given(RATES, RATES, COSTS, COSTS)
def test_duty_is_a_share_and_grows_with_the_rate(one: float, other: float, fixed: float, row: float) -> None:
    less, more = sorted([one, other])
    assert 0 <= duty(less, fixed, row) <= duty(more, fixed, row) + 1e-12
    assert duty(more, fixed, row) <= 1


@given(RATES, COSTS, COSTS, st.floats(0.05, 0.9))
def test_copies_below_a_duty_are_the_fewest(rate: float, fixed: float, row: float, most: float) -> None:
    needs = ModelNeeds(0, rate, fixed, row)
    copies = needs.copies_below(most)
    assert needs.duty(copies) <= most or copies >= 100_000
    assert copies == 1 or needs.duty(copies - 1) > most


@pytest.mark.parametrize(
    ("curve", "line"),
    [
        ((), (0.0, 0.0)),
        (((1, 2.0),), (0.0, 0.002)),
        (((4, 2.0),), (0.0, 0.0005)),
        (((1, 2.0), (33, 18.0)), (0.0015, 0.0005)),
        # Dearer by the row where there are more: nothing is saved by batches.
        (((1, 1.0), (2, 4.0)), (0.0, 0.001)),
        (((1, 3.0), (8, 2.0)), (0.003, 0.0)),
    ],
)
def test_costs_by_rows_are_taken_for_a_line(
    curve: tuple[tuple[int, float], ...], line: tuple[float, float]
) -> None:
    assert line_of_costs(curve) == pytest.approx(line)
