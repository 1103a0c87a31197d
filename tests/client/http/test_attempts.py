"""http/attempts.py: turns and retries, by a clock of the test's."""

from __future__ import annotations

import pytest

from hotgraph_client import Busy, TooLate, Unreachable
from hotgraph_client.http.attempts import Attempts, Turns


def test_servers_take_turns() -> None:
    turns = Turns(3)
    assert [turns.order(0.0) for _ in range(4)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]


def test_server_that_is_down_comes_last_for_a_second() -> None:
    turns = Turns(2)
    turns.down(0, now=10.0)
    assert [turns.order(10.99), turns.order(10.99)] == [[1, 0], [1, 0]]
    assert [turns.order(11.0), turns.order(11.0)] == [[0, 1], [1, 0]]


def test_pauses_are_those_of_grpc() -> None:
    attempts = Attempts(retries=5, deadline=100.0)
    for about_s in (0.1, 0.2, 0.4, 0.8, 1.0):
        assert 0.79 * about_s < attempts.pause_s(Unreachable("u"), now=0.0) < 1.21 * about_s
    error = Unreachable("the last")
    with pytest.raises(Unreachable) as raised:
        attempts.pause_s(error, now=0.0)
    assert raised.value is error


@pytest.mark.parametrize("kind", [Busy, TooLate])
def test_only_a_server_that_is_not_there_is_asked_again(kind: type[Busy] | type[TooLate]) -> None:
    with pytest.raises(kind):
        Attempts(retries=3, deadline=100.0).pause_s(kind("e"), now=0.0)


def test_what_the_server_asks_for_is_heeded() -> None:
    error = Unreachable("u")
    error.pushback_ms = 2500
    assert Attempts(retries=1, deadline=100.0).pause_s(error, now=0.0) == 2.5


def test_nobody_waits_for_an_attempt_beyond_the_deadline() -> None:
    error = Unreachable("u")
    error.pushback_ms = 1000
    assert Attempts(retries=1, deadline=10.0).pause_s(error, now=8.9) == 1.0
    with pytest.raises(Unreachable):
        Attempts(retries=1, deadline=10.0).pause_s(error, now=9.0)
