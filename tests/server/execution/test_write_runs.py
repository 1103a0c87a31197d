"""Runs that change state, on a graph of the test's: none is run twice, and each caller hears what came of
it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from hotgraph_server.batching.call import Call
from hotgraph_server.errors import (
    CallError,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    NotDurable,
    RunFailed,
)
from hotgraph_server.execution.finisher import Finisher
from hotgraph_server.execution.runs import Runs
from hotgraph_server.execution.write_runs import WriteRuns
from hotgraph_server.settings import BatchSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.state.durability import Callback
from hotgraph_server.state.restore import Beginning, StateRestore
from hotgraph_server.state.session_state import SessionState
from hotgraph_server.statistics import Event, Statistics
from hotgraph_server.tensors import Array

from ..fakes import Caller, FakeClock, FakeGraph, call, doubled, rows, signature

WRITER = signature(writes=True)
NAME = WRITER.name


class State(SessionState):
    """Tells of every write when the test says so."""

    def __init__(self) -> None:
        snapshotter = StateRestore().snapshotter("m", Beginning({}), saves=False)
        super().__init__("m", FakeGraph(), snapshotter, reads=False, undoes=False)
        self.waiting: list[Callback] = []
        self.failures = 0

    def ended_well(self, tell: Callback) -> None:
        self.waiting.append(tell)

    def failed(self) -> None:
        self.failures += 1


class Writing:
    """Write runs on a graph that doubles, or raises what the test says."""

    def __init__(self) -> None:
        self.ran: list[Sequence[Array]] = []
        self.error: Exception | None = None
        self.clock = FakeClock()
        self.state = State()
        self.statistics = Statistics()
        self.runs = Runs(
            "m",
            self,
            lambda: 0,
            self.statistics,
            Finisher("m"),
            BatchSettings(),
            {NAME: "it may change state"},
            {},
            self.clock,
            lambda *_: None,
        )
        self.write_runs = WriteRuns("m", self.runs, self.state)

    def run(self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> Sequence[Array]:
        self.ran.append(inputs)
        if self.error is not None:
            raise self.error
        return doubled(inputs)

    def put(self, *callers: Caller, deadline: float = float("inf")) -> list[Call]:
        calls = [
            call(rows(number), WRITER, caller.completion, deadline=deadline, joinable=False)
            for number, caller in enumerate(callers, 1)
        ]
        self.write_runs.run(calls)
        return calls


def test_answer_waits_until_the_write_is_as_durable_as_was_asked_for() -> None:
    writing, caller = Writing(), Caller()
    writing.put(caller)
    assert not caller.outcomes
    (tell,) = writing.state.waiting
    tell(None)
    assert caller.answer()[0].tolist() == [[2, 2]]
    assert writing.statistics.by_signature()[NAME].answered == 1


def test_write_that_could_not_be_kept_is_told_so() -> None:
    writing, caller = Writing(), Caller()
    writing.put(caller)
    writing.state.waiting[0]("the disk is full")
    error = caller.error()
    assert isinstance(error, NotDurable)
    assert "the disk is full" in str(error)


@pytest.mark.parametrize("leaves", [True, False], ids=["cancelled", "expired"])
def test_call_whose_caller_has_left_or_whose_time_is_over_is_never_run(leaves: bool) -> None:
    writing, caller = Writing(), Caller()
    if leaves:
        caller.completion.leave(Cancelled())
    writing.put(caller, deadline=writing.clock.now)
    assert not writing.ran
    assert not writing.state.failures
    assert isinstance(caller.error(), Cancelled if leaves else DeadlineExceeded)
    expired = writing.statistics.by_signature()[NAME].events[Event.EXPIRED] if not leaves else 0
    assert expired == (not leaves)


def test_caller_that_leaves_during_the_run_is_answered_all_the_same() -> None:
    writing, caller = Writing(), Caller()
    writing.put(caller)
    assert not caller.completion.leave(Cancelled())
    writing.state.waiting[0](None)
    assert caller.answer()[0].tolist() == [[2, 2]]


def test_failed_run_is_undone_once_and_each_caller_gets_an_error_of_its_own() -> None:
    writing, callers = Writing(), [Caller(), Caller()]
    writing.error = RunFailed(3, "no such id")
    writing.put(*callers)
    assert (len(writing.ran), writing.state.failures) == (1, 1)
    first, second = (caller.error() for caller in callers)
    assert (str(first), str(second)) == ("no such id", "no such id")
    assert first is not second
    assert writing.statistics.by_signature()[NAME].failed == 2


def test_error_that_is_not_expected_is_logged_whole_and_sent_without_details(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writing, caller = Writing(), Caller()
    writing.error = ValueError("a bug")
    with caplog.at_level(logging.ERROR):
        writing.put(caller)
    error: CallError = caller.error()
    assert isinstance(error, InternalError)
    assert "a bug" not in str(error)
    assert "a bug" in caplog.text
    assert writing.error.__traceback__ is None
