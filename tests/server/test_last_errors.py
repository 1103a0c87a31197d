"""The calls that failed last."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.last_errors import KEPT, MAX_TEXT, LastErrors, latest_of

from .fakes import FakeClock


def test_the_last_comes_first() -> None:
    clock = FakeClock()
    errors = LastErrors(wall_clock=clock)
    errors.add("INTERNAL", "one", signature="s")
    clock.now += 1.0
    errors.add("NOT_FOUND", "two", model="nobody")
    two, one = errors.latest()
    assert (two.at_s, two.model, two.version, two.status, two.text) == (
        1001.0,
        "nobody",
        0,
        "NOT_FOUND",
        "two",
    )
    assert (one.at_s, one.signature, one.times) == (1000.0, "s", 1)


def test_version_says_whose_they_are() -> None:
    errors = LastErrors()
    errors.add("INTERNAL", "broke", signature="s")
    (error,) = errors.latest("m", 3)
    assert (error.model, error.version) == ("m", 3)


def test_errors_that_differ_in_numbers_are_one_with_the_last_words() -> None:
    errors = LastErrors()
    errors.add("INTERNAL", "rare")
    for ms in range(10_000):
        errors.add("RESOURCE_EXHAUSTED", f"the answer would come {ms} ms past the deadline")
    late, rare = errors.latest()
    assert (late.text, late.times) == ("the answer would come 9999 ms past the deadline", 10_000)
    assert (rare.text, rare.times) == ("rare", 1)


def test_one_that_comes_again_comes_first() -> None:
    errors = LastErrors()
    for text in ("a", "b", "a"):
        errors.add("INTERNAL", text)
    assert [(one.text, one.times) for one in errors.latest()] == [("a", 2), ("b", 1)]


def test_of_several_tables_the_latest_come_first() -> None:
    clock = FakeClock()
    tables = [LastErrors(wall_clock=clock) for _ in range(3)]
    for turn in range(3):
        for number, table in enumerate(tables):
            clock.now += 1.0
            table.add("INTERNAL", "abc"[turn] + "xyz"[number])
    found = latest_of([table.latest() for table in tables], kept=4)
    assert [one.text for one in found] == ["cz", "cy", "cx", "bz"]


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=200))
def test_whatever_callers_send_it_stays_small_and_counts_right(
    calls: list[tuple[str, str, str]],
) -> None:
    errors = LastErrors(kept=5)
    for text, model, signature in calls:
        errors.add("INTERNAL", text * 50, model=model * 50, signature=signature)
    found = errors.latest()
    assert len(found) <= 5
    assert sum(one.times for one in found) <= len(calls)
    assert bool(found) is bool(calls)
    for one in found:
        assert len(one.text) <= MAX_TEXT
        assert "\n" not in one.text
        assert len(one.model) <= 100


def test_many_threads_lose_none() -> None:
    errors = LastErrors()

    def add() -> None:
        for number in range(500):
            errors.add("INTERNAL", "abcdefgh"[number % 8])

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.times for one in errors.latest()) == 2000
    assert len(errors.latest()) == 8 < KEPT


def test_all_are_counted_though_few_are_kept() -> None:
    errors = LastErrors(kept=1)
    for name in ("a", "b", "c"):
        errors.add("NOT_FOUND", f"no {name}", model=name)
    errors.add("INVALID_ARGUMENT", "no", model="m", counted_for="m")
    assert errors.counts == {("", "NOT_FOUND"): 3, ("m", "INVALID_ARGUMENT"): 1}
