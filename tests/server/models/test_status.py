"""States keep the words and the order that status reports and metrics are written in."""

from __future__ import annotations

from hotgraph_server.models.status import IndexRow, State, VersionStatus


def test_states_are_in_the_order_of_a_versions_life() -> None:
    assert [state.value for state in State] == [
        "known",
        "waiting",
        "loading",
        "live",
        "draining",
        "closed",
        "failed",
    ]


def test_what_was_not_said_of_a_version_is_nothing_bad() -> None:
    assert VersionStatus(1, State.LIVE).error is None
    assert IndexRow("m") == IndexRow("m", number=None, state=None, reason="")
