from __future__ import annotations

import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hotgraph_server.batching.backlog import Backlog, Batch
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.cost import MIN_MARGIN
from hotgraph_server.batching.decisions import BETWEEN_APART, PASS_OVER
from hotgraph_server.batching.estimates import SLACK_S
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.suspects import APART_AT, FIRST_S
from hotgraph_server.errors import Cancelled, DeadlineExceeded, Draining, QueueFull, WouldBeLate
from hotgraph_server.settings import BatchSettings
from hotgraph_server.statistics import Event, Statistics
from hotgraph_server.threads.leadership import Leadership

from ..fakes import HANG_S, Caller, FakeClock, call, rows, signature, switching_often

TICK = 1e-6


def queue_of(clock: FakeClock, statistics: Statistics | None = None, **settings: Any) -> BatchQueue:
    return BatchQueue("model 'm' version 1", BatchSettings(**settings), clock, statistics)


def slow_queue(clock: FakeClock, seconds: float = 1.0, **settings: Any) -> tuple[BatchQueue, Statistics]:
    """A queue that knows that a run takes so long whatever its rows, and is in the middle of none."""
    statistics = Statistics()
    queue = queue_of(clock, statistics, **settings)
    for count in (1, 2, 4, 8, 16, 32, 64):
        for _ in range(3):
            queue.ran("serving_default", [rows(1)], count, seconds)
    return queue, statistics


def events_of(statistics: Statistics) -> dict[Event, int]:
    """Those of the default signature that have happened."""
    counts = statistics.by_signature()["serving_default"].events
    return {event: count for event, count in counts.items() if count}


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


def backlog_of(queue: BatchQueue) -> Backlog:
    """Private, but a lane or a sum that stayed behind is a leak that no public behaviour shows."""
    return queue._backlog


def assert_keeps_nothing(queue: BatchQueue) -> None:
    assert len(queue) == 0
    backlog = backlog_of(queue)
    assert not backlog.lanes
    # The sums of all levels.
    assert (backlog.rows, backlog.nbytes, backlog.apart, backlog.load.waiting_s(99)) == (0, 0, 0, 0.0)


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
    calls[1].completion.finish(Cancelled())
    assert queue.take() == [calls[0], calls[2]]


def test_deadline_ends_a_call_that_waits_and_not_a_tick_too_early(
    queue: BatchQueue, clock: FakeClock
) -> None:
    caller = Caller()
    expired, alive = call(completion=caller.completion, deadline=clock.now), call(deadline=clock.now + TICK)
    put(queue, expired, alive)
    assert queue.take() == [alive]
    assert isinstance(caller.error(), DeadlineExceeded)


def test_batch_of_which_nothing_is_wanted_is_skipped(queue: BatchQueue, clock: FakeClock) -> None:
    callers = [Caller(), Caller()]
    put(queue, *(call(completion=caller.completion, deadline=clock.now) for caller in callers))
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
    alive_at_look.clear()
    del expired
    queue.take()
    # One look finds what has expired, the next one the other call.
    assert alive_at_look == [True, False]


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
    put(queue, call(completion=caller.completion, deadline=clock.now))
    queue.close()
    assert queue.take() is None
    assert isinstance(caller.error(), DeadlineExceeded)


def test_abandon_ends_every_call_that_waits_and_says_how_many(queue: BatchQueue) -> None:
    callers = [Caller(), Caller(), Caller()]
    calls = [call(completion=caller.completion, joinable=number < 2) for number, caller in enumerate(callers)]
    put(queue, *calls)
    calls[0].completion.finish(Cancelled())
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
    put(
        queue,
        call(completion=expired.completion, deadline=clock.now),
        call(of=signature("other"), arrived=1.0),
    )
    queue.take()
    put(queue, call(completion=abandoned.completion))
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


def test_burst_of_puts_in_a_batch_scope_wakes_the_executor_when_all_are_there() -> None:
    looked, leadership = threading.Event(), Leadership()

    def clock() -> float:
        looked.set()
        return 5.0

    queue = BatchQueue("m", BatchSettings(), clock, leadership=leadership)
    taker, calls = Taker(queue), [call(), call(), call()]
    # It is looking, under the queue's lock, so the first put finds it asleep.
    assert looked.wait(HANG_S)
    with leadership.scope:
        put(queue, *calls)
    assert taker.taken() == calls


def test_executor_waits_no_longer_for_more_rows_than_it_was_told_to() -> None:
    queue = BatchQueue("m", BatchSettings(max_wait_us=1000))
    taker, one = Taker(queue), call(arrived=time.monotonic())
    put(queue, one)
    assert taker.taken() == [one]


def test_task_of_the_server_wakes_the_executor_and_is_refused_by_no_edge(clock: FakeClock) -> None:
    queue = queue_of(clock, max_queued_calls=1)
    put(queue, call())
    task = call(of=signature(writes=True), joinable=False, arrived=clock.now)
    assert not queue.has_writes()
    queue.put_task(task)
    assert queue.has_writes()
    queue.take()
    assert queue.take() == [task]
    taker = Taker(queue)
    queue.put_task(task)
    assert taker.taken() == [task]
    queue.close()
    with pytest.raises(Draining, match="model 'm' version 1"):
        queue.put_task(task)


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
            one = call(
                of=self._of, completion=caller.completion, arrived=time.monotonic(), joinable=number % 5 > 0
            )
            self._queue.put(one)
            if number % 3 == 0 and caller.completion.finish(Cancelled()):
                self._queue.withdraw(one)


@pytest.mark.parametrize("max_wait_us", [0, 100])
def test_every_call_of_many_threads_ends_exactly_once(max_wait_us: int) -> None:
    """With a wait the executor sleeps for moments only, and is woken while it wakes by itself."""
    queue = BatchQueue("m", BatchSettings(max_queued_calls=10_000, max_wait_us=max_wait_us))
    writers = [Writer(queue, number) for number in range(4)]
    answered: list[Call] = []

    def serve() -> None:
        for batch in iter(queue.take, None):
            answered.extend(one for one in batch if one.completion.finish([rows(1)]))

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


class TestEdges:
    def test_rows_have_an_edge_that_names_itself(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_batch_rows=4, max_queued_rows=4)
        put(queue, call(rows(1, 2, 3)))
        with pytest.raises(
            QueueFull, match=r"the queue of model 'm' version 1 is full: 3 rows wait, .* is 4$"
        ):
            queue.put(call(rows(1, 2)))
        put(queue, call(rows(1)))
        queue.take()
        put(queue, call(rows(*range(9))))

    def test_bytes_have_an_edge_that_names_itself(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_queued_mb=1)
        half = np.zeros((1, 2**17), np.float32)
        wide = signature(inputs={"x": (None, None)})
        put(queue, call(half, wide), call(half, wide))
        with pytest.raises(QueueFull, match=r"is full: 1 MiB of inputs wait, the limit is 1$"):
            queue.put(call(half, wide))
        queue.take()
        put(queue, call(np.zeros((1, 2**20), np.float32), wide))

    def test_zero_means_no_edge_in_rows_and_bytes(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_queued_rows=0, max_queued_mb=0)
        put(queue, call(np.zeros((200_000, 2), np.float32)), call())
        assert len(queue) == 2

    @pytest.mark.parametrize(("refuse_with", "status"), [("resource_exhausted", 8), ("unavailable", 14)])
    def test_status_of_a_refusal_is_the_settings(
        self, clock: FakeClock, refuse_with: str, status: int
    ) -> None:
        queue, _ = slow_queue(clock, max_queued_calls=1, refuse_with=refuse_with)
        put(queue, call())
        with pytest.raises(QueueFull) as full:
            queue.put(call())
        queue.take()
        with pytest.raises(WouldBeLate) as late:
            queue.put(call(deadline=clock.now + 1.0))
        assert full.value.status.value[0] == late.value.status.value[0] == status

    def test_full_queue_says_when_half_of_what_waits_is_done(self, clock: FakeClock) -> None:
        queue, _ = slow_queue(clock, max_queued_calls=3, max_batch_rows=1)
        put(queue, *(call() for _ in range(3)))
        with pytest.raises(QueueFull) as full:
            queue.put(call())
        assert full.value.retry_after_ms == 1500


class TestLateness:
    def test_call_whose_answer_would_come_past_its_deadline_is_refused_with_a_time_to_come_again(
        self, clock: FakeClock
    ) -> None:
        queue, statistics = slow_queue(clock)
        put(queue, call(), call())
        queue.take()
        clock.now += 0.5
        # Half a run is left, and its own; both with a margin.
        in_time = 0.5 + MIN_MARGIN * 1.5
        put(queue, call(deadline=clock.now + in_time))
        with pytest.raises(WouldBeLate) as late:
            queue.put(call(deadline=clock.now + MIN_MARGIN * 1.5 + SLACK_S - 0.1))
        assert late.value.retry_after_ms == pytest.approx(100, abs=1)
        assert events_of(statistics) == {Event.REFUSED_LATE: 1}

    def test_what_waits_in_other_lanes_is_ahead_too(self, clock: FakeClock) -> None:
        queue, _ = slow_queue(clock)
        wide = signature(inputs={"x": (None, None)})
        put(queue, *(call(np.ones((1, width), np.float32), wide) for width in (1, 2, 3)))
        with pytest.raises(WouldBeLate):
            queue.put(call(deadline=clock.now + 2.0))
        put(queue, call(deadline=clock.now + MIN_MARGIN * 4.0))

    def test_lower_level_is_not_ahead(self, clock: FakeClock) -> None:
        queue, _ = slow_queue(clock, priority_levels=2)
        low = [
            Call(
                signature(),
                [rows(1)],
                ("y",),
                Caller().completion,
                arrived=clock.now,
                joinable=False,
                level=2,
            )
            for _ in range(5)
        ]
        put(queue, *low)
        put(queue, call(deadline=clock.now + 1.2))
        late = call(deadline=clock.now + 1.2)
        late.level = 2
        with pytest.raises(WouldBeLate):
            queue.put(late)

    def test_nobody_is_refused_while_the_executor_is_free_and_nothing_waits(self, clock: FakeClock) -> None:
        queue, _ = slow_queue(clock)
        put(queue, call(deadline=clock.now + TICK))
        queue.take()
        queue.done()
        put(queue, call(deadline=clock.now + TICK))

    def test_overdue_run_is_expected_to_end_any_moment(self, clock: FakeClock) -> None:
        queue, _ = slow_queue(clock)
        put(queue, call())
        queue.take()
        clock.now += 100.0
        put(queue, call(deadline=clock.now + MIN_MARGIN * 1.0 + SLACK_S + TICK))

    def test_call_without_a_deadline_is_never_late(self, clock: FakeClock) -> None:
        queue, _ = slow_queue(clock, seconds=1e6)
        put(queue, *(call() for _ in range(100)))

    def test_queue_learns_what_a_batch_costs_from_take_to_take_or_done(self, clock: FakeClock) -> None:
        queue = queue_of(clock)
        for _ in range(5):
            put(queue, call())
            queue.take()
            clock.now += 0.25
            queue.done()
            clock.now += 9.0
        put(queue, call())
        queue.take()
        with pytest.raises(WouldBeLate):
            queue.put(call(deadline=clock.now + 2 * 0.25 * MIN_MARGIN - 0.01))
        put(queue, call(deadline=clock.now + 2 * 0.25 * MIN_MARGIN + 0.01))


class TestEvents:
    def test_refusals_and_expiries_are_counted_by_reason(self, clock: FakeClock) -> None:
        statistics = Statistics()
        queue = queue_of(clock, statistics, max_queued_calls=1)
        put(queue, call(deadline=clock.now))
        with pytest.raises(QueueFull):
            queue.put(call())
        queue.close()
        with pytest.raises(Draining):
            queue.put(call())
        assert queue.take() is None
        assert events_of(statistics) == {
            Event.REFUSED_FULL: 1,
            Event.REFUSED_DRAINING: 1,
            Event.EXPIRED: 1,
        }

    def test_call_that_somebody_else_has_ended_has_not_expired(self, clock: FakeClock) -> None:
        statistics = Statistics()
        queue = queue_of(clock, statistics)
        left = call(deadline=clock.now)
        put(queue, left, call())
        left.completion.finish(Cancelled())
        queue.take()
        assert "serving_default" not in statistics.by_signature() or not events_of(statistics)


class TestPieces:
    def large(self, count: int = 9) -> Call:
        return call(rows(*range(count)))

    def test_large_call_goes_by_itself_and_holds_up_nobody_in_its_lane(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_batch_rows=4)
        large, before, after = self.large(), call(), call()
        put(queue, before, large, after)
        assert [queue.take(), queue.take()] == [[before, after], [large]]
        assert_keeps_nothing(queue)

    def test_rest_of_a_large_call_lets_one_batch_of_others_go_first(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_batch_rows=4)
        large, small = self.large(), [call(arrived=1.0 + number) for number in range(6)]
        put(queue, large, *small)
        order = []
        for _ in range(5):
            batch = queue.take()
            assert batch is not None
            order.append(batch)
            if batch == [large] and large.rows_done + 4 < large.rows:
                large.rows_done += 4
                queue.put_back(large)
        assert order == [[large], small[:4], [large], small[4:], [large]]
        assert_keeps_nothing(queue)

    def test_rest_is_never_refused_and_goes_even_when_the_queue_is_closed(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_batch_rows=4, max_queued_calls=1)
        large = self.large()
        put(queue, large)
        queue.take()
        put(queue, call())
        large.rows_done = 4
        queue.put_back(large)
        assert len(queue) == 2
        queue.close()
        assert taken(queue)[-1] == [large]

    def test_rest_of_a_call_that_has_ended_is_let_go(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_batch_rows=4)
        large = self.large()
        put(queue, large)
        queue.take()
        large.completion.finish(Cancelled())
        queue.put_back(large)
        assert_keeps_nothing(queue)

    def test_rest_that_comes_after_abandon_ends_with_its_error(self, clock: FakeClock) -> None:
        queue, caller, end = queue_of(clock, max_batch_rows=4), Caller(), Draining("m")
        large = call(rows(*range(9)), completion=caller.completion)
        put(queue, large)
        queue.take()
        queue.abandon(end)
        queue.put_back(large)
        assert caller.error() is end
        assert_keeps_nothing(queue)


class TestLevels:
    def test_levels_travel_together_where_there_is_room_and_higher_ones_first(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_batch_rows=4, priority_levels=3)
        low, high = (
            [call(arrived=float(number)) for number in range(4)],
            [call(arrived=9.0) for _ in range(3)],
        )
        for one in low:
            one.level = 3
        put(queue, *low, *high)
        assert [queue.take(), queue.take()] == [[*high, low[0]], low[1:]]
        assert_keeps_nothing(queue)

    def test_oldest_call_of_all_goes_after_so_many_that_overtook_it(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_batch_rows=1, priority_levels=2)
        old = call(of=signature("old"), arrived=0.0)
        old.level = 2
        put(queue, old, *(call(arrived=1.0) for _ in range(2 * PASS_OVER)))
        batches = [queue.take() for _ in range(PASS_OVER + 1)]
        assert batches.index([old]) == PASS_OVER


def test_burst_of_puts_wakes_the_executor_once(clock: FakeClock) -> None:
    """A second waking would be an error of the lock's: it is released only once."""
    queue = queue_of(clock)
    taker = Taker(queue)
    calls = [call() for _ in range(50)]
    with switching_often():
        put(queue, *calls)
    first = taker.taken()
    assert first
    queue.close()
    assert [one for batch in [first, *taken(queue)] for one in batch] == calls


def test_poll_says_when_to_look_again_and_when_it_is_over(clock: FakeClock) -> None:
    queue = queue_of(clock, max_wait_us=1_000_000)
    assert queue.poll().wait_until == math.inf
    put(queue, call(arrived=clock.now))
    assert queue.poll().wait_until == clock.now + 1.0
    assert not queue.poll().ended
    queue.close()
    assert queue.poll().batch is not None
    assert queue.poll().ended


class QueueUnderRandomUse(RuleBasedStateMachine):
    """Random use by one thread, against a list of what waits and the sentences of the contract."""

    MAX_ROWS = 4
    MAX_CALLS = 8
    MAX_QUEUED_ROWS = 16
    LEVELS = 2
    SIGNATURES = (signature("a"), signature("b"))

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.statistics = Statistics()
        self.queue = queue_of(
            self.clock,
            self.statistics,
            max_batch_rows=self.MAX_ROWS,
            max_queued_calls=self.MAX_CALLS,
            max_queued_rows=self.MAX_QUEUED_ROWS,
            priority_levels=self.LEVELS,
        )
        self.callers: dict[Call, Caller] = {}
        self.waiting: list[Call] = []
        self.out: list[Call] = []
        self.handed_out: list[Call] = []
        self.closed = False
        self.abandoned = False

    @property
    def rows_waiting(self) -> int:
        return sum(one.rows - one.rows_done for one in self.waiting)

    @rule(
        count=st.integers(1, 9),
        of=st.sampled_from(SIGNATURES),
        joinable=st.booleans(),
        patience=st.sampled_from([0.2, 1.0, 5.0, math.inf]),
        level=st.integers(1, LEVELS),
    )
    def put(self, count: int, of: Any, joinable: bool, patience: float, level: int) -> None:
        # No two arrive at once, so that it is clear which is the older one.
        self.clock.now += TICK
        caller = Caller()
        one = call(
            rows(*range(count)),
            of,
            caller.completion,
            arrived=self.clock.now,
            deadline=self.clock.now + patience,
            joinable=joinable,
        )
        one.level = level
        full = len(self.waiting) >= self.MAX_CALLS or (
            bool(self.waiting) and self.rows_waiting + count > self.MAX_QUEUED_ROWS
        )
        try:
            self.queue.put(one)
        except Draining:
            assert self.closed
        except QueueFull:
            assert full
        except WouldBeLate:
            assert patience < math.inf
            assert self.waiting or self.out
        else:
            assert not self.closed
            assert not full
            self.callers[one] = caller
            self.waiting.append(one)

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(list(self.callers)))
        had_ended = bool(self.callers[one].outcomes)
        assert one.completion.finish(Cancelled()) is not had_ended
        assert self.queue.withdraw(one) is (one in self.waiting)
        if one in self.waiting:
            self.waiting.remove(one)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def end_without_withdrawing(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.waiting)).completion.finish(Cancelled())

    @rule(seconds=st.sampled_from([0.1, 0.5, 3.0]))
    def move_clock(self, seconds: float) -> None:
        self.clock.now += seconds

    @precondition(lambda self: self.out)
    @rule()
    def finish_batch(self) -> None:
        """What the executor does with it; a large call goes back until its last piece."""
        out, self.out = self.out, []
        first = out[0]
        if first.lane is not None and first.rows - first.rows_done > self.MAX_ROWS:
            first.rows_done += self.MAX_ROWS
            ended = first.completion.taken
            self.queue.put_back(first)
            if not ended and not self.abandoned:
                self.waiting.append(first)
            self.queue.done()
            return
        for one in out:
            one.completion.finish([rows(1)])
        self.queue.done()

    @precondition(lambda self: not self.out)
    @rule()
    def take(self) -> None:
        look = self.queue.poll()
        now = self.clock.now
        for one in look.expired:
            assert one.deadline <= now or one.completion.taken
            self.waiting.remove(one)
            one.completion.finish(DeadlineExceeded())
        assert look.ended is (self.closed and not self.waiting and look.batch is None and not look.expired)
        if look.batch is None:
            # Work-conserving: nobody waits for company who was not told to.
            assert look.expired or not self.waiting
            return
        batch = look.batch
        assert batch
        assert len(set(batch)) == len(batch)
        for one in batch:
            assert one.deadline > now
            assert not one.completion.taken
        if len(batch) > 1:
            assert {one.lane for one in batch} == {batch[0].lane} != {None}
            assert sum(one.rows for one in batch) <= self.MAX_ROWS
        alone = batch[0]
        if alone.lane is None:
            # In the order of arrival, which is what writes need.
            before = [one for one in self.waiting if one.lane is None and one.level == alone.level]
            assert before[0] is alone
        for one in batch:
            self.waiting.remove(one)
        self.out = batch
        self.handed_out += [one for one in batch if not one.rows_done]

    @precondition(lambda self: len(self.callers) > 8)
    @rule()
    def close(self) -> None:
        self.queue.close()
        self.closed = True

    @precondition(lambda self: len(self.callers) > 8)
    @rule()
    def abandon(self) -> None:
        still_open = [one for one in self.waiting if not one.completion.taken]
        assert self.queue.abandon(Draining("m")) == len(still_open)
        assert all(isinstance(self.callers[one].error(), Draining) for one in still_open)
        self.waiting.clear()
        self.closed = self.abandoned = True

    @invariant()
    def counts_what_waits(self) -> None:
        assert len(self.queue) == len(self.waiting)
        backlog = backlog_of(self.queue)
        assert backlog.rows == self.rows_waiting
        assert backlog.nbytes == sum(one.nbytes for one in self.waiting)
        assert sum(map(len, backlog.lanes.values())) == len(self.waiting)

    @invariant()
    def every_call_comes_to_one_end(self) -> None:
        assert len(set(self.handed_out)) == len(self.handed_out)
        for one, caller in self.callers.items():
            assert len(caller.outcomes) <= 1
            if one not in self.waiting and one not in self.out:
                assert len(caller.outcomes) == 1

    def teardown(self) -> None:
        self.queue.close()
        self.closed = True
        while self.waiting or self.out:
            if self.out:
                self.finish_batch()
            else:
                self.take()
            self.every_call_comes_to_one_end()
        assert self.queue.take() is None
        assert_keeps_nothing(self.queue)


@pytest.fixture(autouse=True)
def _no_thread_stays_behind() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before


TestQueueUnderRandomUse = QueueUnderRandomUse.TestCase
TestQueueUnderRandomUse.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)


class TestLearntRowLimit:
    """What memory has taught the executor, told with limit_rows."""

    def test_batches_keep_to_it_and_those_of_other_signatures_do_not(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_batch_rows=8)
        calls = [call(rows(value)) for value in range(5)]
        others = [call(rows(value), signature("other"), arrived=1.0) for value in range(5)]
        put(queue, *calls[:3])
        queue.limit_rows("serving_default", 2)
        put(queue, *calls[3:], *others)
        batches = [queue.take() for _ in range(4)]
        assert batches == [calls[:2], calls[2:4], calls[4:], others]
        assert_keeps_nothing(queue)

    def test_call_that_has_become_large_goes_alone_and_may_be_put_back(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_batch_rows=8)
        large, small = call(rows(*range(4))), call(rows(1))
        put(queue, large, small)
        queue.limit_rows("serving_default", 2)
        assert queue.take() == [large]
        large.rows_done = 2
        queue.put_back(large)
        assert [queue.take(), queue.take()] == [[small], [large]]
        assert_keeps_nothing(queue)

    def test_rest_of_a_call_shares_no_batch_though_the_limit_has_risen(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_batch_rows=8)
        queue.limit_rows("serving_default", 2)
        large, small = call(rows(*range(4))), call(rows(1))
        put(queue, large)
        assert queue.take() == [large]
        large.rows_done = 2
        queue.limit_rows("serving_default", 8)
        queue.put_back(large)
        put(queue, small)
        assert sorted([queue.take(), queue.take()], key=lambda batch: batch is None or batch[0].rows) == [
            [small],
            [large],
        ]

    def test_limit_of_the_settings_is_none_of_its_own(self, clock: FakeClock) -> None:
        queue = queue_of(clock, max_batch_rows=4)
        queue.limit_rows("serving_default", 2)
        queue.limit_rows("serving_default", 4)
        calls = [call(rows(value)) for value in range(4)]
        put(queue, *calls)
        assert queue.take() == calls


def test_answers_leave_in_the_order_of_arrival_where_that_is_set(clock: FakeClock) -> None:
    queue = queue_of(clock, preserve_ordering=True)
    first, second = Caller(), Caller()
    calls = [call(rows(1), completion=caller.completion) for caller in (first, second)]
    put(queue, *calls)
    calls[1].completion.finish([rows(2)])
    assert second.outcomes == []
    calls[0].completion.finish([rows(1)])
    assert [len(caller.outcomes) for caller in (first, second)] == [1, 1]


# Callers whose calls keep failing.


def suspect(queue: BatchQueue, clock: FakeClock, peer: str = "bad") -> None:
    for _ in range(APART_AT):
        queue.suspects.ended(peer, "serving_default", 1, 0, clock.now)


def from_peer(peer: str, clock: FakeClock, count: int = 1, **more: Any) -> Call:
    return call(rows(*range(count)), arrived=clock.now, peer=peer, **more)


def next_batch(queue: BatchQueue) -> Batch:
    batch = queue.poll().batch
    assert batch is not None
    return batch


def test_calls_of_a_suspect_go_one_by_one_and_between_them_batches_of_the_others(clock: FakeClock) -> None:
    statistics = Statistics()
    queue = queue_of(clock, statistics)
    suspect(queue, clock)
    bad = [from_peer("bad", clock) for _ in range(3)]
    put(queue, *bad)
    seen: list[Any] = []
    for _ in range(9):
        put(queue, *[from_peer("good", clock) for _ in range(5)])
        batch = next_batch(queue)
        seen.append(bad.index(batch[0]) if batch[0] in bad else len(batch))
    assert seen == [0, 5 * 2, 5, 5, 1, 5 * 2, 5, 5, 2]
    assert BETWEEN_APART == 3
    assert events_of(statistics) == {Event.APART: 3}
    next_batch(queue)
    assert_keeps_nothing(queue)


def test_suspect_waits_for_nobody_where_nobody_else_is(clock: FakeClock) -> None:
    queue = queue_of(clock)
    suspect(queue, clock)
    bad = [from_peer("bad", clock) for _ in range(3)]
    put(queue, *bad)
    assert [next_batch(queue) for _ in bad] == [[one] for one in bad]
    assert_keeps_nothing(queue)


def test_suspect_shares_batches_again_when_its_time_is_over(clock: FakeClock) -> None:
    queue = queue_of(clock)
    suspect(queue, clock)
    clock.now += FIRST_S
    put(queue, from_peer("bad", clock), from_peer("good", clock))
    assert len(next_batch(queue)) == 2


def test_suspect_fills_an_eighth_of_the_queue_and_no_more(clock: FakeClock) -> None:
    queue = queue_of(clock, max_queued_calls=16)
    suspect(queue, clock)
    bad = [from_peer("bad", clock) for _ in range(2)]
    put(queue, *bad)
    with pytest.raises(
        QueueFull, match="full: 2 calls of callers whose calls keep failing wait, the limit is 2"
    ):
        queue.put(from_peer("bad", clock))
    put(queue, from_peer("good", clock))
    queue.withdraw(bad[0])
    put(queue, from_peer("bad", clock))
    queue.abandon(Draining("m"))
    assert_keeps_nothing(queue)


def test_call_of_a_suspect_that_nothing_could_join_anyway_is_held_to_no_part_of_the_edge(
    clock: FakeClock,
) -> None:
    queue = queue_of(clock, max_queued_calls=16)
    suspect(queue, clock)
    put(queue, *[from_peer("bad", clock, joinable=False) for _ in range(3)])
    assert len(queue) == 3


def test_large_call_of_a_suspect_is_still_handed_out_to_be_run_in_pieces(clock: FakeClock) -> None:
    queue = queue_of(clock, max_batch_rows=4)
    suspect(queue, clock)
    large, good = from_peer("bad", clock, 10), from_peer("good", clock)
    put(queue, large)
    assert next_batch(queue) == [large]
    put(queue, good)
    large.rows_done = 4
    queue.put_back(large)
    assert next_batch(queue) == [good]
    assert next_batch(queue) == [large]
    assert_keeps_nothing(queue)


def test_work_ahead_of_a_suspect_with_a_deadline_is_counted(clock: FakeClock) -> None:
    queue, statistics = slow_queue(clock)
    suspect(queue, clock)
    put(queue, from_peer("bad", clock))
    with pytest.raises(WouldBeLate):
        queue.put(from_peer("bad", clock, deadline=clock.now + 1.5))
    put(queue, from_peer("bad", clock, deadline=clock.now + 10))
    assert events_of(statistics) == {Event.APART: 2, Event.REFUSED_LATE: 1}


class Lead(Leadership):
    """Grants the lead while the test says so, and takes the turns that it says.

    Attributes:
        free: is there a lead to be taken?
        plan: what the turns bring, one after the other.
        ran: how the lead was laid down for runs.
        woken, promoted: how often.
    """

    def __init__(self) -> None:
        super().__init__()
        self.free = True
        self.ran: list[tuple[float, bool]] = []
        self.woken = self.promoted = 0
        self.timeouts: list[float] = []
        self.plan: list[Callable[[], object]] = []

    def take(self, *, again: bool = False) -> bool:
        return self.free

    def turn(self, timeout_s: float) -> bool:
        self.timeouts.append(timeout_s)
        self._leader = threading.get_ident()
        self.plan.pop(0)()
        self._leader = 0
        return True

    def run(self, graph_s: float, *, behind_turn: bool) -> None:
        self.ran.append((graph_s, behind_turn))

    def promote(self) -> None:
        self.promoted += 1

    def wake(self) -> None:
        self.woken += 1


def test_executor_without_calls_leads_and_runs_what_its_turn_brings() -> None:
    one, lead = call(), Lead()
    queue = BatchQueue("m", BatchSettings(), FakeClock(), leadership=lead)
    lead.plan = [lambda: None, lambda: put(queue, one)]
    assert queue.take() == [one]
    # Nothing is known of its runs yet, which may be long.
    assert lead.ran == [(math.inf, True)]
    assert lead.timeouts == [math.inf, math.inf]
    assert lead.woken == 0


def test_how_long_a_run_is_in_the_graph_is_learnt_for_the_lead() -> None:
    clock, lead = FakeClock(), Lead()
    queue = BatchQueue("m", BatchSettings(), clock, leadership=lead)
    lead.plan = [lambda: put(queue, call())] * 100
    for _ in range(100):
        queue.take()
        clock.now += 0.004
        queue.in_graph(0.001)
    # All of it at first, and then the part that is left of it.
    assert lead.ran[1] == pytest.approx((0.004, True), rel=0.1)
    assert lead.ran[-1] == pytest.approx((0.001, True), rel=0.1)


def test_what_waits_already_is_more_than_the_leader_can_do_alone() -> None:
    lead = Lead()
    queue = BatchQueue("m", BatchSettings(), FakeClock(), leadership=lead)
    put(queue, call())
    queue.take()
    assert lead.ran == [(math.inf, False)]


def test_executor_leads_no_longer_than_its_calls_may_wait() -> None:
    clock, one, lead = FakeClock(), call(), Lead()
    queue = BatchQueue("m", BatchSettings(max_wait_us=10**6), clock, leadership=lead)

    def passes() -> None:
        clock.now += lead.timeouts[-1]

    lead.plan = [lambda: put(queue, one), passes]
    one.arrived = clock.now
    assert queue.take() == [one]


def test_executor_that_leads_is_woken_by_calls_and_tasks_of_other_threads_and_by_the_end() -> None:
    def elsewhere(act: Callable[[], object]) -> Callable[[], None]:
        def turn() -> None:
            thread = threading.Thread(target=act)
            thread.start()
            thread.join(HANG_S)

        return turn

    lead = Lead()
    queue = BatchQueue("m", BatchSettings(), FakeClock(), leadership=lead)
    lead.plan = [
        elsewhere(lambda: put(queue, call())),
        elsewhere(lambda: queue.put_task(call())),
        elsewhere(queue.close),
    ]
    assert queue.take()
    assert queue.take()
    assert lead.woken == 2
    assert lead.promoted == 0
    assert queue.take() is None
    assert lead.woken == 3
    # The sockets are not left to a thread that has ended.
    assert lead.promoted == 1


def test_executor_that_has_less_to_wait_than_a_selector_can_tell_does_not_lead() -> None:
    lead = Lead()
    queue = BatchQueue("m", BatchSettings(max_wait_us=1000, max_batch_rows=2), leadership=lead)
    put(queue, call(arrived=time.monotonic()))
    # The lead is for another.
    lead.promote = lambda: setattr(lead, "free", False)  # type: ignore[method-assign]
    assert queue.take()
    assert lead.timeouts == []


def test_turns_are_taken_between_what_the_executor_wants_done_around_them() -> None:
    done: list[str] = []

    def breaks() -> None:
        done.append("turn")
        raise RuntimeError("the cable")

    lead = Lead()
    queue = BatchQueue("m", BatchSettings(), FakeClock(), leadership=lead)
    queue.turn_between(lambda: done.append("before"), lambda: done.append("after"))
    lead.plan = [lambda: done.append("turn"), breaks]
    with pytest.raises(RuntimeError):
        queue.take()
    assert done == ["before", "turn", "after"] * 2


def test_task_of_the_executors_own_is_not_taken_to_be_as_long_in_the_graph_as_runs_are() -> None:
    clock, lead = FakeClock(), Lead()
    queue = BatchQueue("m", BatchSettings(), clock, leadership=lead)
    task = signature("task", {}, {}, writes=True)
    for _ in range(3):
        for one, graph_s in ((call(), 0.001), (call((), task), 0.0)):
            put(queue, one)
            queue.take()
            queue.in_graph(graph_s)
            clock.now += 0.1
    assert lead.ran[-2][0] < 0.1
    assert lead.ran[-1][0] == pytest.approx(0.1)


def test_executor_whose_look_breaks_does_not_keep_the_lead() -> None:
    lead = Lead()

    def clock() -> float:
        raise RuntimeError("no time")

    with pytest.raises(RuntimeError):
        BatchQueue("m", BatchSettings(), clock, leadership=lead).take()
    assert lead.promoted == 1


@pytest.mark.parametrize(("count", "graph_s"), [(1, 0.003), (2, 0.003), (3, math.inf)])
def test_leader_that_wakes_an_executor_tells_how_long_its_run_will_be_in_the_graph(
    count: int, graph_s: float
) -> None:
    looked, told = threading.Event(), list[float]()

    class Told(Leadership):
        leads = True

        def wakes(self, graph_s: float) -> None:
            told.append(graph_s)

    def clock() -> float:
        looked.set()
        return 5.0

    lead = Told()
    queue = BatchQueue("m", BatchSettings(max_batch_rows=2), clock, leadership=lead)
    queue.ran("serving_default", [rows(1)], 1, 0.003)
    taker = Taker(queue)
    # It is looking, under the queue's lock, so the first put finds it asleep.
    assert looked.wait(HANG_S)
    with lead.scope:
        put(queue, *[call() for _ in range(count)])
    assert taker.taken()
    assert told == [graph_s]
