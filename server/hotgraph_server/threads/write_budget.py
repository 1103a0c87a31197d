"""What bounds how much may wait for a thread that writes: credits, taken before and given back after.

They lie in a deque, whose pop and append are atomic: so taking them takes no lock, never waits and never
raises, and may be done where an answer is encoded.
"""

from __future__ import annotations

import collections

CREDITS = 1024
CREDIT_BYTES = 64 * 1024
"""What one credit stands for. A guess, as their number is: together they are 64 MiB."""


class WriteBudget:
    """So many of them. Any thread may call everything."""

    def __init__(self, credits: int = CREDITS) -> None:
        self._free = collections.deque(range(credits))
        self._refused: collections.deque[None] = collections.deque()

    def take(self, wanted: int) -> bool:
        """Returns whether all of them were there; if not, none is taken, and that is counted."""
        for got in range(wanted):
            try:
                self._free.pop()
            except IndexError:
                self.give_back(got)
                self._refused.append(None)
                return False
        return True

    def give_back(self, credits: int) -> None:
        """What was taken is free again."""
        self._free.extend(range(credits))

    def refused(self) -> int:
        """How often `take` has said no since this was last asked; to be asked by one thread."""
        refused = len(self._refused)
        for _ in range(refused):
            self._refused.popleft()
        return refused
