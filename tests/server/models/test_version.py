from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.lane_key import lane_key
from hotgraph_server.batching.request import QueueHints, Request
from hotgraph_server.errors import (
    CallError,
    Cancelled,
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidCall,
    LoadError,
    QueueFull,
    QueueTimedOut,
    RunFailed,
    WouldBeLate,
)
from hotgraph_server.execution.executor import OpenGraph
from hotgraph_server.graph.graph import Graph
from hotgraph_server.models.admission import cancel
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.row_independence.verdict import Judgement, Verdict
from hotgraph_server.settings import BatchSettings, ModelSettings, QueuePolicy, SessionSettings
from hotgraph_server.statistics import Event
from hotgraph_server.tensors import STRING, Array

from ...saved_models import SavedModels
from ..fakes import HANG_S, Caller, FakeClock, FakeGraph, doubled, rows, signature, submit


class Serving:
    """A live version on a graph that the test holds."""

    def __init__(self, graph: FakeGraph, contract: Contract | None = None, **batch: Any) -> None:
        self.graph = graph
        self.clock = FakeClock()
        settings = ModelSettings("m", Path("unused"), BatchSettings(**batch))
        said = contract or Contract(None)
        self.version = open_version(settings, 1, graph.open, self.clock, contract_of=lambda *_: said)
        graph.runs.clear()

    def call(self, array: Array, deadline: float = math.inf, name: str = "serving_default") -> Visit:
        return Visit(self.version, array, deadline, name)

    def hold_a_run(self) -> Visit:
        """From now on runs are held; one has begun, so that what comes now waits."""
        return self.hold_a_run_of(rows(0))

    def hold_a_run_of(self, array: Array) -> Visit:
        """The same, with a call of this."""
        self.graph.shut()
        first = self.call(array)
        self.graph.wait_until_held()
        return first

    def hold_a_batch(self, *arrays: Array) -> list[Visit]:
        """Calls that share a run, which has begun and is held."""
        self.hold_a_run()
        visits = [self.call(array) for array in arrays]
        self.graph.let_one_go()
        assert len(self.graph.wait_until_held()[0]) == sum(map(len, arrays)), "they do not share a batch"
        return visits

    def end(self) -> None:
        self.graph.let_all_go()
        assert self.version.stop(HANG_S)


class Visit(Caller):
    """A caller and its call."""

    def __init__(self, version: Version, array: Array, deadline: float, name: str) -> None:
        super().__init__()
        one = version.signatures[name]
        self._version = version
        self._array = array
        self.waiting = version.submit(
            Request(one, [array], one.output_aliases, self.completion, deadline=deadline)
        )

    def leave(self) -> None:
        cancel(self.waiting)

    def assert_right(self) -> None:
        np.testing.assert_array_equal(self.answer()[0], self._array * 2)


@pytest.fixture
def serving() -> Iterator[Serving]:
    one = Serving(FakeGraph(signature(), signature("alone", outputs={"y": (2,)})))
    yield one
    one.end()


def refusing(poison: float, error: Exception) -> Callable[[Sequence[Array]], Sequence[Array]]:
    def compute(inputs: Sequence[Array]) -> Sequence[Array]:
        if np.any(inputs[0] == poison):
            raise error
        return doubled(inputs)

    return compute


# The neighbours: what happens to one call of a batch is nothing to the others.


def test_caller_who_leaves_a_running_batch_does_not_hold_up_or_harm_its_neighbours(serving: Serving) -> None:
    first, leaver, last = serving.hold_a_batch(rows(1), rows(2, 3), rows(4))
    leaver.leave()
    # At once, while the run is still held.
    assert isinstance(leaver.error(), Cancelled)
    assert leaver.thread == threading.get_ident()
    serving.graph.let_all_go()
    first.assert_right()
    last.assert_right()
    assert len(leaver.outcomes) == 1


def test_caller_who_leaves_the_queue_is_not_run_and_its_neighbours_are(serving: Serving) -> None:
    held = serving.hold_a_run()
    first, leaver, last = (serving.call(rows(value)) for value in (1, 666, 3))
    leaver.leave()
    assert isinstance(leaver.error(), Cancelled)
    serving.graph.let_all_go()
    for neighbour in (held, first, last):
        neighbour.assert_right()
    assert not any(np.any(inputs[0] == 666) for inputs in serving.graph.runs)


def test_call_whose_deadline_passes_in_the_queue_is_never_run_and_its_neighbours_are(
    serving: Serving,
) -> None:
    held = serving.hold_a_run()
    now = serving.clock.now
    first, expired, last = (
        serving.call(rows(value), deadline)
        for value, deadline in ((1, now + 2), (666, now + 1), (3, math.inf))
    )
    serving.clock.now = now + 1
    serving.graph.let_all_go()
    assert isinstance(expired.error(), DeadlineExceeded)
    for neighbour in (held, first, last):
        neighbour.assert_right()
    assert not any(np.any(inputs[0] == 666) for inputs in serving.graph.runs)


def test_deadline_that_passes_during_the_run_costs_nobody_the_answer(serving: Serving) -> None:
    """The run was paid for; whether the answer is still wanted is the transport's to say."""
    now = serving.clock.now
    serving.hold_a_run()
    visits = [serving.call(rows(1), now + 1), serving.call(rows(2))]
    serving.graph.let_one_go()
    serving.graph.wait_until_held()
    serving.clock.now = now + 2
    serving.graph.let_all_go()
    for visit in visits:
        visit.assert_right()


def test_run_that_raises_ends_the_poisoned_call_alone(serving: Serving) -> None:
    error = RunFailed(3, "indices[0] = 666 is not in [0, 5)")
    serving.graph.compute = refusing(666, error)
    first, poisoned, last = serving.hold_a_batch(rows(1), rows(2, 666), rows(4))
    serving.graph.let_all_go()
    first.assert_right()
    last.assert_right()
    assert poisoned.error() is error


def test_neighbours_may_leave_while_a_failed_batch_is_run_again(serving: Serving) -> None:
    serving.graph.compute = refusing(666, RunFailed(3, "no"))
    poisoned, leaver, last = serving.hold_a_batch(rows(666), rows(2), rows(3))
    serving.graph.let_one_go()
    assert serving.graph.wait_until_held()[0].tolist() == rows(666).tolist()
    leaver.leave()
    serving.graph.let_all_go()
    assert isinstance(leaver.error(), Cancelled)
    assert isinstance(poisoned.error(), RunFailed)
    last.assert_right()
    assert not any(inputs[0].tolist() == rows(2).tolist() for inputs in serving.graph.runs)


def test_delivery_that_raises_harms_nobody(serving: Serving) -> None:
    class Broken(Visit):
        def _deliver(self, outcome: Any) -> None:
            super()._deliver(outcome)
            raise RuntimeError("the wire has gone")

    serving.hold_a_run()
    first = serving.call(rows(1))
    broken = Broken(serving.version, rows(2), math.inf, "serving_default")
    last = serving.call(rows(3))
    serving.graph.let_all_go()
    for visit in (first, broken, last):
        visit.assert_right()
    serving.call(rows(4)).assert_right()


@pytest.mark.parametrize("error", [MemoryError(), TypeError("a bug"), KeyError("another")])
def test_unexpected_error_ends_its_call_with_internal_error_and_no_other(
    serving: Serving, error: Exception
) -> None:
    serving.graph.compute = refusing(666, error)
    neighbour, broken = serving.hold_a_batch(rows(1), rows(666))
    serving.graph.let_all_go()
    neighbour.assert_right()
    assert isinstance(broken.error(), InternalError)
    # No detail of the bug leaves the process.
    assert not (str(error) and str(error) in str(broken.error()))
    serving.call(rows(1)).assert_right()


def test_leaving_after_the_answer_changes_nothing(serving: Serving) -> None:
    visit = serving.call(rows(1))
    visit.assert_right()
    visit.leave()
    visit.leave()
    visit.assert_right()


def test_caller_who_leaves_makes_room_in_a_full_queue() -> None:
    serving = Serving(FakeGraph(), max_queued_calls=2)
    serving.hold_a_run()
    leaver, stayer = serving.call(rows(1)), serving.call(rows(2))
    with pytest.raises(
        QueueFull, match=r"queue of model 'm' version 1 is full: 2 calls wait, the limit is 2"
    ):
        serving.call(rows(3))
    leaver.leave()
    late = serving.call(rows(4))
    serving.graph.let_all_go()
    stayer.assert_right()
    late.assert_right()
    serving.end()


# Deadlines, priorities, and what is counted.


def events_of(version: Version, name: str = "serving_default") -> dict[Event, int]:
    """Those that have happened."""
    figures = version.statistics.by_signature().get(name)
    return {event: count for event, count in figures.events.items() if count} if figures else {}


def test_call_that_ends_early_is_counted_by_what_ended_it_and_once(serving: Serving) -> None:
    serving.hold_a_run()
    now = serving.clock.now
    leaver, expired, told = (serving.call(rows(value), now + 1.0) for value in (1, 2, 3))
    leaver.leave()
    cancel(told.waiting, expired=True)
    serving.clock.now += 1.0
    expired.leave()
    for visit in (leaver, expired, told):
        visit.leave()
    assert isinstance(leaver.error(), Cancelled)
    assert isinstance(expired.error(), DeadlineExceeded)
    assert isinstance(told.error(), DeadlineExceeded)
    assert events_of(serving.version) == {Event.CANCELLED: 1, Event.EXPIRED: 2}
    serving.graph.let_all_go()


def errors_of(version: Version) -> dict[tuple[str, str, str], int]:
    """What its callers were told: signature, status and text, and how often."""
    found = version.statistics.last_errors.latest()
    return {(one.signature, one.status, one.text): one.times for one in found}


def test_what_callers_are_told_is_kept_and_nothing_of_those_who_leave_or_are_answered() -> None:
    error = RunFailed(3, "666 is too much\n\t[[{{node x}}]]")
    graph = FakeGraph(signature(), compute=refusing(666, error))
    serving = Serving(graph, max_queued_calls=2)
    held = serving.hold_a_run()
    leaver, expired = serving.call(rows(1)), serving.call(rows(2), serving.clock.now + 1.0)
    for _ in range(3):
        with pytest.raises(QueueFull):
            serving.call(rows(3))
    serving.clock.now += 1.0
    leaver.leave()
    expired.leave()
    poisoned = serving.call(rows(666))
    graph.let_all_go()
    held.assert_right()
    assert isinstance(poisoned.error(), RunFailed)
    full = "the queue of model 'm' version 1 is full: 2 calls wait, the limit is 2"
    assert errors_of(serving.version) == {
        ("serving_default", "RESOURCE_EXHAUSTED", full): 3,
        ("serving_default", "DEADLINE_EXCEEDED", str(DeadlineExceeded())): 1,
        ("serving_default", "INVALID_ARGUMENT", "666 is too much"): 1,
    }
    serving.end()


@pytest.mark.parametrize(
    ("policy", "error"),
    [({}, DeadlineExceeded), ({"queue_policy": QueuePolicy(default_timeout_us=500_000)}, QueueTimedOut)],
)
def test_error_of_a_call_that_waits_too_long_is_kept(policy: Any, error: type[CallError]) -> None:
    serving = Serving(FakeGraph(), **policy)
    serving.hold_a_run()
    waiting = serving.call(rows(1), serving.clock.now + 0.75)
    serving.clock.now += 1.0
    serving.graph.let_all_go()
    assert isinstance(waiting.error(), error)
    assert [status for _, status, _ in errors_of(serving.version)] == [error.status.name]
    serving.end()


def test_bug_of_ours_is_kept_without_its_details(serving: Serving) -> None:
    serving.graph.compute = refusing(666, KeyError("a secret"))
    assert isinstance(serving.call(rows(666)).error(), InternalError)
    assert list(errors_of(serving.version)) == [("serving_default", "INTERNAL", str(InternalError()))]


def test_call_without_a_deadline_has_the_settings_and_others_keep_their_own() -> None:
    serving = Serving(FakeGraph(), default_timeout_ms=250)
    now = serving.clock.now
    assert serving.call(rows(1)).waiting.deadline == now + 0.25
    assert serving.call(rows(1), now + 9.0).waiting.deadline == now + 9.0
    serving.end()


def test_without_a_default_a_call_may_wait_for_ever(serving: Serving) -> None:
    assert serving.call(rows(1)).waiting.deadline == math.inf


@pytest.mark.parametrize(
    ("levels", "priority", "level"),
    [(1, 0, 1), (1, 7, 1), (2, 0, 1), (3, 0, 2), (3, 1, 1), (3, 3, 3), (3, 4, 2), (4, 0, 2)],
)
def test_priority_that_is_no_level_is_the_one_in_the_middle(levels: int, priority: int, level: int) -> None:
    serving = Serving(FakeGraph(), priority_levels=levels)
    caller, one = Caller(), serving.version.signatures["serving_default"]
    call = submit(serving.version, Request(one, [rows(1)], ("y",), caller.completion, priority=priority))
    assert call.level == level
    caller.answer()
    serving.end()


def test_calls_that_change_state_run_in_their_order_whatever_their_priority() -> None:
    serving = Serving(FakeGraph(signature(), signature("write", writes=True)), priority_levels=3)
    serving.hold_a_run()
    one, callers = serving.version.signatures["write"], [Caller() for _ in range(3)]
    for priority, caller in zip((3, 1, 2), callers, strict=True):
        serving.version.submit(Request(one, [rows(priority)], ("y",), caller.completion, priority=priority))
    serving.graph.runs.clear()
    serving.graph.let_all_go()
    for caller in callers:
        caller.answer()
    assert [run[0][0, 0] for run in serving.graph.runs] == [3, 1, 2]
    serving.end()


def test_call_that_brings_its_lane_joins_those_that_do_not(serving: Serving) -> None:
    first = serving.hold_a_run()
    one, caller = serving.version.signatures["serving_default"], Caller()
    key = lane_key(one, ("y",), [(1, 2)])
    serving.version.submit(
        Request(one, [rows(5)], ("y",), caller.completion, hints=QueueHints(lane=key, rows=1, nbytes=8))
    )
    plain = serving.call(rows(6))
    serving.graph.let_one_go()
    assert serving.graph.wait_until_held()[0].tolist() == [[5, 5], [6, 6]]
    serving.graph.let_all_go()
    first.assert_right()
    plain.assert_right()
    np.testing.assert_array_equal(caller.answer()[0], rows(10))


def test_lane_that_is_brought_is_of_no_use_to_a_signature_that_runs_alone(serving: Serving) -> None:
    one, caller = serving.version.signatures["alone"], Caller()
    key = lane_key(one, ("y",), [(1, 2)])
    request = Request(one, [rows(5)], ("y",), caller.completion, hints=QueueHints(key, rows=1))
    assert submit(serving.version, request).lane is None


def test_refusals_are_counted(serving: Serving) -> None:
    assert serving.version.stop(HANG_S)
    with pytest.raises(Draining):
        serving.call(rows(1))
    assert events_of(serving.version) == {Event.REFUSED_DRAINING: 1}


def test_signature_that_may_not_be_batched_is_run_call_by_call(serving: Serving) -> None:
    serving.hold_a_run()
    visits = [serving.call(rows(value), name="alone") for value in range(3)]
    serving.graph.let_all_go()
    for visit in visits:
        visit.assert_right()
    assert [len(inputs[0]) for inputs in serving.graph.runs] == [1, 1, 1, 1]


# The life of a version.


def test_version_is_live_when_there_is_one_and_closed_when_stop_comes_back() -> None:
    graph = FakeGraph(signature(), signature("other"))
    graph.unusable = {"broken": "it has no outputs"}
    version = open_version(ModelSettings("m", Path("unused")), 7, graph.open)
    assert version.title == "model 'm' version 7"
    states = [version.state]
    assert version.signatures == graph.signatures
    assert version.unusable == graph.unusable
    assert version.default_signature == graph.signatures["serving_default"]
    assert version.unbatched_reasons == {"serving_default": None, "other": None}
    assert version.stop(HANG_S)
    states.append(version.state)
    assert states == [State.LIVE, State.CLOSED]
    assert graph.closed == 1
    assert version.stop(HANG_S)


def test_there_is_no_version_of_what_cannot_be_opened() -> None:
    def fail() -> OpenGraph:
        raise LoadError("/models/m/1", "broken")

    with pytest.raises(LoadError, match="/models/m/1: broken"):
        open_version(ModelSettings("m", Path("unused")), 1, fail)
    assert not [thread for thread in threading.enumerate() if thread.name == "executor model 'm' version 1"]


def test_stopping_version_answers_what_it_took_and_refuses_the_rest(serving: Serving) -> None:
    held = serving.hold_a_run()
    waiting = serving.call(rows(1))
    stopped: list[bool] = []
    # The executor's last run ends only after stop() has begun, which closes the queue first.
    stopper = threading.Thread(target=lambda: stopped.append(serving.version.stop(HANG_S)))
    stopper.start()
    refused = _call_until_refused(serving)
    serving.graph.let_all_go()
    stopper.join(HANG_S)
    assert stopped == [True]
    for visit in (held, waiting, *refused):
        visit.assert_right()
    assert serving.version.state is State.CLOSED


def _call_until_refused(serving: Serving) -> list[Visit]:
    """Call until the version drains; those taken before are returned."""
    taken = []
    while True:
        try:
            taken.append(serving.call(rows(5)))
        except QueueFull:
            continue
        except Draining:
            return taken


def test_calls_that_still_wait_when_the_time_is_over_end_with_draining(serving: Serving) -> None:
    held = serving.hold_a_run()
    waiting = [serving.call(rows(1)), serving.call(rows(2), name="alone")]
    assert not serving.version.stop(0.0)
    for visit in waiting:
        assert isinstance(visit.error(), Draining)
    assert not held.outcomes
    serving.graph.let_all_go()
    held.assert_right()
    assert serving.version.stop(HANG_S)


# The same on a real session.


class Pipes:
    """The two named pipes that the zoo's `gated` waits on."""

    def __init__(self, directory: Path) -> None:
        self.entered, self.gate = (str(directory / name) for name in ("entered", "gate"))
        os.mkfifo(self.entered)
        os.mkfifo(self.gate)

    def wait_until_held(self) -> None:
        Path(self.entered).read_bytes()

    def let_go(self) -> None:
        Path(self.gate).read_bytes()

    def paths(self) -> list[Array]:
        return [np.array(os.fsencode(path), STRING) for path in (self.entered, self.gate)]


def started(directory: Path, **batch: Any) -> Version:
    return open_version(
        ModelSettings("m", directory, BatchSettings(**batch)),
        1,
        lambda: Graph.open(directory, SessionSettings()),
    )


def enter(version: Version, name: str, inputs: Sequence[Array]) -> tuple[Caller, Callable[[], object]]:
    """A caller, and what it does to leave."""
    caller, one = Caller(), version.signatures[name]
    call = version.submit(Request(one, inputs, one.output_aliases, caller.completion))
    return caller, lambda: cancel(call)


def test_caller_who_leaves_a_real_graphs_queue_leaves_its_neighbours_their_answers(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    pipes = Pipes(tmp_path)
    version = started(saved_models["gated"])
    assert version.unbatched_reasons["serving_default"] is None
    holder, _ = enter(version, "hold", pipes.paths())
    pipes.wait_until_held()
    (first, _), (leaver, leave), (last, _) = (
        enter(version, "serving_default", [rows(value)]) for value in (1, 2, 3)
    )
    leave()
    assert isinstance(leaver.error(), Cancelled)
    pipes.let_go()
    assert holder.answer()[0].item() is True
    np.testing.assert_array_equal(first.answer()[0], rows(2))
    np.testing.assert_array_equal(last.answer()[0], rows(6))
    assert version.stop(HANG_S)
    # The hold and one shared run of two rows.
    assert version.statistics.snapshot().by_rows[2].count == 1


def test_id_that_a_real_graph_refuses_costs_its_neighbours_nothing(saved_models: SavedModels) -> None:
    # Three rows fill a batch; until they are there the executor waits.
    version = started(saved_models["embedding"], max_batch_rows=3, max_wait_us=10_000_000)
    assert version.unbatched_reasons["serving_default"] is None
    (first, _), (poisoned, _), (last, _) = (
        enter(version, "serving_default", [np.array([id], np.int32)]) for id in (1, 77, 4)
    )
    assert first.answer()[0].tolist() == [[1.5] * 3]
    assert last.answer()[0].tolist() == [[4.5] * 3]
    error = poisoned.error()
    assert isinstance(error, RunFailed)
    assert error.code == 3
    assert version.stop(HANG_S)


def test_call_ends_when_its_queue_policy_says_though_the_executor_is_busy() -> None:
    policy = QueuePolicy(default_timeout_us=50_000, allow_timeout_override=True)
    serving = Serving(FakeGraph(), queue_policy=policy)
    running = serving.hold_a_run()
    waiting = serving.call(rows(1))
    hasty = Caller()
    one = serving.version.signatures["serving_default"]
    serving.version.submit(Request(one, [rows(2)], one.output_aliases, hasty.completion, timeout_s=0.02))
    serving.clock.now += 0.02
    assert isinstance(hasty.error(), QueueTimedOut)
    assert waiting.outcomes == []
    serving.clock.now += 0.03
    assert isinstance(waiting.error(), QueueTimedOut)
    assert events_of(serving.version) == {Event.TIMED_OUT: 2}
    assert serving.version.waiting == 0
    serving.graph.let_all_go()
    running.assert_right()
    serving.end()


def test_without_queue_policies_a_timeout_is_a_deadline(serving: Serving) -> None:
    one = serving.version.signatures["serving_default"]
    now = serving.clock.now
    requests = [
        Request(one, [rows(2)], one.output_aliases, Caller().completion, deadline, timeout_s=0.5)
        for deadline in (math.inf, now + 0.25)
    ]
    sooner, later = (submit(serving.version, request) for request in requests)
    assert (sooner.deadline, later.deadline) == (now + 0.5, now + 0.25)
    assert sooner.queue_until == math.inf


def test_caller_who_leaves_when_his_answer_is_being_counted_is_counted_once(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    statistics = serving.version.statistics
    add_run = statistics.add_run

    def leave_first(*args: Any, **named: Any) -> None:
        visit.leave()
        add_run(*args, **named)

    monkeypatch.setattr(statistics, "add_run", leave_first)
    serving.graph.shut()
    visit = serving.call(rows(1))
    serving.graph.let_all_go()
    visit.assert_right()
    assert statistics.by_signature()["serving_default"].answered == 1
    assert events_of(serving.version) == {}


def test_answers_come_in_the_order_of_the_calls_where_that_is_asked_for() -> None:
    two = signature(outputs={"y": (None, 2), "z": (None, 2)})
    both = FakeGraph(two, compute=lambda inputs: doubled(inputs) * 2)
    serving = Serving(both, preserve_ordering=True, verify_one_in=0)
    both.compute = doubled
    serving.graph.shut()
    order: list[int] = []
    ended = threading.Event()

    def note(number: int, _: Any) -> None:
        order.append(number)
        if len(order) == 9:
            ended.set()

    for number in range(9):
        # Two lanes in turn, so that runs take every other call.
        completion = Completion(partial(note, number))
        serving.version.submit(Request(two, [rows(number)], (two.output_aliases[number % 2],), completion))
    serving.graph.let_all_go()
    assert ended.wait(HANG_S)
    assert order == list(range(9))
    serving.end()


@pytest.mark.parametrize("size", [3, 100])
def test_call_with_more_rows_than_the_settings_allow_is_refused_in_tensorflow_serving_s_words(
    size: int,
) -> None:
    serving = Serving(FakeGraph(), max_call_rows=2)
    try:
        with pytest.raises(
            InvalidCall, match=f"^Task size {size} is larger than maximum input batch size 2$"
        ):
            serving.call(rows(*range(size)))
        serving.call(rows(1, 2)).assert_right()
    finally:
        serving.end()


# Dimension 0 that is time.


AUDIO = signature(inputs={"x": (None,)}, outputs={"y": (None,)})
SECONDS = np.zeros(100_000, np.float32)


def audio(contract: Contract | None = None, **batch: Any) -> Serving:
    """A version whose dimension 0 is refuted as rows."""
    graph = FakeGraph(AUDIO)
    graph.proofs = {AUDIO.name: Judgement(Verdict.REFUTED, {}, "mean (Mean) goes over all rows")}
    return Serving(graph, contract, **batch)


def test_long_call_is_one_row_for_every_limit_and_figure_where_dimension_0_is_time() -> None:
    serving = audio(max_call_rows=4, max_queued_rows=64, max_batch_rows=16)
    held = serving.hold_a_run_of(SECONDS)
    waiting = [serving.call(SECONDS) for _ in range(64)]
    # They are counted, all the same.
    with pytest.raises(QueueFull, match="64 rows wait, the limit is 64"):
        serving.call(SECONDS)
    serving.graph.let_all_go()
    for visit in (held, *waiting):
        visit.assert_right()
    figures = serving.version.statistics.snapshot()
    assert (figures.rows, list(figures.by_rows)) == (65, [1])
    assert Event.SPLIT not in {event for event, count in figures.events.items() if count}
    serving.end()


def test_how_long_a_run_takes_is_still_learnt_by_its_length() -> None:
    serving = audio()

    def slow(inputs: Sequence[Array]) -> Sequence[Array]:
        serving.clock.now += len(inputs[0]) / 1000
        return doubled(inputs)

    serving.graph.compute = slow
    for length in (1000, 2000, 4000) * 4:
        serving.call(np.zeros(length, np.float32)).assert_right()
    held = serving.hold_a_run_of(np.zeros(4000, np.float32))
    # Four seconds are ahead of each: this one takes one more, and that one four.
    short = serving.call(np.zeros(1000, np.float32), serving.clock.now + 7)
    with pytest.raises(WouldBeLate):
        serving.call(np.zeros(4000, np.float32), serving.clock.now + 7)
    serving.graph.let_all_go()
    held.assert_right()
    short.assert_right()
    serving.end()


def test_owner_who_says_that_dimension_0_is_the_batch_is_believed() -> None:
    said = Contract(None, AUDIO.name, batched=True, max_batch_size=8)
    serving = audio(said, max_call_rows=4)
    with pytest.raises(InvalidCall, match="Task size 5 is larger"):
        serving.call(np.zeros(5, np.float32))
    serving.end()


def test_real_graph_that_means_over_time_takes_a_long_call_for_one_row(saved_models: SavedModels) -> None:
    version = started(saved_models["batch_statistics"], max_call_rows=4, max_queued_rows=64)
    assert version.proofs["serving_default"].verdict is Verdict.REFUTED
    caller, _ = enter(version, "serving_default", [np.ones((1000, 4), np.float32)])
    assert caller.answer()[0].shape == (1000, 4)
    assert version.stop(HANG_S)
    assert version.statistics.snapshot().rows == 1


# What it tells of itself, and what its executor does besides calls.


def test_executor_does_what_it_is_given_behind_the_writes_that_came_before() -> None:
    serving = Serving(FakeGraph(signature(), signature("write", writes=True)), priority_levels=3)
    held = serving.hold_a_run()
    assert not serving.version.has_waiting_writes
    write = serving.call(rows(1), name="write")
    assert serving.version.has_waiting_writes
    done = serving.version.submit_to_executor(lambda state: list(write.outcomes))
    assert serving.version.waiting >= 1
    serving.graph.let_all_go()
    assert len(done.result(HANG_S)) == 1
    held.assert_right()
    assert serving.version.stop(HANG_S)
    with pytest.raises(Draining):
        serving.version.submit_to_executor(lambda state: None)


def test_version_tells_why_calls_share_batches_and_nothing_where_they_do_not(serving: Serving) -> None:
    assert serving.version.joined_because("serving_default")
    assert serving.version.joined_because("alone") == ""
    assert serving.version.suspects == {}
