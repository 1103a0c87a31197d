"""The table of a version's sequences: who lives, who has a slot, whose call goes next. Pure: the moment comes
in, what is to be done comes out; batcher.py does it, and holds its lock around everything here.

A sequence lives from its START. It waits for a slot until one is free, in the order of their STARTs, and
keeps it to its end. Of its calls one at a time is in a run; the others wait behind it. It ends

* behind the call that has END, however that ended, unless it was refused for load and may be tried again;
* when nothing of it has waited or run for `idle_s`;
* behind what waits, when a START comes under its id, or when the version closes;
* when a call of it was given up and not run, because all that follows would build on what is not there. What
  waits behind that call is cut off: it ends too. A call that was refused for load, was not the START and had
  nothing behind it does not count: its caller knows that it was not run, and may try again;
* when a run that it shared has failed and wrote variables, or when its state has grown past the limit.

So whoever leaves while a call is run (its deadline passes, say) can go on: if the next call is taken, the one
before it has counted.

Strategies. Oldest: each call that is ready is a run of its own, and the queue's lanes make batches of them.
Direct: one run at a time, of the slots' ready calls that are alike (outputs and shapes equal to those of the
one that has been ready longest), each in the row of its slot. A run waits until `least_ready` are ready or
the first of them has been for `delay_s`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from hotgraph_server.batching.completion import Outcome
from hotgraph_server.errors import (
    CallError,
    Cancelled,
    DeadlineExceeded,
    Draining,
    InvalidCall,
    NotReady,
    OverLimit,
    QueueFull,
    Refused,
    SequenceCut,
)
from hotgraph_server.sequences.call import Ended, LiveSequence, Result, Run, SequenceCall, SequenceId, Stage
from hotgraph_server.tensors import Array

_MIB = 2**20
# What a call ends with that was not run; any other error is a run's.
_NOT_RUN = (Cancelled, DeadlineExceeded, Draining, NotReady, Refused)


@dataclass(frozen=True)
class Bounds:
    """What a table may hold, and how it runs what it holds.

    Attributes:
        slots: sequences that may be under way at a time; the others wait for a slot.
        idle_s: after so many seconds of silence a sequence ends.
        max_sequences: that live, those that wait for a slot included.
        max_state_nbytes: of all states together.
        initial: the states that a sequence begins with.
        max_calls: that wait for their turn, of all sequences together.
        max_call_nbytes: of their inputs; 0: no limit.
        direct: rows of a run belong to slots.
        shares: do sequences with slots share runs?
        retries: can a shared run that has failed be tried again for each?
        least_ready: calls that a run of slots need not wait for more than.
        delay_s: how long it waits for them.
    """

    slots: int
    idle_s: float
    max_sequences: int = 10_000
    max_state_nbytes: int = 1024 * _MIB
    initial: Sequence[Array] = ()
    max_calls: int = 1024
    max_call_nbytes: int = 0
    direct: bool = False
    shares: bool = True
    retries: bool = True
    least_ready: int = 1
    delay_s: float = 0.0

    @property
    def initial_nbytes(self) -> int:
        """What a sequence is taken to hold until its first run has said more."""
        return sum([state.nbytes for state in self.initial])


@dataclass
class Work:
    """What is to be done without the lock, in this order.

    Attributes:
        warnings: for the log.
        withdrawn: runs that nobody waits for any more, to be taken out of the queue if they still wait.
        runs: to be handed to the queue.
        outcomes: of calls. True: it ended here and not in the queue, so nobody has counted it.
    """

    warnings: list[str] = field(default_factory=list)
    withdrawn: list[Run] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    outcomes: list[tuple[SequenceCall, Outcome, bool]] = field(default_factory=list)


class Table:
    """Not thread-safe. `title` is the version's, `model` the model's name; both for messages.

    Attributes:
        calls: that wait or run.
        waiting: those that wait.
        closed: no call is taken in any more.
        state_nbytes: of all states.
        ended: how many sequences have ended, by reason.
    """

    def __init__(self, title: str, model: str, bounds: Bounds) -> None:
        self.calls = 0
        self.waiting = 0
        self.closed = False
        self.state_nbytes = 0
        self.ended = dict.fromkeys(Ended, 0)
        self._title = title
        self._model = model
        self._bounds = bounds
        self._initial_nbytes = bounds.initial_nbytes
        self._waiting_nbytes = 0
        self._live: dict[LiveSequence, None] = {}
        # Those that take calls; one that is closing is not here, and its id may be another's.
        self._by_id: dict[SequenceId, LiveSequence] = {}
        self._without_slot: dict[LiveSequence, None] = {}
        self._free: list[int] = []
        self._unused = 0  # slots from here on have never been taken
        # In the order in which they became so, each with the moment of that.
        self._ready: dict[LiveSequence, float] = {}
        self._idle: dict[LiveSequence, float] = {}
        self._running = 0

    def __len__(self) -> int:
        """Sequences that live."""
        return len(self._live)

    @property
    def with_slot(self) -> int:
        """Sequences that have a slot."""
        return len(self._live) - len(self._without_slot)

    def due(self) -> float:
        """When to `tend` next if nothing happens, monotonic seconds; infinite: not at all."""
        due = math.inf
        for since in self._idle.values():
            due = since + self._bounds.idle_s
            break
        if self._bounds.direct and not self._running:
            for since in self._ready.values():
                due = min(due, since + self._bounds.delay_s)
                break
        return due

    def refusal(self, call: SequenceCall) -> CallError | None:
        """Why a call cannot be taken in; None: it can. `tend` first, or what is over may be in its way."""
        bounds = self._bounds
        if self.closed:
            return Draining(self._title)
        if not call.start and call.sequence_id not in self._by_id:
            return InvalidCall(
                f"inference request for sequence {call.sequence_id} to model '{self._model}' must specify the"
                " START flag on the first request of the sequence: there is none of that id here; it has"
                " ended, or was silent for too long, or began on a version that is served no more"
            )
        queue = f"the queue of {self._title}'s sequences"
        if self.waiting >= bounds.max_calls:
            return QueueFull(queue, self.waiting, bounds.max_calls)
        nbytes = self._waiting_nbytes
        if bounds.max_call_nbytes and self.waiting and nbytes + call.nbytes > bounds.max_call_nbytes:
            return QueueFull(queue, nbytes // _MIB, bounds.max_call_nbytes // _MIB, "MiB")
        if not call.start:
            return None
        # One that would be begun anew counts: it is there while calls of it run.
        if len(self._live) >= bounds.max_sequences:
            return OverLimit(
                f"{self._title} has {len(self._live)} sequences, and max_sequences is {bounds.max_sequences}"
            )
        if self.state_nbytes + self._initial_nbytes > bounds.max_state_nbytes:
            return self._state_full()
        return None

    def admit(self, call: SequenceCall, now: float) -> Work:
        """Take in a call that is not refused."""
        work = Work()
        sequence = self._by_id.get(call.sequence_id)
        if call.start:
            if sequence is not None:
                work.warnings.append(
                    f"{self._title}: sequence {call.sequence_id!r} has begun anew without an END; the one"
                    " before it ends behind the calls that it has"
                )
                self._close(sequence, Ended.RESTARTED, work)
            sequence = self._begin(call.sequence_id)
        assert sequence is not None
        if call.end:
            sequence.closing = Ended.END
            del self._by_id[sequence.id]
        call.sequence = sequence
        sequence.waiting.append(call)
        self._idle.pop(sequence, None)
        self.calls += 1
        self._count_waiting(call, 1)
        self._make_ready(sequence, now)
        self._go_on(now, work)
        return work

    def left(self, call: SequenceCall, now: float, *, expired: bool) -> Work:
        """The call's slot has been finished for a caller who gave it up, at its deadline or before."""
        work = Work()
        sequence = call.sequence
        if sequence is None or call.stage is Stage.DONE:
            return work
        if call.stage is Stage.WAITING:
            sequence.waiting.remove(call)
            self._count_waiting(call, -1)
            self._done(call)
            self._cut(sequence, work)
        else:
            if sequence.waiting and not expired:
                self._cut(sequence, work)
            assert call.run is not None
            if all(member.completion.taken for member in call.run.members):
                work.withdrawn.append(call.run)
        self._settle(sequence, now, work)
        self._go_on(now, work)
        return work

    def over(self, run: Run, outcome: Sequence[Result] | CallError, now: float) -> Work:
        """A run is over; results are as its members are."""
        work = Work()
        self._running -= 1
        if isinstance(outcome, CallError):
            self._failed(run, outcome, now, work)
        else:
            for call, result in zip(run.members, outcome, strict=True):
                self._answered(call, result, work)
        for call in run.members:
            assert call.sequence is not None
            self._settle(call.sequence, now, work)
        self._go_on(now, work)
        return work

    def tend(self, now: float) -> Work:
        """Do what time alone makes due."""
        work = Work()
        while self._idle:
            sequence, since = next(iter(self._idle.items()))
            if now < since + self._bounds.idle_s:
                break
            self._end(sequence, Ended.IDLE)
        self._go_on(now, work)
        return work

    def close(self, now: float) -> Work:
        """Take nothing in any more. Sequences end behind the calls that they have."""
        work = Work()
        self.closed = True
        for sequence in list(self._live):
            self._close(sequence, Ended.UNLOADED, work)
        self._go_on(now, work)
        return work

    def abandon(self, error: CallError, now: float) -> Work:
        """Close, and end what waits with `error`. What runs is ended by whoever runs it."""
        work = self.close(now)
        # What has just been decided to run has not been handed in.
        for run in work.runs:
            self._running -= 1
            for call in run.members:
                assert call.sequence is not None
                call.sequence.running = None
                call.sequence.waiting.appendleft(call)
                call.stage = Stage.WAITING
                self._count_waiting(call, 1)
        work.runs.clear()
        for sequence in list(self._live):
            self._cut(sequence, work, error, Ended.UNLOADED)
            self._settle(sequence, now, work)
        return work

    # What follows changes the table one step at a time.

    def _state_full(self) -> OverLimit:
        return OverLimit(
            f"the sequences of {self._title} hold {self.state_nbytes / _MIB:.1f} MiB of state, and"
            f" max_sequence_state_mb is {self._bounds.max_state_nbytes // _MIB}"
        )

    def _begin(self, sequence_id: SequenceId) -> LiveSequence:
        sequence = LiveSequence(sequence_id, self._bounds.initial, self._initial_nbytes)
        self.state_nbytes += sequence.nbytes
        self._live[sequence] = self._without_slot[sequence] = None
        self._by_id[sequence_id] = sequence
        return sequence

    def _close(self, sequence: LiveSequence, reason: Ended, work: Work) -> None:
        """Let it take no calls any more, and end behind those that it has."""
        if sequence.closing is None:
            sequence.closing = reason
            del self._by_id[sequence.id]
        if not sequence.waiting and sequence.running is None:
            self._end(sequence, sequence.closing)

    def _end(self, sequence: LiveSequence, reason: Ended) -> None:
        """Nothing of it waits or runs."""
        assert not sequence.waiting
        assert sequence.running is None
        del self._live[sequence]
        if self._by_id.get(sequence.id) is sequence:
            del self._by_id[sequence.id]
        self._without_slot.pop(sequence, None)
        self._ready.pop(sequence, None)
        self._idle.pop(sequence, None)
        if sequence.place >= 0:
            heapq.heappush(self._free, sequence.place)
        self.state_nbytes -= sequence.nbytes
        sequence.states = ()
        self.ended[reason] += 1

    def _cut(
        self,
        sequence: LiveSequence,
        work: Work,
        error: CallError | None = None,
        reason: Ended = Ended.CUT,
    ) -> None:
        """End what waits, and the sequence behind what runs."""
        for call in sequence.waiting:
            self._count_waiting(call, -1)
            self._done(call)
            work.outcomes.append((call, error or SequenceCut(call.sequence_id), True))
        sequence.waiting.clear()
        self._ready.pop(sequence, None)
        if sequence.closing is None:
            del self._by_id[sequence.id]
        sequence.closing = reason

    def _settle(self, sequence: LiveSequence, now: float, work: Work) -> None:
        """A call of it has come to an end, or was let go: what is the sequence now?"""
        if sequence.running is not None or sequence not in self._live:
            return
        if sequence.waiting:
            self._make_ready(sequence, now)
        elif sequence.closing is not None:
            self._end(sequence, sequence.closing)
        elif sequence not in self._idle:
            self._idle[sequence] = now

    def _make_ready(self, sequence: LiveSequence, now: float) -> None:
        if (
            sequence.place >= 0
            and sequence.waiting
            and sequence.running is None
            and sequence not in self._ready
        ):
            self._ready[sequence] = now

    def _go_on(self, now: float, work: Work) -> None:
        """Give away slots, and decide on runs."""
        while True:
            self._give_slots(now)
            calls = self._next_run(now)
            if not calls:
                return
            late = [call for call in calls if call.deadline <= now]
            wanted = [call for call in calls if call.deadline > now]
            if wanted:
                run = Run(wanted)
                for call in wanted:
                    call.run = run
                self._running += 1
                work.runs.append(run)
            for call in late:
                self._not_run(call, DeadlineExceeded(), work, counts=True)
                assert call.sequence is not None
                self._settle(call.sequence, now, work)

    def _give_slots(self, now: float) -> None:
        while self._without_slot and (self._free or self._unused < self._bounds.slots):
            sequence = next(iter(self._without_slot))
            del self._without_slot[sequence]
            if self._free:
                sequence.place = heapq.heappop(self._free)
            else:
                sequence.place = self._unused
                self._unused += 1
            self._make_ready(sequence, now)

    def _next_run(self, now: float) -> list[SequenceCall]:
        """Take the calls of the next run out of their sequences; none: there is none now."""
        if not self._ready:
            return []
        first = next(iter(self._ready))
        together = [first]
        if self._bounds.direct:
            if self._running or not self._may_go(self._ready[first], now):
                return []
            if self._bounds.shares and not first.waiting[0].alone:
                alike = _kind(first)
                together = [one for one in self._ready if _kind(one) == alike and not one.waiting[0].alone]
        calls = []
        for sequence in together:
            del self._ready[sequence]
            call = sequence.running = sequence.waiting.popleft()
            call.stage = Stage.RUNNING
            self._count_waiting(call, -1)
            calls.append(call)
        return calls

    def _may_go(self, since: float, now: float) -> bool:
        bounds = self._bounds
        return self.closed or len(self._ready) >= bounds.least_ready or now >= since + bounds.delay_s

    def _answered(self, call: SequenceCall, result: Result, work: Work) -> None:
        sequence = call.sequence
        assert sequence is not None
        sequence.running = None
        self._done(call)
        grown = sum([state.nbytes for state in result.states]) - sequence.nbytes
        goes_on = sequence.waiting or sequence.closing is None
        if goes_on and grown > 0 and self.state_nbytes + grown > self._bounds.max_state_nbytes:
            work.outcomes.append((call, self._state_full(), True))
            self._cut(sequence, work, reason=Ended.STATE_FULL)
            return
        if goes_on:
            sequence.states = result.states
            sequence.nbytes += grown
            self.state_nbytes += grown
        work.outcomes.append((call, result.answer, False))

    def _failed(self, run: Run, error: CallError, now: float, work: Work) -> None:
        """A run gave no results: it failed, or it never took place."""
        took_place = not isinstance(error, _NOT_RUN)
        if took_place and len(run.members) > 1 and self._bounds.retries:
            # One of them may be at fault, and each shall get what it would have got alone.
            for call in run.members:
                self._take_back(call, now, work)
            return
        for call in run.members:
            if not took_place:
                self._not_run(call, error, work, counts=False)
                continue
            sequence = call.sequence
            assert sequence is not None
            sequence.running = None
            self._done(call)
            work.outcomes.append((call, error, False))
            if len(run.members) > 1:
                self._cut(sequence, work, reason=Ended.FAILED)

    def _take_back(self, call: SequenceCall, now: float, work: Work) -> None:
        sequence = call.sequence
        assert sequence is not None
        if call.completion.taken:
            self._not_run(call, Cancelled(), work, counts=False)
            return
        sequence.running = None
        sequence.waiting.appendleft(call)
        call.stage = Stage.WAITING
        call.alone = True
        self._count_waiting(call, 1)

    def _not_run(self, call: SequenceCall, error: CallError, work: Work, *, counts: bool) -> None:
        """A call that had its turn was not run."""
        sequence = call.sequence
        assert sequence is not None
        sequence.running = None
        self._done(call)
        work.outcomes.append((call, error, counts))
        may_try_again = isinstance(error, Refused) and not call.start and not sequence.waiting
        if not may_try_again:
            self._cut(sequence, work)
        elif (
            call.end and sequence.closing is Ended.END and sequence.id not in self._by_id and not self.closed
        ):
            sequence.closing = None
            self._by_id[sequence.id] = sequence

    def _done(self, call: SequenceCall) -> None:
        call.stage = Stage.DONE
        self.calls -= 1

    def _count_waiting(self, call: SequenceCall, sign: int) -> None:
        self.waiting += sign
        self._waiting_nbytes += sign * call.nbytes


def _kind(sequence: LiveSequence) -> object:
    """Sequences whose next calls are of the same kind may share a run."""
    call = sequence.waiting[0]
    return call.outputs, call.shapes, tuple([state.shape for state in sequence.states])
