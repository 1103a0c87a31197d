"""A thread that does what time alone makes due: it sleeps until the next moment, or until it is woken.

When it runs. `tick` is called once when the thread begins, and from then on at the moment that the last tick
has returned, or at an earlier one that `wake_at` names in between; `wake` names the past. However many wake
it before a tick begins, that is one tick: what they have done before they woke it, it sees. What wakes it
while a tick runs is one more tick behind that.

Who calls what. Any thread may wake it, and never waits for a tick. The tick is called in this thread alone,
without a lock of this module; its owner decides under a lock of its own. If it raises, that is logged, and
the next tick comes after 10 s or when the thread is woken: without the thread nothing would be done again.

How it ends. `stop` lets the tick that is under way come to its end, for so long at most, and calls no other;
a thread that will not end is named in a warning. It is a daemon: the process does not wait for it either.
The constructor starts nothing; `start` starts once, however many call it, and not after `stop`, which may
come first.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from hotgraph_server.threads.joining import join_within

_LOG = logging.getLogger(__name__)

_AFTER_A_BUG_S = 10.0
# The longest wait that a lock takes is years, but not infinite.
_LONGEST_S = 3600.0


class PeriodicThread:
    """One thread, which its owner starts and stops.

    Args:
        name: of the thread.
        tick: does what is due; returns when something is due next, monotonic seconds, infinite: not before
            the thread is woken.
        clock: monotonic seconds.
        failure: what the log says if a tick raises; empty: that the thread broke.
    """

    def __init__(
        self,
        name: str,
        tick: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        failure: str = "",
    ) -> None:
        self._tick = tick
        self._clock = clock
        self._failure = failure or f"{name} broke"
        self._changed = threading.Condition(threading.Lock())  # guards what follows
        self._tick_at = math.inf
        self._stopped = False
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Begin, with a tick; idempotent."""
        with self._changed:
            # Under the lock, so that a stop in between either prevents it or finds a thread to wait for.
            if not self._stopped and self._thread.ident is None:
                self._thread.start()

    def wake(self) -> None:
        """Tick at once."""
        self.wake_at(-math.inf)

    def wake_at(self, moment: float) -> None:
        """Something is due at `moment`, monotonic seconds."""
        # Without the lock, because it is said after every call and mostly is no news. If the thread is just
        # about to tick, the tick sees what the caller has done before this.
        if moment >= self._tick_at:
            return
        with self._changed:
            if moment < self._tick_at:
                self._tick_at = moment
                self._changed.notify()

    def stop(self, timeout_s: float) -> bool:
        """End it, after the tick that it is in. Returns whether it ended in time; if not, a warning names it.

        In the thread itself it waits for nothing: the thread ends behind the tick that stops it.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify()
        return join_within(self._thread, timeout_s)

    def _main(self) -> None:
        while self._begin_tick():
            try:
                due = self._tick()
            except Exception:
                _LOG.exception("%s", self._failure)
                due = self._clock() + _AFTER_A_BUG_S
            self._sleep(due)

    def _begin_tick(self) -> bool:
        """What has woken the thread so far is done by the tick that follows. False: it is stopped."""
        with self._changed:
            self._tick_at = math.inf
            return not self._stopped

    def _sleep(self, due: float) -> None:
        with self._changed:
            self._tick_at = min(self._tick_at, due)
            while not self._stopped and (left_s := self._tick_at - self._clock()) > 0:
                self._changed.wait(min(left_s, _LONGEST_S) if left_s < math.inf else None)
