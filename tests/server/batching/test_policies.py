"""Queue policies: sizes, moments and orders of levels, against a small reference."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.decisions import PASS_OVER
from hotgraph_server.batching.policies import Policies, queue_until
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.errors import QueueFull, QueueSizeExceeded, QueueTimedOut
from hotgraph_server.settings import BatchSettings, QueuePolicy
from hotgraph_server.statistics import Event, Statistics

from ..fakes import Caller, FakeClock, call, rows, signature
from .test_queue import assert_keeps_nothing, events_of

TICK = 1e-6
SECOND_US = 1_000_000


@dataclass
class Queue:
    """A queue with policies, on a clock that the test moves."""

    settings: BatchSettings
    clock: FakeClock = field(default_factory=FakeClock)
    statistics: Statistics = field(default_factory=Statistics)

    def __post_init__(self) -> None:
        self.queue = BatchQueue("model 'm' version 1", self.settings, self.clock, self.statistics)

    def put(self, *, level: int = 1, timeout_s: float = math.inf, count: int = 1, **given: Any) -> Caller:
        caller = Caller()
        one = call(rows(*range(count)), completion=caller.completion, arrived=self.clock.now, **given)
        one.level = level
        one.queue_until = queue_until(self.settings, one.signature, level, self.clock.now, timeout_s)
        self.queue.put(one)
        return caller

    def take(self) -> list[Any]:
        """The callers of the next batch, by their slots."""
        batch = self.queue.take()
        assert batch is not None
        return [one.completion for one in batch]


def policies(**given: Any) -> QueuePolicy:
    return QueuePolicy(**{"default_timeout_us": SECOND_US, **given})


def completions(*callers: Caller) -> list[Any]:
    return [caller.completion for caller in callers]


class TestTimeout:
    def test_call_ends_at_its_moment_and_not_a_tick_before(self) -> None:
        queue = Queue(BatchSettings(queue_policy=policies()))
        caller = queue.put()
        queue.clock.now += 1.0 - TICK
        assert queue.queue.time_out() == 1001.0
        assert caller.outcomes == []
        queue.clock.now = 1001.0
        assert queue.queue.time_out() == math.inf
        error = caller.error()
        assert isinstance(error, QueueTimedOut)
        assert error.status.name == "UNAVAILABLE"
        assert str(error) == ("Request timeout expired: waited 1000 ms in the queue of model 'm' version 1")
        assert events_of(queue.statistics) == {Event.TIMED_OUT: 1}
        assert_keeps_nothing(queue.queue)

    def test_status_is_a_setting(self) -> None:
        policy = policies(max_queue_size=1)
        queue = Queue(BatchSettings(queue_policy=policy, refuse_by_policy_with="resource_exhausted"))
        caller = queue.put()
        with pytest.raises(QueueSizeExceeded) as refused:
            queue.put()
        queue.clock.now += 1.0
        queue.queue.time_out()
        assert {refused.value.status.name, caller.error().status.name} == {"RESOURCE_EXHAUSTED"}

    def test_call_whose_run_has_begun_never_times_out(self) -> None:
        queue = Queue(BatchSettings(queue_policy=policies()))
        caller = queue.put()
        assert queue.take() == completions(caller)
        queue.clock.now += 9.0
        assert queue.queue.time_out() == math.inf
        assert caller.outcomes == []

    def test_executor_takes_no_call_whose_time_is_over(self) -> None:
        queue = Queue(BatchSettings(queue_policy=policies()))
        late = queue.put()
        queue.clock.now += 1.0
        early = queue.put()
        assert queue.take() == completions(early)
        assert isinstance(late.error(), QueueTimedOut)

    def test_large_call_between_its_pieces_does_not_time_out(self) -> None:
        queue = Queue(BatchSettings(max_batch_rows=2, queue_policy=policies()))
        caller = queue.put(count=3)
        (large,) = queue.queue.take() or []
        large.rows_done = 2
        queue.clock.now += 9.0
        queue.queue.put_back(large)
        assert queue.queue.time_out() == math.inf
        assert queue.take() == completions(caller)

    def test_call_that_asks_for_less_ends_before_those_that_came_before_it(self) -> None:
        queue = Queue(BatchSettings(queue_policy=policies(allow_timeout_override=True)))
        patient, hasty = queue.put(), queue.put(timeout_s=0.5)
        queue.clock.now += 0.5
        assert queue.queue.time_out() == 1001.0
        assert isinstance(hasty.error(), QueueTimedOut)
        assert patient.outcomes == []

    def test_batch_that_waits_for_company_leaves_before_a_call_times_out(self) -> None:
        policy = policies(default_timeout_us=100_000)
        queue = Queue(BatchSettings(max_wait_us=5 * SECOND_US, queue_policy=policy))
        queue.put()
        look = queue.queue.poll()
        assert look.batch is None
        assert 1000.05 < look.wait_until < 1000.1
        queue.clock.now = look.wait_until
        assert queue.queue.poll().batch is not None

    def test_moments_of_calls_that_left_are_forgotten(self) -> None:
        found = Policies("a queue", BatchSettings(queue_policy=policies()))
        arrays = []
        for _ in range(500):
            one = call()
            one.queue_until = 1000.0
            arrays.append(weakref.ref(one.inputs[0]))
            found.entered(one)
            found.left([one])
        del one
        assert all(array() is None for array in arrays)
        assert len(found) < 100


class TestSize:
    def test_level_is_full_by_itself(self) -> None:
        settings = BatchSettings(priority_levels=2, queue_policy_by_level={2: QueuePolicy(max_queue_size=2)})
        queue = Queue(settings)
        queue.put(level=2)
        queue.put(level=2)
        with pytest.raises(QueueSizeExceeded, match=r"^Exceeds maximum queue size: .* 2 calls .* level 2$"):
            queue.put(level=2)
        for _ in range(5):
            queue.put(level=1)
        assert events_of(queue.statistics) == {Event.REFUSED_BY_SIZE: 1}

    def test_calls_that_run_do_not_count_and_delayed_ones_do(self) -> None:
        policy = policies(max_queue_size=1, timeout_action="delay")
        queue = Queue(BatchSettings(max_batch_rows=1, queue_policy=policy))
        queue.put()
        queue.take()
        queue.put()
        queue.clock.now += 1.0
        queue.queue.time_out()
        with pytest.raises(QueueSizeExceeded):
            queue.put()
        queue.take()
        queue.put()

    def test_edges_of_the_whole_queue_hold_beside_it(self) -> None:
        queue = Queue(BatchSettings(max_queued_calls=1, queue_policy=QueuePolicy(max_queue_size=5)))
        queue.put()
        with pytest.raises(QueueFull):
            queue.put()


class TestDelay:
    def test_delayed_call_is_behind_all_others_of_its_level_and_before_the_next_level(self) -> None:
        settings = BatchSettings(
            max_batch_rows=1, priority_levels=2, queue_policy_by_level={1: policies(timeout_action="delay")}
        )
        queue = Queue(settings)
        delayed = queue.put(level=1)
        queue.clock.now += 1.0
        later, lower = queue.put(level=1), queue.put(level=2)
        assert [queue.take() for _ in range(3)] == [
            completions(later),
            completions(delayed),
            completions(lower),
        ]
        assert events_of(queue.statistics) == {Event.DELAYED: 1}
        assert_keeps_nothing(queue.queue)

    def test_delayed_calls_fill_the_room_that_others_leave(self) -> None:
        queue = Queue(BatchSettings(max_batch_rows=2, queue_policy=policies(timeout_action="delay")))
        delayed = queue.put()
        queue.clock.now += 1.0
        later = queue.put()
        assert queue.take() == completions(later, delayed)

    def test_calls_that_change_state_keep_their_order(self) -> None:
        queue = Queue(BatchSettings(queue_policy=policies(timeout_action="delay")))
        writes = signature("write", writes=True)
        first = queue.put(of=writes, joinable=False)
        queue.clock.now += 1.0
        second = queue.put(of=writes, joinable=False)
        assert [queue.take(), queue.take()] == [completions(first), completions(second)]


class TestPreferredRows:
    def test_largest_size_that_the_first_calls_give_exactly_goes(self) -> None:
        queue = Queue(BatchSettings(max_batch_rows=8, preferred_batch_rows=(2, 4)))
        callers = [queue.put() for _ in range(7)]
        assert [len(queue.take()) for _ in range(3)] == [4, 2, 1]
        assert len(callers) == 7

    def test_size_that_calls_do_not_give_exactly_is_none(self) -> None:
        queue = Queue(BatchSettings(max_batch_rows=8, preferred_batch_rows=(4,)))
        callers = [queue.put(count=3), queue.put(count=3)]
        assert queue.take() == completions(*callers)

    def test_waiting_ends_with_a_preferred_size(self) -> None:
        queue = Queue(BatchSettings(max_batch_rows=8, preferred_batch_rows=(2,), max_wait_us=SECOND_US))
        callers = [queue.put()]
        assert queue.queue.poll().batch is None
        callers.append(queue.put())
        assert queue.take() == completions(*callers)

    def test_when_the_oldest_has_waited_long_enough_everything_goes(self) -> None:
        queue = Queue(BatchSettings(max_batch_rows=8, preferred_batch_rows=(2,), max_wait_us=SECOND_US))
        callers = [queue.put(count=3), queue.put(), queue.put()]
        assert queue.queue.poll().wait_until == 1001.0
        queue.clock.now = 1001.0
        assert queue.take() == completions(*callers)


class Reference:
    """What policies mean, for calls of one row and one lane, by lists alone."""

    def __init__(self, settings: BatchSettings) -> None:
        self.settings = settings
        self.lists: list[list[Call]] = [[] for _ in range(2 * settings.priority_levels)]
        self.passed_over = 0

    def has_room(self, level: int) -> bool:
        waiting = len(self.lists[2 * level - 2]) + len(self.lists[2 * level - 1])
        return waiting < (self.settings.policy_of(level).max_queue_size or math.inf)

    def put(self, one: Call) -> None:
        self.lists[2 * one.level - 2].append(one)

    def time_out(self, now: float, moments: dict[Call, float]) -> list[Call]:
        """Those that end."""
        ended = []
        for level in range(self.settings.priority_levels):
            unexpired, delayed = self.lists[2 * level : 2 * level + 2]
            due = sorted((one for one in unexpired if moments[one] <= now), key=lambda one: moments[one])
            for one in due:
                unexpired.remove(one)
            if self.settings.policy_of(level + 1).delays:
                delayed += due
            else:
                ended += due
        return ended

    def take(self) -> list[Call]:
        waiting = [one for one in self.lists if one]
        chosen = waiting[0]
        oldest = min(waiting, key=lambda calls: calls[0].arrived)
        if chosen is not oldest and self.passed_over >= PASS_OVER:
            chosen = oldest
        self.passed_over = 0 if chosen is oldest else self.passed_over + 1
        batch: list[Call] = []
        for calls in [chosen, *(one for one in waiting if one is not chosen)]:
            room = self.settings.max_batch_rows - len(batch)
            batch += calls[:room]
            del calls[:room]
        return batch


POLICIES = st.builds(
    QueuePolicy,
    max_queue_size=st.integers(0, 4),
    default_timeout_us=st.integers(0, 6).map(lambda seconds: seconds * SECOND_US),
    allow_timeout_override=st.booleans(),
    timeout_action=st.sampled_from(["reject", "delay"]),
)


@st.composite
def settings_with_policies(draw: st.DrawFn) -> BatchSettings:
    levels = draw(st.integers(1, 3))
    return BatchSettings(
        max_batch_rows=draw(st.integers(1, 4)),
        max_queued_rows=0,
        priority_levels=levels,
        queue_policy=draw(POLICIES),
        queue_policy_by_level=draw(st.dictionaries(st.integers(1, levels), POLICIES)),
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 3), st.sampled_from([math.inf, 1.0, 2.0])),
        st.tuples(st.just("pass"), st.integers(1, 3), st.just(0.0)),
        st.tuples(st.sampled_from(["take", "leave", "timer"]), st.integers(0, 20), st.just(0.0)),
    ),
    max_size=60,
)


@given(settings_with_policies(), STEPS)
def test_queue_does_what_the_reference_does(
    settings: BatchSettings, steps: Sequence[tuple[str, int, float]]
) -> None:
    clock, statistics = FakeClock(), Statistics()
    queue = BatchQueue("m", settings, clock, statistics)
    reference = Reference(settings)
    callers: dict[Call, Caller] = {}
    moments: dict[Call, float] = {}
    taken: list[Call] = []
    ended: list[Call] = []
    for step, number, timeout_s in steps:
        waiting = [one for calls in reference.lists for one in calls]
        if step == "pass":
            clock.now += number
        elif step == "put":
            # No two at one moment, so that the oldest is one.
            clock.now += TICK
            caller, level = Caller(), settings.level_of(number)
            one = call(completion=caller.completion, arrived=clock.now)
            one.level = level
            one.queue_until = queue_until(settings, one.signature, level, clock.now, timeout_s)
            try:
                queue.put(one)
            except QueueSizeExceeded:
                assert not reference.has_room(level)
                continue
            assert reference.has_room(level)
            callers[one], moments[one] = caller, one.queue_until
            reference.put(one)
        elif step == "leave" and waiting:
            one = waiting[number % len(waiting)]
            assert queue.withdraw(one)
            for calls in reference.lists:
                if one in calls:
                    calls.remove(one)
        elif step == "timer":
            ended += reference.time_out(clock.now, moments)
            queue.time_out()
        elif step == "take":
            ended += reference.time_out(clock.now, moments)
            if any(reference.lists):
                batch = queue.take()
                assert batch == reference.take()
                taken += batch
            else:
                queue.time_out()  # a look would find nothing and wait
        assert len(queue) == sum(map(len, reference.lists))
    for one, caller in callers.items():
        assert [type(outcome) for outcome in caller.outcomes] == ([QueueTimedOut] if one in ended else [])
    assert not set(taken) & set(ended)
