"""Who is served in a round, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.sockets.round_robin import RoundRobin

ROUND_S, SHARE_S = 0.005, 0.002


def begin(turns: RoundRobin[str], *ready: str) -> list[str]:
    return list(turns.begin(ready, ROUND_S, SHARE_S))


def test_passed_over_come_first_then_the_new_then_the_unfinished() -> None:
    turns = RoundRobin[str]()
    assert begin(turns, "greedy", "passed", "idle") == ["greedy", "passed", "idle"]
    turns.unfinished["greedy"] = None
    turns.pass_over(["passed"])
    assert begin(turns, "new") == ["passed", "new", "greedy"]
    assert list(turns.new) == ["passed", "new"]
    assert begin(turns) == []


def test_unfinished_with_something_new_is_served_once() -> None:
    turns = RoundRobin[str]()
    begin(turns, "greedy")
    turns.unfinished["greedy"] = None
    assert begin(turns, "greedy", "new") == ["greedy", "new"]


def test_unfinished_that_is_passed_over_comes_before_all_others() -> None:
    turns = RoundRobin[str]()
    begin(turns, "one", "two")
    turns.unfinished |= {"one": None, "two": None}
    assert begin(turns) == ["one", "two"]
    turns.unfinished["one"] = None
    turns.pass_over(["two"])
    assert begin(turns, "new") == ["two", "new", "one"]
    assert list(turns.new) == ["new"]


def test_who_comes_last_is_served_though_all_have_more_and_more() -> None:
    turns = RoundRobin[str]()
    served: set[str] = set()
    for _ in range(20):
        first, *rest = begin(turns, *"abcdef")
        served.add(first)
        turns.unfinished[first] = None
        turns.pass_over(rest)
    assert served == set("abcdef")


def test_round_is_shared_by_the_new_and_a_part_of_it_by_the_unfinished() -> None:
    turns = RoundRobin[str]()
    begin(turns, "one")
    assert turns.share_s == SHARE_S
    begin(turns, *"abcdefghij")
    assert turns.share_s == ROUND_S / 10
    turns.unfinished |= dict.fromkeys("abcdefgh")
    begin(turns, "new")
    assert turns.share_s == SHARE_S / 8


@given(st.lists(st.tuples(st.sets(st.integers(0, 5)), st.integers(0, 6), st.sets(st.integers(0, 5)))))
def test_who_has_something_is_served_in_one_of_the_next_rounds(
    rounds: list[tuple[set[int], int, set[int]]],
) -> None:
    """However many there is time for: always the first, so each waits for those before it only."""
    turns = RoundRobin[int]()
    waiting: dict[int, int] = {}  # for so many rounds
    for ready, time_for, unfinished in rounds:
        for one in ready:
            waiting.setdefault(one, 0)
        order = list(turns.begin(sorted(ready), ROUND_S, SHARE_S))
        assert set(order) == set(waiting)
        served, rest = order[: 1 + time_for], order[1 + time_for :]
        for one in served:
            del waiting[one]
            if one in unfinished:
                turns.unfinished[one] = None
                waiting[one] = 0
        if rest:
            turns.pass_over(rest)
        for one in rest:
            waiting[one] += 1
            # Six of them, each of which may come before it once.
            assert waiting[one] <= 6
