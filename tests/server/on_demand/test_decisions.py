"""What goes and what comes, whatever there is: the rules at the head of decisions.py."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.on_demand.decisions import (
    LOOK_AGAIN_S,
    Phase,
    Resident,
    Steps,
    Wish,
    expected_s,
    next_steps,
    room_for,
)

COMING, LIVE, LEAVING = Phase.COMING, Phase.LIVE, Phase.LEAVING


def by_name(names: Iterable[str]) -> Sequence[str]:
    return sorted(names)


def steps(limit: float, residents: Sequence[Resident], wishes: Sequence[Wish], slots: int = 2) -> Steps:
    return next_steps(limit, residents, wishes, by_name, slots, 100.0)


def live(name: str, nbytes: int, **other: object) -> Resident:
    return Resident(name, nbytes, LIVE, **other)  # type: ignore[arg-type]


def test_what_fits_is_begun_in_the_order_of_the_calls() -> None:
    found = steps(100, [live("a", 40)], [Wish("z", 30), Wish("b", 30)])
    assert found == Steps((), ("z", "b"))


def test_no_more_are_begun_than_there_are_slots() -> None:
    wishes = [Wish(name, 1) for name in "bcd"]
    assert steps(100, [], wishes).begin == ("b", "c")
    assert steps(100, [Resident("a", 1, COMING)], wishes).begin == ("b",)
    assert steps(100, [Resident("a", 1, COMING), Resident("x", 1, COMING)], wishes).begin == ()


def test_what_does_not_fit_waits_until_what_goes_for_it_is_gone() -> None:
    assert steps(100, [live("a", 60), live("b", 40)], [Wish("c", 50)]) == Steps(("a",))
    assert steps(100, [Resident("a", 60, LEAVING), live("b", 40)], [Wish("c", 50)]) == Steps()
    assert steps(100, [live("b", 40)], [Wish("c", 50)]) == Steps((), ("c",))


def test_nothing_is_given_up_where_that_would_not_be_enough() -> None:
    found = steps(100, [live("a", 20), live("b", 80, busy=True)], [Wish("c", 50)])
    assert found == Steps(look_at=100.0 + LOOK_AGAIN_S)


def test_one_that_does_not_fit_holds_up_those_behind_it() -> None:
    found = steps(100, [live("a", 70, busy=True)], [Wish("large", 50), Wish("small", 10)])
    assert found.begin == ()


def test_those_behind_get_no_room_that_was_made_for_the_first() -> None:
    found = steps(100, [live("a", 50), live("b", 50)], [Wish("c", 50), Wish("d", 50)])
    assert (found.give_up, found.begin) == (("a", "b"), ())
    found = steps(100, [Resident("a", 50, LEAVING), live("b", 40, busy=True)], [Wish("c", 50), Wish("d", 10)])
    assert found.begin == ()


def test_of_those_chosen_the_ones_stay_that_are_not_needed_in_the_end() -> None:
    assert steps(100, [live("a", 10), live("b", 90)], [Wish("c", 80)]).give_up == ("b",)


@pytest.mark.parametrize("stays", [{"pinned": True}, {"busy": True}, {"kept": 100.5}])
def test_who_must_stay_is_not_given_up(stays: dict[str, object]) -> None:
    assert steps(100, [live("a", 60, **stays), live("b", 40)], [Wish("c", 40)]).give_up == ("b",)
    assert steps(100, [live("a", 60, **stays), live("b", 40)], [Wish("c", 50)]).give_up == ()


def test_a_model_that_was_just_loaded_is_looked_at_again_when_its_time_is_over() -> None:
    assert steps(100, [live("a", 90, kept=103.0)], [Wish("c", 40)]).look_at == 103.0
    assert steps(100, [live("a", 90, kept=100.0)], [Wish("c", 40)]).give_up == ("a",)


def test_where_all_that_there_is_stays_nobody_looks_again_for_nothing() -> None:
    assert steps(100, [live("a", 90, pinned=True)], [Wish("c", 40)]) == Steps()


def test_what_is_larger_than_it_was_thought_makes_others_go_at_nobodys_call() -> None:
    found = steps(100, [live("a", 30), live("b", 90)], [])
    assert found.give_up == ("a",)
    found = steps(100, [live("a", 30, busy=True), live("b", 90, pinned=True)], [])
    assert found == Steps(look_at=100.0 + LOOK_AGAIN_S)


def test_a_new_version_that_does_not_fit_beside_the_old_has_that_one_go_first() -> None:
    found = steps(100, [live("a", 60)], [Wish("a", 60, begun=True, answers=True)])
    assert (found.give_up, found.replaced) == (("a",), ("a",))
    found = steps(100, [live("a", 60), live("b", 30)], [Wish("a", 30, begun=True, answers=True)])
    assert (found.give_up, found.replaced) == (("b",), ())


def test_a_pinned_model_goes_for_a_version_of_its_own_and_for_nothing_else() -> None:
    found = steps(100, [live("a", 60, pinned=True)], [Wish("a", 60, begun=True, answers=True)])
    assert (found.give_up, found.replaced) == (("a",), ("a",))
    assert steps(100, [live("a", 60, pinned=True)], [Wish("b", 60, begun=True)]).give_up == ()


@pytest.mark.parametrize("stays", [{"busy": True}, {"kept": 100.5}])
def test_a_new_version_of_a_live_model_holds_up_nobody(stays: dict[str, object]) -> None:
    found = steps(100, [live("a", 60, **stays)], [Wish("a", 60, begun=True, answers=True), Wish("b", 30)])
    assert found.begin == ("b",)
    assert math.isfinite(found.look_at)


def test_what_has_been_begun_is_not_begun_again_and_has_its_room() -> None:
    assert steps(100, [], [Wish("a", 60, begun=True), Wish("b", 60)]).begin == ()


def test_without_a_limit_nothing_goes() -> None:
    assert steps(math.inf, [live("a", 2**50)], [Wish("b", 2**50)]) == Steps((), ("b",))


def test_room_is_all_but_what_is_pinned() -> None:
    assert room_for(100, [live("a", 30, pinned=True), live("b", 30)]) == 70


def test_a_load_is_expected_behind_those_before_it_where_all_slots_are_taken() -> None:
    assert expected_s(2.0, [], 2) == 2.0
    assert expected_s(2.0, [3.0], 2) == 2.0
    assert expected_s(2.0, [3.0, 1.0], 2) == 4.0


PHASES = st.sampled_from(Phase)
RESIDENTS = st.lists(
    st.builds(
        Resident,
        st.sampled_from("abcdefgh"),
        st.integers(0, 60),
        PHASES,
        st.booleans(),
        st.booleans(),
        st.sampled_from([-math.inf, 99.0, 100.0, 101.0]),
    ),
    unique_by=lambda one: (one.name, one.phase),
    max_size=12,
)
WISHES = st.lists(
    st.builds(Wish, st.sampled_from("abcdefghxyz"), st.integers(0, 120), st.booleans(), st.booleans()),
    unique_by=lambda one: one.name,
    max_size=6,
)


@given(RESIDENTS, WISHES, st.integers(0, 150), st.integers(1, 4))
def test_rules_hold_whatever_there_is(
    residents: list[Resident], wishes: list[Wish], limit: int, slots: int
) -> None:
    found = next_steps(limit, residents, wishes, by_name, slots, 100.0)
    rows = {one.name: one for one in residents if one.phase is LIVE}
    needs = {wish.name: wish.nbytes for wish in wishes}
    assert len(set(found.give_up)) == len(found.give_up)
    for name in found.give_up:
        one = rows[name]
        assert (one.pinned and name not in found.replaced, one.busy) == (False, False)
        assert one.kept <= 100.0
    assert set(found.replaced) <= set(found.give_up) & {wish.name for wish in wishes if wish.answers}
    if found.begin:
        # Never above the limit, nor with what is on its way out.
        held = sum(one.nbytes for one in residents)
        assert held + sum(needs[name] for name in found.begin) <= limit
        coming = {one.name for one in residents if one.phase is COMING}
        assert len(coming) + len(found.begin) <= slots
    begun = {wish.name for wish in wishes if wish.begun}
    assert begun.isdisjoint(found.begin)


@given(RESIDENTS, st.integers(1, 100), st.integers(0, 150))
def test_what_goes_for_a_call_is_enough_for_it(residents: list[Resident], nbytes: int, limit: int) -> None:
    held = sum(one.nbytes for one in residents)
    leaving = sum(one.nbytes for one in residents if one.phase is LEAVING)
    found = next_steps(limit, residents, [Wish("new", nbytes)], by_name, 9, 100.0)
    if found.give_up and held - leaving <= limit:
        going = sum(one.nbytes for one in residents if one.phase is LIVE and one.name in found.give_up)
        assert held - leaving - going + nbytes <= limit
        # And nobody could stay.
        for name in found.give_up:
            one = next(one for one in residents if one.phase is LIVE and one.name == name)
            assert held - leaving - going + one.nbytes + nbytes > limit
