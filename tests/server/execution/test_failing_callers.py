"""Callers whose calls keep failing: which failures count, and what the log says of it."""

from __future__ import annotations

import pytest

from hotgraph_server.batching.suspects import APART_AT, FIRST_S, Suspects
from hotgraph_server.errors import InternalError, RunFailed
from hotgraph_server.execution.failing_callers import FailingCallers

from ..fakes import call, rows

NOW = 1000.0


class Told:
    def __init__(self) -> None:
        self.suspects = Suspects()
        self.failing = FailingCallers("m", self.suspects)

    def fails(self, peer: str | None, code: int = 3, times: int = APART_AT, now: float = NOW) -> None:
        for _ in range(times):
            self.failing.begins()
            self.failing.failed(call(rows(1), peer=peer), RunFailed(code, "no such id"))
            self.failing.settle(now)

    def is_apart(self, peer: str, now: float = NOW) -> bool:
        return self.suspects.is_one(peer, "serving_default", now)


def test_caller_whose_calls_keep_failing_runs_apart_and_the_log_says_for_how_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told()
    told.fails("a", times=APART_AT - 1)
    assert not told.is_apart("a")
    told.fails("a", times=1)
    assert told.is_apart("a")
    assert f"from a keep failing, and run apart from those of others for {FIRST_S:g} s" in caplog.text


@pytest.mark.parametrize("code", [1, 4, 8, 10, 14])
def test_failures_from_outside_of_a_call_are_not_held_against_its_caller(code: int) -> None:
    told = Told()
    told.fails("a", code)
    assert not told.is_apart("a")


def test_what_is_no_failure_of_the_graph_or_of_a_known_caller_is_not_counted() -> None:
    told = Told()
    told.fails(None)
    told.failing.failed(call(rows(1), peer="a"), InternalError())
    told.failing.failed(call(rows(1), peer="a", joinable=False), RunFailed(3, "no such id"))
    told.failing.settle(NOW)
    assert told.suspects.known == 0


def test_answers_count_only_once_something_has_failed() -> None:
    told = Told()
    told.failing.answered([call(rows(1), peer="a")])
    told.failing.settle(NOW)
    told.fails("a", times=APART_AT - 1)
    told.failing.answered([call(rows(1), peer="a") for _ in range(APART_AT)])
    told.failing.settle(NOW)
    assert told.suspects.known == 0


def test_many_callers_at_once_have_a_line_now_and_then_that_tells_how_many_there_were(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told()
    for peer in ("a", "b", "c"):
        told.fails(peer)
    assert len(caplog.records) == 1
    told.fails("d", now=NOW + 10)
    assert "2 times since the last line this was so of other callers" in caplog.records[-1].message
