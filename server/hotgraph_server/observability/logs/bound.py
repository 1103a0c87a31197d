"""Which failed calls have a line of their own: so many in a second, and the others are counted. No clock."""

from __future__ import annotations

from collections import Counter


class Bound:
    """Belongs to whoever holds its owner's lock.

    Args:
        a_second: lines in a second; above 0.
    """

    def __init__(self, a_second: int) -> None:
        self._a_second = a_second
        self._second = -1
        self._lines = 0
        self._others: Counter[str] = Counter()

    def takes(self, now: float, status: str) -> bool:
        """Has a call that failed so at `now` (seconds) a line? If not it is counted."""
        second = int(now)
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines < self._a_second:
            self._lines += 1
            return True
        self._others[status] += 1
        return False

    @property
    def others(self) -> int:
        """How many are counted."""
        return self._others.total()

    def take_others(self) -> dict[str, int]:
        """Those that are counted, by status, the most frequent first; they are counted no longer."""
        others, self._others = self._others, Counter()
        return dict(others.most_common())
