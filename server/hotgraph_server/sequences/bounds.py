"""What the table of a version's sequences may hold, and how it runs what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hotgraph_server.tensors import Array

_MIB = 2**20


@dataclass(frozen=True)
class Bounds:
    """Of one table.

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
