from __future__ import annotations

import pytest

from hotgraph_server.models.status import State
from hotgraph_server.repository.policy import Actions, next_actions, pause_s, wanted
from hotgraph_server.settings import AllVersions, Latest, RepositorySettings, Specific, VersionPolicy
from hotgraph_server.settings.model import may_be_several

W, L, V, D, C, F = (
    State.WAITING,
    State.LOADING,
    State.LIVE,
    State.DRAINING,
    State.CLOSED,
    State.FAILED,
)


@pytest.mark.parametrize(
    ("present", "policy", "expected"),
    [
        ({1, 3, 2}, Latest(), [3]),
        ({1, 3, 2}, Latest(2), [3, 2]),
        ({1}, Latest(5), [1]),
        ({-1, 0}, Latest(), [0]),
        ({1, 3, 2}, AllVersions(), [3, 2, 1]),
        ({1, 3, 2}, Specific((1, 3, 9)), [3, 1]),
        ({1}, Specific((9,)), []),
        (set(), Latest(), []),
        ({1, 2}, None, []),
    ],
)
def test_policy_chooses_among_what_is_there(
    present: set[int], policy: VersionPolicy | None, expected: list[int]
) -> None:
    assert wanted(present, policy) == expected


@pytest.mark.parametrize(
    ("present", "states", "policy", "expected"),
    [
        pytest.param({1}, {}, Latest(), Actions(load=(1,)), id="what is new is loaded"),
        pytest.param({1, 2, 3}, {}, AllVersions(), Actions(load=(3, 2, 1)), id="the highest is loaded first"),
        pytest.param(
            {1, 2}, {1: V}, Latest(), Actions(load=(2,)), id="the old one stays while the new loads"
        ),
        pytest.param({1, 2}, {1: V, 2: L}, Latest(), Actions(), id="what loads is not loaded again"),
        pytest.param({1, 2}, {1: V, 2: V}, Latest(), Actions(unload=(1,)), id="then the old one goes"),
        pytest.param({1, 2}, {1: V, 2: F}, Latest(), Actions(), id="a failed load keeps the old one"),
        pytest.param({1, 2}, {1: D, 2: V}, Latest(), Actions(), id="what drains is left alone"),
        pytest.param(
            {1, 2, 3}, {1: V, 2: V, 3: V}, Latest(), Actions(unload=(1, 2)), id="the lowest is unloaded first"
        ),
        pytest.param(
            {2, 3},
            {1: V, 2: V},
            Latest(2),
            Actions(load=(3,), unload=(1,)),
            id="one of two that are wanted is enough",
        ),
        pytest.param(set(), {3: V}, Latest(), Actions(), id="what vanished from the disk goes on"),
        pytest.param(
            {1, 2}, {3: V}, Latest(), Actions(load=(2,)), id="it goes when a lower one can take over"
        ),
        pytest.param({1, 2}, {2: V, 3: V}, Latest(), Actions(unload=(3,)), id="as soon as that is live"),
        pytest.param({1, 2}, {2: V}, Specific((1,)), Actions(load=(1,)), id="pinned back: first load"),
        pytest.param(
            {1, 2}, {1: V, 2: V}, Specific((1,)), Actions(unload=(2,)), id="pinned back: then unload"
        ),
        pytest.param({1}, {1: V}, Specific((9,)), Actions(), id="pinned to what is not there: stays"),
        pytest.param(
            {1, 2, 3}, {1: V, 2: W}, Latest(), Actions(load=(3,), drop=(2,)), id="overtaken in the queue"
        ),
        pytest.param({1, 2, 3}, {1: V, 2: L}, Latest(), Actions(load=(3,)), id="overtaken while it loads"),
        pytest.param({1}, {1: C}, Latest(), Actions(load=(1,)), id="wanted again after it was closed"),
        pytest.param({1}, {1: D}, Latest(), Actions(), id="wanted again while it drains: when it is closed"),
        pytest.param(
            {1, 2}, {1: V, 2: L, 3: W}, None, Actions(unload=(1,), drop=(3,)), id="model not served any more"
        ),
        pytest.param({1}, {1: F}, None, Actions(), id="nothing to unload"),
    ],
)
def test_next_actions(
    present: set[int], states: dict[int, State], policy: VersionPolicy | None, expected: Actions
) -> None:
    assert next_actions(present, states, policy) == expected


def test_failed_version_is_loaded_again_only_when_its_time_has_come() -> None:
    assert next_actions({2}, {1: V, 2: F}, Latest()) == Actions()
    assert next_actions({2}, {1: V, 2: F}, Latest(), retry={2}) == Actions(load=(2,))
    assert next_actions({3}, {1: V, 2: F, 3: F}, Latest(), retry={2}) == Actions()


def test_pauses_double_up_to_the_limit_and_then_there_is_no_more_try() -> None:
    settings = RepositorySettings(load_retry_s=60, max_load_retries=7)
    pauses = [pause_s(failures, settings) for failures in range(1, 9)]
    assert pauses == [3.75, 7.5, 15, 30, 60, 60, 60, None]


def test_without_retries_the_first_failure_is_the_last() -> None:
    assert pause_s(1, RepositorySettings(max_load_retries=0)) is None


def test_many_failures_overflow_nothing() -> None:
    assert pause_s(100_000, RepositorySettings(load_retry_s=60, max_load_retries=10**6)) == 60


@pytest.mark.parametrize(
    ("policy", "several"),
    [
        (Latest(), False),
        (Latest(2), True),
        (Specific((3,)), False),
        (Specific((1, 3)), True),
        (AllVersions(), True),
    ],
)
def test_policy_tells_whether_versions_may_be_beside_each_other(policy: VersionPolicy, several: bool) -> None:
    assert may_be_several(policy) is several
