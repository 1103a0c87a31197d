"""Which writes may be answered, and when a snapshot is due: by policy, moment and what is on disk."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hotgraph_server.state.durability import RETRY_S, Durability, DurabilityPolicy, Values

NOW = 1000.0
EVERY_WRITE = DurabilityPolicy(every_write=True)


def values(number: int) -> Values:
    return {"x": np.array(number)}


class Told:
    """Notes who was told."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def of(self, name: str) -> Caller:
        return Caller(self, name)


class Caller:
    def __init__(self, told: Told, name: str) -> None:
        self.told, self.name = told, name

    def __call__(self, problem: str | None) -> None:
        self.told.names.append(self.name)


def names(callbacks: object) -> list[str]:
    assert isinstance(callbacks, list)
    return [one.name for one in callbacks]


@pytest.mark.parametrize(
    ("policy", "answered"),
    [
        (DurabilityPolicy(), [True, True, True]),
        (DurabilityPolicy(every_s=1.0), [True, True, True]),
        (DurabilityPolicy(every_writes=2), [True, True, False]),
        (EVERY_WRITE, [False, False, False]),
    ],
)
def test_crash_costs_no_more_answered_writes_than_the_policy_says(
    policy: DurabilityPolicy, answered: list[bool]
) -> None:
    durability, told = Durability(policy, values(0)), Told()
    assert [durability.wrote(values(n), told.of("w"), NOW) for n in range(1, 4)] == answered
    assert (durability.writes, durability.saved, int(durability.values["x"])) == (3, 0, 3)


def test_snapshot_is_due_by_number_or_by_the_age_of_the_first_write_that_none_has() -> None:
    tell = Told().of("w")
    never = Durability(DurabilityPolicy(), values(0))
    never.wrote(values(1), tell, NOW)
    assert never.due_at() == math.inf
    counted = Durability(DurabilityPolicy(every_writes=2), values(0))
    counted.wrote(values(1), tell, NOW)
    assert counted.due_at() == math.inf
    counted.wrote(values(2), tell, NOW)
    assert counted.due_at() == -math.inf
    timed = Durability(DurabilityPolicy(every_s=5.0), values(0))
    assert timed.due_at() == math.inf
    timed.wrote(values(1), tell, NOW)
    timed.wrote(values(2), tell, NOW + 1.0)
    assert timed.due_at() == NOW + 5.0


def test_write_that_comes_while_a_snapshot_is_written_goes_into_the_next() -> None:
    durability, told = Durability(DurabilityPolicy(every_s=5.0, every_writes=9), values(0)), Told()
    durability.wrote(values(1), told.of("first"), NOW)
    writes, taken = durability.take()
    assert (writes, int(taken["x"])) == (1, 1)
    durability.wrote(values(2), told.of("second"), NOW + 2.0)
    # Until it is known that the first is on disk, its age counts.
    assert durability.due_at() == NOW + 5.0
    assert durability.took(writes) == []
    assert (durability.saved, durability.due_at()) == (1, NOW + 7.0)


def test_all_that_a_snapshot_holds_are_answered_by_it_in_their_order() -> None:
    durability, told = Durability(EVERY_WRITE, values(0)), Told()
    for name in ("a", "b"):
        durability.wrote(values(1), told.of(name), NOW)
    writes, _ = durability.take()
    durability.wrote(values(2), told.of("c"), NOW)
    assert names(durability.took(writes)) == ["a", "b"]
    assert names(durability.took(durability.take()[0])) == ["c"]


def test_snapshot_that_fails_ends_those_that_wait_for_it_and_is_tried_again_later() -> None:
    durability, told = Durability(EVERY_WRITE, values(0)), Told()
    durability.wrote(values(1), told.of("a"), NOW)
    writes, _ = durability.take()
    assert names(durability.failed(writes, NOW)) == ["a"]
    assert (durability.saved, durability.due_at()) == (0, NOW + RETRY_S)
    # A write is a reason to try at once.
    durability.wrote(values(2), told.of("b"), NOW)
    assert durability.due_at() == -math.inf


def test_those_that_came_while_it_was_written_do_not_wait_out_the_failure() -> None:
    durability, told = Durability(EVERY_WRITE, values(0)), Told()
    durability.wrote(values(1), told.of("a"), NOW)
    writes, _ = durability.take()
    durability.wrote(values(2), told.of("b"), NOW)
    assert names(durability.failed(writes, NOW)) == ["a"]
    assert durability.due_at() == -math.inf
    assert names(durability.took(durability.take()[0])) == ["b"]


def test_snapshot_that_is_asked_for_is_due_at_once_unless_there_is_one() -> None:
    durability, told = Durability(DurabilityPolicy(), values(0)), Told()
    assert durability.ask(told.of("early"))
    durability.wrote(values(1), told.of("w"), NOW)
    assert not durability.ask(told.of("asked"))
    assert durability.due_at() == -math.inf
    writes, _ = durability.take()
    durability.wrote(values(2), told.of("w"), NOW)
    assert not durability.ask(told.of("late"))
    assert names(durability.took(writes)) == ["asked"]
    assert names(durability.failed(durability.take()[0], NOW)) == ["late"]


def test_replaced_state_is_in_no_snapshot_whatever_its_number() -> None:
    durability = Durability(DurabilityPolicy(every_s=5.0), values(7), writes=7, saved=7)
    assert durability.due_at() == math.inf
    durability.replace(values(3), 3)
    assert (durability.writes, durability.saved, int(durability.values["x"])) == (3, 2, 3)
    assert durability.due_at() == -math.inf


def test_state_that_no_snapshot_has_at_the_beginning_is_due() -> None:
    assert Durability(DurabilityPolicy(every_s=5.0), values(7), writes=7, saved=-1).due_at() == -math.inf


def test_state_that_is_given_up_is_never_due() -> None:
    durability, told = Durability(EVERY_WRITE, values(0)), Told()
    durability.replace(values(3), 3)
    durability.ask(told.of("asked"))
    durability.give_up()
    assert durability.due_at() == math.inf
    assert durability.ask(told.of("again"))
