"""The index and whether all is well, from what is known of each model."""

from __future__ import annotations

import pytest

from hotgraph_server.model_control.discovery import Discovery
from hotgraph_server.model_control.index import all_well, rows
from hotgraph_server.models.status import IndexRow, State, VersionStatus


class FakeModels:
    def __init__(self, *, nothing: str | None = None, **known: list[VersionStatus]) -> None:
        self._known = known
        self._nothing = nothing

    def models(self) -> list[str]:
        return list(self._known)

    def statuses(self, name: str) -> list[VersionStatus]:
        return self._known.get(name, [])

    def why_nothing(self, name: str) -> str | None:
        return self._nothing if name in self._known else None


def status(state: State, number: int = 1, error: str | None = None) -> VersionStatus:
    return VersionStatus(number, state, error)


def test_rows_are_by_name_and_say_why_a_version_does_not_answer() -> None:
    models = FakeModels(
        b=[status(State.LIVE, 2), status(State.CLOSED, 1)], a=[status(State.FAILED, 3, "broken")]
    )
    assert rows(models, {"a", "b"}, Discovery(), {}) == [
        IndexRow("a", 3, State.FAILED, "broken"),
        IndexRow("b", 2, State.LIVE),
        IndexRow("b", 1, State.CLOSED, "unloaded"),
    ]


def test_model_without_versions_tells_what_is_known_of_it() -> None:
    models = FakeModels(nothing="no version", empty=[])
    offers = Discovery({}, {"refused": "two of them"})
    assert rows(models, {"empty"}, offers, {"fault": "broken"}) == [
        IndexRow("empty", None, State.FAILED, "no version"),
        IndexRow("fault", None, State.FAILED, "broken"),
        IndexRow("refused", None, State.FAILED, "two of them"),
    ]


def test_model_that_nobody_has_looked_at_yet_is_loading() -> None:
    assert rows(FakeModels(new=[]), {"new"}, Discovery(), {}) == [IndexRow("new", None, State.LOADING)]


@pytest.mark.parametrize(
    ("states", "well"),
    [
        ([], False),
        ([State.LIVE], True),
        ([State.LIVE, State.CLOSED, State.DRAINING], True),
        ([State.LIVE, State.LOADING], False),
        ([State.LIVE, State.WAITING], False),
        ([State.LIVE, State.FAILED], False),
        ([State.FAILED], False),
        ([State.CLOSED], False),
    ],
)
def test_all_is_well_when_every_version_is_live_or_unloaded(states: list[State], well: bool) -> None:
    models = FakeModels(m=[status(state, number) for number, state in enumerate(states)])
    assert all_well(models, {"m"}, ()) is well
    assert all_well(models, (), ())


def test_model_that_goes_on_by_an_older_version_is_well() -> None:
    models = FakeModels(m=[status(State.LIVE)], n=[])
    assert all_well(models, {"m"}, {"m"})
    assert not all_well(models, {"m"}, {"n"})
