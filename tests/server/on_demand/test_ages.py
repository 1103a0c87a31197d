"""GreedyDual-Size: LRU among equals, and what is dear stays longer."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.on_demand.ages import Ages

GIB = 2**30


@pytest.mark.parametrize("cost_s", [0.0, 0.5, 100.0])
@given(calls=st.lists(st.integers(0, 9), max_size=200))
def test_among_models_that_cost_alike_it_is_lru_exactly(cost_s: float, calls: list[int]) -> None:
    ages, there = Ages(), OrderedDict[str, None]()
    for number in calls:
        name = f"m{number}"
        if name not in there and len(there) == 4:
            oldest = next(iter(there))
            assert ages.least_first(there)[0] == oldest
            ages.gave_up(oldest)
            del there[oldest]
        there[name] = None
        there.move_to_end(name)
        ages.called(name, cost_s, GIB)
    assert ages.least_first(there) == list(there)


def test_the_one_whose_reload_costs_more_for_each_byte_stays_longer() -> None:
    ages = Ages()
    ages.called("slow", 8.0, GIB)
    ages.called("quick", 1.0, GIB)
    ages.called("large", 8.0, 16 * GIB)
    assert ages.least_first(["slow", "quick", "large"]) == ["large", "quick", "slow"]


def test_even_the_dearest_goes_when_it_is_not_called_any_more() -> None:
    ages = Ages()
    ages.called("dear", 10.0, GIB)
    gone = []
    for _ in range(30):
        ages.called("a", 1.0, GIB)
        ages.called("b", 1.0, GIB)
        first = ages.least_first(["dear", "a", "b"])[0]
        gone.append(first)
        if first == "dear":
            break
        ages.gave_up(first)
    assert gone[-1] == "dear"
    assert 5 < len(gone) < 20


def test_a_model_that_was_never_called_goes_first() -> None:
    ages = Ages()
    ages.called("a", 1.0, GIB)
    assert ages.least_first(["a", "new"]) == ["new", "a"]


def test_what_goes_for_another_reason_makes_nothing_older() -> None:
    ages = Ages()
    ages.called("dear", 10.0, GIB)
    ages.forget("dear")
    ages.called("cheap", 1.0, GIB)
    ages.called("dear", 2.0, GIB)
    assert ages.least_first(["dear", "cheap"]) == ["cheap", "dear"]
