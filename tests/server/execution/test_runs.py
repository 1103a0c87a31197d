"""One run at a time: what comes of it for the calls that were in it, and what is counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.joining import Joining
from hotgraph_server.call_observer import Moments, Queued
from hotgraph_server.errors import Cancelled, InternalError, RunFailed
from hotgraph_server.execution.finisher import Finisher
from hotgraph_server.execution.row_limits import TRY_MORE_AFTER
from hotgraph_server.execution.runs import Runs
from hotgraph_server.settings import BatchSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import Figures, Statistics
from hotgraph_server.tensors import Array

from ..fakes import Caller, FakeClock, call, doubled, rows, signature

NAME = signature().name


class Running:
    """Runs on a graph that takes `run_s` on the test's clock and computes what the test says."""

    def __init__(self, joining: Joining | None = None, row_caps: dict[str, int] | None = None) -> None:
        self.compute: Callable[[Sequence[Array]], Sequence[Array]] = doubled
        self.clock = FakeClock()
        self.statistics = Statistics()
        self.limits: list[tuple[str, int]] = []
        self.runs = Runs(
            "m",
            self,
            lambda: 0,
            self.statistics,
            Finisher("m"),
            BatchSettings(max_batch_rows=8),
            {NAME: None},
            {} if joining is None else {NAME: joining},
            self.clock,
            lambda name, limit: self.limits.append((name, limit)),
            row_caps,
        )

    def run(self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> Sequence[Array]:
        self.clock.now += 0.25
        return self.compute(inputs)

    @property
    def figures(self) -> Figures:
        return self.statistics.by_signature()[NAME]


def calls_of(*callers: Caller) -> list[Call]:
    return [call(rows(number), completion=caller.completion) for number, caller in enumerate(callers)]


def refuse(_: Sequence[Array]) -> Sequence[Array]:
    raise RunFailed(3, "no such id")


def test_run_ends_nothing_and_tells_its_course() -> None:
    running, callers = Running(), [Caller(), Caller()]
    ran = running.runs.execute(calls_of(*callers))
    assert ran.error is None
    assert [answer[0].tolist() for answer in ran.answers] == [[[0, 0]], [[2, 2]]]
    assert ran.ended - ran.started == 0.25
    assert not any(caller.outcomes for caller in callers)


def test_run_that_fails_tells_of_no_joining_and_cutting() -> None:
    running = Running()
    running.compute = refuse
    calls = calls_of(Caller(), Caller())
    ran = running.runs.execute(calls)
    assert isinstance(ran.error, RunFailed)
    assert ran.error.__traceback__ is None
    assert not ran.out_of_memory
    running.runs.count_failed(calls[0], 2, ran)
    counted = running.statistics.snapshot().by_rows[2]
    assert (counted.ns, counted.input_ns, counted.output_ns) == (250_000_000, 0, 0)


def test_answered_calls_are_counted_before_they_hear_of_it_and_one_that_has_left_is_not() -> None:
    running, gone = Running(), Caller()
    seen: list[int] = []
    watching = Caller()
    calls = calls_of(watching, gone)
    gone.completion.leave(Cancelled())
    running.runs.answer(calls, running.runs.execute(calls))
    seen.append(running.figures.answered)
    assert seen == [1]
    assert watching.answer()[0].tolist() == [[0, 0]]
    assert isinstance(gone.error(), Cancelled)
    assert running.figures.rows_run == 2


def test_call_that_fails_by_itself_gets_the_graphs_error() -> None:
    running, caller = Running(), Caller()
    running.compute = refuse
    (one,) = calls_of(caller)
    running.runs.end_failed(one, 1, running.runs.execute([one]))
    assert str(caller.error()) == "no such id"
    assert (running.figures.failed, running.figures.failed_runs) == (1, 1)


def test_call_whose_run_breaks_for_another_reason_gets_no_details(caplog: pytest.LogCaptureFixture) -> None:
    running, caller = Running(), Caller()

    def broken(_: Sequence[Array]) -> Sequence[Array]:
        raise ValueError("a bug")

    running.compute = broken
    (one,) = calls_of(caller)
    with caplog.at_level(logging.ERROR):
        running.runs.end_failed(one, 1, running.runs.execute([one]))
    error = caller.error()
    assert isinstance(error, InternalError)
    assert "a bug" not in str(error)
    assert "a bug" in caplog.text


@pytest.mark.parametrize(("writes", "failed"), [(True, 3), (False, 0)])
def test_rows_of_several_callers_that_fail_are_counted_where_they_are_not_run_again(
    writes: bool, failed: int
) -> None:
    running = Running()
    running.compute = refuse
    one = call(rows(1, 2, 3), signature(writes=writes))
    one.member_arrivals = (1.0, 2.0)
    running.runs.end_failed(one, 3, running.runs.execute([one]))
    assert running.figures.failed == failed
    assert running.figures.failed_runs == 1


def test_run_in_vain_is_counted_and_answers_nothing() -> None:
    running, caller = Running(), Caller()
    calls = calls_of(caller)
    running.runs.count_in_vain(calls, running.runs.execute(calls))
    assert (running.figures.runs, running.figures.answered, running.figures.failed_runs) == (1, 0, 1)
    assert not caller.outcomes


def test_observer_is_told_of_the_run_that_ends_its_call_and_not_of_one_that_only_compares() -> None:
    running = Running()
    told: list[Moments] = []

    class Watching:
        def queued(self, call: Queued) -> None:
            raise AssertionError

        def ran(self, moments: Moments) -> None:
            told.append(moments)

    watched, unwatched = calls_of(Caller(), Caller())
    watched.observer = Watching()
    running.runs.run_alone(watched)
    assert not told
    ran = running.runs.execute([watched, unwatched])
    (run,) = told
    assert run[:4] == (ran.started, ran.joined, ran.returned, ran.ended)
    assert (run.calls, run.rows) == (2, 2)


def test_observers_of_one_run_are_told_of_one_object_and_of_another_run_of_another() -> None:
    running = Running()
    told: list[Moments] = []

    class Watching:
        def queued(self, call: Queued) -> None:
            raise AssertionError

        def ran(self, moments: Moments) -> None:
            told.append(moments)

    calls = calls_of(Caller(), Caller(), Caller())
    for one in calls:
        one.observer = Watching()
    running.runs.execute(calls[:2])
    running.runs.execute(calls[2:])
    assert told[0] is told[1]
    assert told[2].number == told[0].number + 1


def test_limit_that_memory_has_set_takes_buckets_away_and_brings_them_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = Running(Joining(buckets=(2, 4, 8)))
    running.runs.learn(NAME, 8)
    assert running.limits == [(NAME, 4)]
    assert running.runs.joining_of(NAME).buckets == (2, 4)
    with caplog.at_level(logging.INFO):
        for _ in range(TRY_MORE_AFTER):
            (one,) = [call(rows(*range(4)))]
            running.runs.answer([one], running.runs.execute([one]))
    assert running.limits == [(NAME, 4), (NAME, 8)]
    assert running.runs.joining_of(NAME).buckets == (2, 4, 8)
    assert "tried with more rows a run again" in caplog.text


def test_caps_are_told_to_the_queue_at_once() -> None:
    assert Running(row_caps={NAME: 4}).limits == [(NAME, 4)]


def test_outputs_without_the_rows_that_went_in_are_an_error_of_the_run() -> None:
    running = Running()
    running.compute = lambda _: [np.zeros((5, 2), np.float32)]
    ran = running.runs.execute(calls_of(Caller(), Caller()))
    assert isinstance(ran.error, ValueError)
