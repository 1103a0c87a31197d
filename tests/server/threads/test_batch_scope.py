"""What is done once for many."""

from __future__ import annotations

import threading

import pytest

from hotgraph_server.threads.batch_scope import BatchScope


@pytest.fixture
def scope() -> BatchScope:
    return BatchScope()


def test_outside_of_a_scope_nothing_is_postponed(scope: BatchScope) -> None:
    assert not scope.postpone(lambda: None)


def test_action_is_done_once_when_the_scope_ends(scope: BatchScope) -> None:
    done: list[str] = []

    def act() -> None:
        done.append("acted")

    with scope:
        assert scope.postpone(act)
        assert scope.postpone(act)
        assert done == []
    assert done == ["acted"]
    assert not scope.postpone(act)


def test_actions_are_done_in_the_order_in_which_they_were_first_named(scope: BatchScope) -> None:
    done: list[str] = []
    first, second = (lambda: done.append("first")), (lambda: done.append("second"))
    with scope:
        for action in (first, second, first):
            scope.postpone(action)
    assert done == ["first", "second"]


def test_actions_are_done_however_the_scope_ends(scope: BatchScope) -> None:
    done: list[str] = []

    def break_off() -> None:
        with scope:
            scope.postpone(lambda: done.append("acted"))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        break_off()
    assert done == ["acted"]
    assert not scope.postpone(lambda: None)


def test_scope_of_one_thread_is_no_other_threads(scope: BatchScope) -> None:
    seen: list[bool] = []
    with scope:
        other = threading.Thread(target=lambda: seen.append(scope.postpone(lambda: None)))
        other.start()
        other.join()
    assert seen == [False]


def test_scope_is_of_no_other_scopes_concern(scope: BatchScope) -> None:
    with scope:
        assert not BatchScope().postpone(lambda: None)


def test_what_an_action_does_is_not_postponed(scope: BatchScope) -> None:
    """It may itself end calls, and by then no end is to come at which that could be done."""
    seen: list[bool] = []
    with scope:
        scope.postpone(lambda: seen.append(scope.postpone(lambda: None)))
    assert seen == [False]
