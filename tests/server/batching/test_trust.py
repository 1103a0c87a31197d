"""Which joined calls are compared, whatever batches and pauses they come in."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.trust import AT_LEAST_EVERY_S, FIRST, Trust

NEVER = 10**9

BATCHES = st.lists(st.tuples(st.integers(1, 64), st.sampled_from([0.0, 0.001, 1.0, 31.0])), max_size=60)
"""Calls of a batch, and seconds since the one before."""


class Played:
    """Batches played to a Trust: the running numbers that were compared, and the moments."""

    def __init__(self, trust: Trust, batches: list[tuple[int, float]], now: float = 0.0) -> None:
        self.before: list[int] = []
        self.later: list[int] = []
        self.moments: list[float] = []
        self.doublings = 0
        for calls, pause_s in batches:
            now += pause_s
            joined = trust.joined
            if not trust.passes(calls, now):
                due = trust.take(calls, now)
                assert all(0 <= index < calls for index in due.before)
                self.before += [joined + index + 1 for index in due.before]
                self.later += [] if due.later is None else [joined + due.later + 1]
                self.moments += [now] if due.before else []
                self.doublings += due.doubled
            assert trust.joined == joined + calls


@given(BATCHES, st.sampled_from([1, FIRST]), st.integers(0, 5000))
def test_trust_is_never_doubled_without_a_check(
    batches: list[tuple[int, float]], first: int, earlier: int
) -> None:
    trust = Trust(NEVER, first, earlier)
    compared = Played(trust, batches).before
    joined, previous = trust.joined, earlier
    for number in [*compared, joined]:
        assert number <= 2 * max(previous, 1)
        previous = number
    assert compared == sorted(set(compared))


@given(BATCHES, st.integers(0, 100))
def test_of_what_nothing_is_proven_the_first_joined_calls_are_all_compared(
    batches: list[tuple[int, float]], earlier: int
) -> None:
    trust = Trust(NEVER, FIRST, earlier)
    compared = Played(trust, batches).before
    assert {number for number in range(earlier + 1, trust.joined + 1) if number <= FIRST} <= set(compared)


@given(BATCHES, st.sampled_from([1, FIRST]), st.sampled_from([1, 10, NEVER]))
def test_no_minute_with_joined_calls_passes_without_a_check(
    batches: list[tuple[int, float]], first: int, one_in: int
) -> None:
    moments = Played(Trust(one_in, first), batches).moments
    now, latest = 0.0, 0.0
    for calls, pause_s in batches:
        assert calls
        now += pause_s
        latest = max([moment for moment in moments if moment <= now], default=now)
        assert now - latest < AT_LEAST_EVERY_S


@given(BATCHES, st.integers(1, 100))
def test_one_in_so_many_is_compared_later_unless_it_was_before(
    batches: list[tuple[int, float]], one_in: int
) -> None:
    trust = Trust(one_in, 1)
    played = Played(trust, batches)
    assert set(played.later).isdisjoint(played.before)
    numbers = [0, *sorted([*played.later, *played.before]), trust.joined]
    # The next is counted from the end of a batch, so it may be as much later.
    assert all(b - a <= one_in + 64 for a, b in pairwise(numbers))


def test_numbers_that_are_compared_before_they_leave() -> None:
    proven, unknown = Trust(NEVER, 1), Trust(NEVER)
    ones = [(1, 0.0)] * 300
    assert Played(proven, ones).before == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert Played(unknown, ones).before == [*range(1, 65), 128, 256]
    assert Played(Trust(NEVER, 1), [(64, 0.0)]).before == [1, 2, 4, 8, 16, 32, 64]


def test_first_joined_call_after_a_restart_is_compared_and_then_trust_goes_on() -> None:
    assert Played(Trust(NEVER, FIRST, 1000), [(4, 0.0)] * 50).before == [1001, 1024]


def test_after_a_check_that_told_nothing_one_of_the_next_batch_is_due() -> None:
    trust = Trust(NEVER, 1)
    Played(trust, [(32, 0.0)])
    trust.put_off()
    assert not trust.passes(2, 0.0)
    assert len(trust.take(2, 0.0).before) == 1
    assert trust.passes(2, 0.0)


def test_it_is_said_when_there_are_twice_as_many() -> None:
    trust = Trust(NEVER, FIRST)
    assert Played(trust, [(2, 0.0)] * 64).doublings == 7
    assert trust.joined == 128


def test_lost_trust_lets_nothing_pass() -> None:
    trust = Trust(NEVER, 1, 1000)
    Played(trust, [(8, 0.0)])
    trust.lose("output 'y' differs")
    assert not trust.passes(2, 0.0)
    assert (trust.joined, trust.difference) == (0, "output 'y' differs")
