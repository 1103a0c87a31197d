from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.backlog import Batch
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.errors import Draining, InternalError, LoadError, RunFailed
from hotgraph_server.execution.executor import Executor, Opened, OpenGraph
from hotgraph_server.row_independence.verdict import Judgement, OutputJudgement, Verdict
from hotgraph_server.settings import BatchSettings, SessionSettings, StateSettings, WarmupSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.state.restore import StateRestore
from hotgraph_server.statistics import Event, Statistics
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.probing import Measured
from hotgraph_server.warmup.warmup_calls import WarmupCall

from ...saved_models import SavedModels
from ..fakes import HANG_S, Caller, FakeClock, FakeGraph, call, doubled, rows, signature

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


UNCHECKED = BatchSettings(verify_one_in=0)
"""What is run is what was asked for and nothing else."""

PROVEN = Judgement(Verdict.PROVEN, {"y": OutputJudgement(Verdict.PROVEN)}, "")


class Running:
    """An executor with its queue, on a graph of the test's."""

    def __init__(self, graph: FakeGraph, settings: BatchSettings = UNCHECKED) -> None:
        self.graph = graph
        self.queue = WatchedQueue()
        self.statistics = Statistics()
        self.clock = FakeClock()
        self.executor = Executor(NAME, graph.open, self.queue, self.statistics, self.clock, settings)
        self.opened = self.executor.start()
        self.queue.wait_until_asked()
        graph.runs.clear()

    def put(self, *inputs: Array) -> list[Caller]:
        """One call for each of `inputs`."""
        callers = [Caller() for _ in inputs]
        for array, caller in zip(inputs, callers, strict=True):
            self.queue.put(call(array, self.graph.signatures["serving_default"], caller.completion))
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
    assert running.opened.unbatched_reasons == {"serving_default": None}


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


@pytest.mark.parametrize("error", [RunFailed(9, "Table not initialized."), MemoryError("no room")])
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
            callers[1].completion.finish(Draining("m"))
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
    """A graph may answer otherwise than it was tried to; nobody gets a row that may be another's."""
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
        running.queue.put(call(rows(1), running.graph.signatures["serving_default"], caller.completion))
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
    with caplog.at_level(logging.CRITICAL, logger="hotgraph_server"):
        running.queue.put(call(rows(1), completion=Completion(lambda _: None)))
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
    from hotgraph_server.graph.graph import Graph

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


# What is decided before the version is live.


def open_with(settings: BatchSettings, graph: FakeGraph) -> tuple[Opened, Statistics]:
    queue, statistics = BatchQueue(NAME, settings), Statistics()
    executor = Executor(NAME, graph.open, queue, statistics, settings=settings)
    opened = executor.start()
    queue.close()
    assert executor.stop(HANG_S)
    return opened, statistics


def masked_sum(inputs: Sequence[Array]) -> list[Array]:
    return [inputs[0].sum(axis=1)]


def mean(inputs: Sequence[Array]) -> list[Array]:
    return [inputs[0].mean(axis=1)]


LENGTHS = signature(inputs={"x": (None, None)}, outputs={"y": (None,)})


def test_owners_word_on_joining_is_heard() -> None:
    assert (
        open_with(BatchSettings(batching="never"), FakeGraph())[0].unbatched_reasons["serving_default"]
        is not None
    )
    mixing = FakeGraph(compute=lambda inputs: [inputs[0] - inputs[0].mean(axis=0)])
    assert open_with(BatchSettings(), mixing)[0].unbatched_reasons["serving_default"] is not None
    by_name = BatchSettings(batching_by_signature={"serving_default": "always"})
    assert open_with(by_name, mixing)[0].unbatched_reasons["serving_default"] is None


@pytest.mark.parametrize(
    ("compute", "batching", "padded"),
    [(masked_sum, "tried", True), (mean, "tried", False), (mean, "always", True)],
)
def test_padding_is_used_where_it_was_shown_to_change_nothing_or_the_owner_insists(
    compute: Callable[[Sequence[Array]], list[Array]],
    batching: str,
    padded: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = BatchSettings(pad={"x.1": 0}, batching=batching)
    opened, _ = open_with(settings, FakeGraph(LENGTHS, compute=compute))
    assert opened.padded == ({"serving_default": {("x", 1)}} if padded else {})
    assert ("output 'y' changes when its call is padded" in caplog.text) == (compute is mean)


@pytest.mark.parametrize(
    ("pad", "unpad", "text"),
    [
        ({"z.1": 0}, {}, r"pad and unpad name what no signature has: 'z.1'"),
        ({"x.1": 0}, {"z.1": "x.1"}, r"pad and unpad name what no signature has: 'z.1'"),
        (
            {"x.2": 0},
            {},
            r"signature 'serving_default' cannot be padded: x.2: dimension 2 of 'x' is not free",
        ),
    ],
)
def test_padding_that_cannot_be_is_refused_at_start(
    pad: dict[str, float], unpad: dict[str, str], text: str
) -> None:
    with pytest.raises(LoadError, match=text):
        open_with(BatchSettings(pad=pad, unpad=unpad), FakeGraph(LENGTHS, compute=masked_sum))


def test_calls_of_different_lengths_share_a_run_and_each_is_answered_as_alone() -> None:
    pairs = signature(inputs={"x": (None, None)}, outputs={"y": (None, None)})
    settings = BatchSettings(pad={"x.1": 0}, unpad={"y.1": "x.1"}, row_buckets=(4, 64), verify_one_in=0)
    graph = FakeGraph(pairs)
    queue = BatchQueue(NAME, settings)
    executor = Executor(NAME, graph.open, queue, Statistics(), settings=settings)
    opened = executor.start()
    graph.runs.clear()
    graph.shut()
    inputs = [np.full((1, length), length, np.float32) for length in (9, 3, 5)]
    callers = [Caller() for _ in inputs]
    padded = opened.padded["serving_default"]
    held = Caller()
    queue.put(call(inputs[0], pairs, held.completion, joinable=False))
    graph.wait_until_held()
    for array, caller in zip(inputs, callers, strict=True):
        one = Call(pairs, [array], ("y",), caller.completion, arrived=0.0, joinable=True, padded=padded)
        queue.put(one)
    graph.let_all_go()
    for array, caller in zip(inputs, callers, strict=True):
        np.testing.assert_array_equal(caller.answer()[0], 2 * array)
    assert [run[0].shape for run in graph.runs] == [(1, 9), (4, 9)]
    queue.close()
    assert executor.stop(HANG_S)


def test_queue_knows_what_runs_cost_before_the_first_call() -> None:
    told: list[tuple[str, int]] = []

    class Told(BatchQueue):
        def ran(self, signature: str, inputs: Sequence[Array], rows: int, seconds: float) -> None:
            told.append((signature, rows))
            assert seconds >= 0

    settings = BatchSettings(max_batch_rows=6)
    queue = Told(NAME, settings)
    alone = signature("alone", outputs={"y": (2,)})
    graph = FakeGraph(signature(), alone, signature("write", writes=True))
    executor = Executor(NAME, graph.open, queue, Statistics(), settings=settings)
    executor.start()
    queue.close()
    assert executor.stop(HANG_S)
    assert {rows for name, rows in told if name == "serving_default"} == {1, 2, 4, 6}
    assert {rows for name, rows in told if name == "alone"} == {1}
    assert not [name for name, _ in told if name == "write"]


def large_mix(inputs: Sequence[Array]) -> list[Array]:
    """Rows that have not been tried: two numbers make rows influence each other."""
    x = inputs[0]
    return [x - x.mean(axis=0) if np.isin(x, (2000, 3000)).any() else x]


class Checked:
    """An executor whose checks are on, and which keeps what they learn in `state_dir`."""

    def __init__(self, state_dir: str = "", made_by: str = "", **batch: Any) -> None:
        settings = BatchSettings(**batch)
        restore = StateRestore(StateSettings(state_dir=state_dir), "m", 1, "0" * 32, made_by=made_by)
        self.queue, self.graph = BatchQueue(NAME, settings), FakeGraph(compute=large_mix)
        self.statistics = Statistics()
        self.executor = Executor(
            NAME, self.graph.open, self.queue, self.statistics, settings=settings, restore=restore
        )
        self.opened = self.executor.start()

    @property
    def alone(self) -> str | None:
        return self.opened.unbatched_reasons["serving_default"]

    def together(self, *values: float) -> list[list[Array]]:
        """What calls are answered that the executor finds waiting when it is free."""
        self.graph.shut()
        of = self.graph.signatures["serving_default"]
        callers = [Caller() for _ in range(len(values) + 1)]
        self.queue.put(call(rows(0), of, callers[0].completion))
        self.graph.wait_until_held()
        self.graph.runs.clear()
        for value, caller in zip(values, callers[1:], strict=True):
            self.queue.put(call(rows(value), of, caller.completion, joinable=self.alone is None))
        self.graph.let_all_go()
        return [caller.answer() for caller in callers][1:]

    def stop(self) -> None:
        self.queue.close()
        assert self.executor.stop(HANG_S)


def test_check_in_service_finds_what_the_trial_did_not_before_anybody_is_answered() -> None:
    checked = Checked()
    assert checked.alone is None
    for answer in checked.together(2000, 3000):
        np.testing.assert_array_equal(answer[0], rows(0))
    assert [len(run[0]) for run in checked.graph.runs] == [2, 1, 1]
    assert "a check in service found a difference" in (checked.alone or "")
    assert checked.statistics.by_signature()["serving_default"].events[Event.DIFFERED] == 1
    checked.stop()


def test_check_of_a_sampled_call_runs_when_nothing_else_is_to_do() -> None:
    graph = FakeGraph()
    graph.proofs = {"serving_default": PROVEN}
    settings = BatchSettings(verify_one_in=3)
    queue, statistics = BatchQueue(NAME, settings), Statistics()
    executor = Executor(NAME, graph.open, queue, statistics, settings=settings)
    executor.start()
    graph.shut()
    callers = [Caller() for _ in range(4)]
    for value, caller in enumerate(callers):
        queue.put(call(rows(value), graph.signatures["serving_default"], caller.completion))
        if value == 0:
            graph.wait_until_held()
            graph.runs.clear()
    graph.let_all_go()
    for caller in callers:
        caller.answer()
    queue.close()
    assert executor.stop(HANG_S)
    # The batch, its first and second call before its answers leave, and the third.
    assert [run[0][:, 0].tolist() for run in graph.runs] == [[1, 2, 3], [1], [2], [3]]
    assert statistics.by_signature()["serving_default"].events[Event.CHECKED] == 3


def test_restart_goes_on_with_the_trust_that_there_was(tmp_path: Path) -> None:
    first = Checked(str(tmp_path))
    for _ in range(20):
        first.together(1, 2, 3, 4)
    first.stop()
    second = Checked(str(tmp_path))
    second.together(1, 2, 3, 4)
    # One after the start, for nothing was compared within the last minute.
    assert [len(run[0]) for run in second.graph.runs] == [4, 1]
    assert second.opened.trust["serving_default"].joined == 84
    second.stop()


def test_restart_joins_nothing_for_which_a_difference_was_found(tmp_path: Path) -> None:
    first = Checked(str(tmp_path))
    first.together(2000, 3000)
    first.stop()
    second = Checked(str(tmp_path))
    assert (second.alone or "").startswith(
        "a check in an earlier run of the server found a difference: output"
    )
    second.together(1, 2)
    assert [len(run[0]) for run in second.graph.runs] == [1, 1]
    second.stop()
    third = Checked(str(tmp_path))
    assert third.alone == second.alone
    third.stop()


@pytest.mark.parametrize("batch", [{"on_difference": "warn"}, {"batching": "always"}], ids=["warn", "always"])
def test_owner_who_joins_all_the_same_is_not_kept_from_it_by_what_was_learnt(
    batch: dict[str, str], tmp_path: Path
) -> None:
    first = Checked(str(tmp_path))
    first.together(2000, 3000)
    first.stop()
    second = Checked(str(tmp_path), **batch)
    assert second.alone is None
    second.stop()
    third = Checked(str(tmp_path))
    assert "earlier run" in (third.alone or "")
    third.stop()


def test_what_was_learnt_of_another_tensorflow_is_forgotten_and_nothing_is_kept_without_a_folder(
    tmp_path: Path,
) -> None:
    first = Checked(str(tmp_path), "tensorflow 2.20.0")
    first.together(2000, 3000)
    first.stop()
    for state_dir in (str(tmp_path), ""):
        second = Checked(state_dir, "tensorflow 2.21.0")
        assert second.alone is None
        second.stop()


def test_verify_one_in_0_checks_nothing_and_writes_nothing(tmp_path: Path) -> None:
    checked = Checked(str(tmp_path), verify_one_in=0)
    checked.together(1, 2)
    assert [len(run[0]) for run in checked.graph.runs] == [2]
    checked.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("judgement", [None, PROVEN], ids=["unknown", "proven"])
def test_only_where_nothing_is_proven_the_first_joined_calls_are_all_compared(
    judgement: Judgement | None,
) -> None:
    graph = FakeGraph()
    graph.proofs = {} if judgement is None else {"serving_default": judgement}
    running = Running(graph, BatchSettings())
    running.put_as_one_batch(*[rows(number) for number in range(5)])
    running.end()
    compared = [int(run[0][0, 0]) for run in graph.runs[2:]]
    assert compared == ([0, 1, 3] if judgement else [0, 1, 2, 3, 4])


def test_signature_is_warmed_up_before_start_comes_back() -> None:
    graph = FakeGraph(signature(), signature("read", inputs={}))
    queue = WatchedQueue()
    executor = Executor(NAME, graph.open, queue, Statistics())
    opened = executor.start()
    assert graph.runs
    assert opened.unbatched_reasons["serving_default"] is None
    assert "no inputs" in (opened.unbatched_reasons["read"] or "")
    queue.close()
    assert executor.stop(HANG_S)


def start_with(
    graph: FakeGraph, *calls: WarmupCall, rounds: int = 1, settings: BatchSettings | None = None
) -> Opened:
    """What is known of `graph` after a start with calls that it brings."""
    queue = BatchQueue(NAME, settings or BatchSettings())
    executor = Executor(
        NAME,
        graph.open,
        queue,
        Statistics(),
        settings=settings,
        brings=lambda signatures, unusable: iter(calls),
        warmup=WarmupSettings(warmup_rounds=rounds),
    )
    try:
        return executor.start()
    finally:
        queue.close()
        assert executor.stop(HANG_S)


def brought(inputs: Array) -> WarmupCall:
    return WarmupCall("predict", "record 1", signature(), [inputs], ("y",), len)


def takes_sevens(inputs: Sequence[Array]) -> list[Array]:
    if (inputs[0] < 7).any():
        raise RunFailed(3, "no such id")
    return doubled(inputs)


def test_calls_that_a_model_brings_show_the_trial_what_its_graph_takes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert start_with(FakeGraph(compute=takes_sevens)).unbatched_reasons["serving_default"] is not None
    with caplog.at_level(logging.INFO):
        opened = start_with(FakeGraph(compute=takes_sevens), brought(rows(7, 8)))
    assert opened.unbatched_reasons["serving_default"] is None
    assert f"{NAME}: warmed up in " in caplog.text
    assert "with 1 calls that the model brings (1 predict)" in caplog.text


def test_calls_that_a_model_brings_are_run_as_often_as_asked_for() -> None:
    graph = FakeGraph(signature(writes=True))
    start_with(graph, brought(rows(1)), brought(rows(2)), rounds=2)
    assert [inputs[0].tolist() for inputs in graph.runs] == [[[1, 1]]] * 2 + [[[2, 2]]] * 2


def test_model_that_brings_a_call_which_fails_is_not_live() -> None:
    graph = FakeGraph(compute=fail_if_any(666, RunFailed(3, "no such id")))
    with pytest.raises(LoadError, match="warm-up fails: record 1: INVALID_ARGUMENT: no such id"):
        start_with(graph, brought(rows(1)), brought(rows(666)))
    assert graph.closed == 1


def test_model_whose_calls_cannot_be_read_is_not_live() -> None:
    def unreadable(*_: Any) -> Iterator[WarmupCall]:
        raise LoadError("the file", "DATA_LOSS: it is none")
        yield

    graph = FakeGraph()
    executor = Executor(NAME, graph.open, BatchQueue(NAME, BatchSettings()), Statistics(), brings=unreadable)
    with pytest.raises(LoadError, match="the file: DATA_LOSS: it is none"):
        executor.start()
    assert executor.stop(HANG_S)
    assert graph.closed == 1


def test_every_row_bucket_is_run_before_the_first_call(caplog: pytest.LogCaptureFixture) -> None:
    graph = FakeGraph()
    settings = BatchSettings(max_batch_rows=11, row_buckets=(3, 5, 11))
    with caplog.at_level(logging.INFO):
        start_with(graph, settings=settings)
    assert {3, 5, 11} <= {len(inputs[0]) for inputs in graph.runs}
    assert "3, 5, 11 generated rows for serving_default" in caplog.text


class Large(FakeGraph):
    """A run allocates 500 MiB for each row."""

    def bounded(self, signature: Signature, run_s: float) -> Callable[[Sequence[Array]], Measured]:
        run = super().bounded(signature, run_s)
        return lambda inputs: run(inputs)._replace(nbytes=len(inputs[0]) * 500 * 2**20)


def test_joined_calls_ask_for_no_more_memory_than_was_tried() -> None:
    graph = Large()
    graph.proofs = {"serving_default": PROVEN}
    settings = BatchSettings(verify_one_in=0)
    queue = BatchQueue(NAME, settings)
    executor = Executor(NAME, graph.open, queue, Statistics(), settings=settings)
    executor.start()
    graph.shut()
    callers = [Caller() for _ in range(11)]
    for number, caller in enumerate(callers):
        queue.put(call(rows(number), graph.signatures["serving_default"], caller.completion))
        if not number:
            graph.wait_until_held()
            graph.runs.clear()
    graph.let_all_go()
    for caller in callers:
        caller.answer()
    queue.close()
    assert executor.stop(HANG_S)
    assert max(len(run[0]) for run in graph.runs) == 4
