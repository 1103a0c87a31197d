"""The queue in front of one executor: lanes in, batches out.

When a batch goes. The executor asks when it is free, and gets the lane whose oldest call came first,
as many of its calls as fit into ``max_batch_rows``, in arrival order. With ``max_wait_us`` at 0, the
default, it never waits while a call is there: batches grow by themselves while the last one runs. Above
0, a lane that is not full may hold the executor until its oldest call has waited that long.

The longest wait of a call in the queue, if nobody leaves:

    max_wait_us + (remaining time of the present run) + (runs of all calls that came before it)

Which calls share a batch: those with an equal lane key (same signature, same outputs, same inner
shapes). Calls without a key share one lane and come out one by one, in arrival order; everything that
writes state is among them, so writes happen in the order of their arrival.

When full. ``put`` refuses at once with QueueFull, which names the model and the numbers. A call that
leaves makes room at once.

Leaving. ``withdraw`` takes a call out that nobody wants any more. A call that is cancelled between
being taken and being run is seen by its slot; neighbours are never touched. Calls whose deadline has
passed when they would be taken are not run: their slots end with DeadlineExceeded.

Closing. After ``close`` nothing is taken in; what waits is still handed out, and then ``take`` returns
None for ever. ``abandon`` fails what still waits.

Threads. Any thread may put, withdraw, close and abandon; they never wait. One thread, the executor,
takes. Slots are finished outside the lock: a delivery may do anything.

What it does not do yet. A call whose deadline comes before its lane may go is not sent early, and nothing
tells it of a deadline that only the queue knows before its turn comes. TODO(issue 4)

When not to use it: across several executors (each owns one), or for calls that must overtake others
(there are no priorities here).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from hotgraph_server.batching.call import Call, LaneKey
from hotgraph_server.batching.lane import Choice, Lane, choose
from hotgraph_server.errors import CallError, DeadlineExceeded, Draining, QueueFull
from hotgraph_server.settings import BatchSettings

Batch = list[Call]
"""Calls that run together; never empty, one lane key (or one call)."""


class BatchQueue:
    """Bounded; `what` names the model in errors, `clock` gives monotonic seconds."""

    def __init__(
        self, what: str, settings: BatchSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._max_rows = settings.max_batch_rows
        self._max_wait_s = settings.max_wait_us / 1e6
        self._max_calls = settings.max_queued_calls
        self._clock = clock
        self._lock = threading.Lock()  # guards everything below
        self._changed = threading.Condition(self._lock)  # the executor alone waits on it
        self._lanes: dict[LaneKey | None, Lane] = {}
        self._waiting = 0
        self._closed = False

    def __len__(self) -> int:
        """Calls that wait now."""
        return self._waiting

    def put(self, call: Call) -> None:
        """Take in a call.

        Raises:
            QueueFull: the edge is reached.
            Draining: the queue is closed.
        """
        with self._lock:
            if self._closed:
                raise Draining(self._what)
            if self._waiting >= self._max_calls:
                raise QueueFull(f"the queue of {self._what}", self._waiting, self._max_calls)
            lane = self._lanes.get(call.lane)
            if lane is None:
                lane = self._lanes[call.lane] = Lane(call.lane)
            lane.append(call)
            self._waiting += 1
            self._changed.notify()

    def withdraw(self, call: Call) -> bool:
        """Take out a call that has ended. Returns whether it was still waiting; False: it runs, or ran."""
        with self._lock:
            lane = self._lanes.get(call.lane)
            if lane is None or not lane.remove(call):
                return False
            self._waiting -= 1
            self._drop_if_empty(lane)
            return True

    def take(self) -> Batch | None:
        """Wait for the next batch. None: the queue is closed and empty."""
        while (batch := self._take_wanted()) == []:
            pass
        return batch

    def close(self) -> None:
        """Take nothing in any more; idempotent."""
        with self._lock:
            self._closed = True
            self._changed.notify()

    def abandon(self, error: CallError) -> int:
        """Close, and end every call that still waits with `error`. Returns how many there were."""
        with self._lock:
            self._closed = True
            calls = [call for lane in self._lanes.values() for call in lane.take_all()]
            self._lanes.clear()
            self._waiting = 0
            self._changed.notify()
        return sum(call.slot.finish(error) for call in calls)

    def _take_wanted(self) -> Batch | None:
        """One try; empty if nobody wants the calls any more.

        A function of its own, so that what nobody wants is gone before the next wait.
        """
        with self._lock:
            lane = self._wait_for_lane()
            if lane is None:
                return None
            calls = lane.take(self._max_rows)
            self._waiting -= len(calls)
            self._drop_if_empty(lane)
            now = self._clock()
        return [call for call in calls if self._is_wanted(call, now)]

    def _wait_for_lane(self) -> Lane | None:
        """The lane to run next; None: closed and empty. Requires the lock, which it gives up to wait."""
        while True:
            choice = self._choice()
            if choice.lane is not None:
                return choice.lane
            if self._closed and not self._waiting:
                return None
            idle = math.isinf(choice.wait_until)
            self._changed.wait(None if idle else choice.wait_until - self._clock())

    def _choice(self) -> Choice:
        # A closing queue waits for nobody: no further rows will come.
        max_wait_s = 0.0 if self._closed else self._max_wait_s
        return choose(self._lanes.values(), self._clock(), self._max_rows, max_wait_s)

    def _drop_if_empty(self, lane: Lane) -> None:
        # Keys are made from callers' shapes: a lane that outlived its calls would be a leak that
        # callers can drive.
        if not len(lane):
            del self._lanes[lane.key]

    @staticmethod
    def _is_wanted(call: Call, now: float) -> bool:
        if call.slot.taken:
            return False
        if call.deadline <= now:
            call.slot.finish(DeadlineExceeded())
            return False
        return True
