"""The queue on a virtual clock: what would have become of these calls?

A trace of arrivals goes through a real BatchQueue, with its very decisions, in front of an executor whose
runs take what a function says. Nothing waits: the clock jumps from event to event, so that a second of
traffic takes milliseconds, and the same trace has the same end every time.

What is left out: threads, the interpreter lock, and what decoding and sending cost beside the runs.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.completion import Outcome as SlotOutcome
from hotgraph_server.batching.policies import queue_until
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.errors import CallError, DeadlineExceeded, QueueTimedOut
from hotgraph_server.settings import BatchSettings
from hotgraph_server.signatures import Signature

_SIGNATURE = Signature("simulated", (), ())


@dataclass(frozen=True)
class Arrival:
    """A call to come.

    Attributes:
        at: seconds.
        rows: of the call.
        deadline: seconds on the same clock; infinite for none.
        priority: its level, from 1.
        lane: calls with an equal one may be joined; None: runs alone, as one row.
        timeout_s: seconds that the call asks to wait at most for its run; infinite: it does not. Queue
            policies say what comes of it.
    """

    at: float
    rows: int = 1
    deadline: float = math.inf
    priority: int = 1
    lane: str | None = "lane"
    timeout_s: float = math.inf


@dataclass
class Fate:
    """What became of a call.

    Attributes:
        began: when its run, or the first piece of it, began, seconds; NaN: never.
        ended: when it was answered, expired or was refused, seconds.
        refusal: why it was not taken in.
        expired: did its deadline pass before its answer?
        timed_out: did it wait for its run as long as its queue policy allows?
    """

    arrival: Arrival
    began: float = math.nan
    ended: float = math.nan
    refusal: CallError | None = None
    expired: bool = False
    timed_out: bool = False

    @property
    def in_time(self) -> bool:
        """Was it answered within its deadline?"""
        return self.refusal is None and not self.expired and not self.timed_out

    @property
    def wait_s(self) -> float:
        """From its arrival to its run."""
        return self.began - self.arrival.at


@dataclass
class Outcome:
    """What became of a trace.

    Attributes:
        fates: in the order of arrival.
        batches: rows of every run.
        members: the calls of every run, by their places in `fates`, ascending.
        busy_s: seconds of all runs.
    """

    fates: list[Fate]
    batches: list[int] = field(default_factory=list)
    members: list[list[int]] = field(default_factory=list)
    busy_s: float = 0.0

    def latency_s(self, quantile: float) -> float:
        """Of the calls answered in time, from arrival to answer: that of the one at `quantile` (0 to 1)."""
        taken = sorted(fate.ended - fate.arrival.at for fate in self.fates if fate.in_time)
        return taken[min(len(taken) - 1, int(quantile * len(taken)))]

    @property
    def goodput(self) -> int:
        """Calls answered within their deadlines."""
        return sum(fate.in_time for fate in self.fates)


def simulate(
    arrivals: Iterable[Arrival],
    run_s: Callable[[int], float],
    settings: BatchSettings | None = None,
    *,
    warm: bool = True,
) -> Outcome:
    """Send `arrivals` through a queue; returns when the last of them has ended.

    Args:
        arrivals: in any order.
        run_s: seconds that a run of so many rows takes; asked once for each run, so it may vary.
        settings: of the queue.
        warm: begin with the cost curve that a warm-up measures, at 1, 2, 4 ... rows.
    """
    simulation = _Simulation(arrivals, run_s, settings or BatchSettings())
    if warm:
        simulation.warm_up()
    return simulation.run()


class _Simulation:
    """One trace. Events are (moment, order, what to do); moments never go back."""

    def __init__(
        self, arrivals: Iterable[Arrival], run_s: Callable[[int], float], settings: BatchSettings
    ) -> None:
        self._now = 0.0
        self._run_s = run_s
        self._settings = settings
        self._queue = BatchQueue("simulation", settings, lambda: self._now)
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._running = False
        self._looks_again_at = math.inf
        self._fates: dict[Call, Fate] = {}
        self._queue.ring_with(lambda: self._at(self._now, self._time_out))
        self._outcome = Outcome([Fate(arrival) for arrival in sorted(arrivals, key=lambda one: one.at)])
        self._places = {id(fate): place for place, fate in enumerate(self._outcome.fates)}
        for fate in self._outcome.fates:
            self._at(fate.arrival.at, lambda fate=fate: self._arrive(fate))  # type: ignore[misc]

    def warm_up(self) -> None:
        rows = 1
        while rows < 2 * self._settings.max_batch_rows:
            for _ in range(3):
                size = min(rows, self._settings.max_batch_rows)
                self._queue.ran(_SIGNATURE.name, (), size, self._run_s(size))
            rows *= 2

    def run(self) -> Outcome:
        while self._events:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
            if not self._running:
                self._look()
        return self._outcome

    def _at(self, moment: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), happen))

    def _arrive(self, fate: Fate) -> None:
        arrival = fate.arrival
        level = self._settings.level_of(arrival.priority)
        call = Call(
            _SIGNATURE,
            (),
            (),
            Completion(lambda outcome: self._ended(fate, outcome)),
            arrived=self._now,
            deadline=arrival.deadline,
            queue_until=queue_until(self._settings, _SIGNATURE, level, self._now, arrival.timeout_s),
            joinable=True,
            level=level,
            lane=arrival.lane,
            rows=arrival.rows,
        )
        self._fates[call] = fate
        try:
            self._queue.put(call)
        except CallError as error:
            fate.refusal, fate.ended = error, self._now
            del self._fates[call]
            return
        if arrival.deadline < math.inf:
            self._at(arrival.deadline, lambda: self._expire(call))

    def _expire(self, call: Call) -> None:
        """What the transport's timer does."""
        if call.completion.leave(DeadlineExceeded()):
            self._queue.withdraw(call)

    def _time_out(self) -> None:
        """What the queue's timer does."""
        until = self._queue.time_out()
        if until < math.inf:
            self._at(until, self._time_out)

    def _ended(self, fate: Fate, outcome: SlotOutcome) -> None:
        fate.ended = self._now
        fate.expired = isinstance(outcome, DeadlineExceeded)
        fate.timed_out = isinstance(outcome, QueueTimedOut)

    def _look(self) -> None:
        look = self._queue.poll()
        for call in look.expired:
            call.completion.leave(DeadlineExceeded())
        for call in look.timed_out:
            call.completion.leave(self._queue.timeout_of(call))
        if look.batch is not None:
            self._begin(look.batch)
        elif look.expired or look.timed_out:
            self._look()
        elif look.wait_until < math.inf and look.wait_until != self._looks_again_at:
            self._looks_again_at = look.wait_until
            self._at(look.wait_until, lambda: None)

    def _begin(self, batch: Sequence[Call]) -> None:
        self._running = True
        rows = 0
        for call in batch:
            fate = self._fates[call]
            fate.began = self._now if math.isnan(fate.began) else fate.began
            rows += call.rows - call.rows_done
        if self._settings.split and batch[0].lane is not None:
            rows = min(rows, self._settings.max_batch_rows)
        seconds = self._run_s(rows)
        self._outcome.batches.append(rows)
        self._outcome.members.append(sorted(self._places[id(self._fates[call])] for call in batch))
        self._outcome.busy_s += seconds
        self._at(self._now + seconds, lambda: self._end(batch, rows))

    def _end(self, batch: Sequence[Call], rows: int) -> None:
        self._running = False
        for call in batch:
            if len(batch) == 1 and call.rows_done + rows < call.rows:
                call.rows_done += rows
                self._queue.put_back(call)
            else:
                del self._fates[call]
                call.completion.finish([])
