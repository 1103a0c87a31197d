"""samplings.py: which calls are drawn, for one model and for all."""

from __future__ import annotations

from hotgraph_server.observability.tracing.configs import TraceConfig
from hotgraph_server.observability.tracing.samplings import Samplings

TIMESTAMPS = frozenset({"TIMESTAMPS"})


def samplings(rate: int = 1, count: int = -1, level: frozenset[str] = TIMESTAMPS) -> Samplings:
    return Samplings(TraceConfig(level, rate=rate, count=count))


def drawn(of: Samplings, calls: int, model: str = "m") -> list[int]:
    """Which of so many calls were drawn, from 1."""
    return [n for n in range(1, calls + 1) if of.draw(model) is not None]


def test_every_call_of_a_rate_is_drawn() -> None:
    assert drawn(samplings(rate=3), 10) == [3, 6, 9]
    assert drawn(samplings(rate=1), 3) == [1, 2, 3]


def test_nothing_is_drawn_while_off_or_at_the_rate_0() -> None:
    off = samplings(level=frozenset())
    assert not off.any_active
    assert drawn(off, 5) == []
    assert drawn(samplings(rate=0), 5) == []


def test_count_ends_drawing_and_what_is_left_of_it_is_shown() -> None:
    counted = samplings(rate=2, count=2)
    assert counted.shown().count == 2
    assert drawn(counted, 3) == [2]
    assert counted.shown().count == 1
    assert drawn(counted, 10) == [1]
    assert counted.shown().count == 0


def test_count_that_is_said_again_counts_from_then() -> None:
    counted = samplings(count=1)
    assert drawn(counted, 3) == [1]
    counted.change({"count": 2})
    assert drawn(counted, 5) == [1, 2]


def test_models_without_words_of_their_own_share_one_rate() -> None:
    shared = samplings(rate=2)
    assert [shared.draw(name) is not None for name in "abab"] == [False, True, False, True]
    assert not shared._said.keys() - {""}, "a name that a caller invents is not remembered"


def test_model_has_its_own_words_field_by_field() -> None:
    both = samplings(rate=2)
    both.change({"rate": 3}, "m")
    both.change({"log_frequency": 7})
    assert (both.shown("m").rate, both.shown("m").log_frequency) == (3, 7)
    assert (both.shown().rate, both.shown("other").rate) == (2, 2)
    assert drawn(both, 6, "m") == [3, 6]
    assert drawn(both, 6, "other") == [2, 4, 6]


def test_model_can_be_traced_alone() -> None:
    alone = samplings(level=frozenset())
    alone.change({"level": TIMESTAMPS}, "m")
    assert alone.any_active
    assert drawn(alone, 2, "other") == []
    found = alone.draw("m")
    assert found is not None
    assert (found.of, found.level) == ("m", TIMESTAMPS)


def test_model_can_be_left_out() -> None:
    rest = samplings()
    rest.change({"level": frozenset()}, "m")
    assert drawn(rest, 2, "m") == []
    assert drawn(rest, 2, "other") == [1, 2]


def test_forgotten_word_of_a_model_is_that_for_all_again_and_of_all_that_of_the_start() -> None:
    forgetful = samplings(rate=2)
    forgetful.change({"rate": 5})
    forgetful.change({"rate": 9}, "m")
    assert forgetful.shown("m").rate == 9
    forgetful.change({"rate": None}, "m")
    assert forgetful.shown("m").rate == 5
    forgetful.change({"rate": None})
    assert forgetful.shown("m").rate == 2
    assert drawn(forgetful, 4, "m") == [2, 4]


def test_count_for_all_starts_anew_for_models_that_have_none_of_their_own() -> None:
    counted = samplings()
    counted.change({"rate": 1}, "a")
    counted.change({"count": 1}, "b")
    counted.change({"count": 2})
    assert [len(drawn(counted, 5, name)) for name in ("a", "b", "c")] == [2, 1, 2]
    counted.change({"count": 1})
    assert [len(drawn(counted, 5, name)) for name in ("a", "b", "c")] == [1, 0, 1]
