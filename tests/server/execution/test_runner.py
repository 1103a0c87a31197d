"""What calls get from shared runs is what they would have got alone, whatever happens on the way."""

from __future__ import annotations

import dataclasses
import logging
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.batching.joining import Joining, joining_of
from hotgraph_server.batching.padding import padding_of
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.trust import AT_LEAST_EVERY_S, Trust
from hotgraph_server.call_observer import CallObserver, Moments
from hotgraph_server.errors import (
    CallError,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    Refused,
    RunFailed,
    forget_traceback,
)
from hotgraph_server.execution.executor_task import ExecutorTask
from hotgraph_server.execution.finisher import Finisher
from hotgraph_server.execution.runner import Runner
from hotgraph_server.row_independence.verdict import Judgement, OutputJudgement, Verdict
from hotgraph_server.settings import BatchSettings
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.state.learnt import Learnt, Memory
from hotgraph_server.statistics import Event, Figures, Statistics
from hotgraph_server.tensors import Array

from ..fakes import Caller, FakeClock, call, doubled, rows, signature

POISON = 666.0
Compute = Callable[[Signature, Sequence[Array]], Sequence[Array]]


class Graph:
    """Runs in the test's own thread; takes no more than `memory_rows` at once.

    Attributes:
        runs: the first input of every run.
        during: called in the middle of every run.
    """

    def __init__(self, compute: Compute | None = None, memory_rows: int = 10**9) -> None:
        self.compute = compute or (lambda _, inputs: doubled(inputs))
        self.memory_rows = memory_rows
        self.runs: list[Array] = []
        self.during: Callable[[], None] = lambda: None

    def run(self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> Sequence[Array]:
        self.runs.append(inputs[0].copy())
        self.during()
        if len(inputs[0]) > self.memory_rows:
            raise RunFailed(8, "OOM when allocating tensor")
        if np.any(inputs[0] == POISON) or np.any(inputs[0] < 0):
            raise RunFailed(3, "no such id")
        return self.compute(signature, inputs)


class Running:
    """A runner with its queue, on a graph of the test's and a clock that the test moves."""

    def __init__(
        self,
        graph: Graph,
        settings: BatchSettings | None = None,
        joinings: dict[str, Joining] | None = None,
        alone: dict[str, str | None] | None = None,
        row_caps: dict[str, int] | None = None,
        checked_first: int = 0,
        proofs: dict[str, Judgement] | None = None,
        memory: Memory | None = None,
    ) -> None:
        """`checked_first`: see Trust.first; 0: nothing is checked."""
        self.graph = graph
        self.settings = settings or BatchSettings()
        self.clock = FakeClock()
        self.statistics = Statistics()
        self.queue = BatchQueue("model 'm' version 1", self.settings, self.clock, self.statistics)
        self.finisher = Finisher("m")
        self.unbatched_reasons: dict[str, str | None] = {"serving_default": None} if alone is None else alone
        one_in = self.settings.verify_one_in
        checked = self.unbatched_reasons if checked_first and one_in else ()
        self.trust = {name: Trust(one_in, checked_first) for name in checked}
        self.runner = Runner(
            "model 'm' version 1",
            graph,
            self.queue,
            self.statistics,
            self.finisher,
            self.settings,
            self.unbatched_reasons,
            joinings or {},
            self.clock,
            row_caps=row_caps,
            trust=self.trust,
            proofs=proofs,
            memory=memory,
        )

    def put(self, array: Array, of: Signature | None = None, observer: CallObserver | None = None) -> Caller:
        caller = Caller()
        made = call(array, of or signature(), caller.completion, arrived=self.clock.now)
        made.observer = observer
        self.queue.put(made)
        return caller

    def run_next(self) -> bool:
        """Run one batch; False: there is none."""
        look = self.queue.poll()
        for expired in look.expired:
            self.end_early(expired, DeadlineExceeded(), Event.EXPIRED)
        if look.batch is not None:
            self.runner.run(look.batch)
        return look.batch is not None or bool(look.expired)

    def run_all(self) -> None:
        while self.run_next():
            pass

    def end_early(self, call: Call, error: CallError, event: Event) -> None:
        """As a version does it."""
        if call.completion.finish(error):
            self.queue.withdraw(call)
            self.statistics.count(call.signature.name, event)

    @property
    def run_rows(self) -> list[int]:
        return [len(run) for run in self.graph.runs]

    def count(self, event: Event, name: str = "serving_default") -> int:
        return self.statistics.by_signature()[name].events[event]


# Neighbours.


def test_poisoned_call_among_many_costs_few_runs_and_is_counted() -> None:
    running = Running(Graph())
    callers = [running.put(rows(POISON if number == 13 else number)) for number in range(64)]
    running.run_all()
    for number, caller in enumerate(callers):
        if number == 13:
            assert isinstance(caller.error(), RunFailed)
        else:
            np.testing.assert_array_equal(caller.answer()[0], rows(2 * number))
    assert len(running.graph.runs) == 13
    assert (running.count(Event.RERUN), running.count(Event.POISON)) == (1, 1)
    figures = running.statistics.by_signature()["serving_default"]
    assert (figures.answered, figures.failed, figures.runs) == (63, 1, 13)


def test_call_that_expires_while_its_batch_is_run_again_is_not_run() -> None:
    running = Running(Graph())
    caller, expired = Caller(), Caller()
    running.put(rows(POISON))
    now = running.clock.now
    for one, deadline in ((caller, math.inf), (expired, now + 1)):
        running.queue.put(call(rows(5), completion=one.completion, arrived=now, deadline=deadline))

    def pass_time() -> None:
        running.clock.now += 2

    running.graph.during = pass_time
    running.run_all()
    assert isinstance(expired.error(), DeadlineExceeded)
    np.testing.assert_array_equal(caller.answer()[0], rows(10))
    assert running.run_rows == [3, 1, 1]
    assert running.count(Event.EXPIRED) == 1


def test_error_that_nobody_expects_ends_the_calls_of_its_batch_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = Running(Graph())
    running.statistics.add_run = _broken  # type: ignore[method-assign]
    callers = [running.put(rows(1)), running.put(rows(2))]
    with caplog.at_level(logging.ERROR):
        running.run_all()
    assert all(isinstance(caller.error(), InternalError) for caller in callers)
    assert "a bug of ours" in caplog.text


def _broken(*_: Any, **__: Any) -> None:
    raise TypeError("a bug of ours")


@pytest.mark.parametrize("poison", [False, True], ids=["answered", "failed"])
@pytest.mark.parametrize("count", [1, 2, 10], ids=["alone", "beside another", "in pieces"])
def test_caller_who_leaves_during_the_run_is_not_counted_as_answered_or_failed_too(
    poison: bool, count: int
) -> None:
    running = Running(Graph(), BatchSettings(max_batch_rows=4))
    leaving, staying = Caller(), Caller()
    leaver = call(rows(*range(1 if count == 2 else count)), completion=leaving.completion)
    if poison:
        leaver.inputs[0][-1] = POISON
    running.queue.put(leaver)
    if count == 2:
        running.queue.put(call(rows(1), completion=staying.completion))

    def leave() -> None:
        if leaver.rows - leaver.rows_done <= 4:
            running.end_early(leaver, Cancelled(), Event.CANCELLED)

    running.graph.during = leave
    running.run_all()
    assert isinstance(leaving.error(), Cancelled)
    figures = running.statistics.by_signature()["serving_default"]
    assert (figures.answered, figures.failed) == (int(count == 2), 0)
    assert figures.events[Event.CANCELLED] == 1
    assert figures.rows_run == sum(running.run_rows)


# Out of memory.


def test_batch_that_does_not_fit_is_run_at_half_the_rows_and_so_are_later_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = Running(Graph(memory_rows=4))
    for _ in range(2):
        callers = [running.put(rows(number)) for number in range(8)]
        running.run_all()
        for number, caller in enumerate(callers):
            np.testing.assert_array_equal(caller.answer()[0], rows(2 * number))
    assert running.run_rows == [8, 4, 4, 4, 4]
    assert running.count(Event.OUT_OF_MEMORY) == 1
    assert running.count(Event.POISON) == 0
    assert "8 rows of signature 'serving_default' do not fit into memory; from now on 4" in caplog.text


def test_caller_who_leaves_while_a_batch_runs_within_its_learnt_limit_is_not_run() -> None:
    running = Running(Graph(memory_rows=2))
    for value in range(4):
        running.put(rows(value))
    running.run_all()
    running.graph.runs.clear()
    stays, also_stays, leaves = (running.put(rows(value)) for value in (1, 2, 3))

    def leave() -> None:
        leaves.completion.finish(Cancelled())

    running.graph.during = leave
    running.run_all()
    assert running.run_rows == [2]
    assert [len(one.answer()) for one in (stays, also_stays)] == [1, 1]


def test_call_that_takes_all_memory_by_itself_does_not_take_the_batches_away() -> None:
    def compute(_: Signature, inputs: Sequence[Array]) -> Sequence[Array]:
        if np.any(inputs[0] == 1e9):
            raise RunFailed(8, "OOM when allocating a tensor of 1e9 elements")
        return doubled(inputs)

    running = Running(Graph(compute))
    greedy, *others = [running.put(rows(value)) for value in (1e9, 1, 2, 3, 4, 5, 6, 7)]
    running.run_all()
    assert isinstance(greedy.error(), RunFailed)
    assert all(len(other.answer()) == 1 for other in others)
    running.graph.runs.clear()
    for value in range(8):
        running.put(rows(value))
    running.run_all()
    assert running.run_rows == [8]


def test_single_call_that_does_not_fit_is_answered_from_runs_of_half_its_rows() -> None:
    running = Running(Graph(memory_rows=4))
    caller = running.put(rows(*range(8)))
    running.run_all()
    np.testing.assert_array_equal(caller.answer()[0], rows(*range(0, 16, 2)))
    assert running.run_rows == [8, 4, 4]
    second = running.put(rows(*range(6)))
    running.run_all()
    np.testing.assert_array_equal(second.answer()[0], rows(*range(0, 12, 2)))
    assert running.run_rows[3:] == [4, 2]


def test_single_call_of_a_signature_that_runs_alone_gets_the_error_and_is_run_once() -> None:
    running = Running(Graph(memory_rows=4), alone={"serving_default": "its rows influence each other"})
    caller = Caller()
    running.queue.put(call(rows(*range(8)), completion=caller.completion, joinable=False))
    running.run_all()
    error = caller.error()
    assert isinstance(error, RunFailed)
    assert error.code == 8
    assert running.run_rows == [8]


# Calls in pieces.


def test_large_call_runs_in_pieces_and_is_answered_whole_and_others_go_in_between() -> None:
    running = Running(Graph(), BatchSettings(max_batch_rows=4))
    large = running.put(rows(*range(10)))
    assert running.run_next()
    small = running.put(rows(100))
    running.run_next()
    np.testing.assert_array_equal(small.answer()[0], rows(200))
    assert not large.outcomes
    running.run_all()
    np.testing.assert_array_equal(large.answer()[0], rows(*range(0, 20, 2)))
    assert running.run_rows == [4, 1, 4, 2]
    assert running.count(Event.SPLIT) == 1
    figures = running.statistics.by_signature()["serving_default"]
    assert (figures.answered, figures.rows_answered, figures.runs) == (2, 11, 4)


def test_large_call_that_fails_in_one_piece_ends_with_its_error_and_runs_no_further() -> None:
    running = Running(Graph(), BatchSettings(max_batch_rows=2))
    large = running.put(rows(1, 2, 3, POISON, 5, 6))
    running.run_all()
    assert isinstance(large.error(), RunFailed)
    assert running.run_rows == [2, 2]
    assert len(running.queue) == 0


def test_large_call_whose_caller_leaves_between_pieces_runs_no_further() -> None:
    running = Running(Graph(), BatchSettings(max_batch_rows=2))
    large = running.put(rows(*range(6)))
    running.run_next()
    large.completion.finish(Cancelled())
    running.run_all()
    assert running.run_rows == [2]
    assert isinstance(large.error(), Cancelled)


def test_large_call_runs_whole_where_the_owner_or_its_outputs_say_so() -> None:
    whole = Running(Graph(), BatchSettings(max_batch_rows=2, split=False))
    caller = whole.put(rows(*range(5)))
    whole.run_all()
    assert (whole.run_rows, len(caller.answer()[0])) == ([5], 5)

    one = signature(outputs={"y": (None, 2), "count": ()})
    counting = Graph(lambda _, inputs: [inputs[0] * 2, np.array(len(inputs[0]))])
    running = Running(counting, BatchSettings(max_batch_rows=2), {one.name: joining_of(one)})
    caller = running.put(rows(*range(5)), one)
    running.run_all()
    assert int(caller.answer()[1]) == 5
    assert running.run_rows == [5]


# Buckets.


def test_bucket_that_does_not_fit_is_not_filled_up_again() -> None:
    settings = BatchSettings(max_batch_rows=8, row_buckets=(2, 8))
    running = Running(Graph(memory_rows=4), settings, {"serving_default": Joining(buckets=(2, 8))})
    for values in ((1, 2, 3), (4, 5, 6)):
        callers = [running.put(rows(value)) for value in values]
        running.run_all()
        for value, caller in zip(values, callers, strict=True):
            np.testing.assert_array_equal(caller.answer()[0], rows(2 * value))


def test_single_call_that_only_its_bucket_makes_fail_is_run_as_it_is() -> None:
    settings = BatchSettings(max_batch_rows=8, row_buckets=(8,))
    running = Running(Graph(memory_rows=4), settings, {"serving_default": Joining(buckets=(8,))})
    caller = running.put(rows(1))
    running.run_all()
    np.testing.assert_array_equal(caller.answer()[0], rows(2))
    assert running.run_rows == [8, 1]


COMPILED = dataclasses.replace(signature(), compiles="XlaCallModule 'x'")


@pytest.mark.parametrize("values", [(1, 2, 3), (1, POISON, 3, 4, 5), (POISON,), (1,) * 20])
def test_no_number_of_rows_is_run_that_was_not_compiled(values: tuple[float, ...]) -> None:
    """Neither when a batch fails and is taken apart, nor in a check: one that compiles holds others up."""
    settings = BatchSettings(max_batch_rows=16, verify_one_in=2)
    joinings = {"serving_default": Joining(buckets=(2, 4))}
    running = Running(Graph(), settings, joinings, row_caps={"serving_default": 4}, checked_first=64)
    callers = [running.put(rows(value), COMPILED) for value in values]
    running.run_all()
    running.runner.check_if_due()
    assert set(running.run_rows) <= {2, 4}
    assert running.count(Event.DIFFERED) == 0
    for value, caller in zip(values, callers, strict=True):
        if value == POISON:
            assert "no such id" in str(caller.error())
        else:
            np.testing.assert_array_equal(caller.answer()[0], rows(2 * value))


def test_call_of_more_rows_than_were_compiled_runs_in_pieces_that_were() -> None:
    running = Running(
        Graph(),
        BatchSettings(max_batch_rows=16),
        {"serving_default": Joining(buckets=(2, 4))},
        row_caps={"serving_default": 4},
    )
    caller = running.put(rows(*range(7)), COMPILED)
    running.run_all()
    np.testing.assert_array_equal(caller.answer()[0], rows(*range(0, 14, 2)))
    assert running.run_rows == [4, 4]


# Checks in service.


def mixing(_: Signature, inputs: Sequence[Array]) -> Sequence[Array]:
    """Right for one row, and wrong for several."""
    return [inputs[0] * 2 + len(inputs[0]) - 1]


def mixing_above(limit: float) -> Compute:
    """Rows are wrong in company, if any is so large."""

    def compute(_: Signature, inputs: Sequence[Array]) -> Sequence[Array]:
        mixes = inputs[0].max() >= limit
        return [inputs[0] * 2 + (len(inputs[0]) - 1 if mixes else 0)]

    return compute


def several_only(_: Signature, inputs: Sequence[Array]) -> Sequence[Array]:
    if len(inputs[0]) < 2:
        raise RunFailed(3, "at least two rows")
    return doubled(inputs)


UNKNOWN = Judgement(
    Verdict.UNKNOWN,
    {"y": OutputJudgement(Verdict.UNKNOWN)},
    "pad_to_longest (RaggedTensorToTensor) pads to the longest",
)


def put_together(running: Running, *values: float) -> list[Caller]:
    callers = [running.put(rows(value)) for value in values]
    running.run_all()
    return callers


def assert_as_alone(callers: Sequence[Caller], *values: float) -> None:
    for caller, value in zip(callers, values, strict=True):
        np.testing.assert_array_equal(caller.answer()[0], rows(2 * value))


def test_nobody_gets_an_answer_that_changes_in_company_while_every_joined_call_is_compared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = Running(Graph(mixing_above(100)), checked_first=64, proofs={"serving_default": UNKNOWN})
    assert_as_alone(put_together(running, 1, 2), 1, 2)
    assert running.run_rows == [2, 1, 1]
    running.graph.runs.clear()
    # The third joined call shows it, and nobody gets what came out of its batch.
    assert_as_alone(put_together(running, 3, 100), 3, 100)
    assert running.run_rows == [2, 1, 1]
    assert (running.count(Event.CHECKED), running.count(Event.DIFFERED)) == (3, 1)
    reason = running.unbatched_reasons["serving_default"] or ""
    assert "output 'y' differs" in reason
    assert "pad_to_longest (RaggedTensorToTensor)" in reason
    assert "pad_to_longest (RaggedTensorToTensor)" in caplog.text
    figures = running.statistics.by_signature()["serving_default"]
    assert (figures.answered, figures.rows_answered, figures.runs, figures.failed_runs) == (4, 4, 4, 1)
    # Those that were in a lane already do not share a run any more either.
    running.graph.runs.clear()
    assert_as_alone(put_together(running, 5, 200), 5, 200)
    assert running.run_rows == [1, 1]
    assert running.trust["serving_default"].joined == 0


PROVEN = Judgement(Verdict.PROVEN, {"y": OutputJudgement(Verdict.PROVEN)}, "")


@pytest.mark.parametrize(("proof", "differed"), [(PROVEN, 0), (UNKNOWN, 1)], ids=["proven", "unknown"])
def test_check_lets_rounding_go_further_only_where_rows_are_proven_to_be_independent(
    proof: Judgement, differed: int
) -> None:
    def rounding(_: Signature, inputs: Sequence[Array]) -> Sequence[Array]:
        return [inputs[0] * 2 * np.float32(1.0 if len(inputs[0]) == 1 else 1.0 + 5e-4)]

    running = Running(Graph(rounding), checked_first=64, proofs={"serving_default": proof})
    put_together(running, 1, 2)
    assert running.count(Event.DIFFERED) == differed


@pytest.mark.parametrize("checked_first", [1, 64], ids=["proven", "unknown"])
def test_joined_calls_are_compared_before_they_leave_as_trust_has_grown(checked_first: int) -> None:
    running = Running(Graph(), BatchSettings(verify_one_in=10**6), checked_first=checked_first)
    for number in range(0, 256, 4):
        assert_as_alone(put_together(running, *range(number, number + 4)), *range(number, number + 4))
    compared = [int(run[0, 0]) + 1 for run in running.graph.runs if len(run) == 1]
    assert compared == ([*range(1, 65), 128, 256] if checked_first == 64 else [2**n for n in range(9)])
    assert running.count(Event.CHECKED) == len(compared)
    # A run for a check answers nobody, and is none of the version's figures.
    assert running.statistics.by_signature()["serving_default"].runs == 64


def test_joined_call_is_compared_once_a_minute_whatever_the_load() -> None:
    running = Running(Graph(), BatchSettings(verify_one_in=10**6), checked_first=1)
    for number in range(32):
        put_together(running, number, number)
    running.graph.runs.clear()
    running.clock.now += AT_LEAST_EVERY_S - 1e-3
    put_together(running, 1, 2)
    assert running.run_rows == [2]
    running.clock.now += 2e-3
    running.queue.put(call(rows(7)))
    put_together(running, 1, 2)
    put_together(running, 1, 2)
    assert running.run_rows == [2, 3, 1, 2]


def test_sampled_call_waits_until_nothing_else_is_to_do() -> None:
    graph = Graph(lambda _, inputs: [inputs[0] * 2 + (inputs[0] == 3) * (len(inputs[0]) - 1)])
    running = Running(graph, BatchSettings(verify_one_in=3), checked_first=1)
    put_together(running, 1, 2)
    graph.runs.clear()
    # The fourth of all is compared before they leave, and is right; the third is the one in three.
    callers = put_together(running, 3, 0.5, 0.25)
    running.put(rows(6))
    running.runner.check_if_due()
    assert running.run_rows == [3, 1]
    running.run_all()
    running.runner.check_if_due()
    assert running.run_rows == [3, 1, 1, 1]
    np.testing.assert_array_equal(callers[0].answer()[0], rows(8))
    assert "output 'y' differs" in (running.unbatched_reasons["serving_default"] or "")


@pytest.mark.parametrize(
    "settings",
    [BatchSettings(on_difference="warn"), BatchSettings(batching="always")],
    ids=["warn", "always"],
)
def test_owner_who_joins_all_the_same_is_told_and_those_found_different_get_their_own(
    settings: BatchSettings, caplog: pytest.LogCaptureFixture
) -> None:
    running = Running(Graph(mixing), settings, checked_first=1)
    callers = put_together(running, 1, 2, 3)
    assert_as_alone(callers[:2], 1, 2)
    np.testing.assert_array_equal(callers[2].answer()[0], rows(8))
    assert "its calls go on sharing batches by setting" in caplog.text
    assert (running.count(Event.CHECKED), running.count(Event.DIFFERED)) == (2, 2)
    running.graph.runs.clear()
    put_together(running, 1, 2)
    assert running.run_rows[0] == 2


def test_call_that_a_batch_answered_and_the_graph_refuses_alone_gets_its_own_error() -> None:
    running = Running(Graph(several_only), checked_first=1)
    callers = put_together(running, 1, 2)
    assert ["at least two rows" in str(caller.error()) for caller in callers] == [True, True]
    assert "fails alone: at least two rows" in (running.unbatched_reasons["serving_default"] or "")


def test_owner_who_joins_all_the_same_has_the_refused_call_refused_and_the_others_answered() -> None:
    running = Running(Graph(several_only), BatchSettings(on_difference="warn"), checked_first=1)
    first, second, third = put_together(running, 1, 2, 3)
    assert [str(caller.error()) for caller in (first, second)] == ["at least two rows"] * 2
    assert_as_alone([third], 3)


def test_call_that_fails_alone_for_want_of_memory_tells_nothing_and_the_next_is_compared_instead() -> None:
    greedy = True

    def compute(_: Signature, inputs: Sequence[Array]) -> Sequence[Array]:
        if greedy and len(inputs[0]) == 1:
            raise RunFailed(8, "OOM when allocating tensor")
        return doubled(inputs)

    running = Running(Graph(compute), checked_first=1)
    for number in range(8):
        put_together(running, number, number)
    running.graph.runs.clear()
    assert running.count(Event.DIFFERED) == 0
    greedy = False
    assert_as_alone(put_together(running, 1, 2), 1, 2)
    assert_as_alone(put_together(running, 1, 2), 1, 2)
    assert running.run_rows == [2, 1, 2]
    assert running.count(Event.CHECKED) == 1
    assert running.unbatched_reasons["serving_default"] is None


def test_caller_who_has_left_is_not_compared() -> None:
    running = Running(Graph(), checked_first=64)
    leaving, staying = Caller(), Caller()
    leaver = call(rows(5), completion=leaving.completion)
    running.queue.put(leaver)
    running.queue.put(call(rows(6), completion=staying.completion))
    running.graph.during = lambda: running.end_early(leaver, Cancelled(), Event.CANCELLED)
    running.run_all()
    assert_as_alone([staying], 6)
    assert [run[:, 0].tolist() for run in running.graph.runs] == [[5, 6], [6]]
    assert running.trust["serving_default"].joined == 1


def test_caller_who_leaves_while_his_batch_is_run_apart_is_not_run() -> None:
    running = Running(Graph(mixing), checked_first=64)
    leaving, staying = Caller(), Caller()
    leaver = call(rows(6), completion=leaving.completion)
    running.queue.put(call(rows(5), completion=staying.completion))
    running.queue.put(leaver)

    def leave() -> None:
        if len(running.graph.runs) == 2:
            running.end_early(leaver, Cancelled(), Event.CANCELLED)

    running.graph.during = leave
    running.run_all()
    assert_as_alone([staying], 5)
    assert isinstance(leaving.error(), Cancelled)
    assert running.run_rows == [2, 1]


def test_rows_that_only_fill_up_are_company_too() -> None:
    joinings = {"serving_default": Joining(buckets=(1, 4))}
    settings = BatchSettings(max_batch_rows=4, row_buckets=(1, 4))
    running = Running(Graph(mixing), settings, joinings, checked_first=64)
    caller = running.put(rows(1, 2))
    running.run_all()
    # What the call gets alone, neighbours of its own included.
    np.testing.assert_array_equal(caller.answer()[0], rows(3, 5))
    assert running.run_rows == [4, 2]
    exact = Running(Graph(), settings, joinings, checked_first=64)
    exact.put(rows(1))
    exact.run_all()
    assert exact.run_rows == [1]


def test_calls_that_failed_together_and_were_answered_in_parts_are_compared_as_well() -> None:
    running = Running(Graph(mixing), checked_first=64)
    values = [float(number) for number in range(9)]
    values[8] = POISON
    callers = [running.put(rows(value)) for value in values]
    running.run_all()
    assert isinstance(callers[8].error(), RunFailed)
    assert_as_alone(callers[:8], *values[:8])


def test_parts_that_were_run_together_after_a_difference_was_found_are_run_alone_unseen() -> None:
    running = Running(Graph(mixing), checked_first=1)
    values = [POISON, *(float(number) for number in range(16))]
    callers = [running.put(rows(value)) for value in values]
    running.run_all()
    assert isinstance(callers[0].error(), RunFailed)
    assert_as_alone(callers[1:], *values[1:])
    assert (running.count(Event.CHECKED), running.count(Event.DIFFERED)) == (1, 1)


def test_caller_who_leaves_while_another_is_compared_is_not_compared() -> None:
    running = Running(Graph(), checked_first=64)
    leaving = Caller()
    leaver = call(rows(6), completion=leaving.completion)
    running.put(rows(5))
    running.queue.put(leaver)

    def leave() -> None:
        if len(running.graph.runs) == 2:
            running.end_early(leaver, Cancelled(), Event.CANCELLED)

    running.graph.during = leave
    running.run_all()
    assert running.run_rows == [2, 1]
    assert running.count(Event.CHECKED) == 1


def test_sample_of_a_signature_that_is_joined_no_more_is_not_run() -> None:
    running = Running(Graph(mixing_above(100)), BatchSettings(verify_one_in=3), checked_first=1)
    put_together(running, 1, 2, 3)
    put_together(running, 100, 101)
    running.graph.runs.clear()
    running.runner.check_if_due()
    assert running.graph.runs == []
    assert running.count(Event.DIFFERED) == 1


def test_what_is_learnt_is_kept_whenever_trust_has_doubled_and_when_it_is_lost() -> None:
    kept: list[tuple[int, bool]] = []

    class Told(Memory):
        def keep(self, learnt: Mapping[str, Learnt]) -> None:
            kept.extend((one.joined, bool(one.difference)) for one in learnt.values())

    running = Running(Graph(mixing_above(100)), checked_first=1, memory=Told("m"))
    for _ in range(9):
        put_together(running, 1, 2)
    assert kept == [(2, False), (4, False), (8, False), (16, False)]
    running.clock.now += AT_LEAST_EVERY_S
    put_together(running, 1, 100)
    assert kept[4:] == [(0, True)]


def test_trace_of_a_call_that_was_run_apart_tells_of_that_run() -> None:
    seen: list[tuple[str, float]] = []

    class Observer:
        def __init__(self, name: str) -> None:
            self._name = name

        def queued(self, *_: object) -> None:
            raise AssertionError("nothing is queued by a run")

        def ran(self, moments: Moments) -> None:
            seen.append((self._name, moments.started))

    running = Running(Graph(mixing), checked_first=1)

    def pass_time() -> None:
        running.clock.now += 1.0

    running.graph.during = pass_time
    started = running.clock.now
    for name, value in (("first", 1), ("second", 2)):
        running.put(rows(value), observer=Observer(name))
    running.run_all()
    assert seen == [
        ("first", started),
        ("second", started),
        ("first", started + 1),
        ("second", started + 2),
    ]


def test_check_finds_no_other_cost_than_the_batch_has() -> None:
    """The curve of costs is of batches: what the checks of one take must not be learnt as its own."""
    running = Running(Graph(), checked_first=64)

    def pass_time() -> None:
        running.clock.now += 1.0

    running.graph.during = pass_time
    told: list[float] = []
    running.queue.done = lambda: told.append(running.clock.now)  # type: ignore[method-assign]
    started = running.clock.now
    put_together(running, 1, 2)
    assert told == [started + 1.0]


def test_run_that_may_change_state_makes_what_waits_incomparable() -> None:
    writer = signature("write", writes=True)
    running = Running(
        Graph(),
        BatchSettings(verify_one_in=3),
        alone={"serving_default": None, "write": "w"},
        checked_first=1,
    )
    put_together(running, 1, 2, 3)
    running.queue.put(call(rows(3), writer, joinable=False))
    running.run_next()
    running.graph.runs.clear()
    running.runner.check_if_due()
    assert running.graph.runs == []


def test_task_that_may_change_variables_makes_what_waits_incomparable_too() -> None:
    running = Running(Graph(), BatchSettings(verify_one_in=3), checked_first=1)
    put_together(running, 1, 2, 3)
    running.queue.put_task(ExecutorTask(lambda _: None, arrived=running.clock.now, level=1))
    running.run_next()
    running.graph.runs.clear()
    running.runner.check_if_due()
    assert running.graph.runs == []


def test_call_that_only_its_own_rows_fill_up_because_it_compiles_is_not_compared_with_itself() -> None:
    joinings = {"serving_default": Joining(buckets=(2, 4))}
    running = Running(Graph(), BatchSettings(max_batch_rows=4), joinings, checked_first=64)
    running.put(rows(1), COMPILED)
    running.run_all()
    assert running.run_rows == [2]
    assert running.trust["serving_default"].joined == 0


def test_each_call_of_a_shared_run_that_writes_and_fails_is_counted() -> None:
    writer = signature("write", writes=True)
    running = Running(Graph(), alone={"write": None})
    callers = [running.put(rows(value), writer) for value in (1, POISON, 2)]
    running.run_all()
    assert [str(caller.error()) for caller in callers] == ["no such id"] * 3
    assert len(running.graph.runs) == 1
    figures = running.statistics.by_signature()["write"]
    assert (figures.answered, figures.failed, figures.failed_runs) == (0, 3, 1)


# All of it at once.


FREE = Signature(
    "free",
    (TensorSpec("x", "x:0", np.dtype(np.float32), (None, None)),),
    (TensorSpec("y", "y:0", np.dtype(np.float32), (None, None)),),
)
SCALED = Signature(
    "scaled",
    (
        TensorSpec("x", "x:0", np.dtype(np.float32), (None, 2)),
        TensorSpec("factor", "f:0", np.dtype(np.float32), ()),
    ),
    (
        TensorSpec("y", "y:0", np.dtype(np.float32), (None, 2)),
        TensorSpec("pi", "p:0", np.dtype(np.float64), ()),
    ),
)
WRITER = signature("writer", writes=True)


def compute_alone(one: Signature, inputs: Sequence[Array]) -> list[Array]:
    if one is SCALED:
        return [inputs[0] * inputs[1], np.array(math.pi)]
    return [inputs[0] * 2]


@dataclass(frozen=True)
class Brought:
    """What a call brings."""

    one: Signature
    count: int
    width: int
    poisoned: bool
    factor: float
    timeout_s: float

    def inputs(self, owner: int) -> list[Array]:
        width = self.width if self.one is FREE else 2
        x = np.float32(100 * owner + np.arange(self.count * width)).reshape(self.count, width)
        if self.poisoned:
            x[-1, -1] *= -1
        return [x, np.array(self.factor, np.float32)] if self.one is SCALED else [x]


BROUGHT = st.builds(
    Brought,
    st.sampled_from([FREE, FREE, FREE, SCALED, WRITER]),
    st.sampled_from([1, 1, 1, 2, 3, 19]),
    st.integers(1, 3),
    st.sampled_from([False] * 5 + [True]),
    st.sampled_from([1.0, 3.0]),
    st.sampled_from([math.inf, math.inf, 1.0, 3.0]),
)


class Visit:
    """A call, what it brought, and what came of it."""

    def __init__(self, owner: int, brought: Brought, clock: FakeClock) -> None:
        one, inputs = brought.one, brought.inputs(owner)
        self.owner = float(owner)
        self.outcomes: list[Outcome] = []
        self.rows = brought.count
        self.poisoned = brought.poisoned
        self.expected = compute_alone(one, inputs)
        self.deadline = clock.now + brought.timeout_s
        self.arrays = [weakref.ref(array) for array in inputs]
        self.call: Call | None = Call(
            one,
            inputs,
            one.output_aliases,
            Completion(self._deliver),
            arrived=clock.now,
            deadline=self.deadline,
            joinable=not one.writes,
            padded={("x", 1)} if one is FREE else (),
        )

    def _deliver(self, outcome: Outcome) -> None:
        # Copies: what is looked at later must not keep a batch alive.
        is_error = isinstance(outcome, CallError)
        self.outcomes.append(outcome if is_error else [array.copy() for array in outcome])  # type: ignore[union-attr]
        self.call = None


def ended(figures: Figures) -> int:
    """Calls that are counted as ended, by any way that a call may end."""
    ways = (Event.REFUSED_FULL, Event.REFUSED_LATE, Event.REFUSED_DRAINING, Event.EXPIRED, Event.CANCELLED)
    return figures.answered + figures.failed + sum(figures.events[way] for way in ways)


class Everything(RuleBasedStateMachine):
    """Random calls, departures, deadlines, poison, memory and shapes, on one queue and one runner."""

    @initialize(
        max_rows=st.sampled_from([1, 4, 16]),
        buckets=st.booleans(),
        split=st.booleans(),
        one_in=st.sampled_from([0, 1, 3]),
        checked_first=st.sampled_from([1, 5, 64]),
        memory_rows=st.sampled_from([1, 2, 5, 10**9, 10**9]),
        wait_us=st.sampled_from([0, 1000]),
    )
    def begin(
        self,
        max_rows: int,
        buckets: bool,
        split: bool,
        one_in: int,
        checked_first: int,
        memory_rows: int,
        wait_us: int,
    ) -> None:
        padding = padding_of(FREE, {"x.1": 0}, {"y.1": "x.1"})
        steps = tuple(sorted({1, max_rows})) if buckets else ()
        settings = BatchSettings(
            max_batch_rows=max_rows,
            max_wait_us=wait_us,
            split=split,
            verify_one_in=one_in,
            row_buckets=steps,
            max_queued_calls=10**6,
        )
        self.visits: list[Visit] = []
        self.written: list[float] = []
        self.running = Running(
            Graph(self._compute, memory_rows),
            settings,
            {one.name: joining_of(one, padding if one is FREE else None, steps) for one in (FREE, SCALED)},
            {"free": None, "scaled": None, "writer": "it writes"},
            checked_first=checked_first,
        )
        self.running.graph.during = self._during
        self.leave_in: dict[int, int] = {}
        self.run_in_vain: list[Visit] = []
        self.checking = False

    def _compute(self, one: Signature, inputs: Sequence[Array]) -> list[Array]:
        if one is WRITER:
            self.written.append(float(inputs[0][0, 0]))
        return compute_alone(one, inputs)

    def _during(self) -> None:
        owners = set(np.floor(np.abs(self.running.graph.runs[-1]) / 100).ravel().tolist()) - {0.0}
        inside = [visit for visit in self.visits if visit.owner in owners]
        # A check runs what has ended; that is what it is for.
        if not self.checking:
            self.run_in_vain += [visit for visit in inside if visit.outcomes]
        self.leave_in = {runs - 1: index for runs, index in self.leave_in.items()}
        index = self.leave_in.pop(0, None)
        if index is not None and not self.checking:
            self._leave(inside[index % len(inside)])

    @rule(several=st.lists(BROUGHT, min_size=1, max_size=8))
    def come(self, several: list[Brought]) -> None:
        for brought in several:
            # Each value tells whose it is: the hundreds are the call's.
            visit = Visit(len(self.visits) + 1, brought, self.running.clock)
            self.visits.append(visit)
            assert visit.call is not None
            try:
                self.running.queue.put(visit.call)
            except CallError as error:
                forget_traceback(error)
                visit.call.completion.finish(error)

    @precondition(lambda self: any(not visit.outcomes for visit in self.visits))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self._leave(data.draw(st.sampled_from([visit for visit in self.visits if not visit.outcomes])))

    @rule(runs=st.integers(1, 3), index=st.integers(0, 3))
    def leave_during_a_run(self, runs: int, index: int) -> None:
        """One of those who are in the first, second or third run from now."""
        self.leave_in[runs] = index

    def _leave(self, visit: Visit) -> None:
        if visit.call is not None:
            self.running.end_early(visit.call, Cancelled(), Event.CANCELLED)

    @rule(seconds=st.sampled_from([0.001, 1.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.running.clock.now += seconds

    @rule()
    def run_one(self) -> None:
        self.running.run_next()

    @rule()
    def check(self) -> None:
        self.checking = True
        self.running.runner.check_if_due()
        self.checking = False

    @invariant()
    def nobody_got_a_wrong_outcome(self) -> None:
        assert not self.run_in_vain
        for visit in self.visits:
            assert len(visit.outcomes) <= 1
            for outcome in visit.outcomes:
                self._judge(visit, outcome)
        if self.visits:
            assert all(
                reason is None for name, reason in self.running.unbatched_reasons.items() if name != "writer"
            )

    def _judge(self, visit: Visit, outcome: Outcome) -> None:
        if not isinstance(outcome, CallError):
            assert not visit.poisoned
            for got, expected in zip(outcome, visit.expected, strict=True):
                np.testing.assert_array_equal(got, expected)
        elif isinstance(outcome, RunFailed):
            # Alone it would not have fitted either.
            assert visit.poisoned if outcome.code == 3 else visit.rows > self.running.graph.memory_rows
        else:
            assert isinstance(outcome, Cancelled | DeadlineExceeded | Refused), outcome
            assert not isinstance(outcome, DeadlineExceeded) or visit.deadline <= self.running.clock.now

    def teardown(self) -> None:
        if not hasattr(self, "running"):
            return
        running = self.running
        running.queue.close()
        running.run_all()
        self.nobody_got_a_wrong_outcome()
        assert all(len(visit.outcomes) == 1 for visit in self.visits)
        assert sum(ended(figures) for figures in running.statistics.by_signature().values()) == len(
            self.visits
        )
        assert len(running.queue) == 0
        assert self.written == sorted(self.written), "writers ran out of their order"
        assert len(self.written) == len(set(self.written)), "a writer ran twice"
        self.checking = True
        running.runner.check_if_due()
        running.graph.runs.clear()
        assert not [ref for visit in self.visits for ref in visit.arrays if ref() is not None]


Everything.TestCase.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
TestEverything = Everything.TestCase
