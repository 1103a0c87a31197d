"""The queue in front of one executor: lanes in, batches out.

What goes when. The executor asks when it is free and gets one batch, from one lane: calls of an equal lane
key (same signature, same outputs, same inner shapes, equal scalars). Among lanes, the highest priority goes
first; in one level a lane whose deadline would be missed behind another lane and can still be kept; else
the lane whose oldest call came first. From the lane go the calls in arrival order while they fit into
``max_batch_rows``; one that does not fit closes the batch for no other, and is first when those before it are
gone. When no more waits than fits one batch, a batch is kept small where that saves a deadline; when more
waits, calls that cannot be in time any more get only the room that is left. Calls without a lane key come out
one by one, in arrival order; everything that writes state is among them, at the default level, so
writes happen in the order of their arrival. With ``preferred_batch_rows``, so many of the calls go as give
the greatest of these sizes exactly, if any do, unless the oldest has waited ``max_wait_us`` (above 0). The
rules are in decisions.py.

Waiting. With ``max_wait_us`` at 0, the default, a free executor never waits while a call is there: batches
grow by themselves while the last one runs. Above 0, a lane that is not full may hold a free executor until
its oldest call has waited that long, but only while that pays by the cost curve and the pace of arrivals
(decisions.waiting_pays) and no deadline in the lane is in danger. Nothing waits unless it is told to: in the
simulator, with independent arrivals at 0.1 to 0.9 of capacity and four cost curves, waiting up to 10 ms by
this rule lowered the mean latency by 0.5 % at best and raised the 99th percentile by 17 % at worst. A lane
that has come to a preferred size waits no more, nor does one with a call about to time out.

Queue policies, by level of priority (policies.py). They are about the time before the run and nothing else: a
deadline, the caller's or the server's default, is about the answer and stands beside them.

* As many calls of a level wait as ``max_queue_size`` says, delayed ones included; the next is refused at once
  with QueueSizeExceeded.
* A call that has waited ``default_timeout_us``, or less where it may ask for less and does, ends at that
  moment with QueueTimedOut, or, with the action ``delay``, goes behind all others of its level and never
  times out.
  Delayed calls take the room that a batch of their lane leaves, and like all others the starvation bound
  (``PASS_OVER``) lets one of them through in time. Calls that write state are never delayed.
* A call whose run has begun does not time out; between the pieces of a large call it has begun. Under the
  lock a call is either taken or timed out, whichever comes first. At its very moment it is out.
* What sees to it: every look of the executor, and while that is busy the timer (timer.py), a thread that is
  there only where a policy can end calls. It asks ``time_out``, which says when to ask again, and is rung
  when a call comes whose moment is earlier.
* No call is refused because it is predicted to time out.

Order of answers. With ``preserve_ordering`` a call is answered when all that came before it have ended
(ordering.py). Runs are as without it; calls that are cancelled, expire or time out end at once and hold up no
other.

The longest wait of a call in the queue that is not delayed, if n calls came before it and still wait:

    max_wait_us + (remaining time of the present run) + (n + 1) * (2 * PASS_OVER + 1) runs

each of them the longest that a batch takes: of so many batches in a row one at least has the oldest call of
all. In practice calls share batches, and with one level, one lane, no deadlines and calls of one row it is
(n / max_batch_rows + 1) runs. Pieces of a large call (below) may double it.

When full. ``put`` refuses at once, and the error names the model and the numbers: QueueFull at the edge in
calls, rows or MiB (rows and MiB do not keep out the only call), WouldBeLate for a call whose answer is
predicted past its deadline: remaining time of the present run, all that goes before it, and its own batch.
No call is refused for a prediction while the executor is free and nothing waits, so that a wrong one is
always found out. A call that leaves makes room at once.

Predictions are taken to be longer than the curve says, by what nine of ten of the last runs kept and by a
little for answering (estimates.late_by_s). What that costs where it need not refuse, in the simulator: calls
of one row with 50 ms, runs of 16 ms up to 8 rows, one in seven 30 % longer: none is refused at a quarter of
capacity, 0.1 % at half, 5 % at 0.9; three times of it answers 0.95 of
capacity in time, and 1 % too late. It says nothing of other kinds of load.

Leaving. ``withdraw`` takes out a call that is cancelled (models/admission.py; the transport has the timer of
its deadline). A call that ends between being taken and
being run is seen by its completion; neighbours are never touched. Calls whose deadline has passed when they
would be taken are not run: their completions end with DeadlineExceeded.

Apart. Calls of a peer whose calls keep failing (suspects.py) share no batch for a while: they wait in a lane
of their own, come out one by one, and between two of them go decisions.BETWEEN_APART batches of the others if
they are there, of any priority. At most an eighth of ``max_queued_calls`` may be of that kind.

Large calls. A call with a lane key and more than ``max_batch_rows`` rows is handed out by itself; where
memory has taught that fewer rows of a signature fit (``limit_rows``), that stands for it here and above. If
``split`` is on, the executor runs ``max_batch_rows`` of its rows, adds them to its ``rows_done``, keeps what
came out in its ``pieces`` and gives the call back with ``put_back``, unless it was the last piece or the
call's completion is taken. Then one batch of another lane that may go goes first, so small calls wait for a
piece and not for the whole, and a large call of n pieces waits for n - 1 batches more. With ``split`` off the
executor runs it whole.

Time. The queue measures what a batch costs the executor from ``take`` to the next ``take`` (or ``done``, if
the executor then does something else than this batch), and keeps the cost curves. Runs outside the queue
are told with ``ran``: the warm-up's, a few at 1, 2, 4 ... max_batch_rows.

Closing. After ``close`` nothing is taken in; what waits is still handed out, and then ``take`` returns
None for ever. ``abandon`` fails what still waits.

Threads. Any thread may put, withdraw, close and abandon; they never wait. The timer asks ``time_out``. One
thread, the executor, takes, puts back and says done. While it waits in `take` it sleeps, or leads the threads
that wait for sockets (threads/leadership.py). A burst of puts wakes it once, at the end of the batch scope
that they came in (threads/batch_scope.py). Completions are finished and events are counted outside the
lock: a delivery may do anything.

When not to use it: across several executors (each owns one).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hotgraph_server.batching.backlog import Backlog, Batch
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.expiry import end_expired
from hotgraph_server.batching.ordering import Order
from hotgraph_server.batching.suspects import Suspects
from hotgraph_server.errors import (
    CallError,
    Draining,
    QueueFull,
    QueueSizeExceeded,
    QueueTimedOut,
    Refused,
    WouldBeLate,
)
from hotgraph_server.settings import BatchSettings
from hotgraph_server.statistics import Event, Statistics
from hotgraph_server.tensors import Array
from hotgraph_server.threads.leadership import Leadership

_EVENTS: Mapping[type[CallError], Event] = {
    WouldBeLate: Event.REFUSED_LATE,
    QueueFull: Event.REFUSED_FULL,
    QueueSizeExceeded: Event.REFUSED_BY_SIZE,
    Draining: Event.REFUSED_DRAINING,
}

_NONE: tuple[Sequence[Call], Sequence[Call]] = ((), ())

# How the executor waits: for `_wake`, or for sockets, as the leader.
_SLEEPS = "sleeps"
_LEADS = "leads"
# A selector is as exact as a millisecond; who waits for less sleeps.
_LEAST_LED_S = 0.002


def _nothing() -> None:
    pass


class Look(NamedTuple):
    """What `poll` found.

    Attributes:
        batch: to be run now; None: there is none.
        wait_until: without a batch: when to look again if nothing happens, monotonic seconds; infinite: not
            before a call or the end.
        expired: calls that have left the queue unrun, because they are not wanted any more.
        timed_out: calls that have left it because a queue policy says so. The caller ends both.
        delayed: calls that a queue policy has put behind others. The caller counts them.
        ended: the queue is closed and empty.
    """

    batch: Batch | None
    wait_until: float = math.inf
    expired: Sequence[Call] = ()
    timed_out: Sequence[Call] = ()
    delayed: Sequence[Call] = ()
    ended: bool = False


class BatchQueue:
    """Bounded; `what` names the model in errors, `clock` gives monotonic seconds.

    Attributes:
        suspects: whose calls run apart; the executor tells it what becomes of them.
    """

    def __init__(
        self,
        what: str,
        settings: BatchSettings,
        clock: Callable[[], float] = time.monotonic,
        statistics: Statistics | None = None,
        leadership: Leadership | None = None,
    ) -> None:
        self.suspects = Suspects()
        self._what = what
        self._title = f"the queue of {what}"
        self._refuse_with = settings.refuse_with
        self._refuse_by_policy_with = settings.refuse_by_policy_with
        self._order = Order() if settings.preserve_ordering else None
        self._clock = clock
        self._statistics = statistics or Statistics()
        self._leadership = leadership or Leadership()
        # The executor alone waits on it, and only while it sleeps; so a put costs nothing for it otherwise.
        self._wake = threading.Lock()
        self._wake.acquire()
        self._woken_at = time.monotonic()
        self._before_turn: Callable[[], object] = _nothing
        self._after_turn: Callable[[], object] = _nothing
        self._lock = threading.Lock()  # guards everything below
        self._waits: str | None = None  # how; None: it does not
        self._closed = False
        self._abandoned: CallError | None = None
        self._is_plain = not settings.has_policies and not settings.preserve_ordering
        self._backlog = Backlog(self._title, settings)
        self._rings_at = -math.inf  # when the timer looks again, which needs no ringing before
        self._ring: Callable[[], None] | None = None

    def __len__(self) -> int:
        """Calls that wait now."""
        return self._backlog.calls

    def put(self, call: Call) -> None:
        """Take in a call.

        Raises:
            QueueFull: an edge is reached.
            QueueSizeExceeded: that of a queue policy is.
            WouldBeLate: it cannot be answered in time.
            Draining: the queue is closed.
        """
        now = math.inf if call.deadline == math.inf else self._clock()
        if call.arrived < self.suspects.over_at and call.lane is not None:
            call.apart = self.suspects.is_one(call.peer, call.signature.name, call.arrived)
        with self._lock:
            refusal = Draining(self._what) if self._closed else self._backlog.refusal(call, now)
            if refusal is None:
                rings = None if self._is_plain else self._enter(call)
                self._backlog.insert(call)
                waits, self._waits = self._waits, None
        if refusal is not None:
            self._count_refusal(call, refusal)
            raise refusal
        if call.apart:
            self._statistics.count(call.signature.name, Event.APART)
        if rings is not None:
            rings()
        # A thread that puts many in a row wakes the executor behind the last one: awake, it would only wait
        # for that thread to let go of the interpreter, and go with the first call alone.
        if waits is _LEADS:
            # In a turn of its own it looks here behind the turn.
            if not self._leadership.leads:
                self._leadership.wake()
        elif waits is _SLEEPS and not self._leadership.scope.postpone(self._wake_up):
            self._wake_up()

    def put_task(self, call: Call) -> None:
        """Take in something of the server's own that goes the way of a call; never refused for load.

        Raises:
            Draining: the queue is closed.
        """
        with self._lock:
            if self._closed:
                raise Draining(self._what)
            self._backlog.insert(call)
            self._rouse()

    def has_writes(self) -> bool:
        """Do calls wait that change state?"""
        with self._lock:
            return self._backlog.has_writes()

    def _enter(self, call: Call) -> Callable[[], None] | None:
        """Do for a call that is taken in what only some settings ask for. Requires the lock.

        Returns:
            what rings the timer, if that must look earlier for this call.
        """
        assert self._lock.locked()
        if self._order is not None:
            call.completion = self._order.enter(call.completion, writes=call.signature.writes)
        if call.queue_until >= self._rings_at:
            return None
        self._rings_at = call.queue_until
        return self._ring

    def withdraw(self, call: Call) -> bool:
        """Take out a call that has ended. Returns whether it was still waiting; False: it runs, or ran."""
        with self._lock:
            return self._backlog.remove(call)

    def take(self) -> Batch | None:
        """Wait for the next batch. None: the queue is closed and empty."""
        leadership = self._leadership
        leads, has_waited = leadership.take(), False
        try:
            while True:
                look = self._look(_LEADS if leads else _SLEEPS)
                if look.expired:
                    end_expired(look.expired, self._statistics)
                if look.timed_out or look.delayed:
                    self._time_out(look.timed_out, look.delayed)
                if look.batch is not None:
                    if leads:
                        graph_s = self._backlog.load.graph_s
                        leads = False
                        leadership.run(graph_s, behind_turn=has_waited)
                    return look.batch
                if look.ended:
                    return None
                if not look.expired and not look.timed_out:
                    has_waited, until = True, look.wait_until
                    if not leads:
                        self._sleep(until)
                        leads = leadership.take(again=True)
                    elif until - self._clock() < _LEAST_LED_S:
                        leads = False
                        leadership.promote()
                    else:
                        leads = self._turn(until)
                # While the executor waits, it must not keep alive what has expired.
                del look
        finally:
            # The end, and an error that nobody expects: the sockets must not be left to nobody.
            if leads:
                leadership.promote()

    def turn_between(self, before: Callable[[], object], after: Callable[[], object]) -> None:
        """Have these called in the executor's thread around each turn that it takes as the leader."""
        self._before_turn, self._after_turn = before, after

    def _turn(self, until: float) -> bool:
        self._before_turn()
        try:
            return self._leadership.turn(until - self._clock())
        finally:
            self._after_turn()

    def poll(self) -> Look:
        """`take` without waiting, for a caller that moves the clock; ends nothing that has expired."""
        return self._look(None)

    def _look(self, waits_by: str | None) -> Look:
        """One look. `waits_by`: how the executor, if it gets no batch, no end and nothing expired, then
        waits."""
        with self._lock:
            self._waits = None
            now = self._clock()
            self._backlog.load.run_is_over(now)
            timed_out, delayed = _NONE if self._is_plain else self._due(now)
            choice = self._backlog.choose(now, closing=self._closed)
            lane = choice.lane
            if lane is None:
                ended = self._closed and not self._backlog.calls
                if waits_by and not ended and not timed_out:
                    self._waits = waits_by
                return Look(None, choice.wait_until, (), timed_out, delayed, ended)
            batch, expired = self._backlog.take(lane, now, passes_over=choice.passes_over)
            if not batch:
                return Look(None, now, expired, timed_out, delayed)
            return Look(batch, math.inf, expired, timed_out, delayed)

    def time_out(self) -> float:
        """End the calls whose time to wait is over by their queue policy.

        Returns:
            when to call this again, monotonic seconds; infinite: not before `ring_with` says so.
        """
        with self._lock:
            timed_out, delayed = self._due(self._clock())
            self._rings_at = until = self._backlog.next_timeout
        self._time_out(timed_out, delayed)
        return until

    def ring_with(self, ring: Callable[[], None]) -> None:
        """Have `ring` called when `time_out` is to be called earlier than it said; from any thread."""
        with self._lock:
            self._ring = ring
            self._rings_at = math.inf

    def limit_rows(self, signature: str, rows: int) -> None:
        """Form batches of so many rows at most, of a signature by its name: more do not fit into memory."""
        with self._lock:
            self._backlog.limit_rows(signature, rows)

    def _due(self, now: float) -> tuple[Sequence[Call], Sequence[Call]]:
        """See Look: the calls that time out at `now`, and those that are delayed. Requires the lock."""
        assert self._lock.locked()
        return self._backlog.time_out(now) if self._backlog.next_timeout <= now else _NONE

    def in_graph(self, seconds: float) -> None:
        """So long the batch that was taken last was in the graph; the executor's."""
        self._backlog.load.in_graph(seconds)

    def done(self) -> None:
        """The batch that was taken last is finished, and what the executor does now is something else."""
        with self._lock:
            self._backlog.load.run_is_over(self._clock())

    def put_back(self, call: Call) -> None:
        """Take in the rest of a large call, a piece of which has been run; never refused for load.

        A call that has ended is let go. After `abandon` it ends with that error.
        """
        with self._lock:
            if self._abandoned is None:
                if not call.completion.taken:
                    self._backlog.insert_rest(call)
                return
        call.completion.leave(self._abandoned)

    def ran(self, signature: str, inputs: Sequence[Array], rows: int, seconds: float) -> None:
        """Tell of a run that did not come from this queue, such as the warm-up's.

        Args:
            signature: its name.
            inputs: of the run; their inner shapes say which curve it belongs to.
            rows: of the run.
            seconds: that it took.
        """
        with self._lock:
            self._backlog.load.ran(signature, inputs, rows, seconds)

    def predicted_s(self, signature: str, inputs: Sequence[Array], rows: int) -> float:
        """How long such a run takes by what is known, seconds; 0: nothing is. See `ran`."""
        with self._lock:
            return self._backlog.load.predicted_s(signature, inputs, rows)

    def close(self) -> None:
        """Take nothing in any more; idempotent."""
        with self._lock:
            self._closed = True
            self._rouse()

    def abandon(self, error: CallError) -> int:
        """Close, and end every call that still waits with `error`. Returns how many there were."""
        with self._lock:
            self._closed = True
            self._abandoned = error
            calls = self._backlog.clear()
            self._rouse()
        return sum(call.completion.leave(error) for call in calls)

    def _rouse(self) -> None:
        """Requires the lock."""
        assert self._lock.locked()
        waits, self._waits = self._waits, None
        if waits is _LEADS:
            self._leadership.wake()
        elif waits is _SLEEPS:
            self._woken_at = time.monotonic()
            self._wake.release()

    def _sleep(self, until: float) -> None:
        """Wait to be woken, or until a moment. Without the lock."""
        if math.isinf(until):
            self._wake.acquire()
            self._leadership.took(time.monotonic() - self._woken_at)
            return
        left_s = min(until - self._clock(), threading.TIMEOUT_MAX)
        if not self._wake.acquire(timeout=max(0.0, left_s)):
            with self._lock:
                roused, self._waits = self._waits is None, None
            if roused:
                # A put has woken us in between, or is about to: that must not count as the next waking. Not
                # under the lock, which that put may want before.
                self._wake.acquire()

    def _wake_up(self) -> None:
        """Wake the executor from its sleep; any thread, once for each sleep."""
        if self._leadership.leads:
            with self._lock:
                graph_s = self._backlog.next_graph_s()
            self._leadership.wakes(graph_s)
        self._woken_at = time.monotonic()
        self._wake.release()

    def _time_out(self, timed_out: Sequence[Call], delayed: Sequence[Call]) -> None:
        """End the calls that have waited as long as they may, and count both. Without the lock."""
        for call in delayed:
            self._statistics.count(call.signature.name, Event.DELAYED)
        for call in timed_out:
            error = self.timeout_of(call)
            if call.completion.leave(error):
                self._statistics.count(call.signature.name, Event.TIMED_OUT)
                self._statistics.failed(call.signature.name, error)

    def timeout_of(self, call: Call) -> QueueTimedOut:
        """How a call ends that has waited as long as it may."""
        error = QueueTimedOut(self._title, call.queue_until - call.arrived)
        error.refuse_with(self._refuse_by_policy_with)
        return error

    def _count_refusal(self, call: Call, refusal: CallError) -> None:
        """Without the lock."""
        if isinstance(refusal, Refused):
            by_policy = isinstance(refusal, QueueSizeExceeded)
            refusal.refuse_with(self._refuse_by_policy_with if by_policy else self._refuse_with)
        self._statistics.count(call.signature.name, _EVENTS[type(refusal)])
        self._statistics.failed(call.signature.name, refusal)
