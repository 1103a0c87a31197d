from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.models.memory_usage import Basis
from hotgraph_server.repository.growth import Growth, Part, Reading


def at(nbytes: int) -> Reading:
    return Reading(tensors=nbytes, divided=0)


def test_one_load_alone_has_all_of_the_growth() -> None:
    growth = Growth()
    growth.begin("a", at(100))
    growth.ended("a", 30)
    assert growth.is_idle
    assert growth.parts(at(150)) == {"a": Part(50, Basis.MEASURED)}


def test_loads_that_overlap_share_it_by_their_tensors_when_the_last_has_ended() -> None:
    growth = Growth()
    growth.begin("a", at(100))
    growth.begin("b", at(10_000))
    growth.ended("a", 99)
    assert not growth.is_idle
    growth.begin("c", None)
    growth.ended("b", 199)
    growth.ended("c", 99)
    assert growth.parts(at(900)) == {
        "a": Part(200, Basis.SHARED),
        "b": Part(400, Basis.SHARED),
        "c": Part(200, Basis.SHARED),
    }


def test_what_closes_in_between_is_added() -> None:
    growth = Growth()
    growth.gave_back(5000)
    growth.begin("a", at(100))
    growth.gave_back(70)
    growth.ended("a", 0)
    assert growth.parts(at(50)) == {"a": Part(20, Basis.MEASURED)}


def test_each_time_without_loads_begins_anew() -> None:
    growth = Growth()
    growth.begin("a", at(0))
    growth.ended("a", 1)
    growth.begin("b", at(1000))
    growth.ended("b", 1)
    assert growth.parts(at(1001)) == {"b": Part(1, Basis.MEASURED)}


def test_what_overlaps_with_a_failure_is_not_known() -> None:
    growth = Growth()
    growth.begin("a", at(0))
    growth.begin("b", None)
    growth.ended("a", 1)
    growth.failed("b")
    assert growth.is_idle
    assert growth.parts(at(1000)) == {}
    growth.begin("c", at(1000))
    growth.ended("c", 1)
    assert growth.parts(at(1010)) == {"c": Part(10, Basis.MEASURED)}


def test_nothing_shrinks_by_a_load() -> None:
    growth = Growth()
    growth.begin("a", at(100))
    growth.ended("a", 1)
    assert growth.parts(at(50))["a"].nbytes == 0


@pytest.mark.parametrize(
    ("before", "now", "taken"),
    [
        # Where TensorFlow counts, what was mapped are its regions.
        (Reading(0, 10, 100, 1), Reading(60, 15, 500, 2), 65),
        (Reading(0, None, None, 1), Reading(60, None, None, 2), 60),
        (Reading(None, 10, 100, 1), Reading(None, 15, 500, 2), 405),
        # Before the first load TensorFlow is not asked, and then it turns out not to count.
        (Reading(0, 10, 100), Reading(None, 15, 500), 405),
        (Reading(resident=10), Reading(resident=17), 7),
        (Reading(0, resident=10), Reading(None, resident=7), -3),
        (Reading(), Reading(1, 2, 3, 4), None),
        (Reading(divided=1), Reading(divided=2), None),
    ],
)
def test_who_counts_best_is_believed(before: Reading, now: Reading, taken: int | None) -> None:
    assert now.since(before) == taken


@given(
    st.lists(st.tuples(st.integers(0, 2**40), st.booleans()), min_size=1, max_size=20), st.integers(0, 2**50)
)
def test_parts_are_never_more_than_was_taken_and_nearly_all_of_it(
    loads: list[tuple[int, bool]], taken: int
) -> None:
    growth = Growth()
    growth.begin("first", at(7))
    for number, (size, early) in enumerate(loads):
        growth.begin(number, None)
        if early:
            growth.ended(number, size)
    growth.ended("first", 5)
    for number, (size, early) in enumerate(loads):
        if not early:
            growth.ended(number, size)
    parts = growth.parts(at(7 + taken))
    assert len(parts) == len(loads) + 1
    assert taken - len(parts) <= sum(part.nbytes for part in parts.values()) <= taken
