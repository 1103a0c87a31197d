"""What is done once for many."""

from __future__ import annotations

import threading

import pytest

from hotgraph_server.threads.coalescing import at_the_end, together


def test_outside_of_a_block_nothing_is_postponed() -> None:
    assert not at_the_end(lambda: None)


def test_action_is_done_once_when_the_block_is_left() -> None:
    done: list[str] = []

    def act() -> None:
        done.append("acted")

    with together():
        assert at_the_end(act)
        assert at_the_end(act)
        assert done == []
    assert done == ["acted"]
    assert not at_the_end(act)


def test_actions_are_done_in_the_order_in_which_they_were_first_named() -> None:
    done: list[str] = []
    first, second = (lambda: done.append("first")), (lambda: done.append("second"))
    with together():
        for action in (first, second, first):
            at_the_end(action)
    assert done == ["first", "second"]


def test_actions_are_done_however_the_block_ends() -> None:
    done: list[str] = []

    def break_off() -> None:
        with together():
            at_the_end(lambda: done.append("acted"))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        break_off()
    assert done == ["acted"]
    assert not at_the_end(lambda: None)


def test_block_of_one_thread_is_no_other_threads() -> None:
    seen: list[bool] = []
    with together():
        other = threading.Thread(target=lambda: seen.append(at_the_end(lambda: None)))
        other.start()
        other.join()
    assert seen == [False]


def test_what_an_action_does_is_not_postponed() -> None:
    """It may itself end calls, and nobody would come to do what that asks for."""
    seen: list[bool] = []
    with together():
        at_the_end(lambda: seen.append(at_the_end(lambda: None)))
    assert seen == [False]
