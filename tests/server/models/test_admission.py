"""What becomes of a request before its call waits, and of a call that is cancelled.

The queue is real; nothing takes calls out of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.lane_key import lane_key
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.request import InSequence, QueueHints, Request
from hotgraph_server.call_observer import Queued
from hotgraph_server.errors import NOT_RUN, Cancelled, DeadlineExceeded, InvalidCall, NotReady, QueueFull
from hotgraph_server.models.admission import Admission, SequenceAdmission, cancel, same_call
from hotgraph_server.models.response_cache import ResponseCache
from hotgraph_server.settings import BatchSettings, QueuePolicy
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import Event, Statistics
from hotgraph_server.tensors import Array

from ..fakes import Caller, FakeClock, rows, signature

ONE, WRITE = signature(), signature("write", writes=True)


class Door:
    """An Admission and all that it stands before."""

    def __init__(
        self,
        *signatures: Signature,
        alone: str | None = None,
        without_rows: Sequence[str] = (),
        cache: ResponseCache | None = None,
        title: str = "model 'm' version 3",
        **batch: Any,
    ) -> None:
        self.clock, self.statistics = FakeClock(), Statistics()
        settings = BatchSettings(**batch)
        self.signatures = {one.name: one for one in signatures or (ONE, WRITE)}
        self.queue = BatchQueue(title, settings, self.clock, self.statistics)
        self.alone = dict.fromkeys(self.signatures, alone)
        self.admission = Admission(
            title,
            3,
            settings,
            self.signatures,
            self.alone,
            {},
            without_rows,
            self.queue,
            self.statistics,
            self.clock,
            None if cache is None else cache.answers_of(title, self.signatures, self.statistics),
        )

    def submit(self, array: Array | None = None, of: Signature = ONE, **how: Any) -> Visit:
        return Visit(self, rows(1) if array is None else array, of, how)

    def events(self, name: str = ONE.name) -> dict[Event, int]:
        figures = self.statistics.by_signature().get(name)
        return {event: count for event, count in figures.events.items() if count} if figures else {}


class Visit(Caller):
    """A caller, and the call that was made of its request."""

    def __init__(self, door: Door, array: Array, of: Signature, how: dict[str, Any]) -> None:
        super().__init__()
        self.call = door.admission.submit(Request(of, [array], ("y",), self.completion, **how))


class Observer:
    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def queued(self, call: Queued) -> None:
        inputs = [array.tolist() for array in call.inputs]
        self.seen.append((call.version, call.arrived, call.signature, call.rows, list(call.names), inputs))

    def ran(self, moments: Any) -> None:
        raise AssertionError("nothing runs here")


# In


def test_call_is_what_the_request_said_and_knows_what_has_taken_it() -> None:
    door = Door()
    visit = door.submit(rows(1, 2), peer="10.0.0.1:7", deadline=door.clock() + 3)
    call = visit.call
    assert (call.signature, call.outputs, call.rows) == (ONE, ("y",), 2)
    assert (call.peer, call.deadline, call.arrived) == ("10.0.0.1:7", door.clock() + 3, door.clock())
    assert call.taken_by is door.admission
    assert call.completion is visit.completion
    assert len(door.queue) == 1


@pytest.mark.parametrize(
    ("asked", "timeout_s", "default_ms", "expected"),
    [
        (math.inf, math.inf, 0, math.inf),
        (math.inf, math.inf, 250, 0.25),
        (9.0, math.inf, 250, 9.0),
        (math.inf, 0.5, 250, 0.5),
        (0.25, 0.5, 0, 0.25),
        (9.0, 0.5, 0, 0.5),
    ],
)
def test_deadline_is_the_earliest_that_was_said_or_the_default(
    asked: float, timeout_s: float, default_ms: int, expected: float
) -> None:
    door = Door(default_timeout_ms=default_ms)
    call = door.submit(deadline=door.clock() + asked, timeout_s=timeout_s).call
    assert call.deadline == door.clock() + expected
    assert call.queue_until == math.inf


def test_timeout_says_how_long_it_may_wait_where_there_are_queue_policies() -> None:
    door = Door(queue_policy=QueuePolicy(default_timeout_us=50_000, allow_timeout_override=True))
    call = door.submit(timeout_s=0.02).call
    assert (call.deadline, call.queue_until) == (math.inf, door.clock() + 0.02)


@pytest.mark.parametrize(
    ("of", "priority", "level"), [(ONE, 1, 1), (ONE, 0, 2), (WRITE, 1, 2), (WRITE, 3, 2)]
)
def test_writes_have_one_level_and_others_the_one_that_they_ask_for(
    of: Signature, priority: int, level: int
) -> None:
    assert Door(priority_levels=3).submit(of=of, priority=priority).call.level == level


def test_hints_are_taken_and_looked_up_where_there_are_none() -> None:
    door, key = Door(), lane_key(ONE, ("y",), [(1, 2)])
    brought = door.submit(hints=QueueHints(key, rows=1, nbytes=5)).call
    found = door.submit().call
    assert (brought.lane, brought.rows, brought.nbytes) == (key, 1, 5)
    assert (found.lane, found.rows, found.nbytes) == (key, 1, 8)
    assert Door(alone="it counts").submit(hints=QueueHints(key, rows=1)).call.lane is None


def test_signature_that_is_found_to_need_runs_alone_shares_none_from_then_on() -> None:
    door = Door()
    assert door.submit().call.lane is not None
    door.alone[ONE.name] = "a check has found a difference"
    assert door.submit().call.lane is None


def test_call_of_several_callers_has_their_rows_and_shares_no_run() -> None:
    call = Door(without_rows=[ONE.name]).submit(rows(1, 2, 3), member_arrivals=(1.0, 2.0, 3.0)).call
    assert (call.rows, call.member_arrivals, call.lane) == (3, (2.0, 3.0), None)


def test_dimension_0_that_is_no_rows_is_one_row() -> None:
    door = Door(alone="time", without_rows=[ONE.name], max_call_rows=2)
    assert door.submit(rows(*range(9))).call.rows == 1


def test_call_that_is_too_large_is_refused_before_it_waits() -> None:
    door, caller = Door(max_call_rows=2), Caller()
    with pytest.raises(InvalidCall, match=r"^Task size 3 is larger than maximum input batch size 2$"):
        door.admission.submit(Request(ONE, [rows(1, 2, 3)], ("y",), caller.completion))
    assert (len(door.queue), caller.outcomes) == (0, [])


@pytest.mark.parametrize("of", [ONE, WRITE])
def test_queue_that_is_full_is_heard_by_who_submits(of: Signature) -> None:
    door = Door(max_queued_calls=1)
    door.submit(of=of)
    with pytest.raises(QueueFull):
        door.submit(of=of)


def test_observer_is_told_what_is_queued_where_and_goes_with_the_call() -> None:
    door, observer = Door(), Observer()
    assert door.submit(rows(4), observer=observer).call.observer is observer
    assert observer.seen == [(3, door.clock(), "serving_default", 1, ["x"], [[[4.0, 4.0]]])]
    assert door.submit().call.observer is None


# The cache


def test_hit_ends_the_call_where_it_was_submitted_and_it_waits_for_nothing() -> None:
    cache = ResponseCache(1 << 20)
    cache.start()
    door, observer = Door(ONE, cache=cache, max_queued_calls=1), Observer()
    first = door.submit(rows(1))
    assert first.call.completion is not first.completion
    first.call.completion.finish([rows(2)])
    np.testing.assert_array_equal(first.answer()[0], rows(2))
    cache.stop()
    again = door.submit(rows(1), observer=observer)
    np.testing.assert_array_equal(again.answer()[0], rows(2))
    assert (len(door.queue), observer.seen) == (1, [])


def test_completion_is_left_as_it_is_where_answers_are_not_kept() -> None:
    cache = ResponseCache(1 << 20)
    door = Door(WRITE, cache=cache)
    visit = door.submit(of=WRITE)
    assert visit.call.completion is visit.completion
    assert door.statistics.snapshot().cache_miss.count == 0


# Out


@pytest.mark.parametrize(
    ("passed_s", "expired", "kind", "event"),
    [
        (0.0, None, Cancelled, Event.CANCELLED),
        (1.0, None, DeadlineExceeded, Event.EXPIRED),
        (0.0, True, DeadlineExceeded, Event.EXPIRED),
        (1.0, False, Cancelled, Event.CANCELLED),
    ],
)
def test_cancelled_call_ends_by_what_ended_it_makes_room_and_is_counted_once(
    passed_s: float, expired: bool | None, kind: type[Exception], event: Event
) -> None:
    door = Door()
    visit = door.submit(deadline=door.clock() + 1.0)
    door.clock.now += passed_s
    assert cancel(visit.call, expired=expired) is None
    assert cancel(visit.call, expired=expired) is None
    assert type(visit.error()) is kind
    assert (len(door.queue), door.events()) == (0, {event: 1})


def test_cancelled_write_is_told_whether_it_was_run() -> None:
    door = Door()
    waiting, running = door.submit(of=WRITE), door.submit(of=WRITE)
    left = cancel(waiting.call)
    assert isinstance(left, Cancelled)
    assert NOT_RUN in str(left)
    assert waiting.error() is left
    assert running.call.completion.begin()
    assert cancel(running.call) is True
    assert running.outcomes == []
    running.call.completion.finish([rows(1)])
    assert cancel(running.call) is None
    # Its deadline comes while its outcome is on its way to a caller who still waits.
    assert cancel(running.call, expired=True) is True
    assert door.events("write") == {Event.CANCELLED: 1}


# To the next version


def test_write_that_is_redirected_becomes_a_call_of_the_next_version() -> None:
    old, new = Door(), Door(title="model 'm' version 4", without_rows=["write"], alone="it counts")
    old.admission.write_gate.redirect(new.admission.write_gate)
    observer = Observer()
    visit = old.submit(rows(1, 2), of=WRITE, peer="10.0.0.1:7", observer=observer)
    old.admission.write_gate.release()
    assert (len(old.queue), len(new.queue)) == (0, 1)
    call = visit.call
    assert call.signature is new.signatures["write"]
    assert (call.lane, call.rows, call.peer, call.observer) == (None, 1, "10.0.0.1:7", observer)
    assert call.taken_by is new.admission
    cancel(call)
    assert (len(new.queue), new.events("write"), old.events("write")) == (0, {Event.CANCELLED: 1}, {})


def test_redirected_call_of_several_callers_keeps_their_rows() -> None:
    old, new = Door(), Door()
    old.admission.write_gate.redirect(new.admission.write_gate)
    call = old.submit(rows(0), of=WRITE, member_arrivals=(1.0, 2.0)).call
    assert (call.rows, call.member_arrivals, call.lane) == (2, (2.0,), None)


@pytest.mark.parametrize("signatures", [(ONE,), (signature("write", {"z": (None, 2)}, writes=True),)])
def test_write_that_the_next_version_does_not_know_is_refused(signatures: tuple[Signature, ...]) -> None:
    old, new = Door(), Door(*signatures)
    old.admission.write_gate.redirect(new.admission.write_gate)
    with pytest.raises(NotReady, match="model 'm' version 3 is being replaced; the call was not run"):
        old.submit(of=WRITE)


def test_same_call_is_one_whose_inputs_are_the_same_and_whose_outputs_are_there() -> None:
    more = signature("write", outputs={"y": (None, 2), "z": (None,)}, writes=True)
    assert same_call(WRITE, more)
    assert not same_call(more, WRITE)
    assert not same_call(WRITE, signature("write", {"x": (None, 3)}))
    assert not same_call(WRITE, signature("write", dtype=np.dtype(np.float64)))


# Sequences


class Sequences:
    """As SequenceAdmission knows them."""

    signature = ONE.name

    def __init__(self) -> None:
        self.taken: list[Request] = []

    def submit(self, request: Request) -> str:
        self.taken.append(request)
        return "a call of a sequence"


def test_sequences_take_the_calls_that_name_one_and_are_of_their_signature() -> None:
    door, sequences = Door(), Sequences()
    admission = SequenceAdmission(door.admission, sequences)  # type: ignore[arg-type]
    first = InSequence(7, start=True, end=False)

    def submit(of: Signature, sequence: InSequence | None) -> object:
        return admission.submit(Request(of, [rows(1)], ("y",), Caller().completion, sequence=sequence))

    assert submit(ONE, first) == "a call of a sequence"
    assert isinstance(submit(WRITE, first), Call)
    assert isinstance(submit(ONE, None), Call)
    assert [request.sequence for request in sequences.taken] == [first]
    assert len(door.queue) == 2
