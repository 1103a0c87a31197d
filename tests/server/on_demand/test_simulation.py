"""The decisions over thousands of calls on a virtual clock: how near to an ideal LRU they come, and what
damping does where nothing fits."""

from __future__ import annotations

import pytest

from .simulated import ideal_lru_loads, simulate, zipf_calls

MB = 2**20
EQUAL = {f"m{number}": 60 * MB for number in range(200)}


@pytest.mark.parametrize("exponent", [0.9, 1.1, 1.4])
@pytest.mark.parametrize("seed", [1, 2])
def test_equal_models_are_hit_within_three_points_of_an_ideal_lru(exponent: float, seed: int) -> None:
    calls = zipf_calls(200, 4000, 5.0, exponent, seed)
    found = simulate(calls, EQUAL, dict.fromkeys(EQUAL, 0.2), 20 * 60 * MB)
    assert found.unanswered == 0
    assert found.most_held <= 20 * 60 * MB
    rate = 1 - found.loads.total() / len(calls)
    ideal = 1 - ideal_lru_loads(calls, EQUAL, 20 * 60 * MB) / len(calls)
    assert rate >= ideal - 0.03
    assert ideal > 0.3, "the calls are no test"


def test_models_whose_reload_is_dear_are_loaded_less_often_than_by_lru() -> None:
    calls = zipf_calls(60, 6000, 5.0, 0.8)
    # Half of them load ten times as long; which ones has nothing to do with how often they are called.
    load_s = {name: 1.0 if int(name[1:]) % 2 else 0.1 for name in EQUAL}
    found = simulate(calls, EQUAL, load_s, 30 * 60 * MB)
    alike = simulate(calls, EQUAL, dict.fromkeys(EQUAL, 0.1), 30 * 60 * MB)
    spent = sum(load_s[name] * count for name, count in alike.loads.items())
    assert found.load_s < 0.8 * spent


def test_where_nothing_fits_every_model_answers_as_long_as_it_loads() -> None:
    """Three models that take turns, and room for one: each load serves all the calls that came meanwhile."""
    calls = [(0.05 * number, f"m{number % 3}") for number in range(1200)]
    found = simulate(calls, EQUAL, dict.fromkeys(EQUAL, 1.0), 60 * MB, slots=1)
    assert found.unanswered == 0
    # Without damping there could be a load of a second after the other, 60 in a minute.
    assert found.loads.total() <= 33
    assert max(found.waits) < 10.0


def test_pinned_models_stay_whatever_is_called() -> None:
    calls = zipf_calls(50, 2000, 10.0, 1.0)
    found = simulate(calls, EQUAL, dict.fromkeys(EQUAL, 0.1), 10 * 60 * MB, pinned=["m30", "m40"])
    assert found.unanswered == 0
    assert found.loads["m30"] <= 1
    assert found.loads["m40"] <= 1


def test_one_large_model_among_many_small_ones_gets_its_turn() -> None:
    sizes = {**EQUAL, "m0": 500 * MB}
    calls = zipf_calls(100, 3000, 20.0, 0.6)
    found = simulate(calls, sizes, dict.fromkeys(sizes, 0.1), 600 * MB)
    assert found.unanswered == 0
    assert found.loads["m0"] >= 1
    assert found.most_held <= 600 * MB
