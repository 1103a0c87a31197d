"""When arrivals may lie for a moment, so that many are taken in at once. Pure.

While a long run keeps the executor, nobody can be answered, and each call that comes wakes the serving
thread for itself. Where the run needs the same core, that is what slows it: the thread comes back to cold
caches, does a little and goes, a thousand times a second, and the callers it was so quick to take in all
wait for the run that it delays. So in a crowd the thread naps between its looks.

A crowd is there when `CROWD` calls have come since anybody was last answered, or since the first of those who
wait came to an empty server. The nap is a part of the time since then: after a quick model's answers there is
none, and in a long run it adds little to a wait that is long anyway. It ends with the next answer, because
then a new run begins, which should find all who came. Where nobody waits (who was refused, does not), nobody
naps.
"""

from __future__ import annotations

CROWD = 6
"""Calls that are taken in one by one after an answer, whatever follows."""

PART = 1 / 3
"""A nap's share of the time since the last answer."""

SHORTEST_S = 0.001
"""Nobody sleeps more precisely than that."""

LONGEST_S = 0.004
"""A tenth of what callers notice, and of the deadlines of those who measure."""


class ReceiveCoalescer:
    """Counts arrivals and answers; for one thread at a time.

    Attributes:
        answers: that have left so far, whatever thread they left from.
    """

    def __init__(self) -> None:
        self.answers = 0
        self._arrivals = 0
        self._answers_seen = 0
        self._since = 0.0

    def arrived(self) -> None:
        """A call has come."""
        self._arrivals += 1

    def nap_s(self, now: float, waiting: int) -> float:
        """How long arrivals may lie from `now` on, seconds; 0.0: not at all.

        Args:
            now: monotonic seconds.
            waiting: calls that are owed an answer.
        """
        if self.answers != self._answers_seen or not waiting:
            self._answers_seen = self.answers
            self._arrivals = 0
            self._since = now
        if self._arrivals < CROWD:
            return 0.0
        nap_s = min((now - self._since) * PART, LONGEST_S)
        return nap_s if nap_s >= SHORTEST_S else 0.0
