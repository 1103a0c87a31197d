"""Loads of what was given up a moment before: counted, measured against the time, told once in a while."""

from __future__ import annotations

from hotgraph_server.on_demand.thrash import WARN_EVERY_S, WINDOW_S, Thrash


def test_only_what_was_given_up_within_the_window_is_a_reload() -> None:
    thrash = Thrash()
    assert not thrash.loaded("a", 1.0, 10.0)
    thrash.gave_up("a", 20.0)
    assert thrash.loaded("a", 1.0, 30.0)
    assert not thrash.loaded("a", 1.0, 40.0)
    thrash.gave_up("a", 50.0)
    assert not thrash.loaded("a", 1.0, 50.0 + WINDOW_S + 1.5)
    assert thrash.reloads == 1


def test_share_is_of_the_last_window_alone() -> None:
    thrash = Thrash()
    for at in (0.0, 10.0):
        thrash.gave_up("a", at)
        thrash.loaded("a", 6.0, at + 6)
    assert thrash.share(20.0) == 12.0 / WINDOW_S
    assert thrash.share(6.0 + WINDOW_S + 1) == 6.0 / WINDOW_S
    assert thrash.share(1000.0) == 0.0


def test_it_is_told_once_in_a_while() -> None:
    thrash = Thrash()
    told = []
    for second in range(0, int(2 * WARN_EVERY_S), 10):
        thrash.gave_up("a", second)
        thrash.loaded("a", 5.0, second + 5)
        told.append(thrash.is_to_be_told(second + 5))
    assert told.count(True) == 2


def test_few_reloads_are_no_thrash() -> None:
    thrash = Thrash()
    thrash.gave_up("a", 0.0)
    thrash.loaded("a", 5.0, 5.0)
    assert not thrash.is_to_be_told(6.0)


def test_the_working_set_is_what_was_called_in_the_window() -> None:
    thrash = Thrash()
    thrash.called("a", 10, 0.0)
    thrash.called("b", 20, 50.0)
    assert thrash.working_set(55.0) == {"a": 10, "b": 20}
    assert thrash.working_set(WINDOW_S + 1) == {"b": 20}
