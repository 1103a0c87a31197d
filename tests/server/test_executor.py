from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.queue import Batch, BatchQueue
from hotgraph_server.batching.slot import Slot
from hotgraph_server.errors import Draining, InternalError, LoadError, RunFailed
from hotgraph_server.executor import Executor, OpenGraph
from hotgraph_server.settings import BatchSettings, SessionSettings
from hotgraph_server.statistics import Statistics
from hotgraph_server.tensors import Array

from ..saved_models import SavedModels
from .fakes import HANG_S, Caller, FakeClock, FakeGraph, call, doubled, rows, signature

NAME = "model 'm' version 1"


class WatchedQueue(BatchQueue):
    """Tells when its executor asks for work, which is when it has let go of the last batch."""

    def __init__(self) -> None:
        super().__init__(NAME, BatchSettings())
        self.asked = threading.Semaphore(0)

    def take(self) -> Batch | None:
        self.asked.release()
        return super().take()

    def wait_until_asked(self) -> None:
        assert self.asked.acquire(timeout=HANG_S), "the executor never came back for more"


class Running:
    """An executor with its queue, on a graph of the test's."""

    def __init__(self, graph: FakeGraph) -> None:
        self.graph = graph
        self.queue = WatchedQueue()
        self.statistics = Statistics()
        self.clock = FakeClock()
        self.executor = Executor(NAME, graph.open, self.queue, self.statistics, self.clock)
        self.opened = self.executor.start()
        self.queue.wait_until_asked()
        graph.runs.clear()

    def put(self, *inputs: Array) -> list[Caller]:
        """One call for each of `inputs`."""
        callers = [Caller() for _ in inputs]
        for array, caller in zip(inputs, callers, strict=True):
            self.queue.put(call(array, self.graph.signatures["serving_default"], caller.slot))
        return callers

    def put_as_one_batch(self, *inputs: Array) -> list[Caller]:
        """The calls come while another run is held, so the executor finds them all when it is free."""
        self.graph.shut()
        (before,) = self.put(rows(0))
        self.graph.wait_until_held()
        callers = self.put(*inputs)
        self.graph.let_all_go()
        before.outcome()
        return callers

    def end(self) -> None:
        self.graph.let_all_go()
        self.queue.close()
        assert self.executor.stop(HANG_S)


@pytest.fixture
def running() -> Iterator[Running]:
    executor = Running(FakeGraph())
    yield executor
    executor.end()


def threads_of_executors() -> list[str]:
    """Of this file's model; a server of other tests may be running."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("executor model 'm'")]


def fail_if_any(value: float, error: Exception) -> Any:
    """What doubles, and raises `error` when `value` is among its input."""

    def compute(inputs: Sequence[Array]) -> list[Array]:
        if np.any(inputs[0] == value):
            raise error
        return doubled(inputs)

    return compute


def test_thread_has_the_name_of_its_model_and_is_gone_after_the_end_of_the_queue() -> None:
    running = Running(FakeGraph())
    assert threads_of_executors() == [f"executor {NAME}"]
    running.end()
    assert threads_of_executors() == []
    assert running.graph.closed == 1


def test_graph_is_opened_run_and_closed_in_the_executors_thread_alone() -> None:
    """The fake asserts it at every call; an assertion that failed would be an InternalError here."""
    running = Running(FakeGraph())
    (caller,) = running.put(rows(1))
    np.testing.assert_array_equal(caller.answer()[0], rows(2))
    assert running.graph.owner == caller.thread != threading.get_ident()
    running.end()
    assert running.graph.closed == 1


def test_start_tells_what_is_known_of_the_graph(running: Running) -> None:
    assert running.opened.signatures == running.graph.signatures
    assert running.opened.alone == {"serving_default": None}


def test_start_raises_the_load_error_and_leaves_no_thread() -> None:
    error = LoadError("/models/m/1", "broken")

    def fail() -> OpenGraph:
        raise error

    executor = Executor(NAME, fail, WatchedQueue(), Statistics())
    with pytest.raises(LoadError) as caught:
        executor.start()
    assert caught.value is error
    assert executor.stop(HANG_S)
    assert threads_of_executors() == []


@pytest.mark.parametrize("error", [RunFailed(9, "not initialised"), MemoryError("no room")])
def test_graph_that_fails_its_first_run_is_closed_again_and_leaves_no_thread(error: Exception) -> None:
    def fail(_: Sequence[Array]) -> Sequence[Array]:
        raise error

    graph = FakeGraph(compute=fail)
    executor = Executor(NAME, graph.open, WatchedQueue(), Statistics())
    with pytest.raises((LoadError, MemoryError), match=str(error)):
        executor.start()
    assert executor.stop(HANG_S)
    assert graph.closed == 1
    assert threads_of_executors() == []


def test_stop_of_an_executor_that_was_never_started_has_nothing_to_wait_for() -> None:
    assert Executor(NAME, FakeGraph().open, WatchedQueue(), Statistics()).stop(0.0)


def test_stop_says_so_and_names_the_thread_when_a_run_does_not_end(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    running.graph.shut()
    (caller,) = running.put(rows(1))
    running.graph.wait_until_held()
    running.queue.close()
    with caplog.at_level(logging.WARNING):
        assert not running.executor.stop(0.0)
    assert f"executor {NAME}" in caplog.text
    running.graph.let_all_go()
    assert running.executor.stop(HANG_S)
    np.testing.assert_array_equal(caller.answer()[0], rows(2))


def test_calls_that_wait_together_are_one_run_and_each_gets_its_own_rows(running: Running) -> None:
    inputs = [rows(1), rows(2, 3), rows(4, 5, 6)]
    callers = running.put_as_one_batch(*inputs)
    for array, caller in zip(inputs, callers, strict=True):
        np.testing.assert_array_equal(caller.answer()[0], array * 2)
    assert [len(run[0]) for run in running.graph.runs] == [1, 6]


@pytest.mark.parametrize("error", [RunFailed(3, "no such id"), ValueError("TensorFlow's own")])
def test_call_that_the_graph_refuses_costs_its_neighbours_a_delay_and_nothing_else(
    running: Running, error: Exception
) -> None:
    running.graph.compute = fail_if_any(666, error)
    before, poisoned, after = running.put_as_one_batch(rows(1), rows(2, 666), rows(3))
    np.testing.assert_array_equal(before.answer()[0], rows(2))
    np.testing.assert_array_equal(after.answer()[0], rows(6))
    if isinstance(error, RunFailed):
        assert poisoned.error() is error
    else:
        assert isinstance(poisoned.error(), InternalError)
    assert [len(run[0]) for run in running.graph.runs] == [1, 4, 1, 2, 1]


def test_call_that_left_during_a_failed_run_is_not_run_again(running: Running) -> None:
    callers: list[Caller] = []

    def leave_and_fail(inputs: Sequence[Array]) -> list[Array]:
        if len(inputs[0]) > 1:
            callers[1].slot.finish(Draining("m"))
            raise RunFailed(3, "no such id")
        return doubled(inputs)

    running.graph.shut()
    running.put(rows(0))
    running.graph.wait_until_held()
    callers += running.put(rows(1), rows(2), rows(3))
    running.graph.compute = leave_and_fail
    running.graph.let_all_go()
    assert [caller.answer()[0][0, 0] for caller in (callers[0], callers[2])] == [2, 6]
    assert [run[0].tolist() for run in running.graph.runs[2:]] == [[[1, 1]], [[3, 3]]]


def test_outputs_that_lost_their_rows_are_run_again_one_by_one(running: Running) -> None:
    """A graph may answer otherwise than its trial said; nobody gets a row that may be another's."""
    running.graph.compute = lambda inputs: [np.array([[inputs[0].sum()]])]
    callers = running.put_as_one_batch(rows(1), rows(2))
    assert [caller.answer()[0].item() for caller in callers] == [2, 4]


@pytest.mark.parametrize("error", [MemoryError(), TypeError("a bug"), AssertionError("another")])
def test_unexpected_error_ends_the_call_with_internal_error_and_the_thread_lives_on(
    running: Running, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    running.graph.compute = fail_if_any(666, error)
    with caplog.at_level(logging.ERROR):
        (caller,) = running.put(rows(666))
        assert isinstance(caller.error(), InternalError)
    assert type(error).__name__ in caplog.text
    (next_caller,) = running.put(rows(1))
    np.testing.assert_array_equal(next_caller.answer()[0], rows(2))


def test_unexpected_error_of_one_call_run_again_ends_that_call_alone(running: Running) -> None:
    def compute(inputs: Sequence[Array]) -> list[Array]:
        if len(inputs[0]) > 1:
            raise RunFailed(3, "no such id")
        return list(fail_if_any(666, MemoryError())(inputs))

    running.graph.compute = compute
    before, poisoned, after = running.put_as_one_batch(rows(1), rows(666), rows(3))
    assert isinstance(poisoned.error(), InternalError)
    np.testing.assert_array_equal(before.answer()[0], rows(2))
    np.testing.assert_array_equal(after.answer()[0], rows(6))


def test_delivery_that_raises_harms_neither_neighbours_nor_thread(running: Running) -> None:
    class Broken(Caller):
        def _deliver(self, outcome: Any) -> None:
            super()._deliver(outcome)
            raise RuntimeError("the wire has gone")

    broken, neighbour = Broken(), Caller()
    running.graph.shut()
    running.put(rows(0))
    running.graph.wait_until_held()
    for caller in (broken, neighbour):
        running.queue.put(call(rows(1), running.graph.signatures["serving_default"], caller.slot))
    running.graph.let_all_go()
    np.testing.assert_array_equal(neighbour.answer()[0], rows(2))
    np.testing.assert_array_equal(broken.answer()[0], rows(2))
    (next_caller,) = running.put(rows(4))
    np.testing.assert_array_equal(next_caller.answer()[0], rows(8))


@pytest.mark.parametrize("error", [None, lambda: RunFailed(3, "no such id"), MemoryError])
def test_arrays_of_the_last_batch_are_not_kept_alive_while_the_executor_waits(
    running: Running, error: Callable[[], Exception] | None, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[weakref.ref[Array]] = []

    def compute(inputs: Sequence[Array]) -> list[Array]:
        made.append(weakref.ref(inputs[0]))
        if error is not None:
            raise error()
        outputs = doubled(inputs)
        made.append(weakref.ref(outputs[0]))
        return outputs

    running.graph.compute = compute
    # pytest keeps what is logged, with the traceback, and that holds the arrays.
    with caplog.at_level(logging.CRITICAL):
        running.queue.put(call(rows(1), slot=Slot(lambda _: None)))
        running.queue.wait_until_asked()
    assert made
    assert all(array() is None for array in made)


def test_runs_are_counted_with_their_waits(running: Running) -> None:
    running.graph.compute = fail_if_any(666, RunFailed(3, "no such id"))
    for array in (rows(1, 2), rows(666)):
        running.put(array)
        running.queue.wait_until_asked()
    figures = running.statistics.snapshot()
    assert (figures.rows, figures.success.count, figures.fail.count) == (2, 1, 1)


def test_another_thread_that_touches_a_real_graph_is_stopped(saved_models: SavedModels) -> None:
    from hotgraph_server.graph import Graph

    opened: list[Graph] = []

    def open_graph() -> OpenGraph:
        opened.append(Graph.open(Path(saved_models["two_in_two_out"]), SessionSettings()))
        return opened[0]

    queue = WatchedQueue()
    executor = Executor(NAME, open_graph, queue, Statistics())
    executor.start()
    (graph,) = opened
    one = graph.signatures["serving_default"]
    with pytest.raises(AssertionError, match="only the thread"):
        graph.run(one, one.output_aliases, [rows(1), rows(1)])
    with pytest.raises(AssertionError, match="only the thread"):
        graph.close()
    queue.close()
    assert executor.stop(HANG_S)


def test_signature_is_warmed_up_before_start_comes_back() -> None:
    graph = FakeGraph(signature(), signature("read", inputs={}))
    queue = WatchedQueue()
    executor = Executor(NAME, graph.open, queue, Statistics())
    opened = executor.start()
    assert graph.runs
    assert opened.alone["serving_default"] is None
    assert "no inputs" in (opened.alone["read"] or "")
    queue.close()
    assert executor.stop(HANG_S)
