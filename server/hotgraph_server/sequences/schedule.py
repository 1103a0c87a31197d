"""Which sequences have a slot, and whose calls are in the next run. Part of the table, and pure like it: the
moment comes in.

A sequence waits for a slot until one is free, in the order of the STARTs, and keeps it to its end. It is
ready when it has a slot and a call that waits, and none that runs.

Strategies. Oldest: each call that is ready is a run of its own, and the queue's lanes make batches of them.
Direct: one run at a time, of the slots' ready calls that are alike (outputs and shapes equal to those of the
one that has been ready longest), each in the row of its slot. A run waits until `least_ready` are ready or
the first of them has been for `delay_s`.
"""

from __future__ import annotations

import heapq
import math

from hotgraph_server.sequences.bounds import Bounds
from hotgraph_server.sequences.call import LiveSequence, SequenceCall, Stage


class Schedule:
    """Of one table; not thread-safe."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._running = 0
        self._without_slot: dict[LiveSequence, None] = {}
        self._free: list[int] = []
        self._unused = 0  # slots from here on have never been taken
        # In the order in which they became so, each with the moment of that.
        self._ready: dict[LiveSequence, float] = {}

    @property
    def without_slot(self) -> int:
        """Sequences that wait for a slot."""
        return len(self._without_slot)

    def begin(self, sequence: LiveSequence) -> None:
        """A sequence has begun, and waits for a slot."""
        self._without_slot[sequence] = None

    def end(self, sequence: LiveSequence) -> None:
        """A sequence has ended; its slot is free."""
        self._without_slot.pop(sequence, None)
        self._ready.pop(sequence, None)
        if sequence.place >= 0:
            heapq.heappush(self._free, sequence.place)

    def look_at(self, sequence: LiveSequence, now: float) -> None:
        """A call of a sequence has come to wait, or has ended: is the sequence ready?"""
        if (
            sequence.place >= 0
            and sequence.waiting
            and sequence.running is None
            and sequence not in self._ready
        ):
            self._ready[sequence] = now

    def drop(self, sequence: LiveSequence) -> None:
        """Nothing of a sequence waits any more."""
        self._ready.pop(sequence, None)

    def began(self) -> None:
        """Calls that `next_run` has returned are a run."""
        self._running += 1

    def over(self) -> None:
        """A run is over."""
        self._running -= 1

    def due(self) -> float:
        """When a run goes that waits for more calls, monotonic seconds; infinite: there is none."""
        if self._bounds.direct and not self._running:
            for since in self._ready.values():
                return since + self._bounds.delay_s
        return math.inf

    def next_run(self, now: float, *, closing: bool) -> list[SequenceCall]:
        """Give away the slots that are free, and take the calls of the next run out of their sequences.

        Args:
            now: monotonic seconds.
            closing: no further calls will come, so no run waits for any.

        Returns:
            the calls; none: there is no run now.
        """
        self._give_slots(now)
        if not self._ready:
            return []
        first = next(iter(self._ready))
        members = [first]
        if self._bounds.direct:
            if self._running or not (closing or self._may_go(self._ready[first], now)):
                return []
            if self._bounds.shares and not first.waiting[0].alone:
                alike = _kind(first)
                members = [one for one in self._ready if _kind(one) == alike and not one.waiting[0].alone]
        calls = []
        for sequence in members:
            del self._ready[sequence]
            call = sequence.running = sequence.waiting.popleft()
            call.stage = Stage.RUNNING
            calls.append(call)
        return calls

    def _give_slots(self, now: float) -> None:
        while self._without_slot and (self._free or self._unused < self._bounds.slots):
            sequence = next(iter(self._without_slot))
            del self._without_slot[sequence]
            if self._free:
                sequence.place = heapq.heappop(self._free)
            else:
                sequence.place = self._unused
                self._unused += 1
            self.look_at(sequence, now)

    def _may_go(self, since: float, now: float) -> bool:
        return len(self._ready) >= self._bounds.least_ready or now >= since + self._bounds.delay_s


def _kind(sequence: LiveSequence) -> object:
    """Sequences whose next calls are of the same kind may share a run."""
    call = sequence.waiting[0]
    return call.outputs, call.shapes, tuple([state.shape for state in sequence.states])
