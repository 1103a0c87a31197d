"""The table of a version's sequences: which of them live, which calls wait for their turn, how each ends.
Pure: the moment comes in, what is to be done comes out; batcher.py does it, and holds its lock around
everything here. Which of them have a slot, and whose call goes next, is schedule.py's.

A sequence lives from its START. It waits for a slot until one is free, in the order of their STARTs, and
keeps it to its end. Of its calls one at a time is in a run; the others wait behind it. It ends

* behind the call that has END, however that ended, unless it was refused for load and may be tried again;
* when nothing of it has waited or run for `idle_s`;
* behind what waits, when a START comes under its id, or when the version closes;
* when a call of it was given up and not run, because all that follows would build on what is not there. What
  waits behind that call is cut off: it ends too. A call that was refused for load, was not the START and had
  nothing behind it does not count: its caller knows that it was not run, and may try again;
* when a run that it shared has failed and wrote variables, or when its state has grown past the limit.

So a caller who leaves while a call of his is run (its deadline passes, say) can go on: if the next call is
taken, the one before it has counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hotgraph_server.errors import (
    CallError,
    Cancelled,
    DeadlineExceeded,
    Draining,
    InvalidCall,
    Refused,
    SequenceCut,
)
from hotgraph_server.sequences.bounds import Bounds
from hotgraph_server.sequences.call import (
    Actions,
    Ended,
    LiveSequence,
    Result,
    Run,
    SequenceCall,
    SequenceId,
    Stage,
    was_run,
)
from hotgraph_server.sequences.occupancy import Occupancy
from hotgraph_server.sequences.schedule import Schedule


class Table:
    """Not thread-safe. `title` is the version's, `model` the model's name; both for messages.

    Attributes:
        calls: that wait or run.
        closed: no call is taken in any more.
        ended: how many sequences have ended, by reason.
        occupancy: what waits, and what the states hold; to be read by others.
    """

    def __init__(self, title: str, model: str, bounds: Bounds) -> None:
        self.calls = 0
        self.closed = False
        self.ended = dict.fromkeys(Ended, 0)
        self._title = title
        self._model = model
        self._bounds = bounds
        self._live: dict[LiveSequence, None] = {}
        # Those that take calls; one that is closing is not here, and its id may be another's.
        self._by_id: dict[SequenceId, LiveSequence] = {}
        # In the order in which they fell silent, each with the moment of that.
        self._idle: dict[LiveSequence, float] = {}
        self._schedule = Schedule(bounds)
        self.occupancy = Occupancy(title, bounds)

    def __len__(self) -> int:
        """Sequences that live."""
        return len(self._live)

    def __iter__(self) -> Iterator[LiveSequence]:
        """Those sequences, in the order of their STARTs."""
        return iter(self._live)

    @property
    def with_slot(self) -> int:
        """Sequences that have a slot."""
        return len(self._live) - self._schedule.without_slot

    def due(self) -> float:
        """When to `tend` next if nothing happens, monotonic seconds; infinite: not at all."""
        for since in self._idle.values():
            return min(since + self._bounds.idle_s, self._schedule.due())
        return self._schedule.due()

    def refusal(self, call: SequenceCall) -> CallError | None:
        """Why a call cannot be taken in; None: it can. `tend` first, or what is over may be in its way."""
        if self.closed:
            return Draining(self._title)
        if not call.start and call.sequence_id not in self._by_id:
            return InvalidCall(
                f"inference request for sequence {call.sequence_id} to model '{self._model}' must specify the"
                " START flag on the first request of the sequence: there is none of that id here; it has"
                " ended, or was silent for too long, or began on a version that is served no more"
            )
        refusal = self.occupancy.refusal_of_call(call)
        if refusal is not None or not call.start:
            return refusal
        # One that this START would end counts: it is there while calls of it run.
        return self.occupancy.refusal_of_sequence(len(self._live))

    def admit(self, call: SequenceCall, now: float) -> Actions:
        """Take in a call that is not refused."""
        actions = Actions()
        sequence = self._by_id.get(call.sequence_id)
        if call.start:
            if sequence is not None:
                actions.warnings.append(
                    f"{self._title}: sequence {call.sequence_id!r} has begun anew without an END; the one"
                    " before it ends behind the calls that it has"
                )
                self._close(sequence, Ended.RESTARTED, actions)
            sequence = self._begin(call.sequence_id)
        assert sequence is not None
        if call.end:
            sequence.closing = Ended.END
            del self._by_id[sequence.id]
        call.sequence = sequence
        sequence.waiting.append(call)
        self._idle.pop(sequence, None)
        self.calls += 1
        self.occupancy.waits(call)
        self._schedule.look_at(sequence, now)
        self._go_on(now, actions)
        return actions

    def left(self, call: SequenceCall, now: float, *, expired: bool) -> Actions:
        """The call's completion has been finished for a caller who gave it up, at its deadline or before."""
        actions = Actions()
        sequence = call.sequence
        if sequence is None or call.stage is Stage.DONE:
            return actions
        if call.stage is Stage.WAITING:
            sequence.waiting.remove(call)
            self.occupancy.goes(call)
            self._done(call)
            self._cut(sequence, actions)
        else:
            if sequence.waiting and not expired:
                self._cut(sequence, actions)
            assert call.run is not None
            if all(member.completion.taken for member in call.run.members):
                actions.withdrawn.append(call.run)
        self._settle(sequence, now, actions)
        self._go_on(now, actions)
        return actions

    def over(self, run: Run, outcome: Sequence[Result] | CallError, now: float) -> Actions:
        """A run is over; results are as its members are."""
        actions = Actions()
        self._schedule.over()
        if isinstance(outcome, CallError):
            self._failed(run, outcome, actions)
        else:
            for call, result in zip(run.members, outcome, strict=True):
                self._answered(call, result, actions)
        for call in run.members:
            assert call.sequence is not None
            self._settle(call.sequence, now, actions)
        self._go_on(now, actions)
        return actions

    def tend(self, now: float) -> Actions:
        """Do what time alone makes due."""
        actions = Actions()
        while self._idle:
            sequence, since = next(iter(self._idle.items()))
            if now < since + self._bounds.idle_s:
                break
            self._end(sequence, Ended.IDLE)
        self._go_on(now, actions)
        return actions

    def close(self, now: float) -> Actions:
        """Take nothing in any more. Sequences end behind the calls that they have."""
        actions = Actions()
        self.closed = True
        for sequence in list(self._live):
            self._close(sequence, Ended.UNLOADED, actions)
        self._go_on(now, actions)
        return actions

    def abandon(self, error: CallError, now: float) -> Actions:
        """Close, and end what waits with `error`. What runs is ended by its run."""
        actions = self.close(now)
        # What has just been decided to run has not been handed in.
        for run in actions.runs:
            self._schedule.over()
            for call in run.members:
                self._wait_again(call)
        actions.runs.clear()
        for sequence in list(self._live):
            self._cut(sequence, actions, error, Ended.UNLOADED)
            self._settle(sequence, now, actions)
        return actions

    # What follows changes the table one step at a time.

    def _begin(self, sequence_id: SequenceId) -> LiveSequence:
        sequence = LiveSequence(sequence_id, self._bounds.initial, self._bounds.initial_nbytes)
        self.occupancy.state_nbytes += sequence.nbytes
        self._live[sequence] = None
        self._schedule.begin(sequence)
        self._by_id[sequence_id] = sequence
        return sequence

    def _close(self, sequence: LiveSequence, reason: Ended, actions: Actions) -> None:
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
        self._idle.pop(sequence, None)
        self._schedule.end(sequence)
        self.occupancy.state_nbytes -= sequence.nbytes
        sequence.states = ()
        self.ended[reason] += 1

    def _cut(
        self,
        sequence: LiveSequence,
        actions: Actions,
        error: CallError | None = None,
        reason: Ended = Ended.CUT,
    ) -> None:
        """End what waits, and the sequence behind what runs."""
        for call in sequence.waiting:
            self.occupancy.goes(call)
            self._done(call)
            actions.outcomes.append((call, error or SequenceCut(call.sequence_id), True))
        sequence.waiting.clear()
        self._schedule.drop(sequence)
        if sequence.closing is None:
            del self._by_id[sequence.id]
        sequence.closing = reason

    def _settle(self, sequence: LiveSequence, now: float, actions: Actions) -> None:
        """A call of it has come to an end, or was let go: what is the sequence now?"""
        if sequence.running is not None or sequence not in self._live:
            return
        if sequence.waiting:
            self._schedule.look_at(sequence, now)
        elif sequence.closing is not None:
            self._end(sequence, sequence.closing)
        elif sequence not in self._idle:
            self._idle[sequence] = now

    def _go_on(self, now: float, actions: Actions) -> None:
        """Give away slots, and decide on runs."""
        while True:
            calls = self._schedule.next_run(now, closing=self.closed)
            if not calls:
                return
            for call in calls:
                self.occupancy.goes(call)
            late = [call for call in calls if call.deadline <= now]
            wanted = [call for call in calls if call.deadline > now]
            if wanted:
                run = Run(wanted)
                for call in wanted:
                    call.run = run
                self._schedule.began()
                actions.runs.append(run)
            for call in late:
                self._not_run(call, DeadlineExceeded(), actions, counts=True)
                assert call.sequence is not None
                self._settle(call.sequence, now, actions)

    def _answered(self, call: SequenceCall, result: Result, actions: Actions) -> None:
        sequence = self._turn_over(call)
        self._done(call)
        grown = sum([state.nbytes for state in result.states]) - sequence.nbytes
        goes_on = sequence.waiting or sequence.closing is None
        too_much = self.occupancy.refusal_of_state(grown) if goes_on else None
        if too_much is not None:
            actions.outcomes.append((call, too_much, True))
            self._cut(sequence, actions, reason=Ended.STATE_FULL)
            return
        if goes_on:
            sequence.states = result.states
            sequence.nbytes += grown
            self.occupancy.state_nbytes += grown
        actions.outcomes.append((call, result.answer, False))

    def _failed(self, run: Run, error: CallError, actions: Actions) -> None:
        """A run gave no results: it failed, or it was not run."""
        if was_run(error) and len(run.members) > 1 and self._bounds.retries:
            # One of them may be at fault, and each shall get what it would have got alone.
            for call in run.members:
                if call.completion.taken:
                    self._not_run(call, Cancelled(), actions, counts=False)
                else:
                    call.alone = True
                    self._wait_again(call)
            return
        for call in run.members:
            if not was_run(error):
                self._not_run(call, error, actions, counts=False)
                continue
            sequence = self._turn_over(call)
            self._done(call)
            actions.outcomes.append((call, error, False))
            if len(run.members) > 1:
                self._cut(sequence, actions, reason=Ended.FAILED)

    def _not_run(self, call: SequenceCall, error: CallError, actions: Actions, *, counts: bool) -> None:
        """A call that had its turn was not run."""
        sequence = self._turn_over(call)
        self._done(call)
        actions.outcomes.append((call, error, counts))
        may_try_again = isinstance(error, Refused) and not call.start and not sequence.waiting
        if not may_try_again:
            self._cut(sequence, actions)
        elif (
            call.end and sequence.closing is Ended.END and sequence.id not in self._by_id and not self.closed
        ):
            sequence.closing = None
            self._by_id[sequence.id] = sequence

    def _wait_again(self, call: SequenceCall) -> None:
        """A call that had its turn waits, before the others of its sequence."""
        self._turn_over(call).waiting.appendleft(call)
        call.stage = Stage.WAITING
        self.occupancy.waits(call)

    def _turn_over(self, call: SequenceCall) -> LiveSequence:
        """The sequence of a call, which is in a run no more."""
        assert call.sequence is not None
        call.sequence.running = None
        return call.sequence

    def _done(self, call: SequenceCall) -> None:
        call.stage = Stage.DONE
        self.calls -= 1
