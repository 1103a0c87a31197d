from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.request import InSequence, Request
from hotgraph_server.call_observer import Moments, Queued
from hotgraph_server.errors import (
    Cancelled,
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidCall,
    LoadError,
    OverLimit,
    RunFailed,
    SequenceCut,
    WouldBeLate,
)
from hotgraph_server.models.admission import cancel
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.opening import open_version
from hotgraph_server.sequences.call import Ended, SequenceCall
from hotgraph_server.sequences.factory import sequences_of
from hotgraph_server.sequences.rules import Control, ControlTensor, SequenceRules, StateTensor
from hotgraph_server.settings import BatchSettings, ModelSettings, SequenceSettings
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.statistics import Event, Statistics
from hotgraph_server.tensors import Array

from ..fakes import HANG_S, Caller, FakeClock, FakeGraph

FLOAT = np.dtype(np.float32)


def tensor(alias: str) -> TensorSpec:
    return TensorSpec(alias, f"{alias}:0", FLOAT, (None, 1))


INPUTS = ("x", "START", "READY", "CORRID", "sum_in")


def summing(writes: bool = False) -> Signature:
    return Signature(
        "serving_default",
        tuple(tensor(alias) for alias in INPUTS),
        (tensor("sum"), tensor("sum_out")),
        writes=writes,
    )


CORRID = np.dtype(np.uint32)
RULES: dict[str, Any] = {
    "controls": (
        ControlTensor(Control.START, "START", FLOAT, np.float32(0), np.float32(1)),
        ControlTensor(Control.READY, "READY", FLOAT, np.float32(0), np.float32(1)),
        ControlTensor(Control.CORRELATION_ID, "CORRID", CORRID),
    ),
    "states": (StateTensor("sum_in", "sum_out", FLOAT, (1,)),),
}


def add(inputs: Sequence[Array]) -> list[Array]:
    """The sum in the state and the input; a row below zero fails the run."""
    given = dict(zip(INPUTS, inputs, strict=True))
    if (given["x"] < 0).any():
        raise RunFailed(3, "below zero")
    total = given["sum_in"] + given["x"]
    return [total, total.copy()]


class Serving:
    """A version with sequences on a graph that the test holds."""

    def __init__(
        self,
        *,
        writes: bool = False,
        rows: int = 4,
        clock: Callable[[], float] | None = None,
        batch: dict[str, Any] | None = None,
        sequences: dict[str, Any] | None = None,
        **rules: Any,
    ) -> None:
        self.graph = FakeGraph(summing(writes), compute=add)
        self.clock = FakeClock()
        settings = ModelSettings(
            "m",
            Path("unused"),
            # Trials run on inputs of their own, which have nothing to do with what is tried here.
            BatchSettings(verify_one_in=0, **{"batching": "always", **(batch or {})}),
            sequences=SequenceSettings(**(sequences or {})),
        )
        contract = Contract(
            config=SimpleNamespace(max_batch_size=rows),
            signature="serving_default",
            batched=True,
            sequence=SequenceRules(**{**RULES, "strategy": "oldest", **rules}),
        )
        self.version = open_version(
            settings, 1, self.graph.open, clock or self.clock, contract_of=lambda *_: contract
        )
        self.graph.runs.clear()

    def call(
        self,
        sequence_id: int | str,
        value: float = 1,
        *,
        start: bool = False,
        end: bool = False,
        deadline: float = math.inf,
        observer: Observer | None = None,
    ) -> Visit:
        return Visit(self, sequence_id, value, start=start, end=end, deadline=deadline, observer=observer)

    def held(self) -> dict[str, list[float]]:
        """The inputs of the run that is held now."""
        inputs = self.graph.wait_until_held()
        return {alias: array.ravel().tolist() for alias, array in zip(INPUTS, inputs, strict=True)}

    def figures(self) -> Any:
        assert self.version.sequences is not None
        return self.version.sequences.figures()


class Observer:
    def __init__(self) -> None:
        self.seen: list[object] = []

    def queued(self, call: Queued) -> None:
        self.seen.append((call.version, call.arrived, *call.names))

    def ran(self, moments: Moments) -> None:
        self.seen.append("ran")


class Visit(Caller):
    def __init__(self, serving: Serving, sequence_id: int | str, value: float, **how: Any) -> None:
        super().__init__()
        self.version = serving.version
        deadline, observer = how.pop("deadline", math.inf), how.pop("observer", None)
        self.call = self.version.submit(
            Request(
                self.version.signatures["serving_default"],
                [np.array([[value]], np.float32)],
                ("sum",),
                self.completion,
                deadline,
                sequence=InSequence(sequence_id, **{"start": False, "end": False, **how}),
                observer=observer,
            )
        )

    def leave(self) -> None:
        cancel(self.call)

    def sum(self) -> float:
        (answer,) = self.answer()
        assert answer.shape == (1, 1)
        return float(answer[0, 0])


@pytest.fixture
def serving() -> Iterator[Callable[..., Serving]]:
    made: list[Serving] = []

    def make(**how: Any) -> Serving:
        made.append(Serving(**how))
        return made[-1]

    yield make
    for one in made:
        one.graph.let_all_go()
        assert one.version.stop(HANG_S)


def test_state_goes_from_call_to_call(serving: Callable[..., Serving]) -> None:
    one = serving()
    assert one.call(1, 1, start=True).sum() == 1
    assert one.call(2, 10, start=True).sum() == 10
    assert one.call(1, 2).sum() == 3
    assert one.call(2, 20, end=True).sum() == 30
    assert one.call(1, 3, end=True).sum() == 6
    assert one.figures().state_nbytes == 0
    assert one.figures().ended[Ended.END] == 2


def test_the_model_is_told_what_each_call_is(serving: Callable[..., Serving]) -> None:
    one = serving()
    one.call(7, 1, start=True).sum()
    one.call(7, 2).sum()
    first, second = (dict(zip(INPUTS, run, strict=True)) for run in one.graph.runs)
    assert [float(run["START"].item()) for run in (first, second)] == [1, 0]
    assert [float(run["READY"].item()) for run in (first, second)] == [1, 1]
    assert [int(run["CORRID"].item()) for run in (first, second)] == [7, 7]


def test_calls_of_different_sequences_share_a_batch(serving: Callable[..., Serving]) -> None:
    one = serving()
    one.graph.shut()
    first = one.call(9, 1, start=True)
    one.held()
    visits = [one.call(name, name, start=True) for name in (1, 2, 3)] + [one.call(1, 10)]
    one.graph.let_one_go()
    assert one.held()["x"] == [1, 2, 3], "of sequence 1 one call only"
    one.graph.let_all_go()
    assert [visit.sum() for visit in (first, *visits)] == [1, 1, 2, 3, 11]


def test_with_rows_of_their_own_sequences_share_a_run_and_keep_their_rows(
    serving: Callable[..., Serving],
) -> None:
    one = serving(strategy="direct")
    one.graph.shut()
    first = one.call(5, 1, start=True)
    assert one.held()["READY"] == [1, 0, 0, 0]
    others = [one.call(name, name, start=True) for name in (6, 7)]
    one.graph.let_one_go()
    run = one.held()
    assert (run["x"], run["CORRID"]) == ([0, 6, 7, 0], [0, 6, 7, 0])
    again = [one.call(5, 10), one.call(7, 70)]
    one.graph.let_one_go()
    run = one.held()
    assert run["x"] == [10, 0, 70, 0]
    assert run["START"] == [0, 0, 0, 0]
    assert run["sum_in"] == [1, 0, 7, 0]
    one.graph.let_all_go()
    assert [visit.sum() for visit in (first, *others, *again)] == [1, 6, 7, 11, 77]
    snapshot = one.version.statistics.snapshot()
    assert snapshot.rows == 5, "rows that are nobody's do not count"
    assert (snapshot.success.count, snapshot.runs) == (5, 3)


@pytest.mark.parametrize("strategy", ["oldest", "direct"])
def test_observer_of_a_call_is_told_of_the_run_that_it_is_in(
    serving: Callable[..., Serving], strategy: str
) -> None:
    one = serving(strategy=strategy)
    one.graph.shut()
    first, observers = one.call(9, start=True), [Observer(), Observer()]
    one.held()
    visits = [one.call(name, start=True, observer=own) for name, own in enumerate(observers, 1)]
    unobserved = one.call(3, start=True)
    one.graph.let_all_go()
    assert [visit.sum() for visit in (first, *visits, unobserved)] == [1] * 4
    assert [own.seen for own in observers] == [[(1, one.clock(), *INPUTS), "ran"]] * 2


def test_a_failing_row_fails_alone(serving: Callable[..., Serving]) -> None:
    for strategy in ("oldest", "direct"):
        one = serving(strategy=strategy)
        one.graph.shut()
        first = one.call(1, 1, start=True)
        one.held()
        good, bad = one.call(2, 2, start=True), one.call(3, -1, start=True)
        one.graph.let_all_go()
        assert first.sum() == 1
        assert good.sum() == 2
        assert "below zero" in str(bad.error())
        assert one.call(2, 2).sum() == 4
        assert one.call(3, 5).sum() == 5, "the state is as it was before the call that failed"
        snapshot = one.version.statistics.snapshot()
        assert (snapshot.success.count, snapshot.fail.count) == (4, 1), strategy


def test_where_a_run_writes_variables_each_has_the_row_of_one_sequence(
    serving: Callable[..., Serving],
) -> None:
    one = serving(strategy="direct", writes=True)
    one.graph.shut()
    first = one.call(1, 1, start=True)
    one.held()
    visits = [one.call(2, 2, start=True), one.call(3, -1, start=True), one.call(4, 4, start=True)]
    seen = []
    for _ in visits:
        one.graph.let_one_go()
        seen.append(one.held()["READY"])
    assert seen == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    one.graph.let_all_go()
    assert [visit.sum() for visit in (first, visits[0], visits[2])] == [1, 2, 4]
    assert "below zero" in str(visits[1].error())


def test_the_owner_may_have_such_sequences_share_runs(serving: Callable[..., Serving]) -> None:
    one = serving(strategy="direct", writes=True, sequences={"share_slot_runs": "always"})
    one.graph.shut()
    first = one.call(1, 1, start=True)
    one.held()
    visits = [one.call(2, 2, start=True), one.call(3, -1, start=True)]
    one.graph.let_one_go()
    assert one.held()["READY"] == [0, 1, 1, 0]
    one.graph.let_all_go()
    assert first.sum() == 1
    assert all("below zero" in str(visit.error()) for visit in visits)
    assert one.figures().ended[Ended.FAILED] == 2
    assert one.version.statistics.snapshot().fail.count == 2


def test_a_caller_who_leaves_a_waiting_call_ends_its_sequence_alone(serving: Callable[..., Serving]) -> None:
    one = serving()
    one.graph.shut()
    running = one.call(1, 1, start=True)
    one.held()
    neighbour = one.call(2, 2, start=True)
    waiting, behind = one.call(1), one.call(1)
    waiting.leave()
    assert isinstance(waiting.error(), Cancelled)
    assert isinstance(behind.error(), SequenceCut)
    one.graph.let_all_go()
    assert running.sum() == 1
    assert neighbour.sum() == 2
    with pytest.raises(InvalidCall, match="START"):
        one.call(1)
    figures = one.version.statistics.by_signature()["serving_default"]
    assert figures.events[Event.CANCELLED] == 2


def test_a_call_that_waits_in_the_queue_is_taken_out_of_it(serving: Callable[..., Serving]) -> None:
    one = serving()
    one.graph.shut()
    running = one.call(1, 1, start=True)
    one.held()
    gone = one.call(2, start=True)
    assert one.version.waiting == 1
    gone.leave()
    assert one.version.waiting == 0
    assert one.figures().live == 1
    one.graph.let_all_go()
    assert running.sum() == 1


def test_a_caller_who_leaves_during_the_run_can_go_on_behind_it(serving: Callable[..., Serving]) -> None:
    one = serving()
    one.graph.shut()
    running = one.call(1, 1, start=True, deadline=one.clock() + 1)
    one.held()
    one.clock.now += 1
    running.leave()
    assert isinstance(running.error(), DeadlineExceeded)
    behind = one.call(1, 10)
    one.graph.let_all_go()
    assert behind.sum() == 11


def test_default_deadlines_hold_for_what_waits_for_its_turn(serving: Callable[..., Serving]) -> None:
    one = serving(batch={"default_timeout_ms": 100})
    assert one.call(1, start=True).call.deadline == one.clock() + 0.1


def test_silence_gives_memory_and_slot_back_though_nobody_calls(serving: Callable[..., Serving]) -> None:
    one = serving(idle_s=1e-3, max_candidates=1, clock=time.monotonic)
    first = one.call(1, start=True)
    # It gets the only slot when the first one has been silent for long enough, and nobody says so.
    assert one.call(2, 5, start=True, end=True).sum() == 5
    assert first.sum() == 1
    assert one.figures().ended[Ended.IDLE] == 1
    assert one.figures().state_nbytes == 0


def test_a_version_that_leaves_answers_what_waits_and_ends_its_sequences(
    serving: Callable[..., Serving],
) -> None:
    one = serving(max_candidates=1)
    one.graph.shut()
    visits = [one.call(1, 1, start=True), one.call(1, 1), one.call(2, 5, start=True), one.call(2, 5)]
    one.held()
    stopped: list[bool] = []
    leaving = threading.Thread(target=lambda: stopped.append(one.version.stop(HANG_S)))
    leaving.start()
    while True:
        try:
            one.call(3, start=True).leave()
        except Draining:
            break
    one.graph.let_all_go()
    assert [visit.sum() for visit in visits] == [1, 2, 5, 10]
    leaving.join(HANG_S)
    assert stopped == [True]
    assert one.figures().live == 0


def test_a_version_without_time_ends_what_waits(serving: Callable[..., Serving]) -> None:
    one = serving(max_candidates=1)
    one.graph.shut()
    running = one.call(1, 1, start=True)
    one.held()
    waiting = [one.call(1), one.call(2, start=True)]
    assert not one.version.stop(0)
    assert all(isinstance(visit.error(), Draining) for visit in waiting)
    one.graph.let_all_go()
    assert running.sum() == 1
    assert one.version.stop(HANG_S)
    assert one.figures().live == 0


def test_too_much_state_is_refused_with_the_numbers(serving: Callable[..., Serving]) -> None:
    one = serving(
        sequences={"max_sequence_state_mb": 1},
        states=(StateTensor("sum_in", "sum_out", FLOAT, (200_000,)),),
    )
    first = one.call(1, start=True)
    with pytest.raises(OverLimit, match="max_sequence_state_mb is 1"):
        one.call(2, start=True)
    first.answer()


def test_too_many_sequences_are_refused(serving: Callable[..., Serving]) -> None:
    one = serving(sequences={"max_sequences": 1})
    one.call(1, start=True).sum()
    with pytest.raises(OverLimit, match="max_sequences is 1"):
        one.call(2, start=True)


def test_an_unsigned_id_and_its_signed_form_are_one_sequence(serving: Callable[..., Serving]) -> None:
    corrid = ControlTensor(Control.CORRELATION_ID, "CORRID", np.dtype(np.int64))
    one = serving(controls=(*RULES["controls"][:2], corrid))
    assert one.call(2**64 - 5, 1, start=True).sum() == 1
    assert one.call(-5, 1).sum() == 2
    assert one.graph.runs[-1][INPUTS.index("CORRID")].item() == -5


def test_what_does_not_follow_the_rules_is_not_served() -> None:
    with pytest.raises(LoadError, match="no input 'nobody'"):
        Serving(states=(StateTensor("nobody", "sum_out", FLOAT, (1,)),))


def test_any_number_of_threads_may_call(serving: Callable[..., Serving]) -> None:
    for strategy in ("oldest", "direct"):
        one = serving(strategy=strategy, max_candidates=3, rows=3)
        failures: list[object] = []

        def converse(name: int, one: Serving = one, failures: list[object] = failures) -> None:
            for round_ in range(5):
                visits = [one.call(name, 1, start=not turn, end=turn == 4) for turn in range(5)]
                sums = [visit.sum() for visit in visits]
                if sums != [1, 2, 3, 4, 5]:
                    failures.append((name, round_, sums))

        threads = [threading.Thread(target=converse, args=(name,)) for name in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_S)
        assert not failures
        figures = one.figures()
        assert (figures.live, figures.waiting_calls, figures.ended[Ended.END]) == (0, 0, 40)


class ByHand:
    """The sequences of a version whose queue is the test.

    Attributes:
        runs: what was handed to the queue.
        refuse: what the queue says to the next run; None: it takes it.
    """

    def __init__(self, **rules: Any) -> None:
        self.clock = FakeClock()
        self.runs: list[Request] = []
        self.refuse: Exception | None = None
        self.statistics = Statistics()
        self.sequences = sequences_of(
            "model 'm' version 1",
            "m",
            summing(),
            SequenceRules(**{**RULES, "strategy": "oldest", **rules}),
            SequenceSettings(),
            BatchSettings(),
            self._submit,
            self._withdraw,
            batched=True,
            max_batch_size=4,
            statistics=self.statistics,
            clock=self.clock,
        )

    def _submit(self, request: Request) -> Request:
        if self.refuse is not None:
            error, self.refuse = self.refuse, None
            raise error
        self.runs.append(request)
        return request

    def _withdraw(self, run: Request) -> bool:
        self.runs.remove(run)
        return True

    def call(self, *, start: bool = False, deadline: float = math.inf) -> tuple[Caller, SequenceCall]:
        caller = Caller()
        request = Request(
            *(summing(), [np.array([[1]], np.float32)], ("sum",), caller.completion, deadline),
            sequence=InSequence(7, start=start, end=False),
        )
        return caller, self.sequences.submit(request)

    def over(self, *outputs: Array) -> None:
        self.runs.pop(0).completion.finish(list(outputs) or [np.ones((1, 1)), np.ones((1, 1))])

    def events(self) -> dict[Event, int]:
        events = self.statistics.snapshot().events
        return {event: count for event, count in events.items() if count}

    def errors(self) -> list[str]:
        return [one.status for one in self.statistics.last_errors.latest()]


def test_run_that_the_queue_refuses_ends_its_call_with_the_refusal_and_may_be_tried_again() -> None:
    held = ByHand()
    first, _ = held.call(start=True)
    held.over()
    held.refuse = WouldBeLate("the queue of m", 0.1)
    refused, _ = held.call()
    assert isinstance(refused.error(), WouldBeLate)
    again, _ = held.call()
    held.over()
    assert [float(caller.answer()[0].item()) for caller in (first, again)] == [1, 1]


def test_run_that_cannot_be_made_ends_its_call_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    held = ByHand()
    held.refuse = RuntimeError("a bug")
    caller, _ = held.call(start=True)
    assert isinstance(caller.error(), InternalError)
    assert "model 'm' version 1: a run of sequences could not be made" in caplog.text


def test_run_that_gives_too_little_ends_its_call_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    held = ByHand()
    caller, _ = held.call(start=True)
    held.over(np.ones((1, 1)))
    assert isinstance(caller.error(), InternalError)
    assert "what a run of sequences gave cannot be told apart" in caplog.text


def test_start_of_a_sequence_that_lives_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    held = ByHand()
    for _ in range(2):
        held.call(start=True)
        held.over()
    assert "sequence 7 has begun anew without an END" in caplog.text
    assert held.sequences.figures().ended[Ended.RESTARTED] == 1


def test_clock_tells_what_a_cancelled_call_ends_with_and_one_that_has_ended_stays_so() -> None:
    held = ByHand()
    early, call = held.call(start=True, deadline=held.clock.now + 1.0)
    held.sequences.cancel(call)
    held.sequences.cancel(call)
    late, call = held.call(start=True, deadline=held.clock.now + 1.0)
    held.clock.now += 1.0
    held.sequences.cancel(call)
    assert isinstance(early.error(), Cancelled)
    assert isinstance(late.error(), DeadlineExceeded)
    assert held.events() == {Event.CANCELLED: 1, Event.EXPIRED: 1}
    assert held.errors() == ["DEADLINE_EXCEEDED"]
    assert not held.runs, "nothing of them waits in the queue"


def test_call_that_waits_past_its_deadline_is_counted_as_expired() -> None:
    held = ByHand()
    held.call(start=True)
    waiting, _ = held.call(deadline=held.clock.now + 1.0)
    held.clock.now += 1.0
    held.over()
    assert isinstance(waiting.error(), DeadlineExceeded)
    assert held.events() == {Event.EXPIRED: 1}
    assert held.errors() == ["DEADLINE_EXCEEDED"]


def test_call_that_waits_when_the_version_leaves_is_counted_as_refused() -> None:
    held = ByHand()
    held.call(start=True)
    waiting, _ = held.call()
    assert not held.sequences.stop(0.0)
    assert isinstance(waiting.error(), Draining)
    with pytest.raises(Draining):
        held.call(start=True)
    assert held.events() == {Event.REFUSED_DRAINING: 2}
    assert held.errors() == ["UNAVAILABLE"]
