from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.errors import (
    CallError,
    Cancelled,
    DeadlineExceeded,
    Draining,
    InvalidCall,
    OverLimit,
    QueueFull,
    RunFailed,
    SequenceCut,
    WouldBeLate,
)
from hotgraph_server.sequences.bounds import Bounds
from hotgraph_server.sequences.call import Actions, Ended, Result, Run, SequenceCall, SequenceId, Stage
from hotgraph_server.sequences.table import Table

IDLE_S = 1.0
FAULT = RunFailed(3, "a row that the graph refuses")


class Accumulator:
    """A table whose runs add each call's input to its sequence's state, and answer with the sum.

    The test decides when a run is over.
    """

    def __init__(self, **bounds: Any) -> None:
        self.now = 100.0
        given = {"slots": 2, "idle_s": IDLE_S, "initial": (np.zeros(1),), **bounds}
        self.bounds = Bounds(**given)
        self.table = Table("model 'm' version 1", "m", self.bounds)
        self.runs: list[Run] = []
        self.outcomes: dict[SequenceCall, Outcome] = {}
        self.warnings: list[str] = []

    def call(
        self,
        sequence_id: SequenceId,
        value: float = 1.0,
        *,
        start: bool = False,
        end: bool = False,
        deadline: float = math.inf,
        shapes: tuple[tuple[int, ...], ...] = (),
        nbytes: int = 0,
    ) -> SequenceCall:
        call: SequenceCall
        call = SequenceCall(
            sequence_id,
            [np.array([value])],
            ("sum",),
            Completion(lambda outcome: self.outcomes.__setitem__(call, outcome)),
            start=start,
            end=end,
            deadline=deadline,
            shapes=shapes,
            nbytes=nbytes,
        )
        self.do(self.table.tend(self.now))
        refusal = self.table.refusal(call)
        if refusal is not None:
            raise refusal
        self.do(self.table.admit(call, self.now))
        return call

    def do(self, actions: Actions) -> None:
        self.warnings += actions.warnings
        for run in actions.runs:
            assert not any(call.completion.taken and call.stage is not Stage.RUNNING for call in run.members)
        self.runs += actions.runs
        for run in actions.withdrawn:
            if run in self.runs:
                self.over(run, Cancelled())
        for call, outcome, _ in actions.outcomes:
            call.completion.finish(outcome)

    def over(self, run: Run | None = None, error: CallError | None = None) -> None:
        """The oldest run, or this one, is over."""
        run = run or self.runs[0]
        self.runs.remove(run)
        outcome: Sequence[Result] | CallError = error or [self.result(call) for call in run.members]
        self.do(self.table.over(run, outcome, self.now))

    def all_over(self) -> None:
        while self.runs:
            self.over()

    def result(self, call: SequenceCall) -> Result:
        assert call.sequence is not None
        total = call.sequence.states[0] + call.inputs[0]
        return Result([total], [total])

    def leave(self, call: SequenceCall, *, expired: bool = False) -> None:
        if call.completion.finish(DeadlineExceeded() if expired else Cancelled()):
            self.do(self.table.left(call, self.now, expired=expired))

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.do(self.table.tend(self.now))

    def sum_of(self, call: SequenceCall) -> float:
        outcome = self.outcomes[call]
        assert not isinstance(outcome, CallError), repr(outcome)
        return float(outcome[0][0])

    def error_of(self, call: SequenceCall) -> CallError:
        outcome = self.outcomes[call]
        assert isinstance(outcome, CallError)
        return outcome

    def members(self) -> list[list[SequenceId]]:
        return [[call.sequence_id for call in run.members] for run in self.runs]


def row_of(call: SequenceCall) -> int:
    assert call.sequence is not None
    return call.sequence.place


def test_calls_of_a_sequence_run_one_at_a_time_and_in_order() -> None:
    held = Accumulator()
    calls = [held.call(7, 1, start=True), held.call(7, 10), held.call(7, 100, end=True)]
    for done in range(3):
        assert [run.members for run in held.runs] == [[calls[done]]]
        held.over()
    assert [held.sum_of(call) for call in calls] == [1, 11, 111]
    assert not len(held.table)
    assert held.table.ended[Ended.END] == 1


def test_sequences_do_not_see_each_other() -> None:
    held = Accumulator()
    one, other = held.call(7, 1, start=True), held.call("7", 5, start=True)
    assert held.members() == [[7], ["7"]]
    held.all_over()
    again = held.call(7, 1)
    held.all_over()
    assert [held.sum_of(call) for call in (one, other, again)] == [1, 5, 2]


def test_a_first_call_without_start_is_refused() -> None:
    held = Accumulator()
    with pytest.raises(InvalidCall, match="sequence 7 to model 'm' must specify the START flag on the first"):
        held.call(7)


def test_after_its_end_a_sequence_takes_no_call_but_a_start() -> None:
    held = Accumulator()
    held.call(7, start=True, end=True)
    with pytest.raises(InvalidCall, match="must specify the START flag"):
        held.call(7)
    anew = held.call(7, 4, start=True)
    held.all_over()
    assert held.sum_of(anew) == 4


def test_without_a_free_slot_a_sequence_waits_for_one() -> None:
    held = Accumulator(slots=1)
    held.call(1, start=True)
    second = [held.call(2, 1, start=True), held.call(2, 1, end=True)]
    third = held.call(3, start=True)
    held.over()
    assert not held.runs, "1 goes on and keeps its slot"
    held.call(1, end=True)
    held.over()
    assert held.members() == [[2]]
    held.over()
    held.over()
    assert held.members() == [[3]]
    held.over()
    assert [held.sum_of(call) for call in second] == [1, 2]
    assert held.sum_of(third) == 1


def test_silence_ends_a_sequence_and_frees_its_slot() -> None:
    held = Accumulator(slots=1)
    held.call(1, start=True)
    waiting = held.call(2, start=True)
    held.all_over()
    assert held.table.due() == held.now + IDLE_S
    held.after(IDLE_S - 1e-6)
    assert not held.runs
    held.after(2e-6)
    assert held.members() == [[2]]
    held.all_over()
    assert held.sum_of(waiting) == 1
    assert held.table.ended[Ended.IDLE] == 1
    with pytest.raises(InvalidCall, match="START"):
        held.call(1)


def test_a_sequence_whose_call_waits_or_runs_is_not_silent() -> None:
    held = Accumulator()
    first, second = held.call(1, start=True), held.call(1)
    held.after(IDLE_S * 3)
    held.over()
    held.after(IDLE_S * 3)
    held.over()
    assert [held.sum_of(first), held.sum_of(second)] == [1, 2]


def test_each_call_makes_the_silence_begin_anew() -> None:
    held = Accumulator()
    held.call(1, start=True)
    held.all_over()
    for total in (2, 3, 4):
        held.after(IDLE_S * 0.9)
        call = held.call(1)
        held.all_over()
        assert held.sum_of(call) == total


def test_a_second_start_ends_the_old_sequence_behind_what_it_has() -> None:
    held = Accumulator()
    old = [held.call(1, 1, start=True), held.call(1, 1)]
    new = held.call(1, 5, start=True)
    assert held.members() == [[1], [1]], "each in a slot of its own"
    held.all_over()
    assert [held.sum_of(call) for call in (*old, new)] == [1, 2, 5]
    assert held.table.ended[Ended.RESTARTED] == 1
    assert "sequence 1 has begun anew without an END" in held.warnings[0]
    assert held.sum_of(_over(held, held.call(1, 1))) == 6


def test_a_second_start_on_a_silent_sequence_takes_over_its_slot() -> None:
    held = Accumulator(slots=1)
    held.call(1, 1, start=True)
    held.all_over()
    assert held.sum_of(_over(held, held.call(1, 5, start=True))) == 5
    assert len(held.table) == 1


def _over(held: Accumulator, call: SequenceCall) -> SequenceCall:
    held.all_over()
    return call


def test_a_cancelled_call_that_waits_takes_what_waits_of_its_sequence_along() -> None:
    held = Accumulator()
    running, gone, behind = held.call(1, start=True), held.call(1), held.call(1)
    other = held.call(2, start=True)
    held.leave(gone)
    assert isinstance(held.error_of(behind), SequenceCut)
    held.all_over()
    assert held.sum_of(running) == held.sum_of(other) == 1
    assert held.table.ended[Ended.CUT] == 1
    with pytest.raises(InvalidCall, match="START"):
        held.call(1)


def test_a_cancelled_call_that_runs_counts_and_cuts_what_waits() -> None:
    held = Accumulator()
    running, waiting = held.call(1, start=True), held.call(1)
    run = held.runs[0]
    work_before = held.runs.copy()
    # Somebody has taken it out of the queue: it cannot be withdrawn any more.
    held.runs.clear()
    held.leave(running)
    assert isinstance(held.error_of(waiting), SequenceCut)
    held.runs = work_before
    held.over(run)
    assert isinstance(held.error_of(running), Cancelled)
    assert not len(held.table)


def test_whoever_leaves_at_the_deadline_of_a_run_can_go_on() -> None:
    held = Accumulator()
    running = held.call(1, 1, start=True)
    run = held.runs.pop()
    held.leave(running, expired=True)
    behind = held.call(1, 10)
    held.runs.append(run)
    held.all_over()
    assert held.sum_of(behind) == 11


def test_whoever_leaves_before_the_run_ends_the_sequence() -> None:
    held = Accumulator()
    held.call(1, start=True)
    held.all_over()
    gone = held.call(1)
    held.leave(gone, expired=True)
    assert not held.runs
    with pytest.raises(InvalidCall, match="START"):
        held.call(1)


def test_a_caller_who_leaves_the_backlog_leaves_no_trace() -> None:
    held = Accumulator(slots=1)
    held.call(1, start=True)
    gone, behind = held.call(2, start=True), held.call(2)
    third = held.call(3, start=True)
    held.leave(gone)
    assert isinstance(held.error_of(behind), SequenceCut)
    held.call(1, end=True)
    held.all_over()
    assert held.sum_of(third) == 1


def test_a_call_whose_deadline_passes_in_the_backlog_is_not_run() -> None:
    held = Accumulator(slots=1)
    held.call(1, start=True, end=True)
    late = held.call(2, start=True, deadline=held.now + 1)
    behind = held.call(2)
    held.now += 1
    held.over()
    assert isinstance(held.error_of(late), DeadlineExceeded)
    assert isinstance(held.error_of(behind), SequenceCut)
    assert not held.runs
    assert not len(held.table)


def test_a_failing_call_leaves_its_state_and_its_neighbours_as_they_were() -> None:
    held = Accumulator()
    held.call(1, 1, start=True)
    held.all_over()
    failed, next_one = held.call(1, 5), held.call(1, 10)
    held.over(error=FAULT)
    assert held.error_of(failed) is FAULT
    held.all_over()
    assert held.sum_of(next_one) == 11


def test_a_call_refused_for_load_may_be_tried_again() -> None:
    held = Accumulator()
    held.call(1, 1, start=True)
    held.all_over()
    refused = held.call(1, 5, end=True)
    held.over(error=WouldBeLate("m", 0.1))
    assert isinstance(held.error_of(refused), WouldBeLate)
    again = held.call(1, 5, end=True)
    held.all_over()
    assert held.sum_of(again) == 6


def test_a_refused_call_with_others_behind_it_ends_the_sequence() -> None:
    held = Accumulator()
    held.call(1, 1, start=True)
    held.all_over()
    held.call(1, 5)
    behind = held.call(1, 5)
    held.over(error=WouldBeLate("m", 0.1))
    assert isinstance(held.error_of(behind), SequenceCut)
    assert held.table.ended[Ended.CUT] == 1


def test_a_refused_start_begins_nothing() -> None:
    held = Accumulator()
    held.call(1, start=True)
    held.over(error=WouldBeLate("m", 0.1))
    assert not len(held.table)


def test_more_sequences_than_allowed_are_refused_and_the_others_stay() -> None:
    held = Accumulator(max_sequences=2)
    held.call(1, start=True)
    held.call(2, start=True)
    with pytest.raises(OverLimit, match="has 2 sequences, and max_sequences is 2"):
        held.call(3, start=True)
    held.all_over()
    held.call(1, end=True)
    held.all_over()
    held.call(3, start=True)


def test_a_sequence_that_would_pass_the_limit_of_state_is_refused() -> None:
    held = Accumulator(max_state_nbytes=16)
    held.call(1, start=True)
    held.call(2, start=True)
    with pytest.raises(OverLimit, match="MiB of state"):
        held.call(3, start=True)


def test_a_state_that_grows_past_the_limit_ends_its_own_sequence_only() -> None:
    held = Accumulator(max_state_nbytes=32)
    calls = [held.call(1, start=True), held.call(2, start=True)]
    run = held.runs.pop(0)
    held.do(held.table.over(run, [Result([np.zeros(1)], [np.zeros(4)])], held.now))
    assert isinstance(held.error_of(calls[0]), OverLimit)
    assert held.table.ended[Ended.STATE_FULL] == 1
    held.all_over()
    assert held.sum_of(calls[1]) == 1
    assert held.table.occupancy.state_nbytes == 8


def test_calls_past_the_edge_are_refused_and_their_sequence_stays() -> None:
    held = Accumulator(max_calls=2)
    held.call(1, start=True)
    held.call(1)
    held.call(1)
    with pytest.raises(QueueFull, match="2 calls wait, the limit is 2"):
        held.call(1)
    held.all_over()
    assert held.sum_of(_over(held, held.call(1))) == 4


def test_bytes_past_the_edge_are_refused_but_never_the_only_call() -> None:
    held = Accumulator(max_call_nbytes=2**20)
    held.call(1, start=True, nbytes=2**30)
    held.call(1, nbytes=2**30)
    with pytest.raises(QueueFull, match="1024 MiB wait, the limit is 1"):
        held.call(1, nbytes=1)


def test_closing_ends_silent_sequences_and_lets_calls_that_wait_run() -> None:
    held = Accumulator(slots=1)
    held.call(1, start=True)
    held.all_over()
    backlog = [held.call(2, start=True), held.call(2)]
    held.do(held.table.close(held.now))
    with pytest.raises(Draining):
        held.call(1)
    held.all_over()
    assert [held.sum_of(call) for call in backlog] == [1, 2]
    assert not len(held.table)
    assert held.table.ended[Ended.UNLOADED] == 2


def test_what_waits_when_time_is_up_ends_with_draining() -> None:
    held = Accumulator(slots=1)
    running, waiting, backlog = held.call(1, start=True), held.call(1), held.call(2, start=True)
    held.do(held.table.abandon(Draining("m"), held.now))
    assert isinstance(held.error_of(waiting), Draining)
    assert isinstance(held.error_of(backlog), Draining)
    held.all_over()
    assert held.sum_of(running) == 1
    assert not len(held.table)


def test_a_caller_who_leaves_when_its_call_is_over_changes_nothing() -> None:
    held = Accumulator()
    call = held.call(1, start=True)
    held.all_over()
    assert held.table.left(call, held.now, expired=False) == Actions()
    held.call(1)
    assert held.members() == [[1]]


# With rows of their own.


def test_sequences_share_a_run_each_in_the_row_of_its_slot() -> None:
    held = Accumulator(slots=3, direct=True)
    first = held.call(1, start=True)
    calls = [held.call(2, start=True), held.call(3, start=True)]
    assert held.members() == [[1]], "one run at a time"
    held.over()
    assert held.members() == [[2, 3]]
    assert [row_of(call) for call in (first, *calls)] == [0, 1, 2]
    held.over()
    calls = [held.call(one) for one in (3, 1)]
    held.all_over()
    assert [row_of(call) for call in calls] == [2, 0]


def test_a_row_that_is_free_again_is_given_to_the_next() -> None:
    held = Accumulator(slots=2, direct=True)
    held.call(1, start=True, end=True)
    held.call(2, start=True)
    held.all_over()
    assert row_of(_over(held, held.call(3, start=True))) == 0


def test_calls_of_another_kind_go_in_a_run_of_their_own() -> None:
    held = Accumulator(slots=3, direct=True)
    held.call(1, start=True, shapes=((2,),))
    held.call(2, start=True, shapes=((3,),))
    held.call(3, start=True, shapes=((2,),))
    held.over()
    assert held.members() == [[2]]
    held.over()
    assert held.members() == [[3]]


def test_a_shared_run_that_fails_is_tried_again_for_each() -> None:
    held = Accumulator(slots=3, direct=True)
    held.call(1, start=True)
    bad, good = held.call(2, start=True), held.call(3, 5, start=True)
    held.over()
    held.over(error=FAULT)
    assert held.members() == [[2]]
    held.over(error=FAULT)
    assert held.members() == [[3]]
    held.over()
    assert held.error_of(bad) is FAULT
    assert held.sum_of(good) == 5
    assert len(held.table) == 3


def test_who_has_left_a_shared_run_that_fails_is_not_tried_again() -> None:
    held = Accumulator(slots=3, direct=True)
    held.call(1, start=True)
    left, stays = held.call(2, start=True), held.call(3, 5, start=True)
    held.over()
    held.leave(left)
    held.over(error=FAULT)
    assert held.members() == [[3]]
    held.over()
    assert held.sum_of(stays) == 5


def test_a_run_that_waits_for_others_when_time_is_up_is_not_begun() -> None:
    held = Accumulator(slots=4, direct=True, least_ready=2, delay_s=0.5)
    call = held.call(1, start=True)
    held.do(held.table.abandon(Draining("m"), held.now))
    assert not held.runs
    assert isinstance(held.error_of(call), Draining)
    assert not len(held.table)


def test_a_shared_run_that_wrote_and_failed_ends_all_that_were_in_it() -> None:
    held = Accumulator(slots=3, direct=True, retries=False)
    held.call(1, start=True)
    calls = [held.call(2, start=True), held.call(3, start=True)]
    held.over()
    held.over(error=FAULT)
    assert [held.error_of(call) for call in calls] == [FAULT, FAULT]
    assert held.table.ended[Ended.FAILED] == 2
    assert len(held.table) == 1


def test_without_sharing_each_run_has_one_row() -> None:
    held = Accumulator(slots=3, direct=True, shares=False)
    for one in (1, 2, 3):
        held.call(one, start=True)
    seen = []
    while held.runs:
        seen += held.members()
        held.over()
    assert seen == [[1], [2], [3]]


def test_a_run_waits_until_enough_slots_are_ready_or_time_is_up() -> None:
    held = Accumulator(slots=4, direct=True, least_ready=2, delay_s=0.5)
    held.call(1, start=True)
    assert not held.runs
    assert held.table.due() == held.now + 0.5
    held.after(0.25)
    held.call(2, start=True)
    assert held.members() == [[1, 2]]
    held.over()
    held.call(1)
    held.after(0.5 - 1e-6)
    assert not held.runs
    held.after(2e-6)
    assert held.members() == [[1]]


def test_nobody_waits_for_company_when_the_version_leaves() -> None:
    held = Accumulator(slots=4, direct=True, least_ready=2, delay_s=0.5)
    held.call(1, start=True)
    held.do(held.table.close(held.now))
    assert held.members() == [[1]]


class Reference(RuleBasedStateMachine):
    """Any interleaving: every answer is the sum of its sequence's calls that were run, in their order, and
    everything ends."""

    @initialize(
        slots=st.integers(1, 3),
        direct=st.booleans(),
        retries=st.booleans(),
        least_ready=st.integers(1, 2),
    )
    def begin(self, slots: int, direct: bool, retries: bool, least_ready: int) -> None:
        self.held = Accumulator(
            slots=slots,
            direct=direct,
            retries=retries,
            least_ready=min(slots, least_ready),
            delay_s=0.2,
            max_sequences=5,
            max_calls=6,
        )
        self.calls: list[SequenceCall] = []
        # What each sequence holds by a reckoning of our own, and its calls in order.
        self.sums: dict[Any, float] = {}
        self.order: dict[Any, list[SequenceCall]] = {}
        self.wanted: dict[SequenceCall, float] = {}

    @rule(
        sequence_id=st.integers(1, 4),
        start=st.booleans(),
        end=st.booleans(),
        value=st.integers(1, 9),
        patience=st.sampled_from([0.3, math.inf]),
    )
    def call(self, sequence_id: int, start: bool, end: bool, value: int, patience: float) -> None:
        held = self.held
        try:
            call = held.call(sequence_id, value, start=start, end=end, deadline=held.now + patience)
        except CallError:
            return
        self.calls.append(call)
        self.order.setdefault(call.sequence, []).append(call)
        self.sums.setdefault(call.sequence, 0.0)

    def _ran(self, call: SequenceCall) -> None:
        ahead = self.order[call.sequence]
        position = ahead.index(call)
        assert all(earlier in self.held.outcomes for earlier in ahead[:position]), "out of order"
        self.sums[call.sequence] += float(call.inputs[0][0])
        self.wanted[call] = self.sums[call.sequence]

    @precondition(lambda self: self.held.runs)
    @rule(data=st.data())
    def over(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.held.runs))
        for call in run.members:
            self._ran(call)
        self.held.over(run)

    @precondition(lambda self: self.held.runs)
    @rule(data=st.data(), error=st.sampled_from([FAULT, WouldBeLate("m", 0.1), DeadlineExceeded()]))
    def fail(self, data: st.DataObject, error: CallError) -> None:
        self.held.over(data.draw(st.sampled_from(self.held.runs)), error)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), expired=st.booleans())
    def leave(self, data: st.DataObject, expired: bool) -> None:
        self.held.leave(data.draw(st.sampled_from(self.calls)), expired=expired)

    @rule(seconds=st.sampled_from([0.1, 0.2, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.held.after(seconds)

    @rule()
    def close(self) -> None:
        self.held.do(self.held.table.close(self.held.now))

    @invariant()
    def answers_are_the_reckoned_ones(self) -> None:
        for call, outcome in self.held.outcomes.items():
            if not isinstance(outcome, CallError):
                assert float(outcome[0][0]) == self.wanted[call]

    @invariant()
    def no_two_share_a_slot_or_a_turn(self) -> None:
        table, runs, bounds = self.held.table, self.held.runs, self.held.bounds
        places = [one.place for one in table if one.place >= 0]
        assert len(places) == len(set(places))
        assert all(place < bounds.slots for place in places)
        running = [call.sequence for run in runs for call in run.members]
        assert len(running) == len(set(running))
        assert table.calls == sum(call.stage is not Stage.DONE for call in self.calls)
        assert table.occupancy.waiting == sum(call.stage is Stage.WAITING for call in self.calls)
        assert table.occupancy.state_nbytes == sum(one.nbytes for one in table)
        assert all(call in self.held.outcomes for call in self.calls if call.stage is Stage.DONE)
        if bounds.direct:
            assert len(runs) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "held"):
            return
        held = self.held
        held.do(held.table.close(held.now))
        while held.runs:
            for call in held.runs[0].members:
                self._ran(call)
            held.over()
        self.answers_are_the_reckoned_ones()
        assert all(call in held.outcomes for call in self.calls), "somebody waits for ever"
        assert not len(held.table)
        assert not held.table.occupancy.state_nbytes
        assert held.table.due() == math.inf


Reference.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnyInterleaving = Reference.TestCase
