"""What was written, what of it is on disk, and which callers wait for that. No thread, no lock, no disk.

The policy. A write counts once its run has ended well. Its caller gets the answer when
`DurabilityPolicy.may_answer` says so: under ``every_write`` when a snapshot has it, with ``every_writes = n``
when no more than n writes would be lost by a crash now, else at once. So a crash costs

    every_write          no write that was answered
    every_writes = n     at most n of those that were answered
    every_s = t          those answered in the last t seconds, and while a snapshot was being written

Many writes share a snapshot: whatever has come while the last one was being written goes into the next, and
all that wait for it are answered together. A snapshot that cannot be written ends those that wait for it
with an error, because it is not known when the disk will be well again; it is tried again with the next
write, or after some time.

A reader sees what was written at once, whether it is on disk or not.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hotgraph_server.tensors import Array

Values = Mapping[str, Array]
Callback = Callable[[str | None], None]
"""Told once: None, or why it could not be saved."""

# A disk that is full stays so for longer than this; a guess.
RETRY_S = 1.0


@dataclass(frozen=True)
class DurabilityPolicy:
    """When a snapshot is due, and which writes may be answered without one.

    Attributes:
        every_writes: 0: their number is no reason.
        every_s: seconds; 0: time is no reason.
        every_write: each is on disk before it is answered.
    """

    every_writes: int = 0
    every_s: float = 0.0
    every_write: bool = False

    def may_answer(self, writes: int, saved: int) -> bool:
        """May write number `writes` be answered while the first `saved` are on disk?"""
        if self.every_write:
            return writes <= saved
        return not self.every_writes or writes - saved <= self.every_writes

    def due_at(self, writes: int, saved: int, since: float) -> float:
        """When a snapshot is due after so many writes, the first that none has being from `since` (monotonic
        seconds): that moment, minus infinity for now, infinity for not at all."""
        if writes == saved:
            return math.inf
        if self.every_write or (self.every_writes and writes - saved >= self.every_writes):
            return -math.inf
        return since + self.every_s if self.every_s else math.inf


class Durability:
    """Of one version.

    Args:
        policy: see there.
        values: of the variables now.
        writes: that have led to them.
        saved: those of them that a snapshot has.

    Attributes:
        values: after the last write.
        writes: how many there were.
        saved: how many of them are on disk.
    """

    def __init__(self, policy: DurabilityPolicy, values: Values, writes: int = 0, saved: int = 0) -> None:
        self.values = values
        self.writes = writes
        self.saved = saved
        self._policy = policy
        # The first write that no snapshot has, nor the one that is being written.
        self._since = math.inf if writes == saved else -math.inf
        self._since_taken = math.inf
        self._not_before = -math.inf
        self._held: deque[tuple[int, Callback]] = deque()
        self._asked: list[tuple[int, Callback]] = []

    def wrote(self, values: Values, tell: Callback, now: float) -> bool:
        """One more write has led to `values`. Returns whether it may be answered now; if not, `tell` is
        among those that `took` and `failed` return later."""
        self.values = values
        self.writes += 1
        self._since = min(self._since, now)
        self._not_before = -math.inf
        if self._policy.may_answer(self.writes, self.saved):
            return True
        self._held.append((self.writes, tell))
        return False

    def replace(self, values: Values, writes: int) -> None:
        """The state is another now, which no snapshot has."""
        self.values, self.writes, self.saved = values, writes, min(self.saved, writes - 1)
        self._since = -math.inf

    def give_up(self) -> None:
        """What is now is not to be saved; no snapshot of it is due. No write may follow."""
        self.saved = self.writes
        self._asked.clear()

    def ask(self, tell: Callback) -> bool:
        """A snapshot of what is now is wanted. Returns whether there is one; if not, as in `wrote`."""
        if self.writes == self.saved:
            return True
        self._asked.append((self.writes, tell))
        self._not_before = -math.inf
        return False

    def due_at(self) -> float:
        """When a snapshot is due, monotonic seconds; see DurabilityPolicy.due_at."""
        due = self._policy.due_at(self.writes, self.saved, min(self._since, self._since_taken))
        return max(-math.inf if self._asked else due, self._not_before)

    def take(self) -> tuple[int, Values]:
        """Begin a snapshot of what is now: the writes in it, and the values. One at a time."""
        self._since_taken, self._since = min(self._since, self._since_taken), math.inf
        return self.writes, self.values

    def took(self, writes: int) -> list[Callback]:
        """The snapshot with so many writes is on disk. Returns the callbacks of those that it lets answer."""
        self._since_taken = math.inf
        self.saved = writes
        told = []
        while self._held and self._policy.may_answer(self._held[0][0], self.saved):
            told.append(self._held.popleft()[1])
        told += [tell for wanted, tell in self._asked if wanted <= writes]
        self._asked = [one for one in self._asked if one[0] > writes]
        return told

    def failed(self, writes: int, now: float) -> list[Callback]:
        """The snapshot with so many writes could not be written. Returns the callbacks that waited for it."""
        told = [tell for wanted, tell in (*self._held, *self._asked) if wanted <= writes]
        self._held = deque(one for one in self._held if one[0] > writes)
        self._asked = [one for one in self._asked if one[0] > writes]
        if not self._held and not self._asked:
            self._not_before = now + RETRY_S
        return told
