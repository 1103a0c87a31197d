"""What has come of a model that was asked for, from its record alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.errors import LoadError
from hotgraph_server.models.status import State, Unavailable
from hotgraph_server.repository.entry import Entry
from hotgraph_server.repository.layout import Found, Look
from hotgraph_server.repository.outcome import outcome_of, what_is_open, why_nothing
from hotgraph_server.repository.records import Record
from hotgraph_server.repository.tree import Tree
from hotgraph_server.settings import AllVersions, FolderSettings, ModelSettings

BROKEN = LoadError("model 'm' version 1", "broken")


def found(number: int = 1, **what: Any) -> Found:
    return Found(Path(f"/m/{number}"), Tree(frozenset({("saved_model.pb", 1, 0)}), 0), **what)


def record(*versions: Found, look: bool = True, **settings: Any) -> Record:
    """Of a model whose folder holds these."""
    one = Record(ModelSettings("m", Path("/m"), versions=AllVersions(), **settings))
    if look:
        one.saw(Look({int(each.folder.name): each for each in versions}, ()))
    return one


def taken_up(one: Record, number: int, state: State, **what: Any) -> Entry:
    one.take_up(number)
    entry = one.entries[number]
    entry.state = state
    for name, value in what.items():
        setattr(entry, name, value)
    return entry


def unavailable(one: Record) -> list[Unavailable]:
    found = outcome_of(one, patient=False)
    assert found is not None
    return found


def both(one: Record) -> tuple[Any, Any]:
    """The outcome for who is patient, and for who is not."""
    return outcome_of(one, patient=True), outcome_of(one, patient=False)


def test_model_that_nobody_serves_is_settled() -> None:
    one = record(found())
    one.served = False
    assert both(one) == ([], [])


def test_all_is_open_before_the_first_look() -> None:
    one = record(look=False)
    assert both(one) == (None, None)
    assert what_is_open(one) == "a look at the folder of model 'm'"


@pytest.mark.parametrize("state", [State.WAITING, State.LOADING, State.DRAINING])
def test_version_that_is_under_way_is_open(state: State) -> None:
    one = record(found())
    assert both(one) == (None, None)
    taken_up(one, 1, state)
    assert both(one) == (None, None)


@pytest.mark.parametrize("state", [State.WAITING, State.LOADING])
def test_what_is_waited_for_is_named_the_highest_version_first(state: State) -> None:
    one = record(found(1), found(2))
    taken_up(one, 1, State.LOADING)
    taken_up(one, 2, state)
    assert what_is_open(one) == f"model 'm' version 2, which is {state.value}"


def test_live_version_is_available() -> None:
    one = record(found())
    taken_up(one, 1, State.LIVE)
    assert both(one) == ([], [])


def test_version_that_failed_is_not_and_stays_open_only_while_it_is_tried_again_for_the_patient() -> None:
    one = record(found())
    entry = taken_up(one, 1, State.FAILED, error=BROKEN)
    failed = [Unavailable("m", 1, BROKEN)]
    assert both(one) == (failed, failed)
    entry.retry_at = 5.0
    assert both(one) == (None, failed)
    assert what_is_open(one) == "model 'm' version 1, which is tried again: model 'm' version 1: broken"


def test_successor_that_failed_is_told_though_the_version_before_it_is_live() -> None:
    one = record(found())
    taken_up(one, 1, State.LIVE)
    one.successors[1] = Entry(1, found(), one.settings, State.FAILED, error=BROKEN)
    assert outcome_of(one, patient=False) == [Unavailable("m", 1, BROKEN)]


def test_model_without_versions_is_unavailable_and_open_for_the_patient() -> None:
    one = record()
    (why,) = unavailable(one)
    assert (why.number, str(why.error)) == (None, "/m: holds no version that is to be served")
    assert outcome_of(one, patient=True) is None
    assert what_is_open(one) == "/m: holds no version that is to be served"


def test_live_version_whose_files_have_gone_settles_a_model_that_is_polled_and_no_other() -> None:
    for polled in (True, False):
        one = record(found(), folder=FolderSettings(polled=polled))
        taken_up(one, 1, State.LIVE)
        one.saw(Look({}, ()))
        assert (outcome_of(one, patient=False) == []) is polled


def test_version_that_is_live_but_not_from_what_is_there_now_is_not_what_was_asked_for() -> None:
    one = record(found(), folder=FolderSettings(polled=False))
    taken_up(one, 1, State.LIVE)
    one.saw(Look({1: found(missing="no saved_model.pb")}, ()))
    (why,) = unavailable(one)
    assert "no saved_model.pb" in str(why.error)


def test_look_that_is_to_come_leaves_all_open() -> None:
    one = record(found())
    taken_up(one, 1, State.LIVE)
    one.again_at = 7.0
    assert both(one) == (None, None)
    one.again_at = math.inf
    assert both(one) == ([], [])


def test_why_nothing_says_what_is_wrong_with_the_folder_or_its_highest_version() -> None:
    one = record(found(1), found(2, missing="no saved_model.pb"))
    assert str(why_nothing(one)) == "/m: version 2 is not complete: no saved_model.pb"
    unreadable = record(found(3, missing="Permission denied", unreadable=True), found(2, missing="nothing"))
    assert str(why_nothing(unreadable)) == "/m/3: Permission denied"
    one.saw(BROKEN)
    assert why_nothing(one) is BROKEN
    assert outcome_of(one, patient=False) == [Unavailable("m", None, BROKEN)]


def test_version_that_seems_unfinished_is_waited_for_with_the_reason() -> None:
    one = record(found(hint="its index names a shard that is not there"))
    assert what_is_open(one) == (
        "model 'm' version 1, which is not complete yet: its index names a shard that is not there"
    )
