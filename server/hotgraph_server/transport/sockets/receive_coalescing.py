"""When arrivals may lie for a moment, so that many are taken in at once. Pure.

While a long run keeps the executor, no call can be answered, and each call that comes wakes the serving
thread for itself. Where the run needs the same core, that is what slows it: the thread comes back to cold
caches, does a little and goes, a thousand times a second, and the callers that it was so quick to take in all
wait for the run that it delays. So the thread waits for a moment between its looks while many calls come.

Many are `MIN_CALLS` that have come since a call was last answered, or since the first of those that wait came
to an empty server. The delay is a part of the time since then: after a quick model's answers there is none,
and in a long run it adds little to a wait that is long anyway. It ends with the next answer, because then a
new run begins, which should find all calls that have come. Where no call waits (one that was refused does
not), there is no delay.
"""

from __future__ import annotations

MIN_CALLS = 6
"""Before so many have come after an answer, each is taken in at once."""

SHARE = 1 / 3
"""A delay's share of the time since the last answer."""

MIN_DELAY_S = 0.001
"""No thread sleeps more precisely than that."""

MAX_DELAY_S = 0.004
"""A tenth of what callers notice, and of the deadlines of those who measure."""


class ReceiveCoalescer:
    """For one thread at a time."""

    def __init__(self) -> None:
        self._arrived_before = 0  # `_since`
        self._answered_before = 0
        self._since = 0.0

    def delay_s(self, now: float, waiting: int, arrived: int, answered: int) -> float:
        """How long arrivals may lie from `now` on, seconds; 0.0: not at all.

        Args:
            now: monotonic seconds.
            waiting: calls that are owed an answer.
            arrived, answered: calls, so far.
        """
        if answered != self._answered_before or not waiting:
            self._answered_before = answered
            self._arrived_before = arrived
            self._since = now
        if arrived - self._arrived_before < MIN_CALLS:
            return 0.0
        delay_s = min((now - self._since) * SHARE, MAX_DELAY_S)
        return delay_s if delay_s >= MIN_DELAY_S else 0.0
