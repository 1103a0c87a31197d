"""The thread that does what time alone makes due: sequences that are silent for too long give back their
memory and their slots, and runs that have waited for company go without it.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

_LOG = logging.getLogger(__name__)

_AFTER_A_BUG_S = 10.0
# Longest wait that a lock takes is years, but not infinite.
_LONGEST_S = 3600.0


class Timer:
    """One thread, which its owner starts and stops. The constructor starts nothing.

    Args:
        name: of the thread.
        tend: does what is due; returns when something is due next, monotonic seconds, infinite for never.
            Called in this thread alone, without the timer's lock.
        clock: monotonic seconds.
    """

    def __init__(self, name: str, tend: Callable[[], float], clock: Callable[[], float]) -> None:
        self._tend = tend
        self._clock = clock
        self._changed = threading.Condition()  # guards what follows
        self._wake_at = math.inf
        self._ended = False
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Begin, with a look at what is due."""
        self._thread.start()

    def look_at(self, moment: float) -> None:
        """Something is due at `moment`, monotonic seconds. Any thread may call it."""
        # Without the lock, because it is said after every call and mostly is no news. If the thread is just
        # about to look, it sees what the caller has done before this.
        if moment >= self._wake_at:
            return
        with self._changed:
            if moment < self._wake_at:
                self._wake_at = moment
                self._changed.notify()

    def stop(self, timeout_s: float) -> bool:
        """End it. Returns whether it ended in time; if not, a warning names it."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if not self._thread.ident or self._thread is threading.current_thread():
            return True
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _LOG.warning("thread %r has not ended after %.1f s", self._thread.name, timeout_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        while True:
            with self._changed:
                if self._ended:
                    return
                self._wake_at = math.inf
            try:
                due = self._tend()
            except Exception:
                # What comes next may go better; without this thread nothing would come at all.
                _LOG.exception("%s broke", self._thread.name)
                due = self._clock() + _AFTER_A_BUG_S
            with self._changed:
                self._wake_at = min(self._wake_at, due)
                while not self._ended and (left_s := self._wake_at - self._clock()) > 0:
                    self._changed.wait(min(left_s, _LONGEST_S) if left_s < math.inf else None)
