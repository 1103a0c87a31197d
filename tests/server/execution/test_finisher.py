"""The finisher: answers go out beside the next run, each once, and none is lost at the end."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.execution.executor import Executor
from hotgraph_server.execution.finisher import WORTH_A_HAND_OVER_S, Finisher
from hotgraph_server.settings import BatchSettings
from hotgraph_server.statistics import Statistics
from hotgraph_server.tensors import Array
from hotgraph_server.threads.batch_scope import BatchScope

from ..fakes import HANG_S, Caller, FakeClock, FakeGraph, call, rows


def nothing() -> None:
    """Calls that nobody counts."""


def test_handed_over_calls_get_their_own_answers_in_its_thread() -> None:
    finisher = Finisher("model 'm' version 1")
    callers = [Caller() for _ in range(3)]
    finisher.hand_over(
        [call(completion=caller.completion) for caller in callers], [[rows(n)] for n in range(3)], nothing
    )
    assert [caller.answer()[0][0, 0] for caller in callers] == [0, 1, 2]
    assert {caller.thread for caller in callers}.isdisjoint({None, threading.get_ident()})
    finisher.stop(HANG_S)


def test_handed_over_calls_are_counted_first_and_answered_though_that_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    finisher, seen = Finisher("m"), list[str]()
    calls = [call(completion=Completion(lambda _: seen.append("answered"))) for _ in range(2)]

    def count() -> None:
        seen.append("counted")
        raise ZeroDivisionError("broken")

    finisher.hand_over(calls[:1], [[rows(1)]], count)
    finisher.hand_over(calls[1:], [[rows(1)]], nothing)
    finisher.stop(HANG_S)
    assert seen == ["counted", "answered", "answered"]
    assert "could not be counted" in caplog.text


def test_everything_handed_over_is_finished_before_it_stops() -> None:
    finisher = Finisher("m")
    callers = [Caller() for _ in range(100)]
    for caller in callers:
        finisher.hand_over([call(completion=caller.completion)], [[rows(1)]], nothing)
    finisher.stop(HANG_S)
    assert all(caller.outcomes for caller in callers)


def test_there_is_no_thread_before_anything_is_handed_over() -> None:
    finisher = Finisher("unused")
    assert not threads("finisher unused")
    finisher.stop(HANG_S)
    finisher.hand_over([call()], [[rows(1)]], nothing)
    assert len(threads("finisher unused")) == 1
    finisher.stop(HANG_S)
    assert not threads("finisher unused")


def test_finisher_that_will_not_go_is_warned_about_by_name(caplog: pytest.LogCaptureFixture) -> None:
    finisher, may_go = Finisher("stuck"), threading.Event()
    finisher.hand_over([call(completion=Completion(lambda _: may_go.wait(HANG_S)))], [[rows(1)]], nothing)
    assert not finisher.stop(0)
    assert "'finisher stuck' has not ended" in caplog.text
    may_go.set()
    assert finisher.stop(HANG_S)


def test_calls_of_a_run_end_in_one_batch_scope() -> None:
    """What each of them would have done, such as sending, is done once."""
    scope, sent = BatchScope(), list[str]()

    def send() -> None:
        sent.append("sent")

    finisher = Finisher("m", scope)
    calls = [call(completion=Completion(lambda _: scope.postpone(send))) for _ in range(3)]
    finisher.finish(calls, [[rows(1)]] * 3)
    assert sent == ["sent"]


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


class _Runs:
    """An executor on a graph whose runs take `seconds` on a clock of the test's, held until it is told."""

    def __init__(self, seconds: float) -> None:
        self.clock = FakeClock()
        self.graph = FakeGraph(compute=lambda inputs: self._compute(seconds, inputs))
        self.queue = BatchQueue("m", BatchSettings(max_batch_rows=1), self.clock)
        self.executor = Executor("m", self.graph.open, self.queue, Statistics(), self.clock)
        self.executor.start()
        self.graph.shut()

    def _compute(self, seconds: float, inputs: Sequence[Array]) -> Sequence[Array]:
        self.clock.now += seconds
        return [inputs[0]]

    def thread_of_first_of_two(self) -> tuple[int | None, int | None]:
        """The threads that finish a call while another waits, and one while none does."""
        first, second = Caller(), Caller()
        self.queue.put(call(completion=first.completion))
        self.graph.wait_until_held()
        self.queue.put(call(completion=second.completion))
        self.graph.let_all_go()
        first.answer()
        second.answer()
        self.queue.close()
        assert self.executor.stop(30)
        return first.thread, second.thread


def test_long_runs_are_finished_beside_the_next_one() -> None:
    runs = _Runs(2 * WORTH_A_HAND_OVER_S)
    beside, last = runs.thread_of_first_of_two()
    assert last == runs.graph.owner
    assert beside not in (runs.graph.owner, threading.get_ident())


def test_short_runs_are_finished_by_the_executor() -> None:
    runs = _Runs(WORTH_A_HAND_OVER_S / 2)
    assert set(runs.thread_of_first_of_two()) == {runs.graph.owner}
