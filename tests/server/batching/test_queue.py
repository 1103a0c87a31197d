from __future__ import annotations

import dataclasses
import math
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.queue import Batch, BatchQueue
from hotgraph_server.errors import Cancelled, DeadlineExceeded, Draining, QueueFull
from hotgraph_server.settings import BatchSettings

from ..fakes import HANG_S, Caller, FakeClock, call, rows, signature

TICK = 1e-6


def queue_of(clock: FakeClock, **settings: int) -> BatchQueue:
    return BatchQueue("model 'm' version 1", BatchSettings(**settings), clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> BatchQueue:
    return queue_of(clock)


def put(queue: BatchQueue, *calls: Call) -> None:
    for one in calls:
        queue.put(one)


def taken(queue: BatchQueue) -> list[Batch]:
    """Everything that a closed queue still hands out."""
    return list(iter(queue.take, None))


def assert_keeps_nothing(queue: BatchQueue) -> None:
    assert len(queue) == 0
    # Private, but a lane that stayed behind is a leak that no public behaviour shows.
    assert not queue._lanes


def test_calls_that_may_share_a_batch_come_out_together_in_their_order(queue: BatchQueue) -> None:
    calls = [call(rows(value)) for value in range(3)]
    put(queue, *calls)
    assert len(queue) == 3
    assert queue.take() == calls
    assert_keeps_nothing(queue)


def test_batch_stops_before_the_row_limit_is_passed(clock: FakeClock) -> None:
    queue = queue_of(clock, max_batch_rows=4)
    calls = [call(rows(*range(count))) for count in (2, 2, 3, 2)]
    put(queue, *calls)
    assert [queue.take(), queue.take(), queue.take()] == [calls[:2], calls[2:3], calls[3:]]


def test_call_larger_than_the_row_limit_goes_alone(clock: FakeClock) -> None:
    queue = queue_of(clock, max_batch_rows=4)
    large, small = call(rows(*range(9))), call(rows(1))
    put(queue, large, small)
    assert [queue.take(), queue.take()] == [[large], [small]]


def test_lane_with_the_oldest_call_comes_first_however_full_another_is(queue: BatchQueue) -> None:
    busy = [call(rows(value), arrived=2.0 + value) for value in range(8)]
    lonely = call(np.ones((1, 3), np.float32), signature(inputs={"x": (None, 3)}), arrived=1.0)
    put(queue, *busy, lonely)
    assert [queue.take(), queue.take()] == [[lonely], busy]


def test_busy_lane_does_not_starve_another(clock: FakeClock) -> None:
    """What comes into a lane later than a call in another one is behind it."""
    queue = queue_of(clock, max_batch_rows=1)
    other = signature("other")
    order = [call(arrived=1.0), call(arrived=2.0), call(of=other, arrived=3.0), call(arrived=4.0)]
    put(queue, *order)
    assert [queue.take() for _ in order] == [[one] for one in order]


def test_signatures_outputs_and_shapes_never_meet_in_a_batch(queue: BatchQueue) -> None:
    free = signature(inputs={"x": (None, None)}, outputs={"y": (None,), "z": (None,)})
    other = signature("other", inputs={"x": (None, None)}, outputs={"y": (None,), "z": (None,)})
    wide = np.ones((1, 3), np.float32)
    variants = [
        {"of": free},
        {"of": other},
        {"of": free, "outputs": ("y",)},
        {"of": free, "inputs": wide},
    ]
    calls = [call(**variants[number % 4], arrived=float(number)) for number in range(8)]  # type: ignore[arg-type]
    put(queue, *calls)
    assert [queue.take() for _ in range(4)] == [[calls[number], calls[number + 4]] for number in range(4)]
    assert_keeps_nothing(queue)


def test_calls_that_run_alone_come_out_one_by_one_in_the_order_of_their_arrival(queue: BatchQueue) -> None:
    increment, read = signature("increment", writes=True), signature("read")
    calls = [
        call(of=increment if number % 2 else read, arrived=float(number), joinable=False)
        for number in range(5)
    ]
    put(queue, *calls)
    assert [queue.take() for _ in calls] == [[one] for one in calls]


def test_full_queue_refuses_at_once_and_names_model_and_numbers(clock: FakeClock) -> None:
    queue = queue_of(clock, max_queued_calls=2)
    put(queue, call(), call())
    with pytest.raises(QueueFull) as refusal:
        queue.put(call())
    assert str(refusal.value) == "the queue of model 'm' version 1 is full: 2 calls wait, the limit is 2"
    assert (refusal.value.waiting, refusal.value.limit) == (2, 2)
    assert len(queue) == 2


def test_call_that_leaves_makes_room_at_once(clock: FakeClock) -> None:
    queue = queue_of(clock, max_queued_calls=2)
    leaver, stayer, late = call(), call(), call()
    put(queue, leaver, stayer)
    assert queue.withdraw(leaver)
    put(queue, late)
    assert queue.take() == [stayer, late]


def test_taking_makes_room(clock: FakeClock) -> None:
    queue = queue_of(clock, max_queued_calls=1)
    for _ in range(3):
        put(queue, call())
        queue.take()
    assert_keeps_nothing(queue)


def test_withdraw_says_whether_the_call_was_still_waiting(queue: BatchQueue) -> None:
    one, never_put = call(), call()
    put(queue, one)
    assert queue.withdraw(one)
    assert not queue.withdraw(one)
    assert not queue.withdraw(never_put)
    put(queue, never_put)
    queue.take()
    assert not queue.withdraw(never_put)
    assert_keeps_nothing(queue)


def test_callers_shapes_leave_no_lane_behind(queue: BatchQueue) -> None:
    free = signature(inputs={"x": (None, None)})
    calls = [call(np.ones((1, width), np.float32), free) for width in range(1, 101)]
    put(queue, *calls)
    for one in calls[:50]:
        queue.withdraw(one)
    for _ in range(50):
        queue.take()
    assert_keeps_nothing(queue)


def test_call_that_leaves_is_not_kept_alive(queue: BatchQueue) -> None:
    leaver = call()
    array = weakref.ref(leaver.inputs[0])
    put(queue, leaver, call())
    queue.withdraw(leaver)
    del leaver
    assert array() is None


def test_call_that_has_ended_is_not_handed_out_and_its_neighbours_are(queue: BatchQueue) -> None:
    calls = [call(), call(), call()]
    put(queue, *calls)
    calls[1].slot.finish(Cancelled())
    assert queue.take() == [calls[0], calls[2]]


def test_deadline_ends_a_call_that_waits_and_not_a_tick_too_early(
    queue: BatchQueue, clock: FakeClock
) -> None:
    caller = Caller()
    expired, alive = call(slot=caller.slot, deadline=clock.now), call(deadline=clock.now + TICK)
    put(queue, expired, alive)
    assert queue.take() == [alive]
    assert isinstance(caller.error(), DeadlineExceeded)


def test_batch_of_which_nothing_is_wanted_is_skipped(queue: BatchQueue, clock: FakeClock) -> None:
    callers = [Caller(), Caller()]
    put(queue, *(call(slot=caller.slot, deadline=clock.now) for caller in callers))
    wanted = call(of=signature("other"), arrived=1.0)
    put(queue, wanted)
    assert queue.take() == [wanted]
    assert all(isinstance(caller.error(), DeadlineExceeded) for caller in callers)
    assert_keeps_nothing(queue)


def test_expired_call_is_not_kept_alive_while_the_executor_waits_for_the_next() -> None:
    """The clock is what `take` looks at before it waits; the array must be gone by then."""
    arrays: list[weakref.ref[Any]] = []
    alive_at_look: list[bool] = []

    def clock() -> float:
        alive_at_look.append(any(array() is not None for array in arrays))
        return 5.0

    queue = BatchQueue("m", BatchSettings(), clock)
    expired = call(deadline=-1.0)
    arrays.append(weakref.ref(expired.inputs[0]))
    put(queue, expired, call(of=signature("other"), arrived=1.0))
    del expired
    queue.take()
    # It looks for the first choice and for the deadlines; what comes after is the second choice.
    assert alive_at_look[:2] == [True, True]
    assert alive_at_look[2:]
    assert not any(alive_at_look[2:])


def test_closed_queue_takes_nothing_in_hands_out_what_waits_and_then_nothing_for_ever(
    clock: FakeClock,
) -> None:
    queue = queue_of(clock, max_wait_us=10_000_000)
    calls = [call(arrived=clock.now), call(arrived=clock.now)]
    put(queue, *calls)
    queue.close()
    queue.close()
    with pytest.raises(Draining, match="model 'm' version 1"):
        queue.put(call())
    # At once: no rows can come any more, so there is nothing to wait for.
    assert taken(queue) == [calls]
    assert [queue.take(), queue.take()] == [None, None]


def test_closed_queue_ends_what_has_expired_before_it_ends(queue: BatchQueue, clock: FakeClock) -> None:
    caller = Caller()
    put(queue, call(slot=caller.slot, deadline=clock.now))
    queue.close()
    assert queue.take() is None
    assert isinstance(caller.error(), DeadlineExceeded)


def test_abandon_ends_every_call_that_waits_and_says_how_many(queue: BatchQueue) -> None:
    callers = [Caller(), Caller(), Caller()]
    calls = [call(slot=caller.slot, joinable=number < 2) for number, caller in enumerate(callers)]
    put(queue, *calls)
    calls[0].slot.finish(Cancelled())
    end = Draining("m")
    assert queue.abandon(end) == 2
    assert isinstance(callers[0].error(), Cancelled)
    assert [caller.error() for caller in callers[1:]] == [end, end]
    assert queue.take() is None
    assert_keeps_nothing(queue)


def test_delivery_may_use_the_queue_for_no_lock_is_held(queue: BatchQueue, clock: FakeClock) -> None:
    class Nosy(Caller):
        def _deliver(self, outcome: Any) -> None:
            super()._deliver(outcome)
            assert not queue.withdraw(call())

    expired, abandoned = Nosy(), Nosy()
    put(queue, call(slot=expired.slot, deadline=clock.now), call(of=signature("other"), arrived=1.0))
    queue.take()
    put(queue, call(slot=abandoned.slot))
    queue.abandon(Cancelled())
    assert (len(expired.outcomes), len(abandoned.outcomes)) == (1, 1)


class Taker:
    """A thread that takes once."""

    def __init__(self, queue: BatchQueue) -> None:
        self.batch: Batch | None = None
        self._queue = queue
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        self.batch = self._queue.take()

    def taken(self) -> Batch | None:
        self._thread.join(HANG_S)
        assert not self._thread.is_alive(), "take() did not come back"
        return self.batch


def test_put_wakes_the_executor(queue: BatchQueue) -> None:
    taker, one = Taker(queue), call()
    put(queue, one)
    assert taker.taken() == [one]


def test_close_and_abandon_wake_the_executor(clock: FakeClock) -> None:
    closed, abandoned = queue_of(clock), queue_of(clock)
    takers = Taker(closed), Taker(abandoned)
    closed.close()
    abandoned.abandon(Cancelled())
    assert [taker.taken() for taker in takers] == [None, None]


def test_row_that_fills_the_lane_ends_the_wait_for_more(clock: FakeClock) -> None:
    """On a clock that stands still, waiting alone would never end."""
    queue = queue_of(clock, max_batch_rows=2, max_wait_us=10_000_000)
    calls = [call(arrived=clock.now), call(arrived=clock.now)]
    taker = Taker(queue)
    put(queue, *calls)
    assert taker.taken() == calls


def test_wait_for_more_ends_when_the_oldest_call_has_waited_long_enough(clock: FakeClock) -> None:
    queue = queue_of(clock, max_wait_us=10_000_000)
    one = call(arrived=clock.now)
    put(queue, one)
    clock.now += 10.0
    assert queue.take() == [one]


class Writer(threading.Thread):
    """Puts calls, one after the other, and withdraws every third of them."""

    def __init__(self, queue: BatchQueue, number: int) -> None:
        super().__init__()
        self.callers = [Caller() for _ in range(200)]
        self._queue = queue
        self._of = signature(f"lane {number % 2}")

    def run(self) -> None:
        for number, caller in enumerate(self.callers):
            one = call(of=self._of, slot=caller.slot, joinable=number % 5 > 0)
            self._queue.put(one)
            if number % 3 == 0 and caller.slot.finish(Cancelled()):
                self._queue.withdraw(one)


def test_every_call_of_many_threads_ends_exactly_once() -> None:
    queue = BatchQueue("m", BatchSettings(max_queued_calls=10_000))
    writers = [Writer(queue, number) for number in range(4)]
    answered: list[Call] = []

    def serve() -> None:
        for batch in iter(queue.take, None):
            answered.extend(one for one in batch if one.slot.finish([rows(1)]))

    server = threading.Thread(target=serve)
    for thread in (server, *writers):
        thread.start()
    for writer in writers:
        writer.join(HANG_S)
    queue.close()
    server.join(HANG_S)
    outcomes = [caller.outcome() for writer in writers for caller in writer.callers]
    assert sum(not isinstance(outcome, Cancelled) for outcome in outcomes) == len(answered)
    assert len({id(one) for one in answered}) == len(answered)
    assert_keeps_nothing(queue)


@dataclasses.dataclass(eq=False)
class Waiting:
    """What the reference knows of a call."""

    call: Call
    caller: Caller
    handed_out: int = 0


class QueueAgainstReference(RuleBasedStateMachine):
    """Random use of a queue by one thread, against lists that are searched from end to end."""

    MAX_ROWS = 4
    MAX_CALLS = 6
    MAX_WAIT_S = 3.0
    SIGNATURES = (signature("a"), signature("b"))

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue = queue_of(
            self.clock,
            max_batch_rows=self.MAX_ROWS,
            max_queued_calls=self.MAX_CALLS,
            max_wait_us=int(self.MAX_WAIT_S * 1e6),
        )
        self.waiting: list[Waiting] = []
        self.everyone: list[Waiting] = []
        self.closed = False

    @rule(
        count=st.integers(1, 5),
        of=st.sampled_from(SIGNATURES),
        joinable=st.booleans(),
        patience=st.sampled_from([1.0, 2.0, 5.0, math.inf]),
    )
    def put(self, count: int, of: Any, joinable: bool, patience: float) -> None:
        # No two arrive at once, so that the reference need not say who is then the older one.
        self.clock.now += TICK
        caller = Caller()
        one = call(
            rows(*range(count)),
            of,
            caller.slot,
            arrived=self.clock.now,
            deadline=self.clock.now + patience,
            joinable=joinable,
        )
        if self.closed:
            with pytest.raises(Draining):
                self.queue.put(one)
        elif len(self.waiting) >= self.MAX_CALLS:
            with pytest.raises(QueueFull):
                self.queue.put(one)
        else:
            self.queue.put(one)
            self.waiting.append(Waiting(one, caller))
            self.everyone.append(self.waiting[-1])

    @precondition(lambda self: self.everyone)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.everyone))
        had_ended = bool(one.caller.outcomes)
        assert one.call.slot.finish(Cancelled()) is not had_ended
        assert self.queue.withdraw(one.call) is (one in self.waiting)
        if one in self.waiting:
            self.waiting.remove(one)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def end_without_withdrawing(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.waiting)).call.slot.finish(Cancelled())

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def move_clock(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def take(self) -> None:
        waiting = list(self.waiting)
        expected: list[Waiting] = []
        while waiting and not expected:
            batch = self.next_batch(waiting)
            if batch is None:
                return  # take() would wait, and nobody is there to end the wait
            waiting = [one for one in waiting if one not in batch]
            expected = [
                one for one in batch if not one.caller.outcomes and one.call.deadline > self.clock.now
            ]
        if not expected and not self.closed:
            return
        unwanted = [
            one
            for one in self.waiting
            if one not in waiting and one not in expected and not one.caller.outcomes
        ]
        got = self.queue.take()
        self.waiting = waiting
        assert got == ([one.call for one in expected] or None)
        for one in expected:
            one.handed_out += 1
        for one in unwanted:
            assert isinstance(one.caller.error(), DeadlineExceeded)

    def next_batch(self, waiting: list[Waiting]) -> list[Waiting] | None:
        """The batch that goes now if these wait; None: none does."""
        # Those in front: of each lane the call that has waited longest. `waiting` is in arrival order.
        for first in waiting:
            lane = [one for one in waiting if one.call.lane == first.call.lane]
            joins = first.call.lane is not None
            full = sum(one.call.rows for one in lane) >= self.MAX_ROWS
            ripe = first.call.arrived + self.MAX_WAIT_S <= self.clock.now
            if first is lane[0] and (self.closed or not joins or full or ripe):
                fitting = 1
                while (
                    joins
                    and fitting < len(lane)
                    and sum(one.call.rows for one in lane[: fitting + 1]) <= self.MAX_ROWS
                ):
                    fitting += 1
                return lane[:fitting]
        return None

    @precondition(lambda self: len(self.everyone) > 8)
    @rule()
    def close(self) -> None:
        self.queue.close()
        self.closed = True

    @precondition(lambda self: len(self.everyone) > 8)
    @rule()
    def abandon(self) -> None:
        still_open = [one for one in self.waiting if not one.caller.outcomes]
        assert self.queue.abandon(Draining("m")) == len(still_open)
        assert all(isinstance(one.caller.error(), Draining) for one in still_open)
        self.waiting.clear()
        self.closed = True

    @invariant()
    def counts_those_who_wait(self) -> None:
        assert len(self.queue) == len(self.waiting)
        assert len(self.queue._lanes) == len({one.call.lane for one in self.waiting})

    @invariant()
    def every_call_comes_to_one_end(self) -> None:
        for one in self.everyone:
            assert one.handed_out + (one in self.waiting) <= 1
            assert len(one.caller.outcomes) <= 1
            if not one.handed_out and one not in self.waiting:
                assert len(one.caller.outcomes) == 1

    def teardown(self) -> None:
        self.closed = True
        self.queue.close()
        while self.waiting:
            self.take()
        self.take()
        self.every_call_comes_to_one_end()
        assert_keeps_nothing(self.queue)


@pytest.fixture(autouse=True)
def _no_thread_stays_behind() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before


TestQueueAgainstReference = QueueAgainstReference.TestCase
TestQueueAgainstReference.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
