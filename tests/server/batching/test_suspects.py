from __future__ import annotations

import random

import pytest

from hotgraph_server.batching.suspects import (
    APART_AT,
    BACK_AT,
    FIRST_S,
    FORGET_S,
    MAX_KNOWN,
    MAX_S,
    Suspects,
)


def fail(suspects: Suspects, times: int, peer: str = "p", now: float = 0.0) -> float:
    """Returns what came of the last failure."""
    return [suspects.ended(peer, "s", 1, 0, now) for _ in range(times)][-1]


def test_peer_that_keeps_failing_is_a_suspect_for_a_while_and_for_one_signature() -> None:
    suspects = Suspects()
    assert fail(suspects, APART_AT - 1) == 0.0
    assert (suspects.is_one("p", "s", 0.0), suspects.over_at > 0.0) == (False, False)
    assert fail(suspects, 1, now=5.0) == FIRST_S
    assert suspects.is_one("p", "s", 5.0)
    assert suspects.at(5.0) == {"s": 1}
    assert suspects.over_at == 5.0 + FIRST_S
    assert not suspects.is_one("p", "other", 5.0)
    assert not suspects.is_one("q", "s", 5.0)
    assert not suspects.is_one("p", "s", 5.0 + FIRST_S)
    assert suspects.at(5.0 + FIRST_S) == {}


def test_each_time_is_twice_as_long_up_to_a_minute() -> None:
    suspects, now, times = Suspects(), 0.0, []
    fail(suspects, APART_AT - 1)
    for _ in range(8):
        times.append(suspects.ended("p", "s", 1, 0, now))
        # What fails meanwhile makes it no longer.
        assert suspects.ended("p", "s", 1, 0, now) == 0.0
        now += times[-1]
    assert times == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, MAX_S]


def test_answers_bring_it_back_at_once() -> None:
    suspects = Suspects()
    fail(suspects, 2 * APART_AT)
    for _ in range(APART_AT - BACK_AT):
        assert suspects.is_one("p", "s", 0.0)
        suspects.ended("p", "s", 0, 1, 0.0)
    assert not suspects.is_one("p", "s", 0.0)
    suspects.ended("p", "s", 0, 1, 0.0)
    # Nothing is left of it.
    assert suspects.known == 0
    assert fail(suspects, APART_AT) == FIRST_S


@pytest.mark.parametrize("together", [1, 32, 64])
@pytest.mark.parametrize(("share", "most"), [(0.08, 2), (0.2, 200)])
def test_connection_with_some_poison_among_many_calls_is_hardly_ever_suspected(
    share: float, most: int, together: int
) -> None:
    suspects, chance = Suspects(), random.Random(1)
    suspected = 0
    for number in range(400_000 // together):
        suspected += suspects.is_one("proxy", "s", number / 1000)
        failed = sum(chance.random() < share for _ in range(together))
        suspects.ended("proxy", "s", failed, together - failed, number / 1000)
    assert suspected <= most * (APART_AT - BACK_AT) * 2


def test_as_many_peers_are_known_as_there_is_room_for_and_those_of_long_ago_are_forgotten() -> None:
    suspects = Suspects()
    for number in range(3 * MAX_KNOWN):
        suspects.ended(number, "s", 1, 0, 0.0)
    assert suspects.known == MAX_KNOWN
    suspects.ended("p", "s", 1, 0, FORGET_S)
    assert suspects.known == 1


def test_suspect_that_is_forgotten_is_none_for_ever() -> None:
    suspects = Suspects()
    fail(suspects, APART_AT)
    for number in range(2 * MAX_KNOWN):
        fail(suspects, APART_AT, f"q{number}")
    assert suspects.at(0.0)["s"] <= MAX_KNOWN + 1
