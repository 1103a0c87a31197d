"""What loads have shown of models, and how long one that fails is left alone."""

from __future__ import annotations

import math

import pytest

from hotgraph_server.on_demand.learnt import Learnt


def test_a_load_is_expected_to_take_as_long_as_the_shortest_did() -> None:
    learnt = Learnt(60.0)
    for load_s in (3.0, 2.0, 9.0):
        learnt.loaded("a", load_s, 100)
    assert learnt.load_s("a", 100) == 2.0


def test_of_one_that_was_never_loaded_the_quickest_of_all_by_bytes_is_expected() -> None:
    learnt = Learnt(60.0)
    assert learnt.load_s("new", 10**9) == 0.0
    learnt.loaded("a", 2.0, 100)
    learnt.loaded("b", 1.0, 100)
    learnt.loaded("nothing", 1.0, 0)
    assert learnt.load_s("new", 300) == 3.0


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    learnt = Learnt(16.0)
    pauses = [learnt.failed("a", "why", 100.0).until - 100.0 for _ in range(7)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0]
    learnt.loaded("a", 1.0, 1)
    assert learnt.failure("a") is None
    assert learnt.failed("a", "why", 0.0).until == 1.0


def test_years_of_failures_are_no_overflow() -> None:
    learnt = Learnt(86_400.0)
    for _ in range(5000):
        failure = learnt.failed("a", "why", 0.0)
    assert failure.until == 86_400.0


def test_who_asks_for_it_by_name_has_it_tried_at_once() -> None:
    learnt = Learnt(60.0)
    learnt.failed("a", "why", 100.0)
    learnt.forgive("a")
    failure = learnt.failure("a")
    assert failure is not None
    assert failure.until == -math.inf
    learnt.forgive("nobody")
    assert learnt.failed("a", "why", 100.0).count == 2


@pytest.mark.parametrize("kept", [{}, {"b": None}])
def test_of_models_that_are_known_no_more_nothing_is_kept(kept: dict[str, object]) -> None:
    learnt = Learnt(60.0)
    learnt.loaded("a", 2.0, 100)
    learnt.holds("a", 1, 100)
    learnt.failed("a", "why", 0.0)
    learnt.forget_but(kept)
    assert learnt.bytes_of("a", 1) is None
    assert learnt.failure("a") is None
    # What bytes cost is no model's own.
    assert learnt.load_s("a", 100) == 2.0
