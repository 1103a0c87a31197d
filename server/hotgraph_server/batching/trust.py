"""Trust in a signature's batches grows with every joined call that was not found to differ. Pure.

Which joined calls are run alone and compared, by their running number within the signature:

* *Before the answers of their batch leave:* the 1st, 2nd, 4th, 8th ... So trust that n calls have earned is
  doubled only by another check, and what no caller receives harms none. Where nothing proves that rows do not
  influence each other, the first 64 all are: what only some rows show is likely to show then.
* *Before they leave as well:* one of the next batch when none was compared for a minute, whatever the load
  and however few calls come.
* *Later, when the executor has nothing else to do:* one in `one_in`.

Calls are counted, not drawn: the same calls are compared in every test and every replay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST = 64
"""So many joined calls of a signature for which nothing is proven are all compared."""

AT_LEAST_EVERY_S = 60.0


@dataclass(frozen=True)
class Due:
    """Which calls of a batch are to be run alone, by their indices.

    Attributes:
        before: rising; before any answer of the batch leaves.
        later: one when there is time; None: none.
        doubled: are there twice as many joined calls now as when that was last said, or more?
    """

    before: tuple[int, ...]
    later: int | None
    doubled: bool


class Trust:
    """Of one signature; the executor's thread alone changes it, any may read.

    Args:
        one_in: of so many joined calls one is compared when there is time.
        first: so many joined calls are all compared, at least one.
        joined: so many were found the same in earlier runs of the server.

    Attributes:
        joined: calls that were joined so far, none of which was found to differ.
        difference: what ended joining; empty: nothing did.
    """

    __slots__ = ("_due_at", "_due_number", "_first", "_one_in", "_sample_number", "difference", "joined")

    def __init__(self, one_in: int, first: int = FIRST, joined: int = 0) -> None:
        self.joined = joined
        self.difference = ""
        self._one_in = one_in
        self._first = first
        self._sample_number = joined + one_in
        self._due_number = joined + 1
        self._due_at = -math.inf

    def passes(self, calls: int, now: float) -> bool:
        """Count so many calls that were joined in one run, if none of them is due; else count nothing, and
        `take` is to be asked."""
        joined = self.joined + calls
        if joined >= self._due_number or now >= self._due_at:
            return False
        self.joined = joined
        return True

    def take(self, calls: int, now: float) -> Due:
        """Count so many calls, at least one, that were joined in one run; returns which are due."""
        before_them, self.joined = self.joined, self.joined + calls
        before = [number - before_them - 1 for number in self._numbers(before_them, self.joined)]
        if not before and now >= self._due_at:
            before = [self.joined % calls]
        if before:
            self._due_at = now + AT_LEAST_EVERY_S
        later = None
        if self.joined >= self._sample_number:
            index = max(self._sample_number - before_them - 1, 0)
            later = None if index in before else index
            self._sample_number = self.joined + self._one_in
        self._due_number = min(self._next_number(), self._sample_number)
        return Due(tuple(before), later, self.joined.bit_length() > before_them.bit_length())

    def put_off(self) -> None:
        """A comparison that was due has told nothing: one of the next batch is due instead."""
        self._due_at = -math.inf

    def lose(self, difference: str) -> None:
        """A comparison has found a difference, and joining ends for it."""
        self.joined = 0
        self.difference = difference
        # A batch that was joined before and is run only now does not pass.
        self._due_number = 0

    def _numbers(self, after: int, last: int) -> list[int]:
        """The running numbers in (after, last] that are due before they leave."""
        numbers = list(range(after + 1, min(self._first, last) + 1))
        power = 1 << max(after, self._first).bit_length()
        while power <= last:
            numbers.append(power)
            power *= 2
        return numbers

    def _next_number(self) -> int:
        if self.joined < self._first:
            return self.joined + 1
        return 1 << self.joined.bit_length()
